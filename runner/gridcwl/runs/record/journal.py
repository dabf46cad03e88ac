"""The journal of a run: what it is, its jobs, their attempts and results, in SQLite, written while the run is active.

A result is in the journal before it is reported. All else is written along with the next result, or a little
later: what would be lost with a kill is only that a job had been thought of. Reading is in ``history.py``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.model import Job, JobResult, Resources
from gridcwl.model.chunks import chunks
from gridcwl.model.codec import to_json
from gridcwl.runs.record.journal_file import Fenced, JournalError, add_later, connect, journal_error, last_session, make
from gridcwl.runs.record.pieces import PIECE_CHARACTERS, in_pieces
from gridcwl.runs.reuse.keys import JobDescription
from gridcwl.worker.failure import crossed_out

if TYPE_CHECKING:
    from gridcwl.runs.record.journal_log import Change, JournalLog

_BIND = "INSERT OR REPLACE INTO bindings VALUES (?, ?, ?)"
_PER_SESSION = 1 << 32
_QUESTIONED = 500
"""Jobs that are looked up at a time."""
_FLUSH_EVERY_S = 0.005


def row_id(session: int, number: int) -> int:
    """The number of a job in the whole run: those of one session follow those of the session before."""
    return session * _PER_SESSION + number


def session_of(row: int) -> int:
    """The session that a job's number is of."""
    return row // _PER_SESSION


