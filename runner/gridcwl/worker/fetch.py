"""Getting the bytes of an input to this machine: the replicas one after the other, those nearby first, each checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import Iterable, List, NamedTuple, Sequence

from gridcwl.worker.credentials import NOBODY, Trusted
from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import PERMANENT, TEMPORARY, SourceUnavailable, WorkerFailure, is_no_room, printable
from gridcwl.worker.paths import file_url, name_in, quote_path
from gridcwl.worker.storage import Check, Known, path_of, sums, way_to
from gridcwl.worker.web import shown_url


class Fetched(NamedTuple):
    """An input that is on this machine now."""

    path: str
    """Absolute."""
    location: str
    """The URL by which others know it."""
    size: int
    directory: bool
    source: str = ""
    """The URL that it was read from, where there was a choice or a transfer."""

    def child(self, name: str, directory: bool) -> "Fetched":
        """An entry of this directory."""
        return Fetched(f"{self.path}/{name}", f"{self.location}/{quote_path(name)}", 0, directory)


class FetchRequest(NamedTuple):
    """What is to be fetched."""

    sources: Sequence[str]
    """To try in turn. Relative paths are relative to ``base``."""
    known: Known = Known()
    location: str = ""
    """The URL by which it is known, if the sources are copies of that: then each is checked before it is taken."""
    trusted: Trusted = NOBODY
    """Where credentials may be sent."""


def fetch(wanted: FetchRequest, base: str, folder: str, check: Check) -> Fetched:
    """The first of the sources that is available. Downloads go to ``folder``.

    Raises:
        Failure: none can; temporary when one of them is remote.
    """
    problems = []
    remote = bool(wanted.location)
    for source in wanted.sources:
        scheme = scheme_of(source)
        remote = remote or scheme not in ("", "file")
        try:
            if scheme in ("", "file"):
                return _here(wanted, source, scheme, base, check)
            return _brought(wanted, source, folder, check)
        except SourceUnavailable as error:
            problems.append(str(error))
        except OSError as error:
            if is_no_room(error):
                raise
            problems.append(f"{printable(shown_url(source))}: {error.strerror}")
    name = f" {printable(shown_url(wanted.location))}" if wanted.location else ""
    if not problems:
        problems = ["no replica of it is available"]
    raise WorkerFailure(
        f"An input{name} could not be fetched: " + "; ".join(problems) + ".", TEMPORARY if remote else PERMANENT
    )


def nearest_first(sources: Sequence[str], elements: Iterable[Plain], site: str) -> List[str]:
    """The sources on storage elements of this site, then the others; otherwise in their order."""
    near = tuple(url for element in elements if site in element.get("sites", ()) for url in element["urls"])
    if not site or not near or len(sources) < 2:
        return list(sources)
    return sorted(sources, key=lambda source: not source.startswith(near))


def known_of(item: Plain) -> Known:
    """What a staged entry says of its bytes."""
    kind, _, digest = (item["checksum"] or "").partition("$")
    return Known(
        item["size"], digest if kind == "adler32" and digest else None, digest if kind == "sha1" and digest else None
    )


def _here(wanted: FetchRequest, source: str, scheme: str, base: str, check: Check) -> Fetched:
    path = path_of(source) if scheme else os.path.join(base or os.getcwd(), source)
    path = path.rstrip("/") or "/"
    status = os.stat(path)
    directory = stat.S_ISDIR(status.st_mode)
    if wanted.location:
        if not directory:
            _compare(wanted, source, sums(path, check) if _has_sum(wanted.known) else Known(status.st_size))
        return Fetched(path, wanted.location, status.st_size, directory, source)
    location = source.rstrip("/") if scheme else file_url(os.path.normpath(path))
    return Fetched(path, location, status.st_size, directory)


def _brought(wanted: FetchRequest, source: str, folder: str, check: Check) -> Fetched:
    way = way_to(source, wanted.trusted)
    place = f"{folder}/{hashlib.sha1(source.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"  # noqa: S324
    os.makedirs(place, exist_ok=True)
    path = f"{place}/{_name_in(wanted.location or shown_url(source))}"
    try:
        got = way.get(source, path + ".part", check)
        _compare(wanted, source, got)
        os.replace(path + ".part", path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path + ".part")
        raise
    return Fetched(path, wanted.location or source, got.size or 0, False, source)


def _compare(wanted: FetchRequest, source: str, got: Known) -> None:
    mismatch = wanted.known.mismatch(got)
    if mismatch:
        raise SourceUnavailable(f"{printable(shown_url(source))} {mismatch}")


def _has_sum(known: Known) -> bool:
    return known.adler32 is not None or known.sha1 is not None


def _name_in(url: str) -> str:
    return name_in(url, "file")


def scheme_of(source: str) -> str:
    """The URL's scheme; empty for a plain path."""
    head, separator, _ = source.partition("://")
    return head if separator and head.isalnum() else ""


__all__: Sequence[str] = (
    "Fetched",
    "FetchRequest",
    "fetch",
    "known_of",
    "nearest_first",
    "scheme_of",
)
