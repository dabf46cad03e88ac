"""What gridcwl reports of each run, in a file of the run: the command line would print it on stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Self

_MOST_BYTES = 16 << 20
_current: ContextVar[Messages | None] = ContextVar("messages", default=None)


class Messages:
    """A file of messages, which only grows. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None
        self._written = 0

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stream = self._path.open("ab", buffering=0)
        self._written = self._stream.tell()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def write(self, text: str) -> None:
        """Add lines, each with the time; what is beyond 16 MiB is left out."""
        if self._stream is None or self._written > _MOST_BYTES:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        data = "".join(f"{now} {line}\n" for line in text.splitlines()).encode("utf-8", "backslashreplace")
        self._written += len(data)
        with suppress(OSError):  # a full disk ends no run
            self._stream.write(data)


@contextmanager
def reporting(messages: Messages) -> Iterator[None]:
    """What this task and those that it starts log goes there."""
    token = _current.set(messages)
    try:
        yield
    finally:
        _current.reset(token)


class RunHandler(logging.Handler):
    """Gives warnings to the run that they are of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        messages = _current.get()
        if messages is not None:
            with suppress(Exception):  # as logging's own handlers do
                messages.write(record.getMessage())
