"""The DIRAC backend by DIRAC's own local mode: no server, no certificate, and nothing of the user's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
from gridcwl.backends.dirac.local_server import LocalServer
from gridcwl.testing.backends import BackendSuite, Place

pytest.importorskip("DIRAC")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path_factory.mktemp("local") / "dirac")
    yield server
    server.close()


class TestDiracBackendInLocalMode(BackendSuite):
    @pytest.fixture
    def place(self, server: LocalServer, tmp_path: Path) -> Place:
        options = DiracOptions(tmp_path / "work", poll_first_s=0.05, poll_top_s=0.2)
        return Place(lambda run: DiracBackend(server, options, run=run))
