"""Things that go wrong, on purpose and for a while: stopped, paused, slow and full servers, proxies that expired.

All of it is undone by :meth:`Faults.undo`; the pytest plugin's fixture ``faults`` does that after each test.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from gridcwl.testbed.dirac.service import DiracService
from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.rucio.service import RucioService
from gridcwl.testbed.testbed import Testbed

_CHUNK = 65536


class Faults:
    """The switches of one testbed."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._undo: list[Callable[[], None]] = []

    def stop(self, service: str) -> None:
        """Stop a service; :meth:`start` or :meth:`undo` brings it back."""
        self._undo.append(lambda: self.start(service))
        self._testbed.service(service).down()

    def start(self, service: str) -> None:
        """Bring a service back."""
        self._testbed.service(service).up(_quiet)

    def kill(self, process: str) -> None:
        """Stop one process of a service, such as ``postgresql`` of Rucio's."""
        self._undo.append(lambda: self._testbed.up(_quiet))
        self._testbed.processes.stop(process)

    def pause(self, process: str) -> None:
        """Stop a process in its tracks: connections are taken and stay open, nothing is answered."""
        self._undo.append(lambda: self.resume(process))
        self._testbed.processes.pause(process)

    def resume(self, process: str) -> None:
        """End the pause."""
        with suppress(TestbedError):
            self._testbed.processes.resume(process)

    def slow(self, port_name: str, delay_s: float) -> int:
        """A port that is this server's, with so long a delay before every answer.

        ``rucio.clients.configuration(account, url=...)`` is for a Rucio that is behind it.
        """
        proxy = SlowProxy(self._testbed.place.port(port_name), delay_s)
        self._undo.append(proxy.close)
        return proxy.port

    def silent(self, port_name: str) -> SlowProxy:
        """As :meth:`slow`, but it takes connections and answers nothing until ``speak()``."""
        proxy = SlowProxy(self._testbed.place.port(port_name), 0.0, silent=True)
        self._undo.append(proxy.close)
        return proxy

    @contextmanager
    def full(self, storage: str, room: int = 65536) -> Iterator[Path]:
        """A storage element whose disk has so many bytes left, until the context ends; its files are hidden meanwhile.

        Raises:
            TestbedError: this user may not mount a disk.
        """
        folder = self._rucio().storage(storage)
        owner = folder.stat()
        options = f"size={room},mode=0755,uid={owner.st_uid},gid={owner.st_gid}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "gridcwl-testbed", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            raise TestbedError(f"A small disk cannot be mounted on {folder}: {mounted.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def fill(self, storage: str, room: int = 65536) -> None:
        """As :meth:`full`, until :meth:`undo`."""
        opened = ExitStack()
        opened.enter_context(self.full(storage, room))
        self._undo.append(opened.close)

    def expire_proxy(self, account: str) -> Path:
        """The account's proxy is one that has expired an hour ago."""
        clients = self._rucio().clients
        self._undo.append(lambda: clients.proxy(account).unlink())
        return clients.proxy(account, timedelta(hours=-1))

    def expire_grid_proxy(self, lifetime: timedelta = timedelta(hours=-1)) -> Path:
        """The proxy of DIRAC's user is one that has expired an hour ago, or will when its lifetime is over."""
        service = self._testbed.service("dirac")
        assert isinstance(service, DiracService)
        self._undo.append(service.proxies.renew)
        service.proxies.renew(lifetime)
        return service.proxies.user

    def expire_session(self, account: str) -> None:
        """The token that Rucio's client has kept for this account is worth nothing any more."""
        token = self._rucio().clients.configuration(account).parent / "token"
        self._undo.append(lambda: token.unlink(missing_ok=True))
        token.write_text(f"{account}-expired-unknown-{'0' * 32}")

    def lose(self, storage: str, path: str) -> None:
        """A file of a storage element is gone; Rucio does not know."""
        (self._rucio().storage(storage) / path).unlink()

    def corrupt(self, storage: str, path: str) -> None:
        """A file of a storage element has other bytes than Rucio knows; as many as before."""
        file = self._rucio().storage(storage) / path
        data = bytearray(file.read_bytes() or b"\0")
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(bytes(data))

    def undo(self) -> None:
        """Everything is as it was; the last fault goes first."""
        while self._undo:
            self._undo.pop()()

    def _rucio(self) -> RucioService:
        service = self._testbed.service("rucio")
        assert isinstance(service, RucioService)
        return service


class SlowProxy:
    """Takes connections on a port of its own and passes everything on, answers with a delay."""

    def __init__(self, target: int, delay_s: float, *, silent: bool = False) -> None:
        self._target = target
        self._delay_s = delay_s
        self._speaks = threading.Event()
        if not silent:
            self._speaks.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def speak(self) -> None:
        """End the silence: connections that wait are passed on as well."""
        self._speaks.set()

    def close(self) -> None:
        """Take no more connections."""
        self.speak()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._speaks.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for source, sink, delay_s in ((client, server, 0.0), (server, client, self._delay_s)):
                threading.Thread(target=_pump, args=(source, sink, delay_s), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            time.sleep(delay_s)
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def can_fill() -> bool:
    """This user may mount a disk: :meth:`Faults.fill` works."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and not subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ).returncode  # fmt: skip


def _quiet(_text: str) -> None:
    """Says nothing."""
