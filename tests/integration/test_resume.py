"""Runs that were stopped resume where they were, and see what was edited."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_runs import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abcd"))
    yield made
    made.leave()


def failed_at(desk: Desk, *shards: str) -> None:
    """A run in which these shards fail and the others end."""
    desk.open("all", *(f"fail-{shard}" for shard in shards))
    ended = desk.run("--on-error", "continue")
    assert ended.code == 1
    assert desk.ended() == set(desk.shards) - set(shards)


def test_what_had_ended_is_not_run_again_after_the_cause_of_a_failure_is_fixed(desk):
    failed_at(desk, "c")
    desk.close("fail-c")
    ended = desk.gridcwl("resume", "last")
    assert ended.code == 0
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 1, "b": 1, "c": 2, "d": 1, "join": 1}


def test_a_failed_run_reports_how_to_resume(desk):
    desk.open("all", "fail-c")
    ended = desk.run()
    (run,) = (desk.state / "runs").iterdir()
    assert f"gridcwl resume {run.name}" in ended.stderr


def test_the_output_object_is_that_of_a_run_that_was_never_stopped(desk):
    failed_at(desk, "b")
    desk.close("fail-b")
    resumed = desk.gridcwl("resume", "last")
    afresh = desk.run()
    assert resumed.outputs == afresh.outputs


def test_an_edited_input_file_runs_what_reads_it_and_what_comes_of_it(desk):
    failed_at(desk, "d")
    desk.close("fail-d")
    desk.write("a", "another word\n")
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 2, "b": 1, "c": 1, "d": 2, "join": 1}


def test_an_edited_input_file_is_seen_whatever_checksum_the_input_object_reports_it_has(desk):
    inputs = json.loads((desk.folder / "in.json").read_text())
    for file in inputs["word"]:
        file["checksum"] = "sha1$adc83b19e793491b1c6ea0fd8b46cd9f32e592fc"
    (desk.folder / "in.json").write_text(json.dumps(inputs))
    failed_at(desk, "d")
    desk.close("fail-d")
    desk.write("a", "another word\n")
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()


def test_a_file_that_was_only_touched_runs_nothing(desk):
    failed_at(desk, "d")
    desk.close("fail-d")
    os.utime(desk.folder / "a.word", (1, 1))
    assert desk.gridcwl("resume", "last").code == 0
    assert desk.starts()["a"] == 1


def test_an_edited_tool_runs_again_and_no_other(desk):
    failed_at(desk, "d")
    desk.close("fail-d")
    text = (desk.folder / "join.cwl").read_text()
    (desk.folder / "join.cwl").write_text(text.replace('cat "$@"', 'cat "$@"; echo edited'))
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output() + "edited\n"
    assert desk.starts() == {"a": 1, "b": 1, "c": 1, "d": 2, "join": 1}


def test_shards_are_known_by_what_they_are_not_by_their_number(desk):
    failed_at(desk, "d")
    desk.close("fail-d")
    desk.shards.insert(0, "new")
    desk.write("new", "a new word\n")
    desk.write_inputs()
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"new": 1, "a": 1, "b": 1, "c": 1, "d": 2, "join": 1}


def test_a_run_that_succeeded_gives_its_outputs_again_and_runs_nothing(desk):
    desk.open("all")
    first = desk.run()
    again = desk.gridcwl("resume", "last")
    assert again.code == 0
    assert again.outputs == first.outputs
    assert set(desk.starts().values()) == {1}


def test_a_run_that_succeeded_sees_an_edit_and_takes_what_it_published(desk):
    desk.open("all")
    desk.run()
    desk.write("b", "another word\n")
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 1, "b": 2, "c": 1, "d": 1, "join": 2}


def test_published_files_that_were_changed_are_not_taken_for_results(desk):
    desk.open("all")
    outputs = desk.run().outputs
    spoilt = Path(outputs["said"][0]["path"])
    spoilt.write_text(spoilt.read_text().upper())
    desk.write("b", "another word\n")
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts()["a"] == 2


def test_results_whose_files_are_gone_are_made_again(desk):
    failed_at(desk, "d")
    desk.close("fail-d")
    made = [path for path in (desk.folder / "tmp").rglob("*") if path.is_file() and path.read_text() == "word a\na\n"]
    (lost,) = [path for path in made if path.parent.name != "partial"]
    lost.unlink()
    ended = desk.gridcwl("resume", "last")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 2, "b": 1, "c": 1, "d": 2, "join": 1}


def test_a_run_continues_from_any_folder_with_the_inputs_it_was_typed(desk):
    desk.open("all", "fail-c")
    words = ["--quiet", "--no-container", "--outdir", "out", "--on-error", "continue", "wf.cwl", "-"]
    assert desk.gridcwl(*words, stdin=(desk.folder / "in.json").read_text()).code == 1
    desk.close("fail-c")
    (desk.folder / "in.json").unlink()
    elsewhere = Desk(desk.folder.parent / "elsewhere", [])
    ended = elsewhere.gridcwl("resume", "--state-dir", str(desk.state), "last")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]) == desk.folder / "out" / "all.txt"
    assert desk.starts()["a"] == 1


def test_options_can_be_changed_when_a_run_continues(desk):
    failed_at(desk, "c", "d")
    desk.close("all", "fail-c", "fail-d")
    before = len(desk.marked())
    client = desk.start("resume", "--max-jobs", "1", "last")
    for shard in ("c", "d"):  # never both at a time
        client.until(lambda: desk.marked()[-1] == f"start {shard}")  # noqa: B023
        desk.open(shard)
    assert client.end().code == 0
    assert desk.marked()[before:-2] == ["start c", "end c", "start d", "end d"]


def test_a_run_that_continues_is_not_resumed_twice(desk):
    client = desk.start(*desk.words())
    client.until(lambda: sum(desk.starts().values()) > 0)
    refused = desk.gridcwl("resume", "last")
    assert refused.code == 1
    assert "still active" in refused.stderr
    desk.open("all")
    assert client.end().code == 0


def test_a_document_that_is_gone_is_named(desk):
    failed_at(desk, "c")
    (desk.folder / "wf.cwl").unlink()
    ended = desk.gridcwl("resume", "last")
    assert ended.code == 1
    assert "wf.cwl" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_secrets_are_the_same_secret_in_every_session_and_are_not_in_the_journal(desk):
    tool = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "stdout": "o",
        "$namespaces": {"cwltool": "http://commonwl.org/cwltool#"},
        "baseCommand": ["sh", "-c", 'echo "start $1" >> "$0"; echo ${#2}; [ ! -e "$3" ]'],
        "hints": {"cwltool:Secrets": {"secrets": ["secret"]}},
        "inputs": {
            "marks": {"type": "string", "inputBinding": {"position": 1}},
            "n": {"type": "string", "inputBinding": {"position": 2}},
            "secret": {"type": "string", "inputBinding": {"position": 3}},
            "stop": {"type": "string", "inputBinding": {"position": 4}},
        },
        "outputs": {"o": "stdout"},
    }
    step = {"run": tool, "in": {name: name for name in ("marks", "secret", "stop")}, "out": ["o"]}
    flow = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "$namespaces": {"cwltool": "http://commonwl.org/cwltool#"},
        "hints": {"cwltool:Secrets": {"secrets": ["secret"]}},
        "inputs": {"marks": "string", "secret": "string", "stop": "string", "never": "string"},
        "steps": {
            "one": {**step, "in": {**step["in"], "n": {"default": "one"}, "stop": "never"}},
            "two": {**step, "in": {**step["in"], "n": {"default": "two"}}},
        },
        "outputs": {"o": {"type": "File", "outputSource": "two/o"}},
    }
    (desk.folder / "secret.cwl").write_text(json.dumps(flow))
    stop = desk.folder / "stop"
    stop.touch()
    values = {"marks": str(desk.marks), "secret": "hunter22", "stop": str(stop), "never": str(desk.folder / "never")}
    (desk.folder / "secret.json").write_text(json.dumps(values))
    words = ("--quiet", "--no-container", "--on-error", "continue", "secret.cwl", "secret.json")
    assert desk.gridcwl(*words).code == 1
    stop.unlink()
    assert desk.gridcwl("resume", "last").code == 0
    assert desk.starts() == {"one": 1, "two": 2}
    for file in (desk.state / "runs").rglob("*"):
        assert not file.is_file() or b"hunter22" not in file.read_bytes()
