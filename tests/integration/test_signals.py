"""Ctrl-C, SIGTERM, a closed terminal: what was started is stopped and gone, and the exit code says which it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Desk, on_command_line, tool
from waiting import until

IMAGE = "debian:trixie-slim"


_STARTED: list[Command] = []


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """A test that fails halfway leaves no command and no tool behind."""
    yield
    for command in _STARTED:
        for process in (command.process.pid, *map(int, command.left())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        command.process.wait()
    _STARTED.clear()


class Command:
    """The command in a process of its own, whose tool opens a pipe once it runs."""

    def __init__(self, desk: Desk, *options: str, image: str = "") -> None:
        self.mark = f"mark-{uuid.uuid4().hex}"
        pipe = desk.folder / "pipe"
        os.mkfifo(pipe)
        requirements = {"EnvVarRequirement": {"envDef": {"MARK": self.mark}}}
        if image:
            requirements["DockerRequirement"] = {"dockerPull": image}
        # A pipe, as a container may write to one although its input is read-only.
        script = 'echo running > "$0"; exec sleep 86400'
        waits = tool("sh", "-c", script, inputs={"pipe": on_command_line("File")}, requirements=requirements)
        desk.write("waits.cwl", waits)
        arguments = [*options, "--outdir=outputs", "waits.cwl", "--pipe=pipe"]
        self.process = subprocess.Popen(
            # also where the tests themselves run under nohup or in the background
            ["env", "--default-signal=HUP,INT", sys.executable, "-m", "gridcwl", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # as a terminal would not be: the signal comes to the command alone
        )
        _STARTED.append(self)
        with pipe.open() as reader:  # waits until the tool has it open too
            assert reader.read() == "running\n"

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(number)
        stdout, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, stdout, stderr

    def left(self) -> list[str]:
        """Processes that still have our mark in their environment."""
        marked = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                found = self.mark.encode() in environment.read_bytes()
            except OSError:
                continue
            if found:
                marked.append(environment.parent.name)
        return marked


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_tool_and_reports_how_to_resume(desk: Desk, number: signal.Signals, code: int) -> None:
    command = Command(desk)
    until(command.left)  # the shell is about to become another program
    ended, stdout, stderr = command.end(number)
    assert (ended, stdout) == (code, "")
    assert f"gridcwl: The run was stopped by {number.name}" in stderr
    assert "gridcwl resume" in stderr
    assert "Traceback" not in stderr
    assert command.left() == []
    assert not desk.outdir.exists()


@pytest.mark.docker
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_takes_the_containers_away(desk: Desk, number: signal.Signals, code: int) -> None:
    import docker

    command = Command(desk, "--docker", image=IMAGE)
    engine = docker.from_env()
    until(command.left)  # the shell is about to become another program
    boxes = engine.containers.list(ignore_removed=True)
    assert [box for box in boxes if f"MARK={command.mark}" in box.attrs["Config"]["Env"]] != []
    ended, stdout, stderr = command.end(number)
    assert (ended, stdout) == (code, ""), stderr
    assert command.left() == []
    left = engine.containers.list(all=True, filters={"label": "gridcwl.run"}, ignore_removed=True)
    assert [box for box in left if f"MARK={command.mark}" in box.attrs["Config"]["Env"]] == []


def test_ctrl_c_twice_is_no_traceback(desk: Desk) -> None:
    command = Command(desk)
    command.process.send_signal(signal.SIGINT)
    ended, _, stderr = command.end(signal.SIGINT)
    assert ended == 130
    assert "Traceback" not in stderr
    assert command.left() == []
