"""A node of a warm pool: ``python -m gridcwl.worker.pool_node pool-node.json``, on a worker node of some batch system.

It connects outwards, by TLS, to the pool on the user's machine, and runs job after job as ``gridcwl.worker.server``
does, with the connection in place of pipes. It ends when the connection does, or when its time is over, which it
announces, so that jobs end or are started elsewhere. The private key is removed once it is read: no tool ever sees it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import queue
import resource
import signal
import socket
import ssl
import stat
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from gridcwl.worker.engine import Plain
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.paths import inside
from gridcwl.worker.server import JobServer
from gridcwl.worker.witness import own_folder

_LINE = 64 << 20
_CONNECT_S = 60
_ALIVE_S = 20.0
"""Between two signs of life: a firewall on the way may forget a connection that is silent."""
_GONE_MS = 120_000
"""The pool is gone if nothing that was sent has arrived for so long."""
_MARGIN_S, _LAST_S = 600.0, 30.0
"""So long before its time is over a node leaves, and so long before that it stops all."""
_LOOK_S = 1.0
_CHUNK, _MOST_LOG = 16 << 10, 256 << 10


class TimeLeft:
    """What is left of the time of the job that holds the node: by the clock, and of CPU time.

    ``time_s`` in the settings is what the batch system was asked for. ``GRIDCWL_WALL_LEFT`` and ``GRIDCWL_CPU_LEFT``,
    which the start script sets, are what it grants, in seconds.
    """

    def __init__(self, about: Plain, environment: Mapping[str, str]) -> None:
        self._begun = time.monotonic()
        granted = _number(environment.get("GRIDCWL_WALL_LEFT"))
        self._wall_s = float(about["time_s"]) if granted is None else min(float(about["time_s"]), granted)
        self._cpu_s = _number(environment.get("GRIDCWL_CPU_LEFT"))
        self._cores = max(1, about["slots"] // 4)
        self.margin_s = float(about.get("margin_s") or min(_MARGIN_S, self._wall_s / 5))

    def seconds(self) -> float:
        """How long the node may go on, if its cores are busy."""
        left = self._wall_s - (time.monotonic() - self._begun)
        return left if self._cpu_s is None else min(left, (self._cpu_s - _cpu_seconds()) / self._cores)


def _number(text: Optional[str]) -> Optional[float]:
    try:
        return float(text or "")
    except ValueError:
        return None


def _cpu_seconds() -> float:
    """What this process has taken, and all its children that have ended, and those that run."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    parents: Dict[int, Tuple[int, float]] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if name.isdigit():
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                parents[int(name)] = (int(fields[1]), sum(map(int, fields[11:15])) / tick)
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in parents.items() if parent in ours and pid not in ours}:
        ours |= more
        total += sum(parents[pid][1] for pid in more)
    return total


class Logs:
    """What running jobs write, the beginning of it."""

    def __init__(self) -> None:
        self._places: Dict[str, str] = {}
        self._sent: Dict[Tuple[str, str], int] = {}

    def add(self, job: str, place: str) -> None:
        """A job will run there."""
        self._places[job] = place

    def look(self) -> Iterator[bytes]:
        """Lines with what has been written since."""
        for job, place in list(self._places.items()):
            if not os.path.isdir(place):
                if any(self._sent.pop((job, stream), None) is not None for stream in ("stdout", "stderr")):
                    del self._places[job]  # it has ended, and its folder is removed
                continue
            for stream in ("stdout", "stderr"):
                start = self._sent.setdefault((job, stream), 0)
                text = _read(f"{place}/{stream}.log", start) if start < _MOST_LOG else b""
                if text:
                    self._sent[job, stream] = start + len(text)
                    said = {
                        "log": job,
                        "stream": stream,
                        "start": start,
                        "text": base64.b64encode(text).decode("ascii"),
                    }
                    yield json.dumps(said).encode("ascii") + b"\n"


