"""``--detach``: a run that survives its terminal, is attached to, detached from and cancelled."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, on_command_line, step, tool, workflow
from waiting import until

COMMAND = [sys.executable, "-m", "gridcwl"]
GATED = tool(
    *("sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; echo "$1"'),
    inputs={"gate": on_command_line("string"), "number": on_command_line("int")},
    outputs={"said": "stdout"},
    stdout="said.txt",
)
"""Ends when a file is there."""


@pytest.fixture
def gate(desk: Desk) -> Path:
    """Three shards wait for this file."""
    shards = workflow(
        {"gate": "string", "numbers": "int[]"},
        {"said": {"type": "File[]", "outputSource": "shard/said"}},
        shard=step(GATED, "said", scatter="number", gate="gate", number="numbers"),
    )
    desk.write("shards.cwl", shards)
    gate = desk.folder / "gate"
    desk.write("in.json", json.dumps({"gate": str(gate), "numbers": [1, 2, 3]}))  # type: ignore[arg-type]
    return gate


WORDS = ("--no-container", "--outdir=outputs", "shards.cwl", "in.json")


def state() -> str:
    return str(json.loads(gridcwl("status", "--json", "last", "--state-dir", os.environ["STATE"]).stdout)["state"])


@pytest.fixture(autouse=True)
def known_state(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Runs of all terminals are found; those that a test has left active are stopped."""
    place = desk.folder.parent / "runs"
    monkeypatch.setenv("STATE", str(place))
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(place))
    yield
    for folder in (place / "runs").iterdir() if (place / "runs").is_dir() else ():
        gridcwl("cancel", folder.name)


def detached(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "--detach", *words], capture_output=True, text=True, check=False, timeout=120)


def test_a_detached_run_continues_after_its_terminal_was_closed(gate: Path, desk: Desk):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*COMMAND, "--detach", *WORDS])
    text = b""
    with contextlib.suppress(OSError):  # the terminal's last process has left it
        while b"cancel" not in text:
            text += os.read(terminal, 4096)
    os.close(terminal)  # the kernel hangs up
    os.waitpid(pid, 0)
    assert b"continues in the background" in text
    assert state() == "running"
    gate.touch()
    until(lambda: state() == "success")
    assert sorted(path.read_text() for path in desk.outdir.iterdir()) == ["1\n", "2\n", "3\n"]
    run = next((desk.folder.parent / "runs" / "runs").iterdir())
    assert len(json.loads((run / "outputs.json").read_text())["said"]) == 3
    assert "shard: 3 of 3 done" in (run / "driver.log").read_text()


def test_attach_shows_the_run_and_prints_its_outputs_and_ctrl_c_detaches_again(gate: Path):
    run = detached(*WORDS).stdout.strip()
    attach = [*COMMAND, "attach", "--verbose", run]
    shown = subprocess.Popen(attach, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert shown.stderr is not None
    assert any("shard[0]" in line for line in iter(shown.stderr.readline, ""))
    shown.send_signal(signal.SIGINT)
    stdout, stderr = shown.communicate(timeout=120)
    assert (shown.returncode, stdout) == (0, "")
    assert f"Detached. The run {run} continues" in stderr
    assert state() == "running"
    gate.touch()
    ended = gridcwl("attach", run)
    assert ended.code == 0, ended.stderr
    assert [Path(file["path"]).read_text() for file in ended.outputs["said"]] == ["1\n", "2\n", "3\n"]


def test_cancel_stops_a_detached_run_and_resume_can_be_detached_as_well(gate: Path):
    run = detached(*WORDS).stdout.strip()
    refused = gridcwl("attach", "--max-jobs", "1", run)
    assert "is active, and its settings cannot be changed now" in refused.stderr
    assert gridcwl("cancel", run).code == 0
    assert state() == "cancelled"
    gate.touch()
    again = subprocess.run([*COMMAND, "resume", "--detach", run], capture_output=True, text=True, check=False)
    assert again.stdout.strip() == run
    until(lambda: state() == "success")


def test_mistakes_are_shown_before_the_terminal_is_left(desk: Desk):
    refused = detached("nosuch.cwl")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "nosuch.cwl" in refused.stderr
    assert not (desk.folder.parent / "runs" / "runs").exists()


def test_what_detach_does_not_go_with_is_refused():
    result = gridcwl("--detach", "--submit-only", "--backend", "dirac", "x.cwl")
    assert result.code == 2
    assert "exclude each other" in result.stderr


def test_a_failed_run_fails_for_whoever_attached(desk: Desk):
    fails = tool(
        "sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done; exit 3', inputs={"gate": on_command_line("string")}
    )
    desk.write("fails.cwl", fails)
    gate = desk.folder / "gate"
    run = detached("--no-container", "--outdir=outputs", "fails.cwl", f"--gate={gate}").stdout.strip()
    shown = subprocess.Popen(
        [*COMMAND, "attach", "--verbose", run], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert shown.stderr is not None
    assert any("fails.cwl" in line for line in iter(shown.stderr.readline, ""))
    gate.touch()
    _, stderr = shown.communicate(timeout=120)
    assert shown.returncode == 1
    assert "ended with exit code 3" in stderr
