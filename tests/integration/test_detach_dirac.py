"""``--detach`` on DIRAC: a background process submits later steps; it is attached to, detached from, cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grid_site import Site, jobs_at_dirac
from waiting import until

pytestmark = pytest.mark.timeout(600)

CHAIN = """
cwlVersion: v1.2
class: Workflow
inputs: {gate: string}
steps:
  first:
    in: {gate: gate}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'until [ -e "$0" ]; do sleep 0.1; done; echo first']
      inputs: {gate: {type: string, inputBinding: {}}}
      outputs: {said: stdout}
      stdout: said.txt
  second:
    in: {said: first/said}
    out: [both]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$0"; echo second']
      inputs: {said: {type: File, inputBinding: {}}}
      outputs: {both: stdout}
      stdout: both.txt
outputs: {both: {type: File, outputSource: second/both}}
"""


@pytest.fixture
def site(dirac: Any, tmp_path: Path) -> Iterator[Site]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    made = Site(tmp_path, {**environment, **dirac.exports(), "GRIDCWL_STATE_DIR": str(tmp_path / "state")})
    made.write("wf.cwl", CHAIN)
    yield made
    if (tmp_path / "state" / "runs").is_dir():
        made.gridcwl("cancel", made.run)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The first step ends when this file is there."""
    return tmp_path / "gate"


def detach(site: Site, gate: Path) -> str:
    """Start the run; returns its id when the command has ended."""
    words = ["--detach", "--backend", "dirac", "--outdir", "out", "wf.cwl", f"--gate={gate}"]
    started = site.gridcwl(*words)
    assert started.returncode == 0, started.stderr
    run = started.stdout.strip()
    assert run == site.run
    assert f"gridcwl attach {run} shows it; gridcwl cancel {run} stops it." in started.stderr
    return run


def state(site: Site) -> str:
    return str(json.loads(site.gridcwl("status", "--json", site.run).stdout)["state"])


def attach(site: Site, run: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gridcwl", "attach", "--verbose", run], cwd=site.folder, env=site.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_detached_run_submits_its_later_steps_and_is_attached_to_and_detached_from(
    site: Site, gate: Path, dirac_clients: Any
) -> None:
    run = detach(site, gate)
    shown = attach(site, run)
    assert shown.stderr is not None
    assert any("first" in line for line in iter(shown.stderr.readline, "")), "attach shows that the job runs"
    shown.send_signal(signal.SIGINT)
    stdout, stderr = shown.communicate(timeout=120)
    assert (shown.returncode, stdout) == (0, "")
    assert f"Detached. The run {run} continues" in stderr
    assert state(site) == "running"
    assert len(jobs_at_dirac(dirac_clients, run)) == 1, "the second step needs the output of the first"
    gate.touch()
    ended = site.gridcwl("attach", run)
    assert ended.returncode == 0, ended.stderr
    assert Path(json.loads(ended.stdout)["both"]["path"]).read_text() == "first\nsecond\n"
    until(lambda: state(site) == "success")
    assert [about["Status"] for about in jobs_at_dirac(dirac_clients, run).values()] == ["Done", "Done"]
    folder = site.folder / "state" / "runs" / run
    assert "second" in (folder / "driver.log").read_text()
    assert json.loads((folder / "outputs.json").read_text()) == json.loads(ended.stdout)


def test_cancel_stops_a_detached_run_and_its_jobs_at_dirac(site: Site, gate: Path, dirac_clients: Any) -> None:
    run = detach(site, gate)
    until(lambda: len(jobs_at_dirac(dirac_clients, run)) == 1)
    cancelled = site.gridcwl("cancel", run)
    assert cancelled.returncode == 0, cancelled.stderr
    assert state(site) == "cancelled"
    active = ("Waiting", "Matched", "Running", "Checking", "Received", "Submitting")
    until(lambda: all(about["Status"] not in active for about in jobs_at_dirac(dirac_clients, run).values()))
    assert not (site.folder / "out").exists() or not list((site.folder / "out").iterdir())
