"""A place to work at, and the programs that check RO-Crates.

roc-validator reads the JSON-LD contexts from the web, or from the folder that ROCRATE_CONTEXTS names; without that one,
from ``../shared/recipes/service/rocrate-offline/ctx`` beside the checkout, if it is there.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from documents import Desk, new_desk
from rocrate_tools import Tools

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    return new_desk(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Installed once; the processes of pytest-xdist wait for the first."""
    folder = ROOT / "build" / "rocrate-tools"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "rocrate-tools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = subprocess.run(
            [ROOT / "scripts" / "rocrate-tools", Path(sys.executable).parents[1], folder],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ended.returncode:
        pytest.skip(f"roc-validator and runcrate cannot be installed: {ended.stderr[-300:]}")
    return Tools(folder)
