"""A node of a warm pool: ``python -m gridcwl.worker.pool_node pool-node.json``, on a worker node of some batch system.

It connects outwards, by TLS, to the pool on the user's machine, and runs job after job as ``gridcwl.worker.server``
does, with the connection in place of pipes. It ends when the connection does, or when its time is over. The private
key is removed once it is read: no tool ever sees it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import queue
import signal
import ssl
import sys
import threading
from typing import Any, Iterator, List, Optional

from gridcwl.worker.engine import Plain
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.paths import inside
from gridcwl.worker.server import JobServer
from gridcwl.worker.witness import own_folder

_LINE = 64 << 20
_CONNECT_S = 60
_ALIVE_S = 20.0
"""Between two signs of life: a firewall on the way may forget a connection that is silent."""


class Results:
    """Sends results: what ``JobServer`` writes to. May be called in any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter) -> None:
        self._loop, self._writer = loop, writer

    def write(self, line: bytes) -> None:
        """Send a line."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._writer.write, line)

    def flush(self) -> None:
        """As of a file."""


class Requests:
    """The lines that have come, for the thread that serves them; each job gets a folder of this machine."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lines: "queue.SimpleQueue[Optional[bytes]]" = queue.SimpleQueue()

    def put(self, line: Optional[bytes]) -> None:
        """Add a line; None is the last."""
        self._lines.put(line)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            line = self._lines.get()
            if line is None:
                return
            request = json.loads(line)
            if "job" in request:
                request = self._placed(request)
            yield json.dumps(request).encode("ascii")

    def _placed(self, request: Plain) -> Plain:
        place = inside(self._folder, request["name"])
        given = {"workdir": place, "witness": f"{place}.result", "files": f"{place}.tar"}
        if request["carried"]:
            with open(given["files"], "wb") as file:
                file.write(base64.b64decode(request["files"]))
        site = request["site"] or os.environ.get("GRIDCWL_SITE", "")
        return {**request, **given, "site": site}


def tls_of(certificate: str, key: str) -> ssl.SSLContext:
    """TLS by which pool and node know each other: both have the pool's certificate. The key's file is removed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is the pool's own certificate or none
    context.load_verify_locations(certificate)
    context.load_cert_chain(certificate, key)
    os.unlink(key)
    return context


async def serve(about: Plain) -> None:
    """Run what the pool sends, until it ends or the time is over."""
    context = tls_of(about["certificate"], about["key"])
    connecting = asyncio.open_connection(about["host"], about["port"], ssl=context, limit=_LINE)
    reader, writer = await asyncio.wait_for(connecting, _CONNECT_S)
    loop = asyncio.get_running_loop()
    requests = Requests(own_folder(about["folder"]))
    server: Any = JobServer(about["slots"], Results(loop, writer))  # type: ignore[arg-type]
    serving = threading.Thread(target=server.serve, args=(requests,))
    serving.start()
    hello = {"hello": os.uname().nodename, "site": os.environ.get("GRIDCWL_SITE", "")}
    writer.write(json.dumps(hello).encode("ascii") + b"\n")
    alive = asyncio.ensure_future(_alive(writer))
    leaving = loop.call_later(about["time_s"], writer.write, b'{"leaving": true}\n')
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, reader.feed_eof)  # as if the pool had ended: all tools are stopped
    try:
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                break
            requests.put(line)
    except (OSError, ValueError):
        pass
    finally:
        alive.cancel()
        leaving.cancel()
        requests.put(None)
        await loop.run_in_executor(None, serving.join)
        writer.close()


async def _alive(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(_ALIVE_S)
        writer.write(b"{}\n")


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve the pool that the file describes; returns the exit code."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    os.environ.pop("PYTHONPATH", None)  # it was for us, and is not for the tools
    with open(path, encoding="utf-8") as file:
        about = json.load(file)
    about["folder"] = os.path.abspath(about["folder"])
    ORPHANS.watch()
    try:
        asyncio.run(serve(about))
    except (OSError, asyncio.TimeoutError) as error:
        print(f"gridcwl: the pool at {about['host']}:{about['port']} cannot be reached: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    ORPHANS.own_process = True
    sys.exit(main())
