"""Where one testbed lives: its folder, its ports, its logs and its locks."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridcwl.testbed.errors import TestbedError

# Below Linux's ephemeral ports, which begin at 32768: there, somebody's outgoing connection may take ours.
_FIRST_PORT, _LAST_PORT = 20000, 31999
_BLOCK = 64


def default_root() -> Path:
    """The testbed's folder where nobody says another.

    As root the servers drop to users of their own, who cannot look into root's home.
    """
    import platformdirs

    if os.geteuid() == 0 and "XDG_DATA_HOME" not in os.environ:
        return Path("/var/lib/gridcwl/testbed")
    return platformdirs.user_data_path("gridcwl") / "testbed"


@dataclass(frozen=True, slots=True)
class InstallFolder:
    """One testbed's folder; nothing outside it is touched."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.absolute())

    def folder(self, *parts: str) -> Path:
        """A folder of the testbed's, made if it is missing, for its owner alone.

        The root itself may be passed through: as root, servers run as other users, in folders that are given to them.
        """
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder = self.root
        for part in parts:
            folder /= part
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log(self, service: str) -> Path:
        """Where a service's output goes."""
        return self.folder("log") / f"{service}.log"

    @property
    def hostname(self) -> str:
        """The only name that servers here are known by, and that their certificates are good for."""
        return "localhost"

    def port(self, name: str) -> int:
        """The loopback port of this name: chosen once, when it was free, and kept.

        Raises:
            TestbedError: there is none left.
        """
        with self.lock("ports"):
            ports = self._ports()
            if name not in ports:
                ports[name] = self._free(set(ports.values()))
                self._keep(ports)
            return ports[name]

    def configure_port(self, name: str, port: int) -> None:
        """From now on the port of this name is that one."""
        with self.lock("ports"):
            self._keep({**self._ports(), name: port})

    def known_port(self, name: str) -> int | None:
        """The port of this name, if one was chosen."""
        return self._ports().get(name)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold this lock of the testbed's among all processes; the system lets go of it when this one ends."""
        with locked(self.folder("locks") / name):
            yield

    def _ports(self) -> dict[str, int]:
        try:
            found: dict[str, int] = json.loads((self.root / "ports.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def _keep(self, ports: dict[str, int]) -> None:
        written = self.folder() / "ports.json.new"
        written.write_text(json.dumps(ports, indent=1) + "\n")
        written.replace(self.root / "ports.json")

    def _free(self, taken: set[int]) -> int:
        """A free port; every testbed looks in a block of its own first, so that two do not meet while one is down."""
        count = (_LAST_PORT - _FIRST_PORT + 1) // _BLOCK * _BLOCK
        block = int.from_bytes(hashlib.sha256(os.fsencode(self.root)).digest()[:4]) % (count // _BLOCK)
        for number in range(count):
            port = _FIRST_PORT + (block * _BLOCK + number) % count
            if port not in taken and is_free(port):
                return port
        raise TestbedError("No loopback port is free for the testbed", remedy="End what listens on so many of them.")


def is_free(port: int) -> bool:
    """Nobody listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among all processes; the system releases it when this one ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
