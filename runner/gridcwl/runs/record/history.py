"""Queries on a journal's jobs: earlier results by key, and what commands show. Memory does not grow with the jobs."""

# ruff: noqa: S608  what is put into a query is this module's own; all values are bound

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gridcwl.backends.base import Recovered
from gridcwl.model import JobId, JobResult
from gridcwl.model.codec import result_from_json
from gridcwl.runs.lifecycle import Stage, left_at
from gridcwl.runs.record.bindings import Binding, unshared
from gridcwl.runs.record.job_records import JobRecord, job_records
from gridcwl.runs.record.journal_check import damaged_journal
from gridcwl.runs.record.journal_file import columns
from gridcwl.runs.record.journal_reader import JournalReader
from gridcwl.runs.record.journal_rows import Attempt, Earlier, FailedShard, FailureGroup, JobRow, PlaceTally, Tally
from gridcwl.runs.reuse.keys import JobDescription

_PAGE = 500
_SHARED = 8
"""Large shared values that are held."""


_LATEST = "max(id + (session << 40))"
"""Picks the row of a shard that was wanted last: SQLite takes the other columns from the row of the only max()."""
FAILED = "outcome IS NOT NULL AND outcome NOT IN ('success', 'cancelled')"


class History(JournalReader):
    """A journal with its jobs, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Open it; raises as ``JournalReader``."""
        super().__init__(path)
        self._shared_values: dict[int, Any] = {}
        self._failing_made = False

    @property
    def knows_running(self) -> bool:
        """Whether it says which jobs have begun; those of earlier versions do not."""
        return "NULL AS started" not in self._job

    @property
    def latest(self) -> str:
        """A condition: the row is the last one of its shard, which has not been skipped since."""
        last = f"SELECT id FROM (SELECT id, {_LATEST} FROM jobs GROUP BY name)"
        return f"({self._wanted()} AND id IN ({last}))"

    @property
    def of_run(self) -> str:
        """A condition: the row is the last of its shard; if the run has succeeded, its last session wanted the job."""
        only = self._only_session()
        return f"({self.latest} AND session = {only})" if only else self.latest

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
        self, key: bytes, name: str, before: int, left: Mapping[JobId, Recovered], taken: set[int]
    ) -> tuple[int, str] | None:
        """A job with this key that has not ended well and is still somewhere: its row and its id; the same job's first.

        Args:
            key: of the job.
            name: of the job.
            before: only rows below this number: those of earlier sessions.
            left: jobs that are still somewhere, and how they stand there; see ``lifecycle.left_at``.
            taken: rows that stand for other jobs already.
        """
        rows = self._db.execute(
            "SELECT id, job, outcome FROM jobs WHERE key=? AND id<? AND outcome IS NOT 'success' "
            "ORDER BY name<>?, id DESC",
            (key, before, name),
        )
        for row, job, outcome in rows:
            state = left[job].state if job in left else None
            if row not in taken and left_at(outcome, state, committed=True) is Stage.SUBMITTED:
                return row, job
        return None

    def _rows(self, where: str, *values: Any) -> list[Any]:
        return self._db.execute(
            f"SELECT j.id, j.name, j.job, a.result FROM jobs j JOIN attempts a ON a.job=j.id {where}",
            values,
        ).fetchall()

    def is_registered(self, prefix: str) -> bool:
        """Whether the store knows the files whose names begin so."""
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

    @property
    def has_registered(self) -> bool:
        """Whether any files were registered in a store."""
        return self._db.execute("SELECT 1 FROM registered LIMIT 1").fetchone() is not None

    def moved(self, url: str) -> str | None:
        """Where a file of a result is now, if it was moved."""
        row = self._db.execute("SELECT new FROM moved WHERE old=?", (url,)).fetchone()
        return None if row is None else str(row[0])

    def moved_to(self, url: str) -> list[str]:
        """Where the files were whose place is this one now, or whose folder's place is one that it is in."""
        places = [url]
        while (parent := places[-1].rpartition("/")[0]) and not parent.endswith("/"):
            places.append(parent)
        marks = ", ".join("?" * len(places))
        rows = self._db.execute(f"SELECT old, new FROM moved WHERE new IN ({marks})", places)
        return [str(old) + url[len(new) :] for old, new in sorted(rows, key=lambda row: -len(row[1]))]

    def maker_of_bytes(self, sha1: str) -> int | None:
        """The row of the last job that ended well with a file of this SHA-1."""
        row = self._db.execute(
            "SELECT job FROM attempts WHERE outcome='success' AND instr(result, ?) ORDER BY job DESC LIMIT 1",
            (f'"sha1":"{sha1}"'.encode(),),
        ).fetchone()
        return None if row is None else int(row[0])

    def tallies(self) -> list[Tally]:
        """The jobs of each step counted, in the order in which the steps began."""
        # What an earlier session did counts until the same job ran again; if the last one ended well, what it
        # did not need is not part of the run any more.
        rows = self._db.execute(
            f"""
            WITH latest AS (SELECT {self._job}, {_LATEST} FROM jobs
                            WHERE (?1 = 0 OR session = ?1) AND {self._wanted()} GROUP BY name)
            SELECT step, session = ?2 AS now,
                   sum(outcome IS 'success' AND NOT (reused IS NOT NULL OR taken IS session)),
                   sum(outcome IS 'success' AND (reused IS NOT NULL OR taken IS session)),
                   sum({FAILED}), sum(outcome IS 'cancelled'),
                   sum(outcome IS NULL AND started IS NOT NULL), sum(outcome IS NULL AND started IS NULL)
            FROM latest GROUP BY step, now ORDER BY min(id)
            """,
            (self._only_session(), self.current()),
        )
        return [Tally(step, bool(now), *numbers) for step, now, *numbers in rows]

    def _wanted(self) -> str:
        """A condition: the shard has not been skipped since."""
        if "skipped" not in self._has:
            return "1"
        return "NOT EXISTS (SELECT 1 FROM skipped s WHERE s.name = jobs.name AND s.session > jobs.session)"

    def attempts_by_step(self) -> dict[str, int]:
        """How many attempts of each step's jobs were begun, in all sessions."""
        return dict(self._db.execute("SELECT step, sum(attempt) FROM jobs WHERE reused IS NULL GROUP BY step"))

    def progress(self) -> list[dict[str, Any]]:
        """What the last session knew of its steps: names, shards in all, and those that have no job."""
        kept = self.meta("progress")
        if not isinstance(kept, dict):
            return kept or []
        return list(kept["steps"]) if kept["session"] >= self.current() else []

    def _only_session(self) -> int:
        return self.last_with_jobs() if self.current_status() == "success" else 0

    def current(self) -> int:
        """The session whose jobs are the run's: the last one, or if that has ended, the last that wanted any jobs."""
        if self.current_status() in ("running", "detached"):
            return len(self.sessions())
        return self.last_with_jobs() or len(self.sessions())  # one may fail before it wants any

    def last_with_jobs(self) -> int:
        """The last session that wanted any jobs; a run that had succeeded may have been resumed since."""
        (last,) = self._db.execute("SELECT coalesce(max(session), 0) FROM jobs").fetchone()
        return int(last)

    def containers(self) -> bool:
        """Whether any of its jobs has an image."""
        row = self._db.execute("SELECT 1 FROM commons WHERE text NOT LIKE '{\"image\":null%' LIMIT 1").fetchone()
        return row is not None

    def tools(self) -> dict[int, str]:
        """What each job ran, by its row: its program, and its image if it has one."""
        images = self.images()
        rows = self._db.execute("SELECT id, common, json_extract(CAST(own AS TEXT), '$.command[0]') FROM jobs")
        named = ((row, Path(str(program or "")).name, images.get(common, "")) for row, common, program in rows)
        return {row: f"{program} ({image})" if image else program for row, program, image in named}

    def images(self) -> dict[int, str]:
        """The names of images by the numbers of the entries of ``commons``; those without one are left out."""
        found: dict[int, str] = {}
        for number, text in self._db.execute("SELECT id, text FROM commons"):
            image = json.loads(text).get("image")
            if isinstance(image, dict):
                found[number] = str(image.get("id") or image.get("pull") or "")
        return found

    def steps(self) -> list[str]:
        """The names of all steps that jobs have come from."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT step FROM jobs")]

    def jobs(
        self,
        *,
        step: str | None = None,
        where: str = "1",
        newest_first: bool = False,
        after: int = 0,
        place: str | None = None,
    ) -> Iterator[JobRow]:
        """Jobs, page by page: those of a step and of the steps within it, or a single one by its name.

        Args:
            step: None for all steps.
            where: a condition in SQL.
            newest_first: the last row comes first.
            after: only rows of higher numbers.
            place: only jobs at this site; None for all.
        """
        if place is not None and "NULL AS place" not in self._job:
            where = f"{where} AND place = ?3"
        column, order, compare = ("id", "DESC", "<") if newest_first else ("id", "", ">")
        at = (1 << 62) if newest_first else after
        while True:
            rows = self._db.execute(
                f"SELECT {self._job} FROM jobs WHERE {column} {compare} ?1 AND ({where}) AND "
                "(?2 IS NULL OR step=?2 OR name=?2 OR substr(step, 1, length(?2) + 1) = ?2 || '/') "
                f"ORDER BY {column} {order} LIMIT {_PAGE}",
                (at, step) if "?3" not in where else (at, step, place),
            ).fetchall()
            for row in rows:
                yield JobRow(*row)
            if len(rows) < _PAGE:
                return
            at = rows[-1][0]

    def by_place(self) -> list[PlaceTally]:
        """The run's jobs counted by the site where they ran or run, those without one first."""
        rows = self._db.execute(
            f"""
            WITH latest AS (SELECT {self._job} FROM jobs WHERE {self.of_run})
            SELECT coalesce(place, ''), sum(outcome IS 'success'), sum({FAILED}), sum(outcome IS 'cancelled'),
                   sum(outcome IS NULL AND started IS NOT NULL), sum(outcome IS NULL AND started IS NULL)
            FROM latest WHERE reused IS NULL GROUP BY 1 ORDER BY 1
            """
        )
        return [PlaceTally(*row) for row in rows]

    def records(self, *, latest: bool = True) -> Iterator[JobRecord]:
        """What is known of each job and of its attempts, with requested and used resources, one by one.

        Args:
            latest: only the last job of each shard that the run wants now; otherwise all, of all sessions.
        """
        where = self.latest if latest else "1"
        return job_records(self._db, where, columns(self._db, "jobs"), columns(self._db, "attempts"))

    def running(self, most: int) -> list[JobRow]:
        """Jobs of the last session that have begun and not ended, those that began first."""
        rows = self._db.execute(
            f"SELECT * FROM (SELECT {self._job} FROM jobs WHERE outcome IS NULL AND session = ?) "
            "WHERE started IS NOT NULL ORDER BY started LIMIT ?",
            (self.current(), most),
        )
        return [JobRow(*row) for row in rows]

    def _failing(self) -> str:
        """The table of what has failed, made when it is first needed: it says what was so then."""
        if not self._failing_made:
            self._db.execute(f"CREATE TEMP TABLE failing AS {self._failing_query()}")
            self._failing_made = True
        return "temp.failing"

    def _failing_query(self) -> str:
        """A query for the shards whose last job has failed, and for what failed without one in the last session."""
        only, last = self._only_session(), self.current()
        jobs = (
            f"SELECT step, name, id, outcome, attempt, {_LATEST} FROM jobs "
            f"WHERE ({only} = 0 OR session = {only}) AND {self._wanted()} GROUP BY name HAVING {FAILED}"
        )
        if "failures" not in self._has:
            return (
                "SELECT l.step, l.name, l.id, l.outcome, l.attempt, a.exit_code, a.reason, a.reason AS alike, "
                f"'' AS last_line, '' AS inputs FROM ({jobs}) l "
                "LEFT JOIN attempts a ON a.job=l.id AND a.attempt=l.attempt"
            )
        return (
            "SELECT l.step, l.name, l.id, l.outcome, l.attempt, a.exit_code, coalesce(f.reason, a.reason) AS reason, "
            "coalesce(f.alike, a.reason) AS alike, coalesce(f.said, '') AS last_line, coalesce(f.inputs, '') AS inputs "
            f"FROM ({jobs}) l LEFT JOIN attempts a ON a.job=l.id AND a.attempt=l.attempt "
            "LEFT JOIN failures f ON f.rowid = (SELECT max(rowid) FROM failures WHERE job=l.id) UNION ALL "
            "SELECT step, name, NULL, 'permanent-failure', 0, NULL, reason, alike, said, inputs FROM failures "
            f"WHERE job IS NULL AND session = {last} AND {only} = 0"
        )

    def failure_groups(self, most: int) -> list[FailureGroup]:
        """What has failed and not been done since: equal errors of a step together, the most frequent first."""
        rows = self._db.execute(
            "SELECT step, count(*), outcome, exit_code, reason, alike, last_line, min(coalesce(id, 0)) "
            f"FROM {self._failing()} GROUP BY step, outcome, exit_code, alike ORDER BY 2 DESC, 8 LIMIT ?",
            (most,),
        )
        return [FailureGroup(*row[:-1]) for row in rows]

    def failed_shards(self, group: FailureGroup | None, most: int) -> list[FailedShard]:
        """The first shards that failed and have not been done since: those of a group, or of all."""
        where, values = "1", ()
        if group is not None:
            where = "step IS ? AND outcome IS ? AND exit_code IS ? AND alike IS ?"
            values = (group.step, group.outcome, group.exit_code, group.alike)  # type: ignore[assignment]
        rows = self._db.execute(
            f"SELECT name, reason, exit_code, inputs FROM {self._failing()} WHERE {where} "
            "ORDER BY coalesce(id, 0) LIMIT ?",
            (*values, most),
        )
        found = rows.fetchall()
        marks = ",".join("?" * len(found))
        attempts = dict(
            self._db.execute(
                f"SELECT name, sum(attempt) FROM jobs WHERE name IN ({marks}) GROUP BY name", [row[0] for row in found]
            )
        )
        return [
            FailedShard(name, attempts.get(name, 0), reason or "", code, json.loads(inputs or "{}"))
            for name, reason, code, inputs in found
        ]

    def is_wanted(self, key: bytes, session: int) -> bool:
        """Whether a job with this key is part of this session."""
        row = self._db.execute("SELECT 1 FROM jobs WHERE key=? AND session=? LIMIT 1", (key, session)).fetchone()
        return row is not None

    def same(self, row: JobRow) -> list[JobRow]:
        """The same job in earlier sessions, in their order: its key and its name, or else only its key."""
        rows = self._db.execute(
            f"SELECT {self._job} FROM jobs WHERE key=? AND id<? AND id<>? ORDER BY id",
            (row.key, row.row, row.row),
        ).fetchall()
        found = [JobRow(*one) for one in rows]
        return [one for one in found if one.name == row.name] or [one for one in found if one.outcome != "success"]

    def names(self, step: str) -> set[str]:
        """The names of all shards of a step that jobs have been made for."""
        return {name for (name,) in self._db.execute("SELECT DISTINCT name FROM jobs WHERE step=?", (step,))}

    def failures_without_job(self, step: str) -> list[FailedShard]:
        """Shards of a step that failed in the last session before they had a job."""
        if "failures" not in self._has:
            return []
        rows = self._db.execute(
            "SELECT name, reason FROM failures WHERE job IS NULL AND step=? AND session=?", (step, self.current())
        )
        return [FailedShard(name, 0, reason, None, {}) for name, reason in rows]

    def skips(self, step: str) -> Iterator[str]:
        """Shards of a step, or the one of this name, whose ``when`` was false in the last session."""
        if "skipped" not in self._has:
            return
        yield from (
            name
            for (name,) in self._db.execute(
                "SELECT DISTINCT name FROM skipped WHERE session = ?2 AND "
                "(step = ?1 OR name = ?1 OR substr(step, 1, length(?1) + 1) = ?1 || '/')",
                (step, self.current()),
            )
        )

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

    def description(self, row: int) -> JobDescription:
        """What the job was, in words."""
        common, own = self._db.execute(
            "SELECT c.text, j.own FROM jobs j JOIN commons c ON c.id=j.common WHERE j.id=?", (row,)
        ).fetchone()
        return JobDescription(common, own)

    @property
    def has_bindings(self) -> bool:
        """Whether it has the values of inputs and outputs; journals of earlier versions have not."""
        return "bindings" in self._has

    def binding(self, row: JobRow) -> Binding | None:
        """The values of a job's inputs and outputs; None if they are not known."""
        if not self.has_bindings:
            return None
        found = self._db.execute("SELECT inputs, outputs FROM bindings WHERE job=?", (row.row,)).fetchone()
        if found is None:
            return None
        inputs, outputs = map(self._values, found)
        return Binding(row.name, row.step, "tool", row.row, inputs or {}, outputs)

    def evaluations(self, only: str | None = None) -> Iterator[Binding]:
        """Expressions and workflows that have ended in the last session that ran any, in that order.

        Args:
            only: the one of this name; the outermost workflow has none.
        """
        if not self.has_bindings:
            return
        rows = self._db.execute(
            "SELECT name, step, kind, inputs, outputs, at FROM evaluations "
            "WHERE session=(SELECT max(session) FROM evaluations) AND (?1 IS NULL OR name=?1) ORDER BY rowid",
            (only,),
        )
        for name, step, kind, inputs, outputs, at in rows:
            yield Binding(name, step, kind, None, self._values(inputs) or {}, self._values(outputs), at)

    def _values(self, text: bytes | None) -> dict[str, Any] | None:
        if text is None:
            return None
        try:
            return unshared(json.loads(text), self._shared)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise damaged_journal(self._path, "the values of an input or output are not JSON") from error

    def _shared(self, number: int) -> Any:
        if number not in self._shared_values:
            row = self._db.execute("SELECT text FROM shared_values WHERE id=?", (number,)).fetchone()
            if len(self._shared_values) >= _SHARED:
                self._shared_values.clear()
            self._shared_values[number] = json.loads(row[0])
        return self._shared_values[number]

    def keys_of(self, step: str) -> Iterator[bytes]:
        """The keys of a step's jobs that ended well, each once, in their order."""
        rows = self._db.execute(
            "SELECT DISTINCT key FROM jobs WHERE step=? AND outcome='success' ORDER BY key", (step,)
        )
        return (key for (key,) in rows)

    def lost(self) -> list[tuple[int, str]]:
        """Rows and ids of the jobs that no result is known of."""
        return self._db.execute("SELECT id, job FROM jobs WHERE outcome IS NULL").fetchall()
