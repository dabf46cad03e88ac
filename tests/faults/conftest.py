"""A folder to work in whose runs nobody else sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Desk


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The working directory, with folders for runs, caches and temporary files inside."""
    for name in ("state", "cache", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    yield Desk(tmp_path)
    assert list((tmp_path / "outputs").glob(".gridcwl-*")) == [], "something half-written stays in the output directory"
