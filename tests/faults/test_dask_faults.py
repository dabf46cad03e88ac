"""Dask workers, schedulers and clients that are lost: nothing is lost with them, and no job finishes twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dask_processes import COMPILED, DaskProcesses

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.model import Job, JobEvent, JobState, Outcome
from gridcwl.testing.backends import Place, ended, text_of

PATIENCE_S = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with DaskProcesses(tmp_path_factory.mktemp("dask"), workers=0) as processes:
        yield processes


@pytest.fixture
def worker(cluster: DaskProcesses) -> str:
    """The cluster's only worker: the one that the test before has left, if it has left one."""
    if len(cluster.workers) == 1:
        return cluster.workers[0]
    for name in cluster.workers:
        cluster.kill(name)
    return cluster.start_worker()


class Lasting:
    """A job that runs until it may end, and that writes down each beginning and each end."""

    def __init__(self, folder: Path) -> None:
        self.begun, self.done, self._go = folder / "begun", folder / "done", folder / "go"
        self.script = (
            f"echo x >> {self.begun}; while [ ! -e {self._go} ]; do sleep 0.05; done; "
            f"echo x >> {self.done}; echo made > out.txt"
        )

    def let_go(self) -> None:
        self._go.touch()

    def count(self, file: Path) -> int:
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wait_for(self, number: int, file: Path) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.count(file) < number:
            assert time.monotonic() < until, file
            time.sleep(0.05)


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Lasting]:
    made = Lasting(tmp_path)
    yield made
    made.let_go()  # whatever became of the test: its job does not stay at the worker


@pytest.fixture
def place(cluster: DaskProcesses, tmp_path: Path) -> Place:
    settings = cluster.settings(folder=str(tmp_path / "remote"))

    def opened(run, *, detach: bool = False):
        choice = plugins.BackendChoice("dask", settings, JobOptions(detach=detach))
        return plugins.open_backend(choice, BackendContext(run, tmp_path / "here"))

    made = Place(opened, patience_s=PATIENCE_S)
    made.leaving = lambda: opened(made.run, detach=True)  # type: ignore[attr-defined]
    return made


async def until_running(backend: Backend) -> None:
    async for event in backend.results():
        if event.state is JobState.RUNNING:
            return


def disturbed(place: Place, job: Job, disturb: Callable[[], None]) -> JobEvent:
    """What becomes of a job while something happens as it runs."""

    async def all_of_it(backend: Backend) -> JobEvent:
        await backend.submit([job])
        await until_running(backend)
        await asyncio.to_thread(disturb)
        (event,) = await ended(backend, 1)
        return event

    return place.wait(all_of_it)


def test_a_job_whose_worker_is_killed_runs_at_another_one_and_ends_once(
    cluster: DaskProcesses, worker: str, place: Place, lasting: Lasting
) -> None:
    def kill() -> None:
        lasting.wait_for(1, lasting.begun)
        cluster.kill(worker)
        cluster.start_worker()
        lasting.wait_for(2, lasting.begun)
        lasting.let_go()

    event = disturbed(place, place.job(1, lasting.script), kill)
    assert event.result is not None
    assert text_of(event.result) == "made\n"
    assert (lasting.count(lasting.begun), lasting.count(lasting.done)) == (2, 1)


def test_a_run_continues_when_the_scheduler_was_lost_and_another_one_took_its_place(
    cluster: DaskProcesses, worker: str, place: Place, lasting: Lasting
) -> None:
    def restart() -> None:
        lasting.wait_for(1, lasting.begun)
        cluster.kill("scheduler")
        cluster.kill(worker)
        cluster.start_scheduler()
        cluster.start_worker()
        lasting.wait_for(2, lasting.begun)
        lasting.let_go()

    event = disturbed(place, place.job(1, lasting.script), restart)
    assert event.result is not None
    assert text_of(event.result) == "made\n"
    assert lasting.count(lasting.done) == 1


def test_what_ended_while_no_client_was_there_is_collected_though_its_worker_is_gone(
    cluster: DaskProcesses, worker: str, place: Place, lasting: Lasting, tmp_path: Path
) -> None:
    job = place.job(1, lasting.script)

    async def leave() -> None:
        async with place.leaving() as backend:  # type: ignore[attr-defined]
            await backend.submit([job])
            await until_running(backend)

    async def come_back(backend: Backend) -> JobEvent:
        assert (await backend.recover(place.run)).keys() == {job.id}
        await backend.submit([job])
        (event,) = await ended(backend, 1)
        return event

    asyncio.run(asyncio.wait_for(leave(), PATIENCE_S))
    lasting.let_go()
    witness = tmp_path / "remote" / f"{job.id}-1.result"
    until = time.monotonic() + PATIENCE_S
    while not witness.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    cluster.kill(worker, signal.SIGTERM)
    event = place.wait(come_back)
    assert event.result is not None
    assert text_of(event.result) == "made\n"
    assert (lasting.count(lasting.begun), lasting.count(lasting.done)) == (1, 1)


DOCUMENT = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "inputs": {"script": {"type": "string", "inputBinding": {"position": 1}}},
    "outputs": {"made": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
}


@pytest.mark.usefixtures("worker")
def test_a_run_whose_client_was_killed_is_resumed_and_its_job_runs_once(
    cluster: DaskProcesses, lasting: Lasting, tmp_path: Path
) -> None:
    (tmp_path / "tool.cwl").write_text(json.dumps(DOCUMENT))
    (tmp_path / "config.toml").write_text(
        f'[dask]\naddress = "{cluster.address}"\ntls_ca = "{cluster.ca}"\ntls_cert = "{cluster.certificate}"\n'
        f'tls_key = "{cluster.key}"\nfolder = "{tmp_path / "remote"}"\n'
    )
    environment = {
        **os.environ,
        **COMPILED,
        "GRIDCWL_CONFIG": str(tmp_path / "config.toml"),
        "GRIDCWL_STATE_DIR": str(tmp_path / "state"),
    }
    gridcwl = [sys.executable, "-m", "gridcwl"]
    words = ["--backend", "dask", "tool.cwl", "--script", lasting.script]
    client = subprocess.Popen([*gridcwl, *words], env=environment, cwd=tmp_path)
    try:
        lasting.wait_for(1, lasting.begun)
    finally:
        client.kill()
        client.wait()
    lasting.let_go()
    run = subprocess.run(
        [*gridcwl, "resume", "last"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert Path(json.loads(run.stdout)["made"]["path"]).read_text() == "made\n"
    assert (lasting.count(lasting.begun), lasting.count(lasting.done)) == (1, 1)


def test_a_worker_process_that_is_killed_fails_its_jobs_temporarily(
    cluster: DaskProcesses, worker: str, place: Place, lasting: Lasting
) -> None:
    """Not the Dask worker: the process beside it, which runs the jobs."""

    def kill() -> None:
        lasting.wait_for(1, lasting.begun)
        processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
        wanted = str(cluster.folder_of(worker)).encode() + b"/"
        own = [path for path in processes if wanted in (line := _command_line(path)) and b"worker.server" in line]
        assert own
        for process in own:  # a client whose plugin differs has one of its own
            os.kill(int(process.name), signal.SIGKILL)

    event = disturbed(place, place.job(1, lasting.script), kill)
    left = [path for path in Path("/proc").iterdir() if str(lasting.begun).encode() in _command_line(path)]
    lasting.let_go()
    cluster.kill(worker)
    assert event.result is not None
    assert event.result.outcome is Outcome.TEMPORARY_FAILURE
    assert not left, "the tool does not run beside the next attempt"


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
