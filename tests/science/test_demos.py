"""The demo on real data, as the tutorial has it; tests of cta-irf have scripts/demo-local."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.node
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("images")
def test_the_demo_on_real_data_ends_with_a_picture(tmp_path: Path) -> None:
    variables = {"PYTHON": sys.executable, "GRIDCWL": str(Path(sys.executable).with_name("gridcwl"))}
    command = [CHECKOUT / "scripts" / "demo-data", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 workflows in " in done.stdout
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
