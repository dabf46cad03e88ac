"""A node with a Jupyter kernel: ``python -m gridcwl.worker.kernel_node kernel-node.json``, on some worker node.

It connects outwards, by TLS, to the user's machine. The connections of Jupyter's clients to the kernel's sockets are
streams of that one connection. When it is lost, the node connects again, and nothing is lost; when the user's machine
does not answer for too long, or when its time is over, the node ends, and the kernel with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import signal
import ssl
import sys
from typing import Any, List, Optional, Set

from gridcwl.worker.engine import Plain
from gridcwl.worker.kernel_process import CHANNELS, Kernel, KernelNotStarted
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.pool_node import start_as_node, tls_of
from gridcwl.worker.site import settings_of
from gridcwl.worker.streams import ProtocolError, Stream, StreamSession, bridge

_LONGEST_START = 64 << 20
"""Bytes of a message of the user's machine: it may describe many files."""
_HELLO_S = 30.0
_PAUSES_S = (0.2, 10.0)
"""Between two attempts to connect: the first, and the longest."""
_LAST_WORDS_S = 10.0


class KernelNode:
    """The connection, and the kernel."""

    def __init__(self, about: Plain, tls: ssl.SSLContext) -> None:
        self._about, self._tls = about, tls
        self._id = secrets.token_hex(8)
        self._site = os.environ.get("GRIDCWL_SITE", "")
        self._session = StreamSession(self._message, self._opened, _LONGEST_START)
        self._kernel = Kernel(about["folder"], settings_of(about["sites"], self._site), self._site)
        self._over = asyncio.Event()
        self._tasks: Set["asyncio.Future[Any]"] = set()
        self._starting: "Optional[asyncio.Future[Any]]" = None

    async def serve(self) -> bool:
        """Serve until the end; returns whether the user's machine was ever reached."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end, "It was stopped at the site.")
        timer = loop.call_later(self._about["time_s"], self._end, "The time of its job is over.")
        connecting = asyncio.ensure_future(self._connections())
        ending = asyncio.ensure_future(self._over.wait())
        await asyncio.wait({connecting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():  # the last words, if anybody listens
            delivering = asyncio.ensure_future(self._session.delivered())
            await asyncio.wait({delivering, connecting}, timeout=_LAST_WORDS_S, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        tasks = [connecting, ending, *self._tasks]
        for task in tasks:
            task.cancel()
        self._kernel.close()
        # Python 3.9's wait_for may lose a cancellation: what still runs then ends with the process
        await asyncio.wait(tasks, timeout=_LAST_WORDS_S)
        return self._session.received > 0

    async def _connections(self) -> None:
        """Connect again and again, until nobody has answered for too long."""
        loop = asyncio.get_running_loop()
        pause, met = _PAUSES_S[0], loop.time()
        while loop.time() - met < self._about["grace_s"]:
            try:
                if await self._connection():
                    pause, met = _PAUSES_S[0], loop.time()
            except (ProtocolError, PermissionError) as error:
                print(f"gridcwl: {self._about['host']}:{self._about['port']}: {error}", file=sys.stderr)
                return
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                print(f"gridcwl: not connected: {error}", file=sys.stderr)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES_S[1])

    async def _connection(self) -> bool:
        """One connection, until it is lost."""
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(self._about["host"], self._about["port"], ssl=self._tls), _HELLO_S
        )
        try:
            hello = {"node": self._id, "received": self._session.received, "site": self._site}
            writer.write(json.dumps({**hello, "host": os.uname().nodename}).encode("ascii") + b"\n")
            answer = json.loads(await asyncio.wait_for(reader.readline(), _HELLO_S) or b"null")
            if not isinstance(answer, dict):
                raise ConnectionError("the connection was closed")
            if "received" not in answer:
                raise PermissionError("this node is not wanted any more")
            self._session.resume(answer["received"])
            await self._session.carry(reader, writer)
        finally:
            writer.close()
        return True

    def _end(self, reason: str) -> None:
        """End; the user's machine is informed why."""
        if not self._over.is_set():
            self._session.send({"kernel": "ended", "reason": reason})
            self._over.set()

    def _message(self, message: Plain) -> None:
        what = message.get("do")
        if what == "start":
            self._starting = self._spawn(self._start(message, self._starting))
        elif what in ("terminate", "kill"):
            self._spawn(self._in_thread(functools.partial(self._kernel.stop, now=what == "kill")))
        elif what == "end":
            self._end("It was shut down.")
        else:
            raise ProtocolError("it asks for what this node does not do")

    async def _start(self, request: Plain, previous: "Optional[asyncio.Future[Any]]") -> None:
        loop = asyncio.get_running_loop()
        number = request["number"]

        def ended(code: int) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._session.send, {"kernel": "exited", "number": number, "code": code})

        if previous is not None:
            await asyncio.wait({previous})
        try:
            await self._in_thread(functools.partial(self._kernel.start, request, ended))
        except KernelNotStarted as error:
            self._session.send({"kernel": "failed", "number": number, "reason": str(error)[:4000]})
        except Exception as error:  # noqa: BLE001  the last resort: the user is waiting for an answer
            reason = f"The node itself failed: {type(error).__name__}: {error}"
            self._session.send({"kernel": "failed", "number": number, "reason": reason[:4000]})
        else:
            self._session.send({"kernel": "running", "number": number})

    async def _in_thread(self, call: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, call)

    def _opened(self, stream: Stream) -> None:
        self._spawn(self._connected(stream))

    async def _connected(self, stream: Stream) -> None:
        """Connect a stream to the kernel. One for which nobody listens is closed: Jupyter's clients try again."""
        if not 1 <= stream.channel <= len(CHANNELS):
            raise ProtocolError("there is no such channel")
        try:
            reader, writer = await asyncio.open_unix_connection(self._kernel.socket_of(stream.channel))
        except OSError:
            stream.close()
            return
        await bridge(stream, reader, writer)

    def _spawn(self, work: Any) -> "asyncio.Future[Any]":
        task: "asyncio.Future[Any]" = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve the kernel that the file describes; returns the exit code."""
    about = start_as_node(arguments)
    tls = tls_of(about["certificate"], about["key"])

    async def serve() -> bool:
        return await KernelNode(about, tls).serve()

    if not asyncio.run(serve()):
        print(f"gridcwl: {about['host']}:{about['port']} cannot be reached from {os.uname().nodename}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    ORPHANS.own_process = True
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread may still stage in
