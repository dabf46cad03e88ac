"""Active runs are visible from another terminal: what waits, what runs where and since when, what tools write."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kept_runs import Client, Desk

from gridcwl.cli.run_logs import _Followed, _Follower
from gridcwl.runs.record.folder import RunFolder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abc"))
    text = (made.folder / "say.cwl").read_text()
    message = 'marks=$1 gate=$2 n=$3\n    echo "hello from $n" >&2; echo "output of $n"'
    (made.folder / "say.cwl").write_text(text.replace("marks=$1 gate=$2 n=$3", message))
    yield made
    made.leave()


@pytest.fixture
def running(desk: Desk) -> Client:
    """A run with one job at a time, whose first job runs, and the journal knows it."""
    client = desk.start(*desk.words("--max-jobs", "1", "--run-name", "mine"))
    client.until(lambda: len(desk.marked()) == 1 and started(desk) == 1)
    return client


def started(desk: Desk) -> int:
    with closing(desk.history()) as history:
        return len(list(history.jobs(where="started IS NOT NULL")))


def status(desk: Desk) -> Any:
    return json.loads(desk.gridcwl("status", "--json", "mine").stdout)


def test_status_reports_what_waits_and_what_runs_where_and_since_when(desk: Desk, running: Client) -> None:
    about = status(desk)
    say, join = about["steps"]
    assert about["state"] == "running"
    assert (say["waiting"], say["running"], say["done"], say["total"]) == (2, 1, 0, 3)
    assert (join["step"], join["total"]) == ("join", None)
    (job,) = about["running"]
    assert (job["name"], job["where"], job["attempt"]) == ("say[0]", socket.gethostname(), 1)
    assert job["since"] >= about["started"]
    explained = desk.gridcwl("explain", "mine", "say").stdout.splitlines()
    assert explained[0].startswith(f"say[0]: running at {socket.gethostname()} since ")
    assert [line.partition(": ")[2].split()[0].strip(":") for line in explained[1:]] == ["waiting", "waiting"]
    desk.open("all")
    assert running.end().code == 0


def test_logs_of_a_running_job_show_what_it_has_written_to_both_streams(desk: Desk, running: Client) -> None:
    text = desk.gridcwl("logs", "mine").stdout
    assert text.startswith("==> say[0], attempt 1: running at ")
    assert "hello from a\n" in text
    assert "output of a\n" in text
    desk.open("all")
    assert running.end().code == 0


def test_logs_are_followed_until_the_run_ends(desk: Desk, running: Client) -> None:
    follower = desk.start("logs", "--follow", "mine")
    assert follower.process.stdout is not None
    lines = [follower.process.stdout.readline() for _ in range(2)]
    assert lines == ["==> say[0], stdout\n", "output of a\n"]
    desk.open("fail-b", "all")
    assert running.end().code == 1
    rest = follower.process.stdout.read()
    assert follower.process.wait() == 0
    assert "hello from a\n" in rest
    assert "==> say[0]: success\n" in rest
    assert "==> say[1]: permanent-failure: The tool ended with exit code 3.\n" in rest


def test_a_heading_begins_a_line_though_the_log_before_it_does_not_end_one(tmp_path: Path, capsys) -> None:
    follower = _Follower(RunFolder(tmp_path), SimpleNamespace(), None)
    followed = _Followed(SimpleNamespace(name="say"))
    (tmp_path / "stdout.log").write_text("50 %")
    follower._print(followed, "stdout", tmp_path / "stdout.log")
    follower._print_text(followed, "stderr", "half")
    follower._print_text(followed, "stderr", "half a line\n")
    follower._print(followed, "stdout", tmp_path / "stdout.log")
    follower._print_heading("==> say: success")
    assert capsys.readouterr().out.splitlines() == [
        *("==> say, stdout", "50 %", "==> say, stderr", "half a line", "==> say: success")
    ]


def test_a_killed_client_leaves_shards_that_were_stopped_and_shards_that_never_started(
    desk: Desk, running: Client
) -> None:
    running.kill()
    about = status(desk)
    (say, *_) = about["steps"]
    assert about["state"] == "killed"
    assert (say["running"], say["stopped"], say["not_started"], say["failed"]) == (0, 1, 2, 0)
    explained = desk.gridcwl("explain", "mine", "say").stdout.splitlines()
    assert explained[0] == "say[0]: stopped: it was running when gridcwl was killed"
    assert all("never started" in line for line in explained[1:])
