"""``--log-format json``: every line on stderr is an object, whoever wrote it."""

from __future__ import annotations

import json

from commandline import CommandResult, gridcwl
from documents import Desk, expression, on_command_line, shell, step, workflow


def objects(result: CommandResult) -> list[dict]:
    return [json.loads(line) for line in result.stderr.splitlines()]


def scattered(desk: Desk) -> list[str]:
    tool = shell('echo "I am $0" >&2; [ "$0" != bad ]', inputs={"word": on_command_line("string")})
    desk.write("wf.cwl", workflow({"words": "string[]"}, {}, check=step(tool, scatter="word", word="words")))
    return ["--log-format", "json", "--no-container", "wf.cwl"]


def test_a_run_has_events_with_its_id_and_counts(desk: Desk):
    result = gridcwl(*scattered(desk), "--words", "a", "b")

    begun, *_, last = objects(result)
    assert (begun["event"], begun["level"]) == ("run_started", "INFO")
    assert begun["time"].endswith("Z")
    assert begun["run"] == last["run"]
    assert (last["event"], last["message"]) == ("progress", "check: 2 of 2 done")
    assert last["jobs"] == {"total": 2, "done": 2, "failed": 0, "skipped": 0, "running": 0}
    assert result.outputs == {}


def test_a_failure_has_the_job_its_exit_code_and_the_words_of_the_tool(desk: Desk):
    result = gridcwl(*scattered(desk), "--words", "bad")

    (failed,) = [line for line in objects(result) if line.get("event") == "job_failed"]
    assert (failed["level"], failed["name"], failed["exit_code"]) == ("ERROR", "check[0]", 1)
    assert failed["output"] == "I am bad"
    assert failed["job"].startswith(failed["run"])
    assert any(line["message"].startswith("Run failed.") for line in objects(result))


def test_with_verbose_each_job_has_events_with_what_it_used(desk: Desk):
    lines = objects(gridcwl("--verbose", *scattered(desk), "--words", "a"))

    (ended,) = [line for line in lines if line.get("event") == "job_ended"]
    assert (ended["name"], ended["outcome"], ended["attempt"]) == ("check[0]", "success", 1)
    assert ended["wall_s"] > 0
    assert any(line.get("event") == "job_started" for line in lines)


def test_errors_before_a_run_and_log_records_are_objects_as_well(desk: Desk):
    desk.write("broken.cwl", "cwlVersion: v1.2\nclass: Nothing\n")
    desk.write("odd.cwl", workflow({}, {}, odd=step(expression("${ return 5; }", {}, {}))))

    for arguments in (
        ["broken.cwl"],
        ["missing.cwl"],
        ["--no-such-option"],
        ["odd.cwl"],
        ["--debug", *scattered(desk)[2:]],
    ):
        result = gridcwl("--log-format=json", *arguments)
        assert result.code != 0
        assert "ERROR" in {line["level"] for line in objects(result)}


def test_quiet_leaves_errors_only(desk: Desk):
    assert objects(gridcwl("--quiet", *scattered(desk), "--words", "a")) == []
    assert {line["level"] for line in objects(gridcwl("--quiet", *scattered(desk), "--words", "bad"))} == {
        "ERROR",
        "INFO",
    }


def test_text_stays_the_default(desk: Desk):
    words = scattered(desk)
    assert not gridcwl("--log-format=text", *words[2:], "--words", "a").stderr.startswith("{")
    assert not gridcwl(*words[2:], "--words", "a").stderr.startswith("{")
