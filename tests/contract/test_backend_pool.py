"""A warm pool does what a backend has to; its nodes are processes of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from pool_nodes import NodesHere

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask import pool as pools
from gridcwl.backends.dask import pool_scheduler
from gridcwl.backends.dask.plugin import PoolSettings
from gridcwl.backends.dask.pool import Pool
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
        made = pools.create(Pool(name="default", id="", host="127.0.0.1", bind="127.0.0.1", cores=4))
        try:
            made = pools.add_workers(made, 2, nodes, tmp_path_factory.mktemp("sandbox"))
            waited(lambda: len(pools.workers(made)) == 2)
            yield made
        finally:
            pools.end(made, None)
            nodes.wait()


@pytest.mark.usefixtures("pool")
class TestPoolBackend(SurvivingSuite):
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
        pools.add_workers(pools.load("default"), 1, nodes, tmp_path)
        waited(lambda: len(pools.workers(pool)) == 2)


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
        with pool_scheduler._listening(bind, 0) as listening:
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
    own = NodesHere(tmp_path / "nodes")
    made = pools.create(Pool(name="short", id="", host="127.0.0.1", bind="127.0.0.1", idle_s=3))
    try:
        (tmp_path / "sandbox").mkdir()
        pools.add_workers(made, 1, own, tmp_path / "sandbox")
        own.wait()
        waited(lambda: not pools.is_alive(made))
    finally:
        pools.end(made, own)  # type: ignore[arg-type]
    about = json.loads((tmp_path / "nodes" / "sandbox-0" / "pool-node.json").read_text())
    assert (about["slots"], about["host"]) == (4, "127.0.0.1")
