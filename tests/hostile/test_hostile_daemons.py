"""What a bare tool leaves running ends with its job, whatever it did to be left alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import has_ended, until

from gridcwl.backends.base import JobOptions
from gridcwl.backends.local.backend import LocalBackend
from gridcwl.backends.local.machine import Ledger
from gridcwl.model import Job, JobId, Outcome, OutputRules, Resources, RunId

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="child subreapers are Linux's")

STAYS = 'trap "" TERM HUP INT; echo $$ > {pid}.part; mv {pid}.part {pid}; while :; do sleep 600; done'
WAYS = {
    "in the background": "sh -c '{stays}' &",
    "a session of its own": "setsid sh -c '{stays}' &",
    "a double fork": "(setsid sh -c '({stays}) &' &)",
    "nothing that says where it comes from": "cd /; env -i setsid sh -c '{stays}' &",
    "streams that it holds open": "setsid sh -c 'exec 5>&1; {stays}' &",
}


def leaving(way: str, pid: Path) -> str:
    left = WAYS[way].format(stays=STAYS.format(pid=pid))
    return f"({left}) </dev/null\nwhile ! [ -e {pid} ]; do sleep 0.01; done"


def job(name: str, script: str) -> Job:
    return Job(
        JobId(name),
        RunId("run"),
        name,
        ("sh", "-c", script),
        outputs=OutputRules(("*",)),
        resources=Resources(cores=0.5),
    )


@pytest.mark.parametrize("way", WAYS)
def test_when_its_job_ends(tmp_path, way):
    """The client hears of the end of the job only when nothing of it is left."""
    pid = tmp_path / "pid"

    async def go():
        async with LocalBackend(tmp_path, ledger=Ledger(1.0, 1000, 0)) as backend:
            await backend.submit([job("leaves", leaving(way, pid))])
            async for event in backend.results():
                if event.result:
                    return event.result.outcome, has_ended(int(pid.read_text()))
        return None

    assert asyncio.run(asyncio.wait_for(go(), 60)) == (Outcome.SUCCESS, True)


def test_the_daemons_of_a_job_that_still_runs_are_left_alone(tmp_path):
    pid, seen = tmp_path / "pid", tmp_path / "seen"
    os.mkfifo(seen)
    older = f"{leaving('a double fork', pid)}\ncat {seen} > /dev/null; kill -0 $(cat {pid})"

    async def go():
        outcomes = {}
        async with LocalBackend(tmp_path, JobOptions(max_jobs=2), ledger=Ledger(1.0, 1000, 0)) as backend:
            await backend.submit([job("keeps", older)])
            await asyncio.to_thread(until, pid.exists)
            await backend.submit([job("other", "true")])
            async for event in backend.results():
                if event.result:
                    outcomes[event.id] = event.result.outcome
                    if event.id == "other":
                        await asyncio.to_thread(seen.write_text, "go")
                if len(outcomes) == 2:
                    break
        return outcomes

    assert asyncio.run(asyncio.wait_for(go(), 60)) == {"other": Outcome.SUCCESS, "keeps": Outcome.SUCCESS}
    assert has_ended(int(pid.read_text()))


def test_when_the_client_is_killed(tmp_path):
    pid = tmp_path / "pid"
    script = leaving("nothing that says where it comes from", pid) + "\nsleep 600"
    request = {
        "job": {"id": "j", "run": "r", "name": "s", "command": ["sh", "-c", script]},
        "workdir": str(tmp_path / "job"),
        "options": {},
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "gridcwl.worker.server", "2"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    worker.stdin.write(json.dumps(request).encode() + b"\n")
    worker.stdin.flush()
    until(pid.exists)

    worker.stdin.close()  # as the kernel does it when the client is gone

    assert worker.wait(120) == 0
    assert has_ended(int(pid.read_text()))


def test_when_a_worker_node_has_run_its_job(tmp_path):
    pid = tmp_path / "pid"
    described = {"id": "j", "run": "r", "name": "s", "command": ["sh", "-c", leaving("a double fork", pid)]}
    (tmp_path / "job.json").write_text(json.dumps(described))

    ended = subprocess.run(
        [sys.executable, "-m", "gridcwl.worker", str(tmp_path / "job.json")], check=False, timeout=60
    )

    assert ended.returncode == 0
    assert has_ended(int(pid.read_text()))
