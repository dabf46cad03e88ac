"""The DIRAC backend by DiracX's REST interface, on the testbed's real DiracX in front of its real DIRAC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends import Backend
from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
from gridcwl.backends.dirac.client import DiracClient
from gridcwl.backends.dirac.diracx.server import DiracXServer
from gridcwl.testing.backends import Place, SurvivingSuite


class TestDiracBackendOverDiracX(SurvivingSuite):
    @pytest.fixture
    def server(self, diracx: Any, dirac_clients: Any) -> Iterator[DiracXServer]:
        server = DiracXServer(diracx.url, diracx.credentials, classic=DiracClient(modules=dirac_clients))
        yield server
        server.close()

    @pytest.fixture
    def place(self, server: DiracXServer, tmp_path: Path) -> Place:
        self.server, self.options = server, DiracOptions(tmp_path / "work", poll_first_s=0.3, poll_top_s=2.0)
        return Place(lambda run: DiracBackend(server, self.options, run=run), patience_s=240.0)

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return DiracBackend(self.server, DiracOptions(self.options.folder, leave=True), run=place.run)
