"""Results for other runs: kept by key with their files by content, and checked when they are taken.

DIR/results.db         what there is: key, result, where each file belongs
DIR/files/ab/cdef...   the files, by their SHA-1; hard links where that can be, copies elsewhere
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gridcwl.config import private_folder
from gridcwl.errors import GridCWLError, StoreError
from gridcwl.model import Job, JobResult, Outcome, ProducedFile, paths
from gridcwl.model.codec import result_from_json, to_json
from gridcwl.model.job import folder_name
from gridcwl.runs.record.journal_file import connect
from gridcwl.runs.reuse.checksums import local_path, sha1_of
from gridcwl.stores.base import Cached
from gridcwl.stores.local import uri
from gridcwl.worker.removing import remove_tree

log = logging.getLogger("gridcwl.runs")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, made REAL, run TEXT, name TEXT, result TEXT) WITHOUT ROWID;
"""
_SHA1 = re.compile("[0-9a-f]{40}")
_HERE = "cache:"
"""How the location of a kept file begins."""
_INPUT = "input:"
"""How the location of an input that was passed through begins; then comes the place where the tool sees it."""


class Cache:
    """One folder of results. May be used by many threads, and by many clients at a time."""

    def __init__(self, folder: Path, working: Path) -> None:
        """Open it.

        Args:
            folder: of the cache; made if it is not there.
            working: of the run: files that are taken go to folders below.

        Raises:
            StoreError: it cannot be made or opened.
        """
        self._files = folder / "files"
        self._working = working
        self._lock = threading.Lock()
        try:
            private_folder(folder)
            self._files.mkdir(exist_ok=True)
            self._db = connect(folder / "results.db")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            message = getattr(error, "strerror", None) or str(error)
            raise StoreError(
                f"The cache {folder} cannot be used: {message}",
                remedy="Choose another --cachedir, or run without --cache.",
            ) from error

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def put(self, key: bytes, job: Job, result: JobResult) -> None:
        """Keep a success. Never raises: what cannot be kept is made again."""
        try:
            kept = replace(result, files=tuple(self._kept(job, result)), outdir="", stdout_log=None, stderr_log=None)
            with self._lock:
                self._db.execute(
                    "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)",
                    (key, time.time(), job.run, job.name, to_json(kept)),
                )
        except (OSError, sqlite3.Error, _NotOurs, GridCWLError) as error:
            log.warning("The result of %s is not saved for other runs: %s", job.name, error)

    async def share(self, made: Sequence[tuple[bytes, Job, JobResult]]) -> None:
        """Keep these, in a thread: their files may have to be copied."""
        await asyncio.to_thread(self._put_all, made)

    def _put_all(self, made: Sequence[tuple[bytes, Job, JobResult]]) -> None:
        for one in made:
            self.put(*one)

    def drop(self, key: bytes, job: Job) -> None:
        """A result that was taken is of no use: forget it, and what was put into the job's folder."""
        remove_tree(self._working / folder_name(job))
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.execute("DELETE FROM results WHERE key=?", (key,))

    def take(self, key: bytes, job: Job) -> Cached | None:
        """The result of another run, its files in the job's own folder; None if there is none, or it is damaged."""
        try:
            with self._lock:
                row = self._db.execute("SELECT run, name, result FROM results WHERE key=?", (key,)).fetchone()
        except sqlite3.Error as error:
            log.warning("The cache cannot be read: %s", error)
            return None
        if row is None:
            return None
        run, name, text = row
        folder = self._working / folder_name(job)
        try:
            result = self._placed(result_from_json(text), job, folder / "out")
        except (OSError, _Damaged, GridCWLError) as error:
            log.warning("The result of %s that was kept by run %s cannot be reused: %s", job.name, run, error)
            self.drop(key, job)
            return None
        return Cached(run, name, result)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def _kept(self, job: Job, result: JobResult) -> Iterator[ProducedFile]:
        for file in result.files:
            seen = _seen_at(file.location, job)
            if seen is not None:
                yield replace(file, location=_INPUT + seen)
            elif file.kind == "directory":
                yield replace(file, location=_HERE)
            else:
                yield replace(file, location=f"{_HERE}{self._store(file)}|{_place_of(file, result.outdir)}")

    def _store(self, file: ProducedFile) -> str:
        if file.sha1 is None:
            raise _NotOurs(f"{file.path} has no checksum")
        path = self._path(file.sha1)
        source = local_path(file.location)
        if source is None:
            raise _NotOurs(f"{file.path} is not on this machine")
        if not (path.is_file() and path.stat().st_size == file.size):
            path.parent.mkdir(exist_ok=True)
            _put_whole(source, path)
        return file.sha1

    def _path(self, sha1: str) -> Path:
        return self._files / sha1[:2] / sha1[2:]

    # -- taking --------------------------------------------------------------------------------------------------------

    def _placed(self, result: JobResult, job: Job, out: Path) -> JobResult:
        """The result with its files in place. An entry is not trusted: others may write to a shared folder.

        Raises:
            GridCWLError, _Damaged: the entry is not what gridcwl writes.
        """
        if result.outcome is not Outcome.SUCCESS:
            raise _Damaged("it is not a success")
        out.mkdir(parents=True)
        files = tuple(self._place(file, job, out) for file in result.files)
        return replace(result, id=job.id, files=files, outdir=uri(out), element="", stdout_log=None, stderr_log=None)

    def _place(self, file: ProducedFile, job: Job, out: Path) -> ProducedFile:
        if file.location.startswith(_INPUT):
            return replace(file, location=_given_as(file.location.removeprefix(_INPUT), job))
        if not file.location.startswith(_HERE):
            raise _Damaged(f"{file.path} is not in the cache")
        if file.kind == "directory":
            target = paths.inside(out, file.path, "A path in the cache")
            target.mkdir(parents=True, exist_ok=True)
            return replace(file, location=uri(target))
        sha1, _, place = file.location.removeprefix(_HERE).partition("|")
        if sha1 != file.sha1 or not _SHA1.fullmatch(sha1):
            raise _Damaged(f"{file.path} has no valid checksum")
        target = paths.inside(out, place, "A path in the cache")
        if target.exists():
            if sha1_of(str(target)) != sha1:
                raise _Damaged(f"{file.path} is at the place of another file")
        else:
            self._bring(self._path(sha1), target, file)
        return replace(file, location=uri(target))

    def _bring(self, kept: Path, target: Path, file: ProducedFile) -> None:
        if (
            kept.is_symlink()
            or not kept.is_file()
            or kept.stat().st_size != file.size
            or sha1_of(str(kept)) != file.sha1
        ):
            # Published outputs are links to the same bytes: whoever changes one in its place changes it here.
            kept.unlink(missing_ok=True)
            raise _Damaged(f"{file.path} is not what it was")
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(str(kept), target)


