"""Size and checksums of a file's bytes, read once."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from typing import Callable, NamedTuple

_CHUNK = 1 << 20  # bytes: beyond, larger ones are not faster; SHA-1 is the limit
FIRST = 64 * 1024
"""How many bytes CWL's ``loadContents`` reads."""

_buffers = threading.local()


class Checksums(NamedTuple):
    """What one pass over a file gives."""

    size: int
    sha1: str
    adler32: str
    first: bytes
    """The first 64 KiB."""
    mode: int
    """As ``os.stat`` has it."""


def take(path: str, check: Callable[[], None]) -> Checksums:
    """Read the file once. ``check`` is called between the chunks and may raise to stop.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = _opened(path)
    try:
        mode = os.fstat(descriptor).st_mode
        first = os.read(descriptor, FIRST)
        sha1 = hashlib.sha1(first)
        adler32 = zlib.adler32(first)
        size = len(first)
        if size == FIRST:
            buffer = _buffer()
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                while count := file.readinto(buffer):
                    check()
                    chunk = buffer[:count]
                    sha1.update(chunk)
                    adler32 = zlib.adler32(chunk, adler32)
                    size += count
    finally:
        os.close(descriptor)
    return Checksums(size, sha1.hexdigest(), f"{adler32:08x}", first, mode)


def _opened(path: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        os.chmod(path, 0o600)  # a tool may leave files that nobody may read, and they are ours
        return os.open(path, flags)


def _buffer() -> memoryview:
    # One per thread and kept, as local backends collect thousands of files from a few threads.
    if not hasattr(_buffers, "view"):
        _buffers.view = memoryview(bytearray(_CHUNK))
    view: memoryview = _buffers.view
    return view
