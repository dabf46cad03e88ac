"""The journal in a file of SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest
from journal_suite import JournalContract

from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal


class File:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begun(self, *, new: bool = False) -> Journal:
        journal = Journal(self._path, new=new)
        journal.begin(pid=1, pid_started=1.0, host="here", version="0")
        return journal

    def history(self) -> History:
        return History(self._path)


class TestJournalFile(JournalContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> File:
        return File(tmp_path / "journal.db")
