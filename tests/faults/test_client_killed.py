"""The client is killed with SIGKILL, at any moment, any number of times."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kept_runs import Desk, running_below
from waiting import until


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", [f"{number}" for number in range(24)])
    yield made
    made.leave()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_job_that_was_recorded_runs_again_and_the_outputs_are_the_same(desk, seed):
    chance = random.Random(seed)
    *most, last = desk.shards
    desk.open(*most)  # the last one waits, so that no client ends before it is killed, however late that is
    command = desk.words()
    recorded: dict[str, int] = {}
    for _ in range(4):
        client = desk.start(*command)
        marks = len(desk.marked()) + chance.randint(1, 14)
        client.until(lambda: desk.begun() and (len(desk.marked()) >= marks or len(desk.recorded()) == len(most)))  # noqa: B023
        client.kill()
        command = ["resume", "last"]
        for shard in desk.recorded():
            recorded.setdefault(shard, desk.starts()[shard])
    desk.open(last)
    ended = desk.start(*command).end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert len(ended.outputs["said"]) == len(desk.shards)
    assert recorded
    assert {shard: desk.starts()[shard] for shard in recorded} == recorded


def test_tools_of_a_killed_client_are_stopped_before_their_jobs_begin_again(desk):
    client = desk.start(*desk.words("--max-jobs", "2"))
    client.until(lambda: desk.begun() and len(desk.starts()) == 2)
    client.kill()
    again = desk.start("resume", "last")
    again.until(lambda: len(desk.marked()) == 4)  # the same two, and nobody else
    with closing(desk.history()) as history:
        working = Path(history.meta("working"))
    outs = {process.folder for process in running_below(working)}
    assert len([out for out in outs if out.name == "out"]) == 2
    desk.open("all")
    assert again.end().code == 0
    assert [count for shard, count in desk.starts().items() if count > 1] == [2, 2]


def test_a_killed_run_is_listed_as_killed_and_reports_how_to_resume(desk):
    client = desk.start(*desk.words())
    client.until(lambda: desk.begun() and len(desk.starts()) > 0)
    client.kill()
    listed = desk.gridcwl("runs").stdout
    assert "killed" in listed
    assert "gridcwl resume" in desk.gridcwl("status", "last").stdout
    assert desk.gridcwl("cancel", "last").code == 0
    assert "cancelled" in desk.gridcwl("runs").stdout
    with closing(desk.history()) as history:
        working = Path(history.meta("working"))
    until(lambda: not list(running_below(working)))


def test_a_run_that_was_killed_before_it_began_can_be_removed(desk):
    folder = desk.state / "runs" / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    assert "broken" in desk.gridcwl("runs").stdout
    refused = desk.gridcwl("resume", "last")
    assert refused.code == 1
    assert "before it started" in refused.stderr
    assert desk.gridcwl("rm", "last").code == 0
    assert not folder.exists()
