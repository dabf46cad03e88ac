"""The Dask backend does what a backend has to: on a cluster of this process, and on real schedulers and workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from dask_processes import DaskProcesses

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask.plugin import DaskSettings
from gridcwl.testing.backends import BackendSuite, Place, SurvivingSuite


def opened(run, folder: Path, settings: DaskSettings, *, detach: bool = False) -> AbstractAsyncContextManager[Backend]:
    choice = plugins.BackendChoice("dask", settings, JobOptions(detach=detach))
    return plugins.open_backend(choice, BackendContext(run, folder))


class TestDaskBackendOfThisProcess(BackendSuite):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(lambda run: opened(run, tmp_path, DaskSettings(workers=2, cores=1)))


class TestDaskBackendOfProcesses(SurvivingSuite):
    """A scheduler and two workers with TLS, without this machine's files."""

    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
        with DaskProcesses(tmp_path_factory.mktemp("dask"), workers=2) as processes:
            yield processes

    @pytest.fixture
    def place(self, cluster: DaskProcesses, tmp_path: Path) -> Place:
        self.settings = cluster.settings(folder=str(tmp_path / "remote"))
        self.folder = tmp_path / "here"
        return Place(lambda run: opened(run, self.folder, self.settings))

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return opened(place.run, self.folder, self.settings, detach=True)
