"""Getting the bytes of an input to this machine: one function per URL scheme, in a table."""

from __future__ import annotations

import os
import stat
from typing import Callable, Dict, Iterable, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from gridcwl.worker.failure import PERMANENT, TEMPORARY, Failure, printable


class Unavailable(Exception):
    """This source does not have the bytes; the next one may. The message is part of a sentence."""


class Fetched(NamedTuple):
    """An input that is on this machine now."""

    path: str
    """Absolute."""
    location: str
    """The URL by which others know it."""
    size: int
    directory: bool

    def child(self, name: str, directory: bool) -> "Fetched":
        """An entry of this directory."""
        return Fetched(f"{self.path}/{name}", f"{self.location}/{quote_path(name)}", 0, directory)


Fetch = Callable[[str, str], str]
"""Takes a URL and a folder that downloads go to; returns the absolute local path of the file or directory.

Raises ``Unavailable``, or OSError.
"""


def _from_file(url: str, _folder: str) -> str:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise Unavailable(f"{url} is on another machine")
    # Not parts.path alone: in a file name, a ? or # that nobody quoted is more likely than a query.
    return unquote(url.split("://", 1)[1][len(parts.netloc) :], errors="surrogateescape")


FETCHERS: Dict[str, Fetch] = {"file": _from_file}
"""By scheme. Remote ones (davs, root, rucio) download into the folder they are given."""


def fetch(sources: Iterable[str], base: str, folder: str) -> Fetched:
    """The first of the sources that can be had. Relative paths are relative to ``base``.

    Raises:
        Failure: none can; temporary when one of them is remote.
    """
    problems = []
    remote = False
    for source in sources:
        scheme = scheme_of(source)
        remote = remote or scheme not in ("", "file")
        try:
            path = FETCHERS[scheme](source, folder) if scheme else os.path.join(base or os.getcwd(), source)
            path = path.rstrip("/") or "/"
            status = os.stat(path)
        except KeyError:
            problems.append(f"{source}: this worker cannot read {scheme}:// URLs")
        except Unavailable as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{printable(source)}: {error.strerror}")
        else:
            location = source.rstrip("/") if scheme else file_url(os.path.normpath(path))
            return Fetched(path, location, status.st_size, stat.S_ISDIR(status.st_mode))
    raise Failure("An input cannot be had: " + "; ".join(problems) + ".", TEMPORARY if remote else PERMANENT)


def scheme_of(source: str) -> str:
    """The URL's scheme; empty for a plain path."""
    head, separator, _ = source.partition("://")
    return head if separator and head.isalnum() else ""


def file_url(path: str) -> str:
    """The URL of an absolute path, whatever bytes it has."""
    return "file://" + quote_path(path)


def quote_path(path: str) -> str:
    """A path as a part of a URL."""
    return quote(os.fsencode(path))
