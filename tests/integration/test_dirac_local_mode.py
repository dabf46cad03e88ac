"""Workflows by DIRAC's own local mode: DIRAC's path, with no server, no certificate and no configuration."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest
from grid_site import SCATTER

from gridcwl.backends.dirac import jdl, local_server
from gridcwl.backends.dirac.local_server import LocalServer
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.errors import ConfigError

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

pytest.importorskip("DIRAC")

SAID = "".join(f"before\n{word}\n" for word in "abc")
LOCALLY = ("--backend", "dirac", "--dirac-mode", "local")


@dataclass
class Here:
    """A folder in which runs are started, with nothing of DIRAC's in the environment."""

    folder: Path
    environment: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gridcwl", *words], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def gridcwl(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=200)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    theirs = ("GRIDCWL_", "DIRAC", "X509_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    (tmp_path / "home").mkdir()
    (tmp_path / "scratch").mkdir()
    environment |= {"GRIDCWL_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path / "home")}
    environment |= {"TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "wf.cwl").write_text(SCATTER)
    (tmp_path / "before.txt").write_text("before\n")
    inputs = {"words": ["a", "b", "c"], "beginning": {"class": "File", "path": "before.txt"}}
    (tmp_path / "in.json").write_text(json.dumps(inputs))
    return Here(tmp_path, environment)


def test_a_workflow_runs_with_no_server_and_no_certificate_and_prints_nothing_but_its_outputs(here):
    result = here.gridcwl(*LOCALLY, "--outdir", "out", "wf.cwl", "in.json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["all"]["size"] == len(SAID)
    assert (here.folder / "out" / "all.txt").read_text() == SAID
    assert sorted(path.name for path in here.folder.iterdir()) == [
        "before.txt", "home", "in.json", "out", "scratch", "state", "wf.cwl",
    ]  # fmt: skip
    assert list((here.folder / "scratch").iterdir()) == []
    assert "loudly" in here.gridcwl("logs", "last", "say").stdout


def test_data_go_through_rucio_as_they_do_on_the_grid(here, rucio: RucioService):
    here.environment |= rucio.clients.exports("runner")
    result = here.gridcwl(*LOCALLY, "--store", "rucio", "--outdir", "out", "wf.cwl", "in.json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["all"]["size"] == len(SAID)
    assert (here.folder / "out" / "all.txt").read_text() == SAID
    listed = json.loads(here.gridcwl("data", "--json", "last").stdout)
    assert listed, "nothing of the run is in Rucio"


def test_a_tool_that_fails_is_shown_with_its_words_first(here):
    (here.folder / "fail.cwl").write_text(
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: [sh, -c, 'echo the reason >&2; exit 5'], "
        "inputs: [], outputs: []}"
    )
    result = here.gridcwl(*LOCALLY, "fail.cwl")
    assert result.returncode == 1
    assert (
        result.stderr.index("the reason")
        < result.stderr.index("exit code 5")
        < result.stderr.index("DIRAC job 1: Failed")
    )


@pytest.mark.timeout(300)
def test_jobs_end_with_a_client_that_is_killed_and_run_again_when_it_is_resumed(here):
    started, pipe = here.folder / "started", here.folder / "pipe"
    os.mkfifo(pipe)
    (here.folder / "slow.cwl").write_text(
        "{cwlVersion: v1.2, class: CommandLineTool, "
        f"baseCommand: [sh, -c, 'echo $$ >> {started}; cat {pipe}; echo done'], inputs: [], outputs: {{said: stdout}}}}"
    )
    client = here.start(*LOCALLY, "slow.cwl")
    with _opened(pipe, client):
        client.kill()
        client.communicate()
        (first,) = started.read_text().split()
        _wait_for_the_end_of(int(first))
    _wait_until_nobody_reads(pipe)
    again = here.start("resume", "last")
    with _opened(pipe, again) as stream:
        stream.write(b"now\n")
    stdout, stderr = again.communicate(timeout=200)
    assert again.returncode == 0, stderr
    assert json.loads(stdout)["said"]["size"] == len("now\ndone\n")
    assert len(started.read_text().split()) == 2


def _opened(pipe: Path, client: subprocess.Popen[str]) -> BinaryIO:
    """The pipe, as soon as a tool has it open, too."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb", 0)
        except OSError as error:
            if error.errno != errno.ENXIO or client.poll() is not None:  # that nobody reads may pass
                break
        time.sleep(0.05)
    client.kill()
    raise AssertionError(f"the tool did not begin: {client.communicate()}")


def _wait_until_nobody_reads(pipe: Path) -> None:
    """What the killed tool had started may end a moment after it."""
    until = time.monotonic() + 60
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            time.sleep(0.05)
        raise AssertionError("what the tool had started still runs")


def _wait_for_the_end_of(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(watched) as ended:
        assert select.select([ended], [], [], 60)[0], f"the tool ({pid}) still runs"


def test_no_more_jobs_run_at_a_time_than_are_asked_for(tmp_path):
    server = LocalServer(tmp_path / "dirac", max_jobs=1)
    try:
        script = tmp_path / jdl.START
        script.write_text(f"mkdir {tmp_path}/alone || exit 1\nsleep 0.2\nrmdir {tmp_path}/alone\n")
        sandbox = server.put_sandbox([script])
        numbers = server.submit(jdl.text(jdl.Batch("run", "run-1-", ("1", "2", "3"), "", JobRequirements(), sandbox)))
        assert {state[0] for state in server.states(numbers).values()} == {"Submitting"}
        server.confirm(numbers)
        _wait_until_ended(server, numbers)
        assert {state[0] for state in server.states(numbers).values()} == {"Done"}
        assert [found.name for found in server.find("run")] == ["run-1-1", "run-1-2", "run-1-3"]
    finally:
        server.close()


def _wait_until_ended(server: LocalServer, numbers: list[int]) -> None:
    until = time.monotonic() + 120
    while any(state[0] in ("Waiting", "Running") for state in server.states(numbers).values()):
        assert time.monotonic() < until, server.states(numbers)
        time.sleep(0.05)


def test_without_dirac_it_is_reported_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(local_server.imports, "installed", lambda _name: False)
    with pytest.raises(ConfigError, match="DIRAC, which is not installed") as caught:
        LocalServer(tmp_path / "dirac")
    assert "gridcwl[dirac]" in caught.value.remedy
