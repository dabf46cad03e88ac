"""Reading journals: earlier results by key, and what people ask of a run. Nothing is held that grows with the jobs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.model import JobId, JobResult, JobState
from gridcwl.model.codec import result_from_json
from gridcwl.runs.journal import FORMAT, JournalError, connect, explained, session_of
from gridcwl.runs.keys import Description

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Earlier:
    """A result that an earlier session of the run recorded."""

    row: int
    name: str
    job: str
    result: JobResult


@dataclass(frozen=True, slots=True)
class Session:
    """One client's work on a run."""

    number: int
    pid: int
    pid_started: float
    host: str
    started: float
    ended: float | None
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class StepCounts:
    """How the jobs of one step stand."""

    step: str
    done: int = 0
    failed: int = 0
    open: int = 0
    """Given out and not ended: under way, or lost with the client."""
    reused: int = 0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job as the journal knows it."""

    row: int
    session: int
    step: str
    name: str
    job: str
    key: bytes
    outcome: str | None
    attempt: int
    reused: str | None

    @property
    def made_in(self) -> int:
        """The session that first thought of it; ``session`` is the last that wanted it."""
        return session_of(self.row)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job."""

    attempt: int
    outcome: str
    exit_code: int | None
    reason: str
    folder: str
    ended: float
    wall_s: float | None


_JOB = "id, session, step, name, job, key, outcome, attempt, reused"


