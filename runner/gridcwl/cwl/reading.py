"""Texts that documents name (``run``, ``$import``, ``$include``, ``$schemas``), and input objects: read within limits.

A document may name any file: one that has no end, such as ``/dev/zero``, or a pipe that nobody writes to.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import IO
from urllib.parse import unquote, urlsplit

from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher

from gridcwl.errors import UnsafePath
from gridcwl.model import confinement, limits


class BoundedFetcher(DefaultFetcher):  # type: ignore[misc]
    """schema-salad's own, which reads files of any kind and size. The session has limits of its own."""

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """See ``Fetcher.fetch_text``."""
        if isinstance(self.cache.get(url), str):
            return str(super().fetch_text(url, content_types))
        check_allowed(url)
        if url.startswith("file:"):
            return file_text(url)
        return str(super().fetch_text(url, content_types))

    def check_exists(self, url: str) -> bool:
        """See ``Fetcher.check_exists``."""
        if url not in self.cache:
            check_allowed(url)
        return bool(super().check_exists(url))


def check_allowed(url: str) -> None:
    """See that a document may name this, where its author is not trusted.

    Raises:
        ValidationException: it may not.
    """
    try:
        if url.lower().startswith("file:"):
            confinement.check_file(unquote(urlsplit(url).path, errors="surrogateescape"), "The file")
        elif url.lower().startswith(("http:", "https:")):
            confinement.check_url(url.partition("#")[0], "The URL")
    except UnsafePath as error:
        raise ValidationException(error.message) from None


def file_text(url: str) -> str:
    """The text of a file by its URL.

    Raises:
        ValidationException: it cannot be read, is no file, or is too large.
        UnicodeDecodeError: it is not UTF-8.
    """
    path = unquote(urlsplit(url).path, errors="surrogateescape")
    if sys.platform == "win32":
        path = path.lstrip("/")
    try:
        with _opened(path) as file:
            data = file.read(limits.TEXT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValidationException(f"Error reading {url}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > limits.TEXT_BYTES:
        raise ValidationException(f"{url} is larger than {limits.TEXT_BYTES >> 20} MiB")
    return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _opened(path: str) -> IO[bytes]:
    _check_kind(os.stat(path))  # noqa: PTH116  to open a device may do something
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_kind(os.fstat(descriptor))
        return open(descriptor, "rb")  # noqa: PTH123
    except BaseException:
        os.close(descriptor)
        raise


def _check_kind(about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        what = "a directory" if stat.S_ISDIR(about.st_mode) else "a device, a pipe or a socket"
        raise OSError(0, f"It is {what}, not a file")
    if about.st_size > limits.TEXT_BYTES:
        raise OSError(0, f"It is larger than {limits.TEXT_BYTES >> 20} MiB")
