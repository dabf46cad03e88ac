"""ChecksumCache of input files: computed once, and stored as long as size and time of the file are the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder
from gridcwl.model import StagedFile, paths
from gridcwl.model.objects import entries
from gridcwl.runs.record.journal_file import connect
from gridcwl.stores.local import uri

QUICK = 256 * 1024  # bytes: hashing this takes less time than looking it up
LARGE = 256 * 1024 * 1024
_CHUNK = 1 << 20


class ChecksumCache:
    """Identifies the bytes of inputs. May be used by many threads."""

    def __init__(self, memo: Path | None, *, by_content: bool) -> None:
        """Prepare; nothing is opened yet.

        Args:
            memo: where checksums are remembered from run to run; None for nowhere.
            by_content: also large files are read. Otherwise they are known by path, size and time, which is enough to
                continue a run, but not to know the same file in another place.
        """
        self._memo = memo
        self._by_content = by_content
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def takes_long(self, entries: Iterable[StagedFile]) -> bool:
        """Whether identifying them is nothing to be done between two events."""
        total = 0
        for number, entry in enumerate(entries):
            path = local_path(entry.sources[0])
            if path is None:
                continue
            if entry.kind == "directory" or number > 16:
                return True
            with contextlib.suppress(OSError):
                total += os.stat(path).st_size  # noqa: PTH116  called for every input
            if total > QUICK:
                return True
        return False

    def identify(self, entries: Iterable[StagedFile]) -> dict[str, str]:
        """What says which bytes they have, by URL. What is not there is known by its URL: the job will say so."""
        return {entry.sources[0]: self._identity(entry.sources[0]) for entry in entries}

    def close(self) -> None:
        """Close the memory."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
                self._memo = None

    def _identity(self, url: str) -> str:
        path = local_path(url)
        if path is None:
            return url
        try:
            about = os.stat(path)  # noqa: PTH116
            if stat.S_ISDIR(about.st_mode):
                return self._tree(path)
            return self._file(path, about)
        except OSError:
            return url

    def _tree(self, root: str) -> str:
        digest = hashlib.sha1()
        for folder, folders, names in os.walk(root, followlinks=False):
            folders.sort()
            for name in sorted([*folders, *names]):
                path = f"{folder}/{name}"
                about = _look(path)
                what = "directory" if stat.S_ISDIR(about.st_mode) else self._file(path, about)
                digest.update(os.fsencode(f"{path[len(root) :]}\0{what}\0"))
        return f"directory sha1${digest.hexdigest()}"

    def _file(self, path: str, about: os.stat_result) -> str:
        if not stat.S_ISREG(about.st_mode):
            return f"{stat.S_IFMT(about.st_mode):o} {path}"  # a pipe must not be read
        if about.st_size > LARGE and not self._by_content:
            return f"{path} of {about.st_size} bytes, changed {about.st_mtime_ns}"
        known = self._remembered(path, about) if about.st_size > QUICK else None
        if known is None:
            known = sha1_of(path)
            if about.st_size > QUICK:
                self._remember(path, about, known)
        return f"sha1${known} {about.st_size}"

    def _remembered(self, path: str, about: os.stat_result) -> str | None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._opened().execute("SELECT looks, sha1 FROM sums WHERE path=?", (os.fsencode(path),)).fetchone()
            if row is not None and row[0] == _looks(about):
                return str(row[1])
        return None

    def _remember(self, path: str, about: os.stat_result, sha1: str) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._opened().execute(
                "INSERT OR REPLACE INTO sums VALUES (?, ?, ?)", (os.fsencode(path), _looks(about), sha1)
            )

    def _opened(self) -> sqlite3.Connection:
        """Without a memory the work is only done again: nothing that goes wrong here is worth stopping for."""
        if self._db is None:
            if self._memo is None:
                raise sqlite3.OperationalError("there is no memory")
            try:
                private_folder(self._memo.parent)
            except OSError as error:
                self._memo = None
                raise sqlite3.OperationalError(str(error)) from error
            self._db = connect(self._memo)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute("CREATE TABLE IF NOT EXISTS sums (path BLOB PRIMARY KEY, looks TEXT, sha1 TEXT)")
        return self._db


def declared_checksums(inputs: Any) -> frozenset[str]:
    """URLs of the local files in an input object that come with a checksum: the user's word, which may be outdated."""
    return frozenset(_declared(inputs))


def _declared(value: Any) -> Iterator[str]:
    for entry in entries(value, "File"):
        location = str(entry.get("location", ""))
        if entry.get("checksum") and (path := local_path(location)) is not None:
            yield from {location, uri(Path(path))}


def sha1_of(path: str) -> str:
    """The SHA-1 of a file.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha1()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def local_path(url: str) -> str | None:
    """The path of a file of this machine; None for what lies elsewhere.

    Raises:
        UnsafePath: it is a file of another host, or its path is not acceptable.
    """
    if not url.startswith("file://"):
        return None
    return paths.file_path(url, "The location of a file of this machine")


def _look(path: str) -> os.stat_result:
    """Of what a link leads to; of the link itself if that is nowhere."""
    try:
        return os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return os.lstat(path)


def _looks(about: os.stat_result) -> str:
    # Without the time of the inode's last change: a hard link, by which a container may see the file, changes that.
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ino} {about.st_dev}"
