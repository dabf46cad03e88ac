"""A service that is killed at any time resumes its runs when it is started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from documents import on_command_line, shell, step, workflow
from waiting import until
from wes import IMAGE, process

GATED = shell(
    'until [ -e "$0/gate" ]; do sleep 0.1; done; echo passed',
    inputs={"at": on_command_line("Directory"), "after": "File"},
    outputs={"said": "stdout"},
    stdout="said.txt",
    requirements=IMAGE,
)
FIRST = shell("echo first", outputs={"said": "stdout"}, stdout="first.txt", requirements=IMAGE)
BOTH = workflow(
    {"at": "Directory"},
    {"said": {"type": "File", "outputSource": "gated/said"}},
    first=step(FIRST, "said"),
    gated=step(GATED, "said", at="at", after="first/said"),
)


@pytest.mark.docker
def test_a_killed_service_resumes_its_runs_and_finished_jobs_do_not_run_again(tmp_path: Path):
    at = {"at": {"class": "Directory", "location": tmp_path.as_uri()}}
    with process(tmp_path, file_roots=[str(tmp_path)]) as (wes, started):
        run = wes.submit(BOTH, at)
        until(lambda: len(wes.get(f"/runs/{run}/tasks").json()["task_logs"]) == 2)
        started.send_signal(signal.SIGKILL)
        started.wait()
    with process(tmp_path, file_roots=[str(tmp_path)]) as (wes, started):
        until(lambda: wes.state(run) == "RUNNING")
        started.terminate()  # and once more, politely
        assert started.wait() == 0
    (tmp_path / "gate").touch()
    with process(tmp_path, file_roots=[str(tmp_path)]) as (wes, _):
        log = wes.ended(run)
        assert log["state"] == "COMPLETE", log
        assert wes.http.get(log["outputs"]["said"]["location"]).text == "passed\n"
        tasks = wes.get(f"/runs/{run}/tasks").json()["task_logs"]
        firsts = [task for task in tasks if task["name"] == "first"]
        assert [line for task in firsts for line in task["system_logs"] if line.startswith("attempt")] == [
            "attempt 1: success"
        ]


def test_two_services_do_not_work_on_one_folder(tmp_path: Path):
    with process(tmp_path):
        config = tmp_path / "service.toml"
        command = [
            sys.executable,
            "-m",
            "gridcwl",
            "serve",
            "--port",
            "0",
            "--dir",
            str(tmp_path / "d"),
            "--config",
            str(config),
        ]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "Another gridcwl serve works on" in second.stderr
    assert "Traceback" not in second.stderr
