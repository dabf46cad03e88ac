"""What a run may read when its document's author is not trusted: folders of this machine and URLs, by allow-list.

A service sets it for each run; on the command line there is none, and a document reads what its user may read. It holds
for the current task or thread and those that it starts, as runs share a process.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from gridcwl.errors import UnsafePath
from gridcwl.model import paths


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the documents of a run, and the Files that they name, may be."""

    folders: tuple[str, ...] = ()
    """Absolute paths without symbolic links; what is below them may be read."""
    urls: tuple[str, ...] = ()
    """Beginnings of URLs."""
    in_place: bool = False
    """Tools may change their inputs in place."""
    build_images: bool = False
    """Images may be built or loaded, not only pulled."""
    network: bool = False
    """Tools may use the network."""

    def allows_file(self, path: str) -> bool:
        """Whether an absolute path, with symbolic links followed, is below one of the folders."""
        if "\0" in path:
            return False
        real = os.path.realpath(path)
        return any(real == folder or real.startswith(f"{folder.rstrip('/')}/") for folder in self.folders)

    def allows_url(self, url: str) -> bool:
        """Whether a URL begins as one of those that are allowed, and cannot be read in two ways."""
        if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\<>"{}|^`'):
            return False
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018  raises for what is no port
        except ValueError:
            return False
        if "@" in parts.netloc or paths.dotted(unquote(unquote(parts.path)).split("/")):
            return False
        plain = f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path}"
        return any(plain.startswith(prefix) for prefix in self.urls)

    def also(self, *folders: str) -> Confinement:
        """With more folders."""
        return replace(self, folders=(*self.folders, *(os.path.realpath(folder) for folder in folders)))

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {name: getattr(self, name) for name in self.__slots__}


_current: ContextVar[Confinement | None] = ContextVar("confinement", default=None)


def confine(confinement: Confinement | None) -> None:
    """Let it hold from now on, for the current task or thread and for those that it starts."""
    _current.set(confinement)


def current() -> Confinement | None:
    """What holds now; None if nothing does."""
    return _current.get()


def check_file(path: str, what: str) -> None:
    """See that a file of this machine may be read.

    Raises:
        UnsafePath: it may not.
    """
    confinement = _current.get()
    if confinement is not None and not confinement.allows_file(path):
        raise UnsafePath(what, paths.quoted(path), "is not below a folder that this service reads")


def check_url(url: str, what: str) -> None:
    """See that a URL may be fetched.

    Raises:
        UnsafePath: it may not.
    """
    confinement = _current.get()
    if confinement is not None and not confinement.allows_url(url):
        raise UnsafePath(what, paths.quoted(url), "is not below a URL that this service fetches from")
