"""explain is right for every state of a shard, and compares a job only with earlier ones of the same shard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, on_command_line, shell, step, workflow

WORD = shell(
    'test ! -e "$0" && echo "$0"', inputs={"word": on_command_line("string")}, outputs={"o": "stdout"}, stdout="o"
)
JOIN = shell("cat", inputs={"os": {"type": [{"type": "array", "items": ["null", "File"]}, "null"]}}, outputs={})
PICK = workflow(
    {"words": "string[]"},
    {"os": {"type": "Any", "outputSource": "pick/o"}},
    pick=step(WORD, "o", scatter="word", when="$(inputs.word != 'skip')", word="words"),
    join=step(JOIN, "", os="pick/o"),
)


class Picking:
    """A workflow whose shards fail as long as a file of their name is there."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.workflow = desk.write("pick.cwl", PICK)
        self.good = [str(desk.folder / f"word{number}") for number in range(3)]

    def run(self, words: list[str], *options: str):
        inputs = self.desk.write("in.json", json.dumps({"words": words}))
        return gridcwl("--no-container", "--quiet", "--outdir=outputs", *options, self.workflow, inputs)

    def explained(self, what: str = "pick") -> dict[str, dict]:
        return {one["name"]: one for one in json.loads(gridcwl("explain", "--json", "last", what).stdout)}


@pytest.fixture
def picking(desk: Desk) -> Picking:
    return Picking(desk)


def test_shards_that_failed_never_started_were_skipped_or_are_blocked(picking: Picking) -> None:
    bad, *rest = picking.good
    Path(bad).touch()
    picking.run(["skip", bad, *rest, *map(str, range(20))], "--max-jobs=1")
    states = {name: one["state"] for name, one in picking.explained().items()}
    assert states["pick[0]"] == "skipped"
    assert states["pick[1]"] == "failed"
    assert states["pick[22]"] == "not started"
    assert len(states) == 24
    assert "never started" in picking.explained("pick[22]")["pick[22]"]["message"]
    assert picking.explained("join")["join"]["state"] == "not started"


def test_a_step_behind_one_that_failed_is_blocked(picking: Picking) -> None:
    Path(picking.good[0]).touch()
    picking.run(picking.good[:1], "--on-error=continue")
    assert picking.explained("join")["join"]["state"] == "blocked"


def test_after_a_resume_the_reused_the_rerun_and_the_new_are_distinguished(picking: Picking) -> None:
    first, second, third = picking.good
    Path(second).touch()
    picking.run([first, second], "--on-error=continue")
    Path(second).unlink()
    picking.desk.write("in.json", json.dumps({"words": [first, second, third]}))
    assert gridcwl("resume", "--quiet", "last").code == 0
    answer = picking.explained()
    assert answer["pick[0]"]["state"] == "reused"
    assert answer["pick[1]"]["state"] == "done"
    assert "failed once before" in answer["pick[1]"]["message"]
    # a new shard is not compared with one whose result another shard has
    assert "no earlier run of this document has such a job" in answer["pick[2]"]["message"]
    assert answer["pick[2]"]["differences"] == []
    (pick, _) = json.loads(gridcwl("status", "--json", "last").stdout)["steps"]
    assert (pick["done"], pick["reused"], pick["attempts"]) == (3, 1, 4)


def test_a_shard_with_another_input_is_compared_with_itself(picking: Picking) -> None:
    picking.run(picking.good)
    picking.run([picking.good[0], "other", picking.good[2]])
    answer = picking.explained("pick[1]")["pick[1]"]
    assert answer["message"].endswith("pick[1]) in")
    (part,) = answer["differences"]
    assert (part["before"], part["now"]) == (picking.good[1], "other")


def test_equal_failures_are_shown_once_with_their_number(picking: Picking) -> None:
    for word in picking.good:
        Path(word).touch()
    inputs = picking.desk.write("in.json", json.dumps({"words": picking.good}))
    result = gridcwl("--no-container", "--on-error=continue", "--outdir=outputs", picking.workflow, inputs)
    assert result.stderr.count("failed: The tool ended with exit code 1.") == 1
    assert "2 more failed like pick[" in result.stderr
    about = json.loads(gridcwl("status", "--json", "last").stdout)
    (group,) = about["failure_groups"]
    assert (group["step"], group["count"], group["exit_code"]) == ("pick", 3, 1)
    assert [shard["inputs"] for shard in about["failures"]] == [{"word": word} for word in picking.good]
    text = gridcwl("status", "last").stdout
    assert "pick: 3 jobs failed alike: The tool ended with exit code 1." in text
    assert f"pick[0]  word={picking.good[0]}" in text


def test_failures_that_differ_are_each_shown(desk: Desk) -> None:
    codes = shell('exit "$0"', inputs={"n": on_command_line("int")})
    flow = workflow({"ns": "int[]"}, {}, leave=step(codes, scatter="n", n="ns"))
    inputs = desk.write("in.json", '{"ns": [3, 4]}')
    result = gridcwl("--no-container", "--on-error=continue", desk.write("w.cwl", flow), inputs)
    assert "exit code 3." in result.stderr
    assert "exit code 4." in result.stderr


def test_an_expression_that_fails_is_a_failure_in_status_and_explain(desk: Desk) -> None:
    tool = shell("true", inputs={"n": "int"})
    flow = workflow({"ns": "int[]"}, {}, bad=step(tool, scatter="n", n="ns"))
    flow["steps"]["bad"]["in"]["n"] = {"source": "ns", "valueFrom": "$(self > 1 ? missing.field : self)"}
    inputs = desk.write("in.json", '{"ns": [1, 2]}')
    gridcwl("--no-container", "--quiet", "--on-error=continue", desk.write("w.cwl", flow), inputs)
    about = json.loads(gridcwl("status", "--json", "last").stdout)
    (step_,) = about["steps"]
    assert (step_["done"], step_["failed"], step_["total"]) == (1, 1, 2)
    assert [failure["name"] for failure in about["failures"]] == ["bad[1]"]
    explained = json.loads(gridcwl("explain", "--json", "last", "bad").stdout)
    assert [(one["name"], one["state"]) for one in explained] == [("bad[0]", "done"), ("bad[1]", "failed")]


def test_a_step_that_is_not_there_is_named_with_the_likely_one(picking: Picking) -> None:
    picking.run(picking.good[:1])
    refused = gridcwl("explain", "last", "pcik")
    assert refused.code == 1
    assert "Did you mean pick?" in refused.stderr
    assert "Did you mean pick[0]?" in gridcwl("explain", "last", "pik[0]").stderr
    assert "The step pick has no job pick[77]" in gridcwl("logs", "last", "pick[77]").stderr


def test_after_the_document_was_edited_a_shard_is_not_compared_with_another_one(picking: Picking) -> None:
    bad = Path(picking.good[1])
    bad.touch()
    picking.run(picking.good, "--on-error=continue")
    bad.unlink()
    text = Path(picking.workflow).read_text()
    Path(picking.workflow).write_text(text.replace("test ! -e", "test  ! -e"))
    gridcwl("resume", "last")
    answers = picking.explained()
    message = answers["pick[1]"]["message"]
    assert "it failed before (The tool ended with exit code 1), and differs from then in: command word 2" in message
    assert "pick[0])" in answers["pick[0]"]["message"]
