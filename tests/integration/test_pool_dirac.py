"""A warm pool in jobs of the testbed's real DIRAC."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.dirac]

TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c", "cat $0 > out.txt; echo $DIRACSITE >&2"],
    "inputs": {"text": {"type": "File", "inputBinding": {"position": 1}}},
    "outputs": {"made": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
}


@pytest.fixture
def gridcwl(dirac, tmp_path: Path):
    environment = {**os.environ, **dirac.exports(), "GRIDCWL_STATE_DIR": str(tmp_path / "state")}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "gridcwl", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_workflow_runs_in_a_pool_of_dirac_jobs(gridcwl, tmp_path: Path) -> None:
    (tmp_path / "tool.cwl").write_text(json.dumps(TOOL))
    (tmp_path / "in.txt").write_text("hello\n")
    up = gridcwl("pool", "up", "--workers", "2", "--host", "127.0.0.1", "--idle", "10m")
    try:
        assert "2 DIRAC jobs submitted" in up
        until(lambda: gridcwl("pool", "ls").splitlines()[-1].split()[:3] == ["default", "2", "2"], pause_s=0.5)
        outputs = json.loads(gridcwl("--backend", "pool", "tool.cwl", "--text", "in.txt"))
        assert Path(outputs["made"]["path"]).read_text() == "hello\n"
        assert "1 of 2 nodes end" in gridcwl("pool", "scale", "--workers", "1")
        until(lambda: gridcwl("pool", "ls").splitlines()[-1].split()[1] == "1", pause_s=0.5)
    finally:
        assert "has ended" in gridcwl("pool", "down")
    assert not list((tmp_path / "state" / "pools").iterdir())
