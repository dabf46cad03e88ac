"""A warm pool does what a backend has to; its nodes are processes of this machine."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from dask_processes import COMPILED
from pool_nodes import NodesHere

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask import pool as pools
from gridcwl.backends.dask.plugin import PoolSettings
from gridcwl.backends.dask.pool import Pool
from gridcwl.backends.dirac.nodes import DiracNodes
from gridcwl.backends.nodes import listening_socket
from gridcwl.errors import ConfigError
from gridcwl.testing.backends import Place, SurvivingSuite, ended, text_of

PATIENCE_S = 60


def waited(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> NodesHere:
    return NodesHere(tmp_path_factory.mktemp("nodes"))


@pytest.fixture(scope="module")
def pool(nodes: NodesHere, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A pool of two nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRIDCWL_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        for name, value in COMPILED.items():  # for the pool's scheduler
            patch.setenv(name, value)
        made = pools.create(Pool(name="default", id="", host="127.0.0.1", bind="127.0.0.1", cores=4))
        try:
            made = pools.add_workers(made, 2, DiracNodes(nodes), tmp_path_factory.mktemp("sandbox"))
            waited(lambda: len(pools.workers(made)) == 2)
            yield made
        finally:
            pools.end(made, None)
            nodes.wait()


@pytest.mark.usefixtures("pool")
class TestPoolBackend(SurvivingSuite):
    seen_s = 0.2

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        self.folder = tmp_path / "here"
        return Place(self.opened)

    def opened(self, run, *, detach: bool = False) -> AbstractAsyncContextManager[Backend]:
        choice = plugins.BackendChoice("pool", PoolSettings(name="default"), JobOptions(detach=detach))
        return plugins.open_backend(choice, BackendContext(run, self.folder))

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        return self.opened(place.run, detach=True)

    def test_a_job_whose_node_is_killed_runs_at_another_node(
        self, place: Place, pool: Pool, nodes: NodesHere, tmp_path: Path
    ) -> None:
        begun, done, go = (tmp_path / name for name in ("begun", "done", "go"))
        script = f"echo x >> {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo x >> {done}; pwd > out.txt"
        job = place.job(1, script)

        async def all_of_it(backend: Backend) -> str:
            await backend.submit([job])
            await asyncio.to_thread(waited, begun.exists)
            (number,) = [
                number for number in (1, 2) if list((nodes.folder / f"node-{number}" / "jobs").glob(f"{job.id}*"))
            ]
            await asyncio.to_thread(nodes.kill_node, number)
            await asyncio.to_thread(waited, lambda: len(begun.read_text().splitlines()) == 2)
            go.touch()
            (event,) = await ended(backend, 1)
            assert event.result is not None
            return text_of(event.result)

        assert "/node-" in place.wait(all_of_it, 2)
        assert done.read_text() == "x\n"
        pools.add_workers(pools.load("default"), 1, DiracNodes(nodes), tmp_path)
        waited(lambda: len(pools.workers(pool)) == 2)

    def test_a_job_at_a_node_whose_time_runs_out_ends_there_and_no_other_one_begins_there(
        self, place: Place, pool: Pool, nodes: NodesHere, tmp_path: Path
    ) -> None:
        lasting = Lasting(place, tmp_path, "ends")

        async def all_of_it(backend: Backend) -> str:
            await backend.submit([lasting.job])
            await asyncio.to_thread(waited, lambda: lasting.begun == 1)
            nodes.signal(nodes.node_of(lasting.job.id), signal.SIGUSR1)
            await asyncio.to_thread(waited, lambda: "closing_gracefully" in states(pool))
            after = place.job(2, "pwd > out.txt")
            await backend.submit([after])
            (other,) = await ended(backend, 1)
            assert other.result is not None
            assert f"/node-{nodes.node_of(lasting.job.id)}/" not in text_of(other.result)
            lasting.let_go()
            (event,) = await ended(backend, 1)
            assert event.result is not None
            return text_of(event.result)

        assert "/node-" in place.wait(all_of_it)
        assert (lasting.begun, lasting.done) == (1, 1)
        waited(lambda: len(pools.workers(pool)) == 1)

    def test_a_job_that_does_not_end_in_time_starts_at_another_node_once_it_is_stopped(
        self, place: Place, pool: Pool, nodes: NodesHere, tmp_path: Path
    ) -> None:
        lasting = Lasting(place, tmp_path, "moves")
        nodes.settings = {"margin_s": 0.4}

        def another() -> None:
            pools.add_workers(pools.load("default"), 1, DiracNodes(nodes), Path(tempfile.mkdtemp(dir=tmp_path)))  # type: ignore[arg-type]
            waited(lambda: len(pools.workers(pool)) >= 2)

        async def all_of_it(backend: Backend) -> str:
            await backend.submit([lasting.job])
            term, usr1 = signal.SIGTERM, signal.SIGUSR1
            for number, how in enumerate((term, usr1, term, usr1), 1):
                await asyncio.to_thread(waited, lambda number=number: lasting.begun == number)
                await asyncio.to_thread(another)
                nodes.signal(nodes.node_of(lasting.job.id), how)
            await asyncio.to_thread(waited, lambda: lasting.begun == 5)
            lasting.let_go()
            (event,) = await ended(backend, 1)
            assert event.result is not None
            return text_of(event.result)

        assert "/node-" in place.wait(all_of_it)
        assert lasting.done == 1, "more often than a task may lose its worker, and each time stopped before"

    def test_clients_of_different_versions_share_a_pool(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        from gridcwl.backends.dask import backend, remote

        own = backend._plugin()
        other = remote.JobPlugin("gridcwl-another-version", own.zipapp)
        for number, plugin in enumerate((own, other, own), 1):
            monkeypatch.setattr(backend, "_plugin", lambda plugin=plugin: plugin)
            jobs = [place.job(10 * number + one, "pwd > out.txt") for one in range(4)]
            assert {result.exit_code for result in place.results(jobs).values()} == {0}

    def test_what_a_running_job_writes_is_seen_before_it_ends(self, place: Place, tmp_path: Path) -> None:
        lasting = Lasting(place, tmp_path, "writes")
        log = self.folder / f"{lasting.job.id}-1" / "stdout.log"

        async def all_of_it(backend: Backend) -> None:
            await backend.submit([lasting.job])
            await asyncio.to_thread(waited, lambda: log.exists() and log.read_text() == "so far\n")
            lasting.let_go()
            await ended(backend, 1)

        place.wait(all_of_it)
        assert log.read_text() == "so far\n"


class Lasting:
    """A job that runs until it may end, and that writes down each beginning and each end."""

    def __init__(self, place: Place, folder: Path, name: str) -> None:
        self._begun, self._done, self._go = (folder / f"{name}.{what}" for what in ("begun", "done", "go"))
        self.job = place.job(
            1,
            f"echo x >> {self._begun}; echo so far; while [ ! -e {self._go} ]; do sleep 0.05; done; "
            f"echo x >> {self._done}; pwd > out.txt",
        )

    @property
    def begun(self) -> int:
        return len(self._begun.read_text().splitlines()) if self._begun.exists() else 0

    @property
    def done(self) -> int:
        return len(self._done.read_text().splitlines()) if self._done.exists() else 0

    def let_go(self) -> None:
        self._go.touch()


def states(pool: Pool) -> set[str]:
    return {str(worker["status"]) for worker in pools.workers(pool).values()}


PILOT = "LocalSite\n{\n  CPUTimeLeft = 36000\n  CPUNormalizationFactor = 12.0\n  Site = X\n}\n"


@pytest.mark.parametrize(
    ("files", "environment", "granted"),
    [
        ({}, {}, (None, None)),
        ({"pilot.cfg": PILOT}, {}, (3000, None)),
        ({"etc/dirac.cfg": PILOT}, {"DIRAC": "@"}, (3000, None)),
        ({"own.cfg": PILOT, "pilot.cfg": "CPUTimeLeft = 1"}, {"DIRACSYSCONFIG": "@/none.cfg,@/own.cfg"}, (3000, None)),
        ({"pilot.cfg": "CPUTimeLeft = 36000\nCPUNormalizationFactor = 0\n"}, {}, (None, None)),
        ({"f/wall_limit_secs": "900", "f/cpu_limit_secs": "1800"}, {"JOBFEATURES": "@/f"}, (900, 1800)),
        ({"f/wall_limit_secs": "x; exit 1", "f/cpu_limit_secs": "$(id)"}, {"JOBFEATURES": "@/f"}, (None, None)),
        ({"f/cpu_limit_secs": "1800"}, {"JOBFEATURES": "@/f"}, (None, 1800)),
        ({"pilot.cfg": PILOT}, {"SLURM_JOB_END_TIME": "+600"}, (600, None)),
        ({"pilot.cfg": PILOT}, {"SLURM_JOB_END_TIME": "+6000"}, (3000, None)),
    ],
)
@pytest.mark.usefixtures("pool")
def test_a_node_takes_the_time_that_it_has_from_the_pilot_or_the_batch_system(
    files: dict[str, str],
    environment: dict[str, str],
    granted: tuple[int | None, int | None],
    nodes: NodesHere,
    tmp_path: Path,
) -> None:
    (tmp_path / "job").mkdir()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("node-key.pem", "node-cert.pem", "pool-node.json"):
        (tmp_path / "job" / name).write_text("{}")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\n[ "$1" = -SE ] || echo "times ${GRIDCWL_WALL_LEFT:-}, ${GRIDCWL_CPU_LEFT:-}"\n')
    python.chmod(0o755)
    given = {
        name: str(int(time.time()) + int(value)) if value.startswith("+") else value.replace("@", str(tmp_path))
        for name, value in environment.items()
    }
    (script, *_) = nodes.folder.glob("sandbox-*/gridcwl-start.sh")
    done = subprocess.run(
        ["/bin/sh", str(script), "1"],
        cwd=tmp_path / "job",
        env={"PATH": f"{python.parent}:/usr/bin:/bin", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("times"))
    for text, wanted in zip(line.removeprefix("times ").split(", "), granted, strict=True):
        assert text == "" if wanted is None else wanted - 60 <= int(text) <= wanted


def test_no_secret_of_a_pool_is_readable_by_others_or_in_its_description(pool: Pool, nodes: NodesHere) -> None:
    assert stat.S_IMODE(pool.folder.stat().st_mode) == 0o700
    keys = [pool.folder / name for name in (pools.KEY, pools.NODE_KEY, "pool.json")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert "KEY" not in nodes.descriptions[0]
    assert not list(nodes.folder.glob("node-*/node-key.pem")), "a node has removed its key before it runs any tool"
    assert not list(nodes.folder.glob("sandbox-*/client-key.pem"))


def test_who_has_no_certificate_of_the_pool_is_not_a_node(pool: Pool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    before = len(pools.workers(pool))
    with socket.create_connection(("127.0.0.1", pool.port)) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        greeted(context, plain)
    assert len(pools.workers(pool)) == before


def test_a_pool_without_an_address_listens_at_one_port_for_all_kinds_of_addresses() -> None:
    for bind in ("", "127.0.0.1"):
        with listening_socket(bind, 0) as listening:
            socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=60).close()


def greeted(context: ssl.SSLContext, plain: socket.socket) -> None:
    """What a node does first; the end of the connection is an error."""
    with context.wrap_socket(plain) as tls:
        tls.sendall(b'{"hello": "x"}\n')
        if not tls.recv(1):
            raise ConnectionError


@pytest.mark.usefixtures("pool")
def test_a_pool_that_is_there_is_not_started_again_and_one_that_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match="There is a pool default already"):
        pools.create(Pool(name="default", id=""))
    with pytest.raises(ConfigError, match="cannot be a pool's name"):
        pools.create(Pool(name="../x", id=""))
    with pytest.raises(ConfigError, match="There is no pool other"):
        pools.load("other")


def test_a_pool_ends_when_it_is_idle_and_its_nodes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path))
    for name, value in COMPILED.items():
        monkeypatch.setenv(name, value)
    own = NodesHere(tmp_path / "nodes")
    made = pools.create(Pool(name="short", id="", host="127.0.0.1", bind="127.0.0.1", idle_s=3))
    try:
        (tmp_path / "sandbox").mkdir()
        pools.add_workers(made, 1, DiracNodes(own), tmp_path / "sandbox")
        own.wait()
        waited(lambda: not pools.is_alive(made))
    finally:
        pools.end(made, DiracNodes(own))  # type: ignore[arg-type]
    about = json.loads((tmp_path / "nodes" / "sandbox-0" / "pool-node.json").read_text())
    assert (about["slots"], about["host"]) == (4, "127.0.0.1")
