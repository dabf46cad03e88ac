"""Files that the user's own runs made, found by place or by bytes in the journals."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from gridcwl.errors import StoreError
from gridcwl.model import JobResult, ProducedFile
from gridcwl.model.objects import entries
from gridcwl.runs.provenance.graph import Entity
from gridcwl.runs.record.bindings import Binding
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import row_id
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.journal_rows import JobRow

_JOB = re.compile(r"(?P<run>\d{8}-\d{6}-[0-9a-f]{6})-(?P<session>\d+)-(?P<number>\d+)-\d+")
_IN_NAME = re.compile(r"(?P<run>\d{8}-\d{6}-[0-9a-f]{6})(?:[./].*)?[./]j(?P<session>\d+)-(?P<number>\d+)-\d+[./]")
_LITERAL = re.compile(r"literal:(?P<run>\d{8}-\d{6}-[0-9a-f]{6})/(?P<id>_:.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MadeByJob:
    """A job that made a file."""

    history: History
    folder: RunFolder
    row: JobRow
    result: JobResult

    @property
    def id(self) -> str:
        """Run and job."""
        return f"{self.folder.run}/{self.row.job.rpartition(self.folder.run)[2].lstrip('-') or self.row.job}"

    def file(self, place: str) -> ProducedFile | None:
        """The file that the job left there."""
        return next((one for one in self.result.files if one.location == place), None)


@dataclass(frozen=True, slots=True)
class MadeByExpression:
    """An expression that made a file with given contents."""

    history: History
    folder: RunFolder
    binding: Binding
    literal: Entity

    @property
    def id(self) -> str:
        """Run and step: an expression is no job."""
        return f"{self.folder.run}/{self.binding.name}"


def literal_id(run: str, location: str) -> str:
    """The id of a file that consists of its contents only, which has no place."""
    return f"literal:{run}/{location}"


def sha1_of_text(literal: Entity) -> str | None:
    """The SHA-1 of a file that consists of its contents; None for a folder."""
    text = literal.get("contents")
    if not isinstance(text, str):
        return None
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class OwnFiles:
    """The journals of the user's own runs."""

    state_dir: Path
    stack: ExitStack
    _open: dict[str, History | None] = field(default_factory=dict)
    _literals: dict[str, dict[str, MadeByExpression]] = field(default_factory=dict)
    """Of each run, by their locations."""

    def of(self, run: str) -> History | None:
        """The journal of a run, if it is this user's."""
        if run not in self._open:
            self._open[run] = None
            with suppress(JournalError, StoreError):
                history = History(self.state_dir / "runs" / run / "journal.db")
                self.stack.callback(history.close)
                self._open[run] = history
        return self._open[run]

    def by_location(self, url: str) -> MadeByJob | None:
        """The job that left a file at this place, by the place's name."""
        for pattern in (_JOB, _IN_NAME):
            for found in pattern.finditer(unquote(url)):
                history = self.of(found["run"])
                if history is not None:
                    made = self._made(history, found["run"], row_id(int(found["session"]), int(found["number"])))
                    if made is not None:
                        return made
        return None

    def by_literal(self, id_: str) -> MadeByExpression | None:
        """The expression that made a literal."""
        found = _LITERAL.fullmatch(id_)
        return self._expression(found["run"], found["id"]) if found is not None else None

    def by_place(
        self, url: str, is_same: Callable[[str | None], bool]
    ) -> tuple[MadeByJob | MadeByExpression, str] | None:
        """What made the file that was published there, and the place where that had left it.

        Args:
            url: of the file.
            is_same: whether the file still has this SHA-1; None for a folder, and what has none.
        """
        for folder in all_folders(self.state_dir):
            history = self.of(folder.run)
            for old in history.moved_to(url) if history is not None else ():
                if old.startswith("_:"):
                    literal = self._expression(folder.run, old)
                    if literal is not None and is_same(sha1_of_text(literal.literal)):
                        return literal, old
                elif (made := self.by_location(old)) is not None:
                    file = made.file(old)
                    if is_same(file.sha1 if file is not None else None):
                        return made, old
        return None

    def by_sha1(self, sha1: str, name: str = "") -> tuple[MadeByJob, str] | None:
        """The latest job that made a file with these bytes, and this name if one is given; and the file's place."""
        for folder in all_folders(self.state_dir):
            history = self.of(folder.run)
            row = history.maker_of_bytes(sha1) if history is not None else None
            if history is not None and row is not None and (made := self._made(history, folder.run, row)) is not None:
                equal = [file for file in made.result.files if file.sha1 == sha1]
                named = [file for file in equal if os.path.basename(file.path) == name]  # noqa: PTH119
                if named or (equal and not name):
                    return made, (named or equal)[0].location
        return None

    def _made(self, history: History, run: str, row: int) -> MadeByJob | None:
        found = next(iter(history.jobs(where=f"id = {row}")), None)
        if found is None or found.outcome != "success" or not (attempts := history.attempts(row)):
            return None
        return MadeByJob(
            history, RunFolder(self.state_dir / "runs" / run), found, history.result(row, attempts[-1].attempt)
        )

    def _expression(self, run: str, location: str) -> MadeByExpression | None:
        if run not in self._literals:
            self._literals[run] = {}
            if (history := self.of(run)) is not None:
                folder = RunFolder(self.state_dir / "runs" / run)
                for binding in history.evaluations():
                    if binding.kind == "expression":
                        for entry in entries(binding.outputs or {}):
                            if (place := str(entry.get("location", ""))).startswith("_:"):
                                made = MadeByExpression(history, folder, binding, entry)
                                self._literals[run].setdefault(place, made)
        return self._literals[run].get(location)
