"""The DIRAC backend, through its own client's code, on the testbed's fake of DIRAC's modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from gridcwl.backends import Backend
from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
from gridcwl.backends.dirac.client import DiracClient
from gridcwl.testbed.fakes.dirac import FakeDirac
from gridcwl.testing.backends import Place, SurvivingSuite


class TestDiracBackendOnTheFake(SurvivingSuite):
    @pytest.fixture
    def fake(self, tmp_path: Path) -> Iterator[FakeDirac]:
        with FakeDirac(tmp_path / "dirac") as dirac:
            yield dirac

    @pytest.fixture
    def place(self, fake: FakeDirac, tmp_path: Path) -> Place:
        self.client = DiracClient(modules=fake)
        self.options = DiracOptions(tmp_path / "work", poll_first_s=0.05)
        return Place(lambda run: DiracBackend(self.client, self.options, run=run))

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return DiracBackend(self.client, DiracOptions(self.options.folder, leave=True), run=place.run)
