"""A desk to work at: an empty folder that is the current one, and nothing of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Desk(folder)


@pytest.fixture
def scratch(desk: Desk) -> Path:
    """Where runs have their working folders."""
    return desk.folder.parent / "scratch"
