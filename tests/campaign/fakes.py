"""Fakes of DIRAC and Rucio at sockets, whose answers can be delayed, lost and refused; and the client's end of them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any


@dataclass
class FaultyServer:
    """Answers calls of an object's methods at a socket.

    Attributes:
        refuses: connections are closed before anything is done.
        deaf: so many calls are done, and their answers are lost.
        delay_s: before each answer.
    """

    target: Any
    address: Path
    refuses: bool = False
    deaf: int = 0
    delay_s: float = 0.0
    _runs: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def open(self) -> Iterator[FaultyServer]:
        """Serve."""
        self._runs.set()
        with Listener(str(self.address), "AF_UNIX", backlog=32) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield self
            self.heal()

    def freeze(self) -> None:
        """Take connections and answer nothing, until :meth:`heal`."""
        self._runs.clear()

    def heal(self) -> None:
        """Be as any server."""
        self.refuses, self.deaf, self.delay_s = False, 0, 0.0
        self._runs.set()

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (OSError, EOFError) as error:
                if isinstance(error, OSError) and error.errno == 9:  # closed
                    return
                continue  # a client that was killed while it connected
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError), connection:
            while True:
                name, arguments, named = connection.recv()
                if self.refuses:
                    return
                self._runs.wait()
                time.sleep(self.delay_s)
                with self._lock:
                    try:
                        answer = getattr(self.target, name)(*arguments, **named)
                        given = (list(answer) if isinstance(answer, Iterator) else answer, None)
                    except Exception as error:  # noqa: BLE001  raised again where it was called
                        given = (None, error)
                    if self.deaf:
                        self.deaf -= 1
                        return
                connection.send(given)


class Caller:
    """The client's end; what it raises where a connection breaks is what DIRAC's or Rucio's own client would."""

    def __init__(self, address: str, lost: Exception, **fields: Any) -> None:
        self._address, self._lost = address, lost
        self._connections = threading.local()
        vars(self).update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                if not hasattr(self._connections, "mine"):
                    self._connections.mine = Client(self._address, "AF_UNIX")
                self._connections.mine.send((name, arguments, named))
                answer, error = self._connections.mine.recv()
            except (EOFError, OSError) as broken:
                vars(self._connections).clear()
                raise self._lost from broken
            if error is not None:
                raise error
            return answer

        return call


def connect(dirac: str = "", rucio: str = "") -> None:
    """In the client's process: let it find the fakes at these sockets."""
    if dirac:
        from gridcwl.backends.dirac import factory
        from gridcwl.backends.dirac.problems import DiracUnreachable

        lost = DiracUnreachable("DIRAC does not answer: connection reset by peer")
        caller = Caller(dirac, lost, survives=True)
        factory.server_name = lambda _settings: "dirac-local"  # type: ignore[assignment]  # it polls often
        factory.open_server = lambda *_, **__: contextlib.nullcontext(caller)  # type: ignore[assignment]
    if rucio:
        import requests

        from gridcwl.stores.rucio import client

        reset = requests.exceptions.ConnectionError("Connection aborted.")
        client._real_client = lambda *_: Caller(rucio, reset, vo="def", account="runner")  # type: ignore[assignment]
