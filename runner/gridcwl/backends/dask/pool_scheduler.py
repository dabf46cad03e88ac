"""A warm pool on the user's machine: ``python -m gridcwl.backends.dask.pool_scheduler FOLDER``.

It has a Dask scheduler for the user's clients, which only this machine reaches, and a port for nodes, which connect
from worker nodes. For each node there is a Dask worker here, which hands its tasks over. Nodes speak lines of JSON, no
Dask: they can send results of the jobs that they were given, and nothing else. A node is not trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Scheduler, Status, Worker
from distributed.security import Security

from gridcwl.backends.dask.clusters import without_pages
from gridcwl.backends.dask.pool import Pool, load, security_files
from gridcwl.backends.nodes import listening_socket, server_tls
from gridcwl.worker.limits import MIB, RESULT_BYTES

log = logging.getLogger("gridcwl.pool")

_HELLO_S, _SILENT_S = 30.0, 90.0
_MOST_NODES = 1000
_LONGEST_LEAVE_S, _STOPPED_S = 3600.0, 20.0
_PAUSE_S = 0.2


class Node:
    """The connection to a node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        """What takes its answers: the plugins of clients, whose versions may differ."""
        self.leaving = asyncio.Event()
        """Its time runs out."""
        self.leaves_in_s = 0.0
        """In so many seconds after that, jobs may still end."""
        self.moved: set[str] = set()
        """Jobs that are stopped because it leaves."""

    def send(self, line: bytes) -> None:
        """Send a request."""
        self._writer.write(line)

    async def line(self, patience_s: float) -> dict[str, Any]:
        """The next line, which is an object.

        Raises:
            OSError, ValueError, TimeoutError: it is lost, or sends something else.
        """
        async with asyncio.timeout(patience_s):
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("it has closed the connection")
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("it sent something else than an object")  # noqa: TRY004
        return found

    async def listen(self) -> None:
        """Take in what it sends, until it is lost or leaves."""
        with contextlib.suppress(OSError, ValueError, TimeoutError, RecursionError):
            while True:
                message = await self.line(_SILENT_S)
                if "leaving" in message:
                    given = message["leaving"]
                    self.leaves_in_s = float(min(given, _LONGEST_LEAVE_S)) if isinstance(given, int | float) else 0.0
                    self.leaving.set()
                elif "id" in message or "log" in message:
                    for listener in self.listeners:
                        listener(message)

    def close(self) -> None:
        """Close the connection: the node stops its tools, and ends."""
        self._writer.close()


class PoolServer:
    """The scheduler, and a Dask worker for each node."""

    def __init__(self, pool: Pool, scheduler: Scheduler, security: Security) -> None:
        self._pool, self._scheduler, self._security = pool, scheduler, security
        self._nodes: set[asyncio.Task[Any]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a node that has connected, until it is lost."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._nodes) >= _MOST_NODES:
            writer.close()
            return
        self._nodes.add(task)
        node = Node(reader, writer)
        try:
            hello = await node.line(_HELLO_S)
            await self._serve(node, str(hello.get("hello", ""))[:80], str(hello.get("site", ""))[:80])
        except (OSError, ValueError, TimeoutError) as error:
            log.warning("a node was lost before it could be used: %s", error)
        finally:
            node.close()
            self._nodes.discard(task)

    async def _serve(self, node: Node, host: str, site: str) -> None:
        pool = self._pool
        worker = Worker(
            self._scheduler.address,
            nthreads=4 * pool.cores,
            name=f"{site or 'node'}/{host}/{os.urandom(3).hex()}",
            resources={"CORES": float(pool.cores), "MEMORY": float(pool.ram * MIB), "GPU": 0.0},
            security=self._security,
            host="127.0.0.1",
            dashboard=False,
            memory_limit=0,
            local_directory=str(pool.folder / "work"),
        )
        worker.gridcwl_node = node
        async with worker:
            log.info("node %s at %s", host, site)
            listening = asyncio.ensure_future(node.listen())
            leaving = asyncio.ensure_future(node.leaving.wait())
            closed = asyncio.ensure_future(worker.finished())
            try:
                await asyncio.wait({listening, leaving, closed}, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    log.info("node %s at %s leaves in %.0f s", host, site, node.leaves_in_s)
                    await self._leave(worker, node, {listening, closed})
            finally:
                for task in (listening, leaving, closed):
                    task.cancel()
        log.info("node %s at %s has left", host, site)

    async def _leave(self, worker: Worker, node: Node, ended: set[asyncio.Future[Any]]) -> None:
        """Give the node no more tasks; those that run may end, and what is left starts elsewhere once it is stopped."""
        worker.status = Status.closing_gracefully
        await asyncio.sleep(_PAUSE_S)  # the scheduler hears of it
        state = self._scheduler.workers.get(worker.address)
        begun = {task.key for task in worker.state.executing}
        for task in list(state.processing) if state is not None else ():
            if task.key not in begun:
                self._scheduler._reschedule(
                    task.key, worker.address, stimulus_id=f"gridcwl-leave-{os.urandom(4).hex()}"
                )
        await _until(lambda: not worker.state.executing, node.leaves_in_s, ended)
        plugins = [plugin for plugin in worker.plugins.values() if isinstance(getattr(plugin, "running", None), dict)]
        node.moved = {job for plugin in plugins for job in plugin.running}
        for job in node.moved:
            node.send(json.dumps({"stop": job, "reason": "The node leaves."}).encode("ascii") + b"\n")
        await _until(lambda: not node.moved, _STOPPED_S, ended)
        # expected: that a node leaves does not count as a failure of its tasks
        await self._scheduler.remove_worker(worker.address, stimulus_id="gridcwl-leave", expected=True)


async def _until(condition: Callable[[], bool], patience_s: float, ended: set[asyncio.Future[Any]]) -> None:
    """Wait for a condition, as long as the node is there."""
    until = time.monotonic() + patience_s
    while not condition() and time.monotonic() < until:
        done, _ = await asyncio.wait(ended, timeout=_PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
        if done:
            return


async def serve(pool: Pool) -> None:
    """Serve until the pool is idle, or a signal comes."""
    security = Security(**security_files(pool.folder), require_encryption=True)
    scheduler = Scheduler(
        host="127.0.0.1",
        port=0,
        protocol="tls://",
        security=security,
        dashboard=False,
        dashboard_address="127.0.0.1:0",  # Dask listens there all the same, with no pages
        idle_timeout=f"{pool.idle_s} s",
    )
    async with scheduler:
        served = PoolServer(pool, scheduler, security)
        listening = await asyncio.start_server(
            served.connected,
            sock=listening_socket(pool.bind, pool.port),
            ssl=server_tls(pool.folder),
            limit=RESULT_BYTES,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: asyncio.ensure_future(scheduler.close()))
        ready = pool.folder / "address.new"
        ready.write_text(f"{scheduler.address} {listening.sockets[0].getsockname()[1]}")
        os.rename(ready, pool.folder / "address")  # noqa: PTH104
        await scheduler.finished()
        sys.stderr.flush()
        # Dask's workers may wait for ever for each other's threads; with the connections closed, nodes stop their tools
        os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    os.environ["GRIDCWL_STATE_DIR"] = str(Path(sys.argv[1]).parent.parent)
    with without_pages():
        asyncio.run(serve(load(Path(sys.argv[1]).name)))
