"""The user's end of a kernel that runs elsewhere: ``python -m gridcwl.jupyter.kernels.relay FOLDER``.

Jupyter's clients connect to its five sockets, in a folder that only the user can enter; each connection is a stream of
the one TLS connection that the kernel's node made. The node is not trusted: it can send bytes on streams that were
opened here, and the few messages of ``_message``. Nothing is ever connected here for it.

Jupyter's server controls the relay through a sixth socket, by lines of JSON. The relay outlives the server: one that is
started again finds its kernels.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gridcwl.backends.nodes import listening_socket, server_tls
from gridcwl.jupyter.kernels.activity import KernelActivity
from gridcwl.jupyter.kernels.model import Record, load, plain_job, remove, save
from gridcwl.model.codec import to_plain
from gridcwl.worker.kernel_process import CHANNELS
from gridcwl.worker.streams import ProtocolError, StreamSession, bridge

log = logging.getLogger("gridcwl.kernel")

_HELLO_S = 30.0
_LOOK_S = (10.0, 60.0)
"""Between two queries of the state of a job that does not connect: the first, and the longest."""
_LAST_WORDS_S = 5.0
_TEXT = 4000
_USED = (1, 3, 5)
"""Channels on which clients send requests: shell, stdin, control."""


class Relay:
    """One kernel: its node, its state, and who is connected to it."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._session: StreamSession | None = None
        self._node = self._place = ""
        """The node's own id, and that of its job."""
        self._gone: set[str] = set()
        """Nodes that are not wanted any more."""
        self._carrying: asyncio.Task[None] | None = None
        self._port = 0
        self._kernel, self._code, self._reason = "none", 0, ""
        """none, starting, running, exited, or ended with its node."""
        self._ending = ""
        """Why the node was asked to end."""
        self._number = 0
        self._attached = 0
        self._changed = asyncio.Condition()
        self._activity = KernelActivity()
        self._over = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._following: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Serve until the kernel is shut down, or has ended and nobody is attached."""
        record = self._record
        bind = "127.0.0.1" if record.request.backend == "local" else ""
        tls = server_tls(record.folder)
        nodes = await asyncio.start_server(self._connected, sock=listening_socket(bind, 0), ssl=tls, limit=1 << 16)
        self._port = nodes.sockets[0].getsockname()[1]
        control = await asyncio.start_unix_server(self._controlled, record.control, limit=1 << 24)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        self._spawn(self._end_when_idle())
        save(msgspec.structs.replace(record, pid=os.getpid()))
        await self._over.wait()
        nodes.close()
        control.close()
        await self._end_node()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        remove(record)

    # -- the node ------------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A node has connected, for the first time or again."""
        with contextlib.closing(writer):
            try:
                async with asyncio.timeout(_HELLO_S):
                    hello = json.loads(await reader.readline() or b"null")
                session = await self._session_of(hello, writer)
                carrying = self._carrying = asyncio.ensure_future(session.carry(reader, writer))
                await self._change()
                await asyncio.wait({carrying})
                error = None if carrying.cancelled() else carrying.exception()
                if isinstance(error, ProtocolError):
                    raise error
            except ProtocolError as error:
                log.warning("the node is given up: %s", error)
                await self._node_ended(f"The node broke the protocol: {error}", exited=True)
            except (OSError, ValueError, TimeoutError, KeyError, TypeError, RecursionError) as error:
                log.warning("a node was lost: %s", error)
        await self._change()

    async def _session_of(self, hello: Any, writer: asyncio.StreamWriter) -> StreamSession:
        """The session that a node begins or resumes; the earlier connection is closed."""
        node = str(hello["node"])[:64]
        if node in self._gone or not self._place or (self._node not in ("", node) and self._is_connected()):
            writer.write(b"{}\n")
            raise ConnectionError("it is not wanted any more")
        if node != self._node:
            if self._session is not None:  # the batch system has started the job again
                self._gone.add(self._node)
                self._session.close_streams()
                self._kernel_exited(1)
            self._node, self._session = node, StreamSession(functools.partial(self._message, node))
            log.info("node at %r, %r", str(hello.get("site"))[:80], str(hello.get("host"))[:80])
        elif self._carrying is not None:
            self._carrying.cancel()
            await asyncio.wait({self._carrying})
        session = self._session
        assert session is not None
        session.resume(hello["received"])
        writer.write(json.dumps({"received": session.received}).encode("ascii") + b"\n")
        return session

    def _is_connected(self) -> bool:
        return self._carrying is not None and not self._carrying.done()

    def _message(self, node: str, message: dict[str, Any]) -> None:
        """What a node may report: that the kernel was started, was not, has exited; that the node ends."""
        if node != self._node:  # the last words of one that was given up
            return
        kernel, number = message.get("kernel"), message.get("number")
        reason = "".join(c for c in str(message.get("reason", ""))[:_TEXT] if c.isprintable() or c == "\n")
        if kernel == "ended":
            self._spawn(self._node_ended(self._ending or reason))
        elif number == self._number and kernel == "running":
            self._kernel = "running"
            self._activity.note()
            self._follow()
            self._spawn(self._change())
        elif number == self._number and kernel == "failed":
            self._kernel, self._code, self._reason = "exited", 1, reason
            self._spawn(self._change())
        elif number == self._number and kernel == "exited":
            code = message.get("code")
            self._kernel_exited(code if isinstance(code, int) and abs(code) < 1 << 32 else 1)

    def _kernel_exited(self, code: int) -> None:
        self._kernel, self._code, self._reason = "exited", code, f"The kernel ended with exit code {code}."
        self._spawn(self._change())

    async def _node_ended(self, reason: str, *, exited: bool = False) -> None:
        """The node has ended, or is given up: a restart starts another one."""
        log.info("the node has ended: %s", reason)
        if self._node:
            self._gone.add(self._node)
        if self._session is not None:
            self._session.close_streams()
        place, self._node, self._place, self._session, self._carrying = self._place, "", "", None, None
        self._kernel, self._code, self._reason = "ended", 1, reason
        await self._change()
        if exited and place:
            await self._placed("end", place)

    async def _start_node(self) -> None:
        """Have a node started, unless there is one, and wait until it is connected.

        Raises:
            ConnectionError: it does not start, or ends at once.
        """
        if not self._place:
            answer = await self._placed("start", str(self._port))
            self._place, self._ending = answer["node"], ""
            log.info("the node's job is %s", self._place)
        pause = _LOOK_S[0]
        while not self._is_connected():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause), self._changed:
                    await self._changed.wait_for(self._is_connected)
                return
            place = self._place
            ended = (await self._placed("ended", place))["ended"] if place else self._reason
            if ended:
                await self._node_ended(ended)
                raise ConnectionError(ended)
            pause = min(2 * pause, _LOOK_S[1])

    async def _placed(self, action: str, *words: str) -> dict[str, Any]:
        """Have something done by the backend, in a process of its own.

        Raises:
            ConnectionError: why it was not done.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gridcwl.jupyter.kernels.placing", action, str(self._record.folder), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=None,
        )  # fmt: skip
        written, _ = await process.communicate()
        try:
            answer: dict[str, Any] = json.loads(written.strip().rpartition(b"\n")[2])
        except ValueError:
            raise ConnectionError("gridcwl itself failed; the relay's log says why") from None
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return answer

    async def _end_node(self) -> None:
        """End the node: it is asked to, and its job is killed if it cannot be asked."""
        session, place = self._session, self._place
        told = False
        if session is not None and self._is_connected():
            session.send({"do": "end"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await session.delivered()
                told = True
        if place and (not told or self._record.request.backend == "local"):
            with contextlib.suppress(ConnectionError):
                await self._placed("end", place)

    # -- Jupyter's clients ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Listen for clients. Jupyter's manager removes the sockets before it restarts a kernel."""
        for server in self._servers:
            server.close()
        self._servers = []
        for channel in range(1, len(CHANNELS) + 1):
            path = f"{self._record.sockets}/k-{channel}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
            self._servers.append(await asyncio.start_unix_server(functools.partial(self._accepted, channel), path))

    async def _accepted(self, channel: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client has connected. It waits for the kernel; if that does not come, it connects again."""
        used = self._activity.note if channel in _USED else None
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            async with self._changed:
                await self._changed.wait_for(lambda: self._kernel != "starting")
            if self._kernel == "running" and self._session is not None:
                await bridge(self._session.open(channel), reader, writer, used)

    def _follow(self) -> None:
        if self._following is not None:
            self._following.cancel()
        self._following = self._spawn(self._activity.follow(f"ipc://{self._record.sockets}/k-2"))

    async def _end_when_idle(self) -> None:
        """End the node when the kernel was idle for too long, or was lost for too long."""
        request = self._record.request
        loop = asyncio.get_running_loop()
        lost = loop.time()
        while True:
            await asyncio.sleep(min(5.0, request.idle_s / 4, request.lost_s / 4))
            if not self._node or self._is_connected():
                lost = loop.time()
            if self._node and loop.time() - lost > request.lost_s:
                await self._node_ended(f"The connection to its node was lost for {request.lost_s} s.", exited=True)
            elif self._kernel in ("running", "exited") and self._activity.idle_s > request.idle_s:
                self._ending = f"The kernel was idle for {request.idle_s} s."
                place = self._place
                await self._end_node()
                if self._place == place:  # it has not said so itself
                    await self._node_ended(self._ending)
            lone = not self._attached and (self._kernel == "ended" or not self._record.notebook)
            if lone and self._activity.idle_s > min(request.lost_s, request.idle_s):
                self._over.set()

    # -- Jupyter's server ----------------------------------------------------------------------------------------------

    async def _controlled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what Jupyter's server asks for."""
        with contextlib.closing(writer), contextlib.suppress(OSError, ValueError):
            request = json.loads(await reader.readline())
            if request["do"] == "attach":
                self._attached += 1
                try:
                    await reader.read()
                finally:
                    self._attached -= 1
                return
            writer.write(json.dumps(await self._done(request)).encode("ascii") + b"\n")
            await writer.drain()
            if request["do"] == "end":
                self._over.set()

    async def _done(self, request: Mapping[str, Any]) -> dict[str, Any]:
        what = request["do"]
        if what == "start":
            try:
                async with asyncio.timeout(self._record.request.start_s):
                    await self._start(request)
            except ConnectionError as error:
                self._kernel, self._code, self._reason = "ended", 1, str(error)
            except TimeoutError:
                reason = f"The kernel has not started within {self._record.request.start_s} s."
                self._kernel, self._code, self._reason = "ended", 1, reason
            await self._change()
        elif what in ("terminate", "kill") and self._session is not None:
            self._session.send({"do": what})
        found = "connected" if self._is_connected() else "lost" if self._node else "waiting"
        return {
            "kernel": self._kernel,
            "code": self._code,
            "reason": self._reason,
            "node": found if self._place else "none",
            "attached": self._attached,
        }

    async def _start(self, request: Mapping[str, Any]) -> None:
        self._number += 1
        self._kernel, self._reason = "starting", ""
        await self._listen()
        job = to_plain(plain_job(self._record))
        if request["inputs"]:
            found, _ = await asyncio.gather(self._placed("inputs", *request["inputs"]), self._start_node())
            job = found["job"]
        else:
            await self._start_node()
        job = {**job, "environment": {**job["environment"], **request["environment"]}}
        assert self._session is not None
        about = {"key": self._record.key, "signature_scheme": self._record.signature_scheme}
        self._session.send({"do": "start", "number": self._number, "job": job, **about})
        async with self._changed:
            await self._changed.wait_for(lambda: self._kernel != "starting")

    # -- tasks ---------------------------------------------------------------------------------------------------------

    async def _change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def main() -> None:
    """Serve the kernel in the folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    folder = Path(sys.argv[1])

    async def serve() -> None:
        await Relay(load(folder)).serve()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
