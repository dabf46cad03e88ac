"""Literal Files that are too large for a job's description: they become files here, which a store carries."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gridcwl.model import Job, StagedFile

MOST = 64 * 1024
"""Bytes of a literal that travel in the description of the job, as CWL's ``loadContents`` has it."""


class Literals:
    """A folder for them. Equal ones are one file, however many jobs read it."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def as_files(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs, with files in place of large literals.

        Raises:
            OSError: there is no room for them.
        """
        return [replace(job, staged=tuple(self._entries(job.staged))) if _has_any(job) else job for job in jobs]

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _entries(self, staged: Iterable[StagedFile]) -> Iterable[StagedFile]:
        for entry in staged:
            if not _is_large(entry):
                yield entry
                continue
            content = entry.contents.encode("utf-8", "surrogateescape")
            path = self._written(content, entry.target.rpartition("/")[2])
            yield replace(entry, kind="file", contents="", sources=(path.as_uri(),), size=len(content))

    def _written(self, content: bytes, name: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="gridcwl-literals-")
        path = Path(self._folder.name) / hashlib.sha1(content, usedforsecurity=False).hexdigest() / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return path


def _has_any(job: Job) -> bool:
    return any(map(_is_large, job.staged))


def _is_large(entry: StagedFile) -> bool:
    return entry.kind == "literal" and len(entry.contents) > MOST