class History:
    """A journal to read from, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            JournalError: it is not there, is damaged, or was written by a later version.
        """
        if not path.is_file():
            raise JournalError(
                f"The run {path.parent.name} ended before it began: {path} is not there",
                remedy="gridcwl rm removes it; start it anew.",
            )
        try:
            self._db = connect(path)
            written = self.meta("format")
        except sqlite3.Error as error:
            raise explained(error, path) from error
        if written != FORMAT:
            raise JournalError(
                f"The journal {path} is of format {written}, and this version reads format {FORMAT}",
                remedy="Use the version of gridcwl that wrote it.",
            )

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def meta(self, name: str) -> Any:
        """What the run is, by name; None for what was not kept."""
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        if row is None:
            return None
        if row[0]:
            return json.loads(row[0])
        pieces = self._db.execute("SELECT text FROM pieces WHERE name=? ORDER BY number", (name,))
        return json.loads("".join(text for (text,) in pieces))

    def documents(self) -> list[tuple[str, str]]:
        """The files that the document consists of: path and SHA-256."""
        return self._db.execute("SELECT path, sha256 FROM documents ORDER BY path").fetchall()

    def sessions(self) -> list[Session]:
        """All clients that worked on it."""
        rows = self._db.execute(
            "SELECT number, pid, pid_started, host, started, ended, status, message FROM sessions ORDER BY number"
        )
        return [Session(*row) for row in rows]

    def events(self, last: int = 100) -> list[tuple[float, int, str, str]]:
        """The last things that happened, in their order."""
        rows = self._db.execute(
            "SELECT at, session, kind, text FROM events ORDER BY rowid DESC LIMIT ?", (last,)
        ).fetchall()
        return rows[::-1]

    def find(self, key: bytes, name: str, before: int, taken: set[int]) -> Earlier | None:
        """A success with this key: the same job's, or else one that nobody has taken.

        Args:
            key: of the job.
            name: of the job.
            before: only rows below this number: those of earlier sessions.
            taken: rows that stand for other jobs already.
        """
        ended = "j.key=? AND j.id<? AND a.outcome='success'"
        exact = self._rows(f"WHERE {ended} AND j.name=? LIMIT 8", key, before, name)
        others = [] if any(row[0] not in taken for row in exact) else self._rows(f"WHERE {ended} LIMIT 64", key, before)
        for row, found, job, text in [*exact, *others]:
            if row not in taken:
                return Earlier(row, found, job, result_from_json(text))
        return None

    def find_left(
        self, key: bytes, name: str, before: int, left: Mapping[JobId, JobState], taken: set[int]
    ) -> tuple[int, str] | None:
        """A job with this key that has not ended well and is still somewhere: its row and its id; the same job's first.

        Args:
            key: of the job.
            name: of the job.
            before: only rows below this number: those of earlier sessions.
            left: jobs that are still somewhere, and how they stand there. One that is done, and of which an earlier
                session has seen that it failed, has failed: its outputs were not what they had to be.
            taken: rows that stand for other jobs already.
        """
        rows = self._db.execute(
            "SELECT id, job, outcome FROM jobs WHERE key=? AND id<? AND outcome IS NOT 'success' "
            "ORDER BY name<>?, id DESC",
            (key, before, name),
        )
        for row, job, outcome in rows:
            state = left.get(job)
            if state is not None and row not in taken and (outcome is None or state is not JobState.DONE):
                return row, job
        return None

    def _rows(self, where: str, *values: Any) -> list[Any]:
        return self._db.execute(
            f"SELECT j.id, j.name, j.job, a.result FROM jobs j JOIN attempts a ON a.job=j.id {where}",  # noqa: S608
            values,
        ).fetchall()

    def is_registered(self, prefix: str) -> bool:
        """Whether the files whose names begin so are known to Rucio."""
        return self._db.execute("SELECT 1 FROM registered WHERE prefix=?", (prefix,)).fetchone() is not None

    def successes(self) -> Iterator[JobResult]:
        """The results of all jobs that ended well, page by page."""
        at = (-1, -1)
        while True:
            rows = self._db.execute(
                "SELECT job, attempt, result FROM attempts WHERE (job, attempt) > (?, ?) AND outcome='success' "
                "ORDER BY job, attempt LIMIT ?",
                (*at, _PAGE),
            ).fetchall()
            for row in rows:
                yield result_from_json(row[2])
            if len(rows) < _PAGE:
                return
            at = rows[-1][:2]

    def moved(self, url: str) -> str | None:
        """Where a file of a result is now, if it was moved."""
        row = self._db.execute("SELECT new FROM moved WHERE old=?", (url,)).fetchone()
        return None if row is None else str(row[0])

    def counts(self) -> list[StepCounts]:
        """How each step stands, in the order in which they began."""
        # What an earlier session did counts until the same job was taken up again; if the last one ended well, what it
        # did not need is not part of the run any more.
        rows = self._db.execute(
            """
            WITH latest AS (SELECT step, outcome, attempt, reused, max(id + (session << 40)) AS place, min(id) AS first
                            FROM jobs WHERE ?1 = 0 OR session = ?1 GROUP BY name)
            SELECT step, sum(outcome IS 'success'), sum(outcome IS NOT NULL AND outcome <> 'success'),
                   sum(outcome IS NULL), sum(reused IS NOT NULL), sum(attempt)
            FROM latest GROUP BY step ORDER BY min(first)
            """,
            (self._only_session(),),
        )
        return [StepCounts(*row) for row in rows]

    def _only_session(self) -> int:
        row = self._db.execute("SELECT status FROM sessions ORDER BY number DESC LIMIT 1").fetchone()
        return self.last_with_jobs() if row is not None and row[0] == "success" else 0

    def last_with_jobs(self) -> int:
        """The last session that wanted any jobs; a run that had succeeded may have been asked to go on since."""
        (last,) = self._db.execute("SELECT coalesce(max(session), 0) FROM jobs").fetchone()
        return int(last)

    def containers(self) -> bool:
        """Whether any of its jobs has an image."""
        row = self._db.execute("SELECT 1 FROM commons WHERE text NOT LIKE '{\"image\":null%' LIMIT 1").fetchone()
        return row is not None

    def steps(self) -> list[str]:
        """The names of all steps that jobs have come from."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT step FROM jobs")]

    def jobs(self, *, step: str | None = None, where: str = "1", newest_first: bool = False) -> Iterator[JobRow]:
        """Jobs, page by page: those of a step and of the steps within it, or a single one by its name."""
        column, order, compare = ("id", "DESC", "<") if newest_first else ("id", "", ">")
        at = (1 << 62) if newest_first else 0
        while True:
            rows = self._db.execute(
                f"SELECT {_JOB} FROM jobs WHERE {column} {compare} ?1 AND ({where}) AND "  # noqa: S608
                "(?2 IS NULL OR step=?2 OR name=?2 OR substr(step, 1, length(?2) + 1) = ?2 || '/') "
                f"ORDER BY {column} {order} LIMIT {_PAGE}",
                (at, step),
            ).fetchall()
            for row in rows:
                yield JobRow(*row)
            if len(rows) < _PAGE:
                return
            at = rows[-1][0]

    def failures(self, most: int) -> Iterator[JobRow]:
        """The last jobs that failed and have not been done since."""
        rows = self._db.execute(
            f"SELECT {_JOB}, max(id + (session << 40)) FROM jobs GROUP BY name "  # noqa: S608
            "HAVING outcome IS NOT NULL AND outcome <> 'success' ORDER BY id DESC LIMIT ?",
            (most,),
        ).fetchall()
        return (JobRow(*row[:-1]) for row in rows[::-1])

    def failed_folders(self) -> list[str]:
        """The names of the folders of all attempts that did not succeed."""
        return [row[0] for row in self._db.execute("SELECT folder FROM attempts WHERE outcome <> 'success'")]

    def attempts(self, row: int) -> list[Attempt]:
        """The attempts of a job."""
        rows = self._db.execute(
            "SELECT attempt, outcome, exit_code, reason, folder, ended, wall_s "
            "FROM attempts WHERE job=? ORDER BY attempt",
            (row,),
        )
        return [Attempt(*found) for found in rows]

    def result(self, row: int, attempt: int) -> JobResult:
        """The result of an attempt that is there."""
        found = self._db.execute("SELECT result FROM attempts WHERE job=? AND attempt=?", (row, attempt)).fetchone()
        return result_from_json(found[0])

    def summary(self, *, anew: bool = False) -> dict[str, int]:
        """Shards in all; counted anew unless the last client did so when it ended."""
        kept: dict[str, int] | None = self.meta("summary")
        if not anew and kept is not None and self.sessions()[-1].ended is not None:
            return kept
        counts = self.counts()
        done, failed, open_ = (sum(getattr(count, name) for count in counts) for name in ("done", "failed", "open"))
        return {"done": done, "failed": failed, "shards": done + failed + open_}

    def description(self, row: int) -> Description:
        """What the job was, in words."""
        common, own = self._db.execute(
            "SELECT c.text, j.own FROM jobs j JOIN commons c ON c.id=j.common WHERE j.id=?", (row,)
        ).fetchone()
        return Description(common, own)

    def keys_of(self, step: str) -> Iterator[bytes]:
        """The keys of a step's jobs that ended well, each once, in their order."""
        rows = self._db.execute(
            "SELECT DISTINCT key FROM jobs WHERE step=? AND outcome='success' ORDER BY key", (step,)
        )
        return (key for (key,) in rows)

    def lost(self) -> list[tuple[int, str]]:
        """Rows and ids of the jobs that no result is known of."""
        return self._db.execute("SELECT id, job FROM jobs WHERE outcome IS NULL").fetchall()
