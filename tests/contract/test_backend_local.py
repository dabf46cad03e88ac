"""The local backend does what a backend has to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridcwl.backends.base import JobOptions
from gridcwl.backends.local.backend import LocalBackend
from gridcwl.testing.backends import BackendSuite, Place


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(lambda _run: LocalBackend(tmp_path, JobOptions(keep_folders=True)))
