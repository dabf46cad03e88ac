"""A node with a shell: ``python -m gridcwl.worker.shell_node shell-node.json``, on a worker node of some batch system.

It connects outwards, by TLS, to ``gridcwl shell`` on the user's machine, fetches the inputs of a job, and runs a
command in the job's container. The streams of the command are lines of that connection. When that is lost, or the time
is over, the command ends and so does the node. The private key is removed once it is read: no tool ever sees it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import logging
import os
import pty
import signal
import socket
import ssl
import struct
import sys
import termios
import threading
from typing import Callable, Dict, List, Optional, Tuple

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.batch import unpack
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Engine, EngineError, Plain
from gridcwl.worker.interactive import SHELL, InteractiveEngine
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.pool_node import start_as_node, tls_of
from gridcwl.worker.site import engine_of, settings_of

SETTINGS = "shell-node.json"
FILES = "shell-files.tar"
CHUNK = 1 << 15
LINE = 1 << 17
"""The most bytes of a line of the connection."""
ALIVE_S, SILENT_S = 20.0, 90.0
"""Between two signs of life; and how long the peer may be silent before the connection counts as lost."""
_CONNECT_S = 60.0
_DRAIN_S = 5.0
_LOST = "The connection was lost."


class ShellConnection:
    """Lines of JSON in both directions. Lines may be sent by any thread."""

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(SILENT_S)
        self._socket = connected
        self._file = connected.makefile("rb")
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def send(self, message: Plain) -> None:
        """Send a line; a connection that is lost is noticed by who reads."""
        line = json.dumps(message).encode("ascii") + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(line)

    def send_bytes(self, name: str, data: bytes) -> None:
        """Send some of a stream."""
        self.send({name: base64.b64encode(data).decode("ascii")})

    def receive(self) -> Optional[Plain]:
        """The next line that is more than a sign of life; None when the connection is lost."""
        while True:
            try:
                line = self._file.readline(LINE + 1)
                message = json.loads(line) if line.endswith(b"\n") else None
            except (OSError, ValueError, RecursionError):
                return None
            if not isinstance(message, dict):
                return None
            if message:
                return message

    def close(self) -> None:
        """Close the connection."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()

    def _keep_alive(self) -> None:
        while not self._closed.wait(ALIVE_S):
            self.send({})


class ShellStreams:
    """The streams of the command at this end: a terminal, or three pipes."""

    def __init__(self, terminal: bool) -> None:
        self._size: "Optional[int]" = None
        self._theirs: "List[int]" = []
        if terminal:
            own, their = pty.openpty()
            self._size, self._stdin, outputs = own, own, {"out": own}
            self.of_command: "Tuple[int, int, int]" = (their, their, their)
            self._theirs = [their]
        else:
            (read_in, self._stdin), (out, write_out), (err, write_err) = os.pipe(), os.pipe(), os.pipe()
            outputs = {"out": out, "err": err}
            self.of_command = (read_in, write_out, write_err)
            self._theirs = [read_in, write_out, write_err]
        self._outputs: "Dict[str, int]" = outputs
        self._threads: "List[threading.Thread]" = []

    def carry_to(self, send: "Callable[[str, bytes], None]") -> None:
        """Have what the command writes sent."""

        def carry(name: str, descriptor: int) -> None:
            with contextlib.suppress(OSError):  # a terminal that nobody has open
                while data := os.read(descriptor, CHUNK):
                    send(name, data)

        for name, descriptor in self._outputs.items():
            thread = threading.Thread(target=carry, args=(name, descriptor), daemon=True)
            thread.start()
            self._threads.append(thread)

    def take(self, message: Plain) -> None:
        """What the user has sent: bytes, the end of them, or the size of the terminal."""
        with contextlib.suppress(OSError):  # the command has closed its stdin
            if "in" in message:
                rest = base64.b64decode(message["in"])
                while rest:
                    rest = rest[os.write(self._stdin, rest) :]
            elif "eof" in message and self._size is None and self._stdin >= 0:
                os.close(self._stdin)
                self._stdin = -1
            elif "size" in message and self._size is not None:
                rows, columns = message["size"]
                fcntl.ioctl(self._size, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))

    def drain(self) -> None:
        """Wait until all that the command wrote is sent; what it left running may hold the streams open."""
        for descriptor in self._theirs:
            os.close(descriptor)
        for thread in self._threads:
            thread.join(_DRAIN_S)


class ShellNode:
    """The command in the job's container, and the connection."""

    def __init__(self, about: Plain, connection: ShellConnection) -> None:
        self._about, self._connection = about, connection
        self._job: Plain = json.loads(about["job"])  # as a text, in which the start script finds nothing of its own
        self._site = os.environ.get("GRIDCWL_SITE", "")
        self._control = Control()
        self._over = False

    def serve(self) -> None:
        """Run the command until it ends, and send how."""
        about = self._about
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._control.stop("The job was stopped at the site."))
        timer = threading.Timer(about["time_s"], self._control.stop, ("The time of the job is over.",))
        timer.daemon = True
        timer.start()
        self._connection.send({"hello": os.uname().nodename, "site": self._site})
        streams = ShellStreams(about["terminal"])
        streams.take({"size": about["size"]} if about["terminal"] else {})
        threading.Thread(target=self._listen, args=(streams,), daemon=True).start()
        streams.carry_to(self._connection.send_bytes)
        result = self._run(streams)
        streams.drain()
        code = result["exit_code"]
        ended = {"exit": code} if code is not None else {"failed": str(result["reason"])[:4000]}
        self._over = True
        self._connection.send(ended)
        timer.cancel()
        ORPHANS.end_all()

    def _run(self, streams: ShellStreams) -> Plain:
        about = self._about
        if about["carried"]:
            unpack(FILES, os.getcwd())
        try:
            engine = self._engine()
        except EngineError as error:
            return {"exit_code": None, "reason": str(error)}
        command = about["command"] or (SHELL if about["terminal"] else ("sh",))
        shell = InteractiveEngine(
            engine, command, terminal=about["terminal"], term=about["term"], streams=streams.of_command
        )
        options = WorkerOptions(base=os.getcwd(), site=self._site)
        return run_job(self._job, os.path.abspath("job"), shell, self._control, options=options)

    def _engine(self) -> Engine:
        if self._job.get("image") is None:
            return BareEngine()
        return engine_of(settings_of(self._about["sites"], self._site), site=self._site)

    def _listen(self, streams: ShellStreams) -> None:
        while (message := self._connection.receive()) is not None:
            streams.take(message)
        if not self._over:
            self._control.kill(_LOST)


def connected(about: Plain) -> ShellConnection:
    """The connection to the user's machine.

    Raises:
        OSError: it cannot be reached, or is another one.
    """
    context: ssl.SSLContext = tls_of(about["certificate"], about["key"])
    plain = socket.create_connection((about["host"], about["port"]), _CONNECT_S)
    return ShellConnection(context.wrap_socket(plain))


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve the user whom the file describes; returns the exit code."""
    logging.basicConfig(format="gridcwl-worker: %(levelname)s: %(message)s", stream=sys.stderr, level=logging.INFO)
    about = start_as_node(arguments)
    try:
        connection = connected(about)
    except OSError as error:
        print(f"gridcwl: {about['host']}:{about['port']} cannot be reached: {error}", file=sys.stderr)
        return 1
    try:
        ShellNode(about, connection).serve()
    finally:
        connection.close()
    return 0


if __name__ == "__main__":
    ORPHANS.own_process = True
    sys.exit(main())
