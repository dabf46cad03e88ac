"""A folder with documents, and states and caches of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import Desk, new_desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    return new_desk(tmp_path, monkeypatch)
