"""The DIRAC backend on the testbed's real DIRAC."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends import Backend
from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
from gridcwl.backends.dirac.client import DiracClient
from gridcwl.testing.backends import Place, SurvivingSuite


class TestDiracBackend(SurvivingSuite):
    @pytest.fixture
    def place(self, dirac: Any, dirac_clients: Any, tmp_path: Path) -> Place:  # noqa: ARG002  brings it up
        self.client = DiracClient(modules=dirac_clients)
        self.options = DiracOptions(tmp_path / "work")
        return Place(lambda run: DiracBackend(self.client, self.options, run=run), patience_s=240.0)

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return DiracBackend(self.client, DiracOptions(self.options.folder, leave=True), run=place.run)
