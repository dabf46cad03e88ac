"""An object of this process for its forked children: what a fake server knows outlives a client that is killed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def served(target: Any, address: Path) -> Iterator[None]:
    """Answer calls of the object's methods at a socket."""
    lock = threading.Lock()
    with Listener(str(address), "AF_UNIX", backlog=16) as listener:
        threading.Thread(target=_accept, args=(listener, target, lock), daemon=True).start()
        yield


def _accept(listener: Listener, target: Any, lock: threading.Lock) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            threading.Thread(target=_answer, args=(listener.accept(), target, lock), daemon=True).start()


def _answer(connection: Connection, target: Any, lock: threading.Lock) -> None:
    with contextlib.suppress(EOFError, OSError), connection:  # the client has gone
        while True:
            name, arguments, named = connection.recv()
            try:
                with lock:
                    answer = getattr(target, name)(*arguments, **named)
                    connection.send((list(answer) if isinstance(answer, Iterator) else answer, None))
            except Exception as error:  # noqa: BLE001  raised again where it was called
                connection.send((None, error))


class Caller:
    """The client's end: calls methods of the object."""

    def __init__(self, address: Path, **fields: Any) -> None:
        self._address = str(address)
        self._connections = threading.local()
        vars(self).update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            if not hasattr(self._connections, "mine"):
                self._connections.mine = Client(self._address, "AF_UNIX")
            self._connections.mine.send((name, arguments, named))
            answer, error = self._connections.mine.recv()
            if error is not None:
                raise error
            return answer

        return call