def _read(path: str, start: int) -> bytes:
    """Some of a log from there on; nothing if a tool has put a link or a pipe in its place."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.seek(start)
                return file.read(_CHUNK)
    return b""


class Results:
    """Sends results: what ``JobServer`` writes to. May be called in any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter) -> None:
        self._loop, self._writer = loop, writer
        self.ending = False
        """Jobs are stopped because the node ends: that is no result, and they are started elsewhere."""

    def write(self, line: bytes) -> None:
        """Send a line."""
        if self.ending and json.loads(line).get("outcome") == "cancelled":
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._writer.write, line)

    def flush(self) -> None:
        """As of a file."""


class Requests:
    """The lines that have come, for the thread that serves them; each job gets a folder of this machine."""

    def __init__(self, folder: str, logs: Logs) -> None:
        self._folder, self._logs = folder, logs
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
        self._logs.add(request["job"]["id"], f"{place}/gridcwl-0")
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
    left = TimeLeft(about, os.environ)
    context = tls_of(about["certificate"], about["key"])
    connecting = asyncio.open_connection(about["host"], about["port"], ssl=context, limit=_LINE)
    reader, writer = await asyncio.wait_for(connecting, _CONNECT_S)
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MS)
    loop = asyncio.get_running_loop()
    logs, leave = Logs(), asyncio.Event()
    requests = Requests(own_folder(about["folder"]), logs)
    results = Results(loop, writer)
    server: Any = JobServer(about["slots"], results)  # type: ignore[arg-type]
    serving = threading.Thread(target=server.serve, args=(requests,))
    serving.start()
    hello = {"hello": os.uname().nodename, "site": os.environ.get("GRIDCWL_SITE", "")}
    writer.write(json.dumps(hello).encode("ascii") + b"\n")
    beside = [_alive(writer), _logged(writer, logs), _leaving(writer, reader, left, leave)]
    tasks = [asyncio.ensure_future(one) for one in beside]

    def end() -> None:
        """At once, as if the pool had ended: all tools are stopped."""
        writer.write(b'{"leaving": 0}\n')
        reader.feed_eof()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU):  # how batch systems say that the time runs out
        loop.add_signal_handler(number, leave.set)
    try:
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                break
            requests.put(line)
    except (OSError, ValueError):
        pass
    finally:
        for task in tasks:
            task.cancel()
        results.ending = True
        requests.put(None)
        await loop.run_in_executor(None, serving.join)
        writer.close()


async def _alive(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(_ALIVE_S)
        writer.write(b"{}\n")


async def _logged(writer: asyncio.StreamWriter, logs: Logs) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        for line in logs.look():
            writer.write(line)


async def _leaving(
    writer: asyncio.StreamWriter, reader: asyncio.StreamReader, left: TimeLeft, leave: asyncio.Event
) -> None:
    """Announce that the time runs out, with the seconds in which jobs may still end; then end, whatever they do."""
    while not leave.is_set() and left.seconds() > left.margin_s:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(leave.wait(), max(0.1, min(_ALIVE_S, left.seconds() - left.margin_s)))
    last_s = min(_LAST_S, left.margin_s / 4)
    seconds = max(0.0, min(left.seconds(), left.margin_s) - last_s)
    writer.write(json.dumps({"leaving": round(seconds, 1)}).encode("ascii") + b"\n")
    await asyncio.sleep(seconds + last_s / 2)
    reader.feed_eof()


def start_as_node(arguments: Optional[List[str]] = None) -> Any:
    """What every node begins with; returns what the file says that it is started with."""
    (path,) = sys.argv[1:] if arguments is None else arguments
    os.environ.pop("PYTHONPATH", None)  # it was for us, and is not for the tools
    with open(path, encoding="utf-8") as file:
        about = json.load(file)
    about["folder"] = os.path.abspath(about["folder"])
    ORPHANS.watch()
    return about


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve the pool that the file describes; returns the exit code."""
    about = start_as_node(arguments)
    try:
        asyncio.run(serve(about))
    except (OSError, asyncio.TimeoutError) as error:
        print(f"gridcwl: the pool at {about['host']}:{about['port']} cannot be reached: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    ORPHANS.own_process = True
    sys.exit(main())