class Journal:
    """Writes. May be used by many threads; none waits longer than for what others write at the same time."""

    def __init__(self, path: Path, *, new: bool = False, log: JournalLog | None = None) -> None:
        """Open it.

        Args:
            path: the file.
            new: make it; otherwise it has to be there.
            log: has every change before the file has it, and may refuse it.

        Raises:
            JournalError: it cannot be made or opened.
        """
        self.path = path
        self.session = 0
        self.failure: JournalError | None = None
        self._final = False
        self._log = log
        self._lock = threading.Lock()
        self._pending: deque[Change] = deque()
        self._commons: dict[bytes, int] = {}
        self._requests: dict[Resources, int] = {}
        self._flushed = 0.0
        if not new and not path.is_file():
            raise JournalError(f"The run has no journal: {path} is not there", remedy="gridcwl rm removes the run.")
        try:
            if new:
                make(path)
            self._db = connect(path)
            if new and log is not None:
                self._db.execute(f"PRAGMA user_version={log.append(())}")
            # Enough for the death of this process; for that of the machine, all but the last moments.
            self._db.execute("PRAGMA synchronous=NORMAL")
            add_later(self._db)
        except (sqlite3.Error, OSError) as error:
            raise journal_error(error, path) from error

    # -- the run -------------------------------------------------------------------------------------------------------

    def describe(self, values: Mapping[str, Any]) -> None:
        """Keep what the run is, by names; given again, it is replaced."""
        for name, value in values.items():
            pieces = in_pieces(value)
            first, more = next(pieces, ""), next(pieces, "")
            if more and self._log is not None:
                self._put("DELETE FROM pieces WHERE name=?", name)
                for number, text in enumerate(itertools.chain((first, more), pieces)):
                    self._put("INSERT INTO pieces VALUES (?, ?, ?)", name, number, text)
                self._put("INSERT OR REPLACE INTO meta VALUES (?, '')", name)
            elif more:
                self._describe_in_pieces(name, itertools.chain((first, more), pieces))
            else:
                self._put("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, first)
        self.flush()

    def _describe_in_pieces(self, name: str, pieces: Iterator[str]) -> None:
        """In one transaction, but never all of it in memory."""
        self.flush()
        with self._lock:
            try:
                with self._transaction():
                    self._db.execute("DELETE FROM pieces WHERE name=?", (name,))
                    for number, text in enumerate(pieces):
                        self._db.execute("INSERT INTO pieces VALUES (?, ?, ?)", (name, number, text))
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, '')", (name,))
            except sqlite3.Error as error:
                self.failure = journal_error(error, self.path)
        self.flush()

    def document(self, path: str, text: bytes) -> None:
        """Keep a file that the document consists of."""
        digest = hashlib.sha256(text).hexdigest()
        self._put("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", path, digest, text)

    def begin(self, *, pid: int, pid_started: float, host: str, version: str) -> int:
        """A client begins to work on the run; returns the number of its session."""
        with self._lock:
            last = last_session(self._db)
        self._put(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, NULL, 'running', '')",
            last + 1, pid, pid_started, host, version, time.time(),
        )  # fmt: skip
        self.flush()
        self.session = last + 1
        return self.session

    def end(self, status: str, message: str = "", *, final: bool = False) -> None:
        """The client stops working on the run.

        Args:
            status: how it ended.
            message: why.
            final: whatever the client does then, and however that ends, the session has ended so.
        """
        if self._final:
            return
        self._final = final
        self._put(
            "UPDATE sessions SET ended=?, status=?, message=? WHERE number=?",
            time.time(),
            status,
            crossed_out(message),
            self.session,
        )
        self.flush()

    def mark_last(self, status: str) -> None:
        """The last session was a client's that has been killed: say how the run is to be seen."""
        self._put(
            "UPDATE sessions SET ended=?, status=? WHERE number=(SELECT max(number) FROM sessions)", time.time(), status
        )
        self.flush()

    def progress(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """How far the steps are in this session; written along with the next results."""
        text = json.dumps({"session": self.session, "steps": steps})
        self._put("INSERT OR REPLACE INTO meta VALUES ('progress', ?)", text)

    def event(self, kind: str, text: str) -> None:
        """Something that happened, for people."""
        self._put("INSERT INTO events VALUES (?, ?, ?, ?)", time.time(), self.session, kind, crossed_out(text))

    def moved(self, places: Mapping[str, str]) -> None:
        """Files of results are somewhere else now."""
        for old, new in places.items():
            self._put("INSERT OR REPLACE INTO moved VALUES (?, ?)", old, new)
        self.flush()

    # -- its jobs ------------------------------------------------------------------------------------------------------

    def add(self, row: int, step: str, job: Job, what: JobDescription, *, reused: str | None = None) -> None:
        """A job is to be run, or its result was found elsewhere (``reused`` says where)."""
        common = self._commons.get(what.common)
        if common is None:
            common = self._commons[what.common] = int.from_bytes(hashlib.sha256(what.common).digest()[:7])
            self._put("INSERT OR IGNORE INTO commons VALUES (?, ?)", common, what.common)
        self._put(
            "INSERT INTO jobs (id, session, step, name, key, common, own, job, attempt, reused, submitted, requested) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            row, self.session, step, job.name, what.key, common, what.own, job.id, reused, time.time(),
            self._request(job.resources),
        )  # fmt: skip

    def _request(self, resources: Resources) -> int:
        """The number of what a job asks for: the jobs of a step mostly ask for the same."""
        number = self._requests.get(resources)
        if number is None:
            text = msgspec.json.encode(resources)
            number = self._requests[resources] = int.from_bytes(hashlib.sha256(text).digest()[:7])
            self._put("INSERT OR IGNORE INTO requests VALUES (?, ?)", number, text)
        return number

    def take(self, row: int, step: str, name: str, *, finished: bool = False) -> None:
        """A job of an earlier session is the one that is wanted now, perhaps at another place.

        Args:
            row: of the job.
            step: that wants it.
            name: that it has now.
            finished: its result is taken, and it does not run.
        """
        self._put(
            "UPDATE jobs SET session=?1, step=?2, name=?3, taken=iif(?4, ?1, taken) WHERE id=?5",
            self.session, step, name, finished, row,
        )  # fmt: skip

    def started(self, row: int, attempt: int, place: str, detail: str) -> None:
        """An attempt runs now. Nothing changes if its result is known already."""
        self._put(
            "UPDATE jobs SET outcome=NULL, attempt=?2, started=?3, place=?4, detail=?5 WHERE id=?1 AND attempt<?2",
            row, attempt, time.time(), place, detail,
        )  # fmt: skip

    def placed(self, row: int, place: str, detail: str) -> None:
        """A place says where a job is that has not ended, and how it stands there."""
        self._put("UPDATE jobs SET place=?, detail=? WHERE id=? AND outcome IS NULL", place, detail, row)

    def again(self, row: int, resources: Resources | None = None) -> None:
        """The last attempt failed, and there will be another, which asks for these resources."""
        self._put(
            "UPDATE jobs SET outcome=NULL, started=NULL, place=NULL, detail=NULL, submitted=?2, "
            "requested=coalesce(?3, requested) WHERE id=?1",
            row, time.time(), None if resources is None else self._request(resources),
        )  # fmt: skip

    def failed(
        self, step: str, name: str, row: int | None, reason: str, *, alike: str, last_line: str = "", inputs: str = ""
    ) -> None:
        """Something failed for good.

        Args:
            step: that it belongs to.
            name: of the shard.
            row: of the job; None if there is none.
            reason: in words.
            alike: the same for failures of one kind.
            last_line: of the tool's stderr.
            inputs: of the shard, as JSON.
        """
        self._put(
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            self.session, step, name, row, *map(crossed_out, (reason, alike, last_line, inputs)),
        )  # fmt: skip

    def skipped(self, step: str, name: str) -> None:
        """The ``when`` of a shard was false."""
        self._put("INSERT INTO skipped VALUES (?, ?, ?)", self.session, step, name)

    def bound(self, row: int, inputs: bytes, outputs: bytes | None) -> None:
        """The values of a job's inputs and outputs, as JSON; written along with the next results."""
        self._put(_BIND, row, inputs, outputs)

    def evaluated(self, step: str, name: str, kind: str, inputs: bytes, outputs: bytes | None) -> None:
        """The same of an expression or a workflow that has ended; the run's outermost workflow has no name."""
        self._put(
            "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.session, step, name, kind, inputs, outputs, time.time(),
        )  # fmt: skip

    def share(self, number: int, size: int, pieces: Iterator[bytes]) -> None:
        """A large value that bindings refer to.

        Args:
            number: that it has there.
            size: the bytes of its text.
            pieces: the text.

        Raises:
            JournalError: it could not be written.
        """
        if size <= PIECE_CHARACTERS or self._log is not None:
            self._put("INSERT OR IGNORE INTO shared_values VALUES (?, ?)", number, b"".join(pieces))
            return
        self.flush()
        with self._lock:
            try:
                with self._transaction():
                    self._check_owner()
                    new = "INSERT OR IGNORE INTO shared_values VALUES (?, zeroblob(?))"
                    if self._db.execute(new, (number, size)).rowcount:
                        with self._db.blobopen("shared_values", "text", number) as text:
                            for piece in pieces:
                                text.write(piece)
            except sqlite3.Error as error:
                self.failure = journal_error(error, self.path)
            except JournalError as error:
                self.failure = error
        self.flush()

    def result(self, row: int, attempt: int, result: JobResult, folder: str) -> None:
        """An attempt ended; see :meth:`results`."""
        self.results([(row, attempt, result, folder)])

    def results(self, ended: Iterable[tuple[int, int, JobResult, str]]) -> None:
        """Attempts ended: row, attempt, result and folder of each. When this returns, that will not be forgotten.

        Raises:
            JournalError: it could not be written.
        """
        ended = list(ended)
        for row, attempt, result, _ in ended:
            self._put("UPDATE jobs SET outcome=?, attempt=? WHERE id=?", result.outcome.value, attempt, row)
        for row, attempt, result, folder in ended:
            # What fails after it had ended well is written twice; its request is that of the first time.
            self._put(
                "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                "(SELECT submitted FROM jobs WHERE id=?1), (SELECT requested FROM jobs WHERE id=?1)) "
                "ON CONFLICT (job, attempt) DO UPDATE SET outcome=?3, exit_code=?4, reason=?5, folder=?6, ended=?7, "
                "wall_s=?8, result=?9",
                row, attempt, result.outcome.value, result.exit_code, result.reason, folder, time.time(),
                result.usage.wall_s if result.usage else None,
                _encoded(result),
            )  # fmt: skip
        self.flush()

    def registered(self, prefixes: Iterable[str]) -> None:
        """The store knows the files whose names begin so.

        Raises:
            JournalError: it could not be written.
        """
        for prefix in prefixes:
            self._put("INSERT OR IGNORE INTO registered VALUES (?)", prefix)
        self.flush()

    def keys(self, rows: Collection[int]) -> dict[int, bytes]:
        """The keys of these jobs, as far as they have been written."""
        wanted = list(rows)
        found: dict[int, bytes] = {}
        with self._lock:
            for page in chunks(wanted, _QUESTIONED):
                marks = ",".join("?" * len(page))
                found |= dict(self._db.execute(f"SELECT id, key FROM jobs WHERE id IN ({marks})", page))  # noqa: S608
        return found

    # -- writing -------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what waits; returns when it is written.

        Raises:
            JournalError: it could not be written, now or earlier.
        """
        # Whoever comes first writes for all who have come meanwhile; they then find that nothing is left to do.
        with self._lock:
            if self.failure is None and self._pending:
                try:
                    self._write()
                except sqlite3.Error as error:
                    self.failure = journal_error(error, self.path)
                except JournalError as error:
                    self.failure = error
            self._flushed = time.monotonic()
        if self.failure is not None:
            raise self.failure

    def confirm(self) -> None:
        """See that this process still owns the run, before it does what cannot be undone.

        Raises:
            Fenced: it does not.
            JournalError: that is not known, or the journal could not be written.
        """
        self.flush()
        with self._lock:
            try:
                if self._log is not None:
                    self._log.confirm()
                with self._transaction():
                    self._check_owner()
            except sqlite3.Error as error:
                self.failure = journal_error(error, self.path)
            except JournalError as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure

    @property
    def is_fenced(self) -> bool:
        """Whether another process has been found to own the run."""
        return isinstance(self.failure, Fenced)

    def flush_now_and_then(self) -> bool:
        """Write what waits, unless that was done just now; returns whether something is left to write."""
        if self._pending and time.monotonic() - self._flushed > _FLUSH_EVERY_S:
            self.flush()
        return bool(self._pending)

    def close(self) -> None:
        """Close it; what waits is written if it can be."""
        with self._lock:
            try:
                if self.failure is None and self._pending:
                    self._write()
            except sqlite3.Error as error:
                self.failure = journal_error(error, self.path)
            except JournalError as error:
                self.failure = error
            self._db.close()

    def _put(self, statement: str, *values: Any) -> None:
        self._pending.append((statement, values))

    def _write(self) -> None:
        if self._log is not None:
            self._write_to(self._log)
            return
        with self._transaction():
            self._check_owner()
            for statement, rows in _by_statement(self._taken()):
                self._db.executemany(statement, rows)

    def _taken(self) -> list[Change]:
        """What waits, to be written now."""
        return [self._pending.popleft() for _ in range(len(self._pending))]

    def _write_to(self, log: JournalLog) -> None:
        from gridcwl.runs.record.journal_log import apply, number_in

        changes = self._taken()
        last = log.append(changes)
        with self._transaction():
            at = number_in(self._db)
            if at == last - 1:
                apply(self._db, last, changes)
            elif at < last:  # others have written meanwhile; if at is the last one, a reader has put it there
                for number, others in log.after(at):
                    apply(self._db, number, others)

    def _check_owner(self) -> None:
        """The session's number is the fencing number of the file: who resumes the run has a higher one."""
        if self.session and self.session != (last := last_session(self._db)):
            raise Fenced(
                f"The run {self.path.parent.name} was resumed by another process: this is session {self.session}, "
                f"and the last one is {last}"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _by_statement(changes: list[Change]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The changes of one transaction, each statement with all that it is executed for in a row.

    Bindings, which come between others and are in a table of their own, come last.
    """
    changes.sort(key=lambda change: change[0] is _BIND)
    for _, group in itertools.groupby(changes, key=lambda change: id(change[0])):
        alike = list(group)
        yield alike[0][0], [values for _, values in alike]


def _encoded(result: JobResult) -> bytes:
    try:
        return msgspec.json.encode(result)
    except UnicodeEncodeError:  # file names need not be UTF-8
        return to_json(result).encode("ascii")
