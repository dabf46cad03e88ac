"""What the tools have left: a file to which each appends when it starts and when it ends."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Marks:
    """The witness as it was when it was read.

    Attributes:
        started: how often each job was started, by identity.
        ended: how often each came to its end, however.
        identities: the job of each start, by the start's nonce.
    """

    started: Counter[str]
    ended: Counter[str]
    identities: dict[str, str]


def read(file: Path) -> Marks:
    """All marks."""
    started, ended, identities = Counter[str](), Counter[str](), dict[str, str]()
    for line in file.read_text().splitlines() if file.exists() else []:
        kind, job, nonce, *_ = line.split()
        if kind == "start":
            started[job] += 1
            identities[nonce] = job
        else:
            ended[job] += 1
    return Marks(started, ended, identities)


def nonce_in(log: str) -> str:
    """The nonce that a tool has written to its log; empty if there is none."""
    for line in log.splitlines():
        if line.startswith("nonce "):
            return line.removeprefix("nonce ").strip()
    return ""


class WitnessServer:
    """Appends what comes to a port: tools in containers do not see this machine's files."""

    def __init__(self, host: str) -> None:
        self._listener = socket.create_server((host, 0))
        self.host, self.port = host, int(self._listener.getsockname()[1])
        self.file: Path | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._take, args=(self._listener.accept()[0],), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rw") as stream:
            line = stream.readline()
            if line.endswith("\n") and self.file is not None:
                with self._lock, self.file.open("a") as file:
                    file.write(line)
                stream.write("ok\n")
                stream.flush()
