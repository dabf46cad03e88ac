"""The Dask backend does what a backend has to: on a cluster of this process, and on real schedulers and workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from dask_processes import DaskProcesses

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask.plugin import DaskSettings
from gridcwl.model import Resources
from gridcwl.model.job import StagedFile
from gridcwl.testing.backends import BackendSuite, Place, SurvivingSuite, ended, text_of


def opened(run, folder: Path, settings: DaskSettings, *, detach: bool = False) -> AbstractAsyncContextManager[Backend]:
    choice = plugins.BackendChoice("dask", settings, JobOptions(detach=detach))
    return plugins.open_backend(choice, BackendContext(run, folder))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  a file that another process makes
        await asyncio.sleep(0.05)


class TestDaskBackendOfThisProcess(BackendSuite):
    seen_s = 0.2

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(lambda run: opened(run, tmp_path, DaskSettings(workers=2, cores=1)))

    def test_jobs_do_not_run_side_by_side_on_one_core(self, tmp_path: Path) -> None:
        place = Place(lambda run: opened(run, tmp_path / "here", DaskSettings(cores=1)))
        alone = f"mkdir {tmp_path}/alone || exit 9; sleep 0.2; rmdir {tmp_path}/alone; echo > out.txt"
        halves = f"touch {tmp_path}/$0; while [ ! -e {tmp_path}/$1 ]; do sleep 0.05; done; echo > out.txt"
        results = place.results([place.job(number, alone) for number in (1, 2, 3)])
        assert {result.exit_code for result in results.values()} == {0}
        half = Resources(cores=0.5)
        pair = [
            replace(place.job(number, "", resources=half), command=("sh", "-c", halves, *names))
            for number, names in ((4, ("a", "b")), (5, ("b", "a")))
        ]
        assert {result.exit_code for result in place.results(pair).values()} == {0}


class TestDaskBackendOfProcesses(SurvivingSuite):
    """A scheduler and two workers with TLS, without this machine's files."""

    seen_s = 0.2

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

    def test_a_job_reads_files_of_this_machine_that_travel_with_it(self, place: Place, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("from here\n")
        staged = StagedFile("/gridcwl/in/1/in.txt", "file", ((tmp_path / "in.txt").as_uri(),))
        job = place.job(1, "cat /gridcwl/in/1/in.txt > out.txt", staged=(staged,))
        assert text_of(place.results([job])[job.id]) == "from here\n"
        assert not list((tmp_path / "remote").glob("*-1-1-1/**/*"))  # only the witness is left there

    def test_what_a_running_job_writes_is_seen_before_it_ends(self, place: Place, tmp_path: Path) -> None:
        job = place.job(1, f"echo so far; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo > out.txt")
        log = self.folder / f"{job.id}-1" / "stdout.log"

        async def all_of_it(backend: Backend) -> str:
            await backend.submit([job])
            await until(log.exists)
            seen = log.read_text()
            (tmp_path / "go").touch()
            await ended(backend, 1)
            return seen

        assert place.wait(all_of_it) == "so far\n"
        assert log.read_text() == "so far\n"

    def test_jobs_that_nobody_follows_are_stopped_by_their_run(self, place: Place, tmp_path: Path) -> None:
        begun, stopped = tmp_path / "begun", tmp_path / "stopped"
        script = f"trap 'echo > {stopped}; exit 1' TERM; echo > {begun}; sleep 300 & wait"

        async def leave() -> None:
            async with self.leaving(place) as backend:
                await backend.submit([place.job(1, script)])
                await until(begun.exists)

        asyncio.run(asyncio.wait_for(leave(), place.patience_s))
        assert plugins.call(plugins.backend("dask"), "stop", self.settings, place.run) == 1
        asyncio.run(asyncio.wait_for(until(stopped.exists), place.patience_s))
        assert plugins.call(plugins.backend("dask"), "stop", self.settings, place.run) == 0

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return opened(place.run, self.folder, self.settings, detach=True)
