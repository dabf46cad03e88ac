"""Places to work at: an empty folder that is the current one, and one from which runs go to the grid."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from documents import Desk, new_desk
from grid_site import Site

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return new_desk(tmp_path, monkeypatch)


@pytest.fixture
def scratch(desk: Desk) -> Path:
    """Where runs have their working folders."""
    return desk.folder.parent / "scratch"


@pytest.fixture
def grid(dirac: DiracService, rucio: RucioService, tmp_path: Path) -> Site:
    exports = {**rucio.clients.exports("runner"), **dirac.exports()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    return Site(tmp_path, {**environment, **exports, "GRIDCWL_STATE_DIR": str(tmp_path / "state")})