class _NotOurs(Exception):
    """A file of a result that another run could not have."""


class _Damaged(Exception):
    """A kept file that is gone, or is not what it was."""


def _put_whole(source: str, path: Path) -> None:
    """A file under its final name is whole: others may look for it at any time."""
    path.unlink(missing_ok=True)  # what was damaged
    with contextlib.suppress(OSError):
        os.link(source, path)
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    os.close(descriptor)
    try:
        shutil.copy2(source, temporary)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _link_or_copy(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _place_of(file: ProducedFile, outdir: str) -> str:
    """Where a file lies in the output directory; elsewhere than its path says if that is a link."""
    if outdir and file.location.startswith(outdir + "/"):
        whole = paths.file_path(outdir, "The location of an output directory")
        return paths.file_path(file.location, "The location of an output")[len(whole) + 1 :]
    return file.path


def _sources(job: Job) -> Mapping[str, str]:
    return {entry.target: entry.sources[0] for entry in job.staged if entry.sources}


def _seen_at(location: str, job: Job) -> str | None:
    """Where the tool saw what it passed through: an input, or something in a directory that is one; None if neither."""
    for target, source in _sources(job).items():
        whole = source.rstrip("/")
        if location == source or location.startswith(whole + "/"):
            return f"{target}|{location[len(whole) :]}"
    return None


def _given_as(seen: str, job: Job) -> str:
    target, _, rest = seen.rpartition("|")
    source = _sources(job).get(target)
    if source is None:
        raise _Damaged(f"{target} is none of the job's inputs")
    location = source.rstrip("/") + rest
    if rest:
        paths.location(location, "The location of an input in the cache")
    return location
