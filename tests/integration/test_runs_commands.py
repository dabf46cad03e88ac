"""The commands for runs that are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_runs import Desk, running_below
from waiting import until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abc"))
    yield made
    made.leave()


@pytest.fixture
def failed(desk: Desk) -> Desk:
    """After a run in which shard b failed."""
    desk.open("all", "fail-b")
    assert desk.run("--on-error", "continue").code == 1
    return desk


def names(desk: Desk) -> list[str]:
    return sorted(folder.name for folder in (desk.state / "runs").iterdir())


def test_runs_are_listed_the_latest_first(failed):
    failed.close("fail-b")
    failed.run()
    lines = failed.gridcwl("runs").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[names(failed)[1], "success"], [names(failed)[0], "failed"]]
    assert "\t" not in lines[0]


def test_json_has_the_same(failed):
    (about,) = json.loads(failed.gridcwl("runs", "--json").stdout)
    assert about["run"] == names(failed)[0]
    assert (about["state"], about["document"]) == ("failed", "wf.cwl")
    assert (about["done"], about["failed"], about["shards"]) == (2, 1, 3)
    assert about["started"] > 1.7e9


def test_no_runs_are_an_empty_list(desk):
    assert json.loads(desk.gridcwl("runs", "--json").stdout) == []


def test_a_status_counts_the_jobs_of_every_step_and_names_the_failed_ones(failed):
    about = json.loads(failed.gridcwl("status", "--json", "last").stdout)
    say = about["steps"][0]
    counted = {name: number for name, number in say.items() if number}
    assert counted == {"step": "say", "done": 2, "failed": 1, "total": 3, "attempts": 3}
    (failure,) = about["failures"]
    assert (failure["name"], failure["exit_code"], failure["attempts"]) == ("say[1]", 3, 1)
    assert failure["inputs"]["word"] == "b.word"


def test_a_status_is_readable_without_a_terminal(failed):
    text = failed.gridcwl("status", "last").stdout
    assert "say[1]" in text
    assert f"gridcwl resume {names(failed)[0]}" in text
    assert "\x1b" not in text


def test_a_status_of_a_resumed_run_counts_each_job_once(failed):
    failed.close("fail-b")
    failed.gridcwl("resume", "last")
    about = json.loads(failed.gridcwl("status", "--json", "last").stdout)
    assert [(step["step"], step["done"], step["failed"]) for step in about["steps"]] == [("say", 3, 0), ("join", 1, 0)]
    assert about["failures"] == []
    assert (about["steps"][0]["reused"], about["steps"][0]["attempts"]) == (2, 4)
    table = failed.gridcwl("status", "last").stdout
    assert re.search(r"^step +done +of these reused +failed +total +attempts$", table, re.MULTILINE)
    assert re.search(r"^say +3 +2 +0 +3 +4$", table, re.MULTILINE)
    text = failed.gridcwl("logs", "last").stdout
    assert text.startswith("==> say[0], attempt 1: success")
    assert "permanent-failure, exit code 3 (superseded" in text


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(failed):
    assert failed.gridcwl("status", names(failed)[0][:-2]).code == 0
    failed.run("--on-error", "continue")
    refused = failed.gridcwl("status", names(failed)[0][:4])
    assert refused.code == 1
    assert all(name in refused.stderr for name in names(failed))


def test_a_run_that_is_not_there_is_named(failed):
    refused = failed.gridcwl("logs", "nothing")
    assert refused.code == 1
    assert "There is no run nothing" in refused.stderr


def test_logs_show_failed_jobs_first_and_survive_the_working_folder(failed):
    text = failed.gridcwl("logs", "last").stdout
    assert text.startswith("==> say[1], attempt 1: permanent-failure, exit code 3")
    assert "said a" in text
    failed.close("fail-b")
    failed.gridcwl("resume", "last")
    assert list((failed.folder / "tmp").iterdir()) == []
    text = failed.gridcwl("logs", "last", "say[0]").stdout
    assert "said a" in text
    assert "said b" not in text
    assert "said b" in failed.gridcwl("logs", "last", "say").stdout


def test_logs_of_a_step_that_is_not_there_name_those_that_are(failed):
    refused = failed.gridcwl("logs", "last", "sai")
    assert refused.code == 1
    assert "say" in refused.stderr.splitlines()[-1]


def test_a_run_is_stopped_from_another_terminal(desk):
    client = desk.start(*desk.words())
    client.until(lambda: len(desk.starts()) > 0)
    assert desk.gridcwl("cancel", "last").code == 0
    ended = client.end()
    assert ended.code == 143
    assert f"gridcwl resume {names(desk)[0]}" in ended.stderr
    assert "cancelled" in desk.gridcwl("runs").stdout
    (say, *_) = json.loads(desk.gridcwl("status", "--json", "last").stdout)["steps"]
    assert (say["failed"], say["done"]) == (0, 0)
    assert say["stopped"] + say["not_started"] == 3
    assert say["stopped"] > 0
    until(lambda: not list(running_below(desk.folder / "tmp")))
    desk.open("all")
    assert desk.gridcwl("resume", "last").code == 0


def test_cancelling_what_has_ended_changes_nothing(failed):
    cancelled = failed.gridcwl("cancel", "last")
    assert cancelled.code == 0
    assert "already ended: failed" in cancelled.stderr


def test_a_removed_run_leaves_its_outputs_and_nothing_else(failed):
    failed.close("fail-b")
    failed.gridcwl("resume", "last")
    assert failed.gridcwl("rm", "last").code == 0
    assert names(failed) == []
    assert (failed.folder / "out" / "all.txt").read_text() == failed.expected_output()


def test_removing_a_failed_run_removes_its_working_folder(failed):
    assert list((failed.folder / "tmp").iterdir())
    failed.gridcwl("rm", names(failed)[0])
    assert list((failed.folder / "tmp").iterdir()) == []


def test_a_run_that_continues_is_not_removed(desk):
    client = desk.start(*desk.words())
    client.until(lambda: len(desk.starts()) > 0)
    refused = desk.gridcwl("rm", "last")
    assert refused.code == 1
    assert "still active" in refused.stderr
    desk.open("all")
    assert client.end().code == 0


def test_old_runs_are_removed_by_their_age(failed):
    assert failed.gridcwl("rm", "--older-than", "1", "--yes").code == 0
    assert len(names(failed)) == 1
    assert failed.gridcwl("rm", "--older-than", "0", "--yes").code == 0
    assert names(failed) == []


def test_a_document_may_be_called_like_a_command(desk):
    (desk.folder / "runs").write_text((desk.folder / "join.cwl").read_text())
    ended = desk.gridcwl(
        "--quiet", "--no-container", "--outdir", "out", "runs", "--marks", str(desk.marks), "--said", "a.word"
    )
    named = desk.gridcwl("runs", "--help")
    assert ended.code == 0
    assert "--said" in named.stdout


def test_shards_that_failed_for_a_while_are_tried_again_and_every_attempt_is_kept(desk):
    text = (desk.folder / "say.cwl").read_text()
    (desk.folder / "say.cwl").write_text(
        text.replace("exit 3", 'rm "$gate/fail-$n" && echo "not now" >&2 && exit 75') + "temporaryFailCodes: [75]\n"
    )
    desk.open("all", "fail-b")
    ended = desk.run("--retries", "2")
    assert ended.code == 0, ended.stderr
    assert desk.starts() == {"a": 1, "b": 2, "c": 1, "join": 1}
    message = desk.gridcwl("logs", "last", "say[1]").stdout
    assert message.index("attempt 1: temporary-failure, exit code 75") < message.index("attempt 2: success")
    assert "not now" in message


def test_what_failed_for_good_is_not_tried_again(desk):
    desk.open("all", "fail-b")
    assert desk.run("--retries", "2", "--on-error", "continue").code == 1
    assert desk.starts()["b"] == 1


def test_everything_is_tried_again_if_asked(desk):
    desk.open("all", "fail-b")
    assert desk.run("--retries", "1", "--retry-all", "--on-error", "continue").code == 1
    assert desk.starts()["b"] == 2
