"""What a node knows of its time, and what it sends of logs; and what the pool takes of that."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridcwl.worker import pool_node
from gridcwl.worker.pool_node import Logs, TimeLeft


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.cpu = 1000.0, 0.0
        monkeypatch.setattr(pool_node.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(pool_node, "_cpu_seconds", lambda: self.cpu)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_node_has_the_time_that_was_asked_for_or_what_the_batch_system_grants(clock: Clock) -> None:
    about = {"time_s": 28800, "slots": 8}
    asked, granted = TimeLeft(about, {}), TimeLeft(about, {"GRIDCWL_WALL_LEFT": "3000"})
    longer, unread = (TimeLeft(about, {"GRIDCWL_WALL_LEFT": text}) for text in ("99999", "soon"))
    clock.now += 1000
    assert [left.seconds() for left in (asked, granted, longer, unread)] == [27800, 2000, 27800, 27800]
    assert [left.margin_s for left in (asked, granted)] == [600, 600]
    assert TimeLeft({"time_s": 100, "slots": 4}, {}).margin_s == 20


def test_cpu_time_runs_out_sooner_on_several_cores(clock: Clock) -> None:
    left = TimeLeft({"time_s": 28800, "slots": 8}, {"GRIDCWL_CPU_LEFT": "7200"})
    clock.now, clock.cpu = clock.now + 1000, 2000.0
    assert left.seconds() == (7200 - 2000) / 2


def test_the_cpu_time_of_tools_that_run_and_that_have_ended_counts() -> None:
    work = "import os\nwhile sum(os.times()[:2]) < 0.3: pass"
    before = pool_node._cpu_seconds()
    subprocess.run([sys.executable, "-S", "-c", work], check=True)
    ended = pool_node._cpu_seconds()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", f"{work}\nprint(1, flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert pool_node._cpu_seconds() - ended > 0.2
        running.communicate(b"\n")
    assert ended - before > 0.2


def test_logs_of_running_jobs_are_sent_in_parts_and_never_what_a_link_or_a_pipe_is(tmp_path: Path) -> None:
    logs = Logs()
    logs.add("job-1", str(tmp_path))
    (tmp_path / "stdout.log").write_text("one\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "stderr.log").symlink_to(tmp_path / "secret")
    assert [json.loads(line) for line in logs.look()] == [
        {"log": "job-1", "stream": "stdout", "start": 0, "text": base64.b64encode(b"one\n").decode()}
    ]
    with (tmp_path / "stdout.log").open("a") as file:
        file.write("two\n")
    (tmp_path / "stderr.log").unlink()
    os.mkfifo(tmp_path / "stderr.log")
    (line,) = logs.look()
    assert (json.loads(line)["start"], base64.b64decode(json.loads(line)["text"])) == (4, b"two\n")
    assert not list(logs.look())


def test_logs_end_where_they_are_long_and_with_the_folder_of_their_job(tmp_path: Path) -> None:
    logs, place = Logs(), tmp_path / "gridcwl-0"
    logs.add("job-1", str(place))
    assert not list(logs.look()), "it has not begun"
    place.mkdir()
    (place / "stdout.log").write_bytes(b"x" * (1 << 20))
    sent = list(itertools.takewhile(bool, (list(logs.look()) for _ in range(100))))
    assert sum(len(base64.b64decode(json.loads(line)["text"])) for lines in sent for line in lines) == 256 << 10
    (place / "stdout.log").unlink()
    place.rmdir()
    assert not list(logs.look())
    assert not logs._places


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({}, True),
        ({"log": "another's"}, False),
        ({"log": None}, False),
        ({"stream": "../stdout"}, False),
        ({"start": -1}, False),
        ({"start": 1 << 40}, False),
        ({"start": "0"}, False),
        ({"text": "?"}, False),
        ({"text": None}, False),
        ({"text": "eA==" * 100_000}, False),
    ],
)
def test_a_node_may_send_the_beginning_of_the_logs_of_its_own_jobs(changed: dict[str, Any], taken: bool) -> None:
    pytest.importorskip("distributed")
    from gridcwl.backends.dask.remote import JobPlugin

    plugin, logged = JobPlugin("x", b""), []
    plugin.jobs = {"job-1": {"key": "key-1", "topic": "run"}}
    plugin._log = lambda topic, message: logged.append((topic, message))  # type: ignore[method-assign]
    plugin._log_of_node({"log": "job-1", "stream": "stdout", "start": 0, "text": "eA==", **changed})
    wrote = {"key": "key-1", "state": "wrote", "stream": "stdout", "start": 0, "text": b"x"}
    assert logged == ([("run", wrote)] if taken else [])
