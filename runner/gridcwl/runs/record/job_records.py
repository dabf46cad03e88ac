"""What a journal knows of each job and of each of its attempts, as values: for reports, provenance and accounting.

Jobs come one by one in the order in which they were made, so that memory does not grow with their number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec

from gridcwl.errors import ResultError
from gridcwl.model import Resources, Usage
from gridcwl.runs.record.journal import session_of

HOW = Literal["run", "resumed", "cache"]


class _Kept(msgspec.Struct):
    """The parts of a result's JSON that are read here; the others are skipped quickly."""

    usage: Usage | None = None
    image: str = ""


class _Row(NamedTuple):
    """A row of the query: a job with one of its attempts."""

    row: int
    session: int
    step: str
    name: str
    job: str
    outcome: str | None
    reused: str | None
    place: str | None
    detail: str | None
    taken: int | None
    common: int
    job_submitted: float | None
    job_started: float | None
    job_requested: int | None
    attempt: int | None
    attempt_outcome: str
    exit_code: int | None
    reason: str
    folder: str
    ended: float
    submitted: float | None
    requested: int | None
    result: bytes


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt of a job that has ended. Times are seconds since 1970 (UTC)."""

    attempt: int
    """The first is 1."""
    outcome: str
    """See ``gridcwl.model.Outcome``."""
    exit_code: int | None
    reason: str
    """Why it failed; empty if it did not."""
    folder: str
    """The name of its folder, in which its logs are."""
    submitted: float | None
    """When it was given to the backend; None in journals of earlier versions."""
    ended: float
    """When its result was recorded here."""
    requested: Resources | None
    usage: Usage | None
    """None if nothing came back from the worker."""
    image: str
    """The digest of its image; empty for the bare command."""

    @property
    def started(self) -> float | None:
        """When the worker began with it, by the worker's clock."""
        if self.usage is None or not self.usage.started:
            return None
        try:
            return datetime.fromisoformat(self.usage.started).timestamp()
        except ValueError:
            return None

    @property
    def finished(self) -> float:
        """When the worker had done with it, by the worker's clock; else when its result was recorded."""
        started = self.started
        return self.ended if started is None or self.usage is None else started + self.usage.wall_s

    @property
    def queued_s(self) -> float | None:
        """How long it waited before it started."""
        started = self.started
        return None if started is None or self.submitted is None else max(0.0, started - self.submitted)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job of a run."""

    row: int
    session: int
    """The last session that wanted it."""
    step: str
    name: str
    """The step with its scatter indices."""
    job: str
    """Its id."""
    outcome: str | None
    """None while it waits or runs."""
    how: HOW
    """How its result was obtained: it ran, an earlier session of this run had it, or another run."""
    origin: str
    """The other run and its job."""
    place: str
    """Where it is, or was last: a site, or a host."""
    detail: str
    """What a batch system reported last."""
    submitted: float | None
    started: float | None
    """Since when the last attempt runs; None if it waits."""
    requested: Resources | None
    """By the last attempt."""
    attempts: tuple[AttemptRecord, ...]
    """Those that ended."""
    common: int
    """The number of its entry in the journal's table ``commons``: image and environment."""

    @property
    def last(self) -> AttemptRecord | None:
        """The last attempt that ended; None if none did."""
        return self.attempts[-1] if self.attempts else None

    @property
    def state(self) -> str:
        """``success``, another outcome, ``running`` or ``waiting``."""
        return self.outcome or ("running" if self.started is not None else "waiting")


_DECODER = msgspec.json.Decoder(_Kept)
_OF_JOB = "j.id, j.session, j.step, j.name, j.job, j.outcome, j.reused"
_OF_ATTEMPT = "a.attempt, a.outcome, a.exit_code, a.reason, a.folder, a.ended"


def job_records(db: sqlite3.Connection, where: str, jobs: set[str], attempts: set[str]) -> Iterator[JobRecord]:
    """The jobs of a journal; see :meth:`gridcwl.runs.record.history.History.records`.

    Args:
        db: the journal.
        where: a condition on ``jobs``.
        jobs, attempts: the columns that these tables have in this journal.
    """
    later = [*("place", "detail", "taken"), "common", *("submitted", "started", "requested")]
    columns = [f"j.{name}" if name in jobs else "NULL" for name in later]
    columns += [_OF_ATTEMPT, *(f"a.{name}" if name in attempts else "NULL" for name in ("submitted", "requested"))]
    rows = db.execute(
        f"SELECT {_OF_JOB}, {', '.join(columns)}, a.result FROM (SELECT * FROM jobs WHERE {where}) j "  # noqa: S608
        "LEFT JOIN attempts a ON a.job=j.id ORDER BY j.id, a.attempt"
    )
    requests = _requests(db) if "requested" in jobs else {}
    for _, group in groupby(map(_Row._make, rows), key=lambda row: row.row):
        yield _record(list(group), requests)


def _requests(db: sqlite3.Connection) -> dict[int, Resources]:
    rows = db.execute("SELECT id, text FROM requests")
    return {number: msgspec.json.decode(text, type=Resources) for number, text in rows}


def _record(rows: list[_Row], requests: dict[int, Resources]) -> JobRecord:
    first = rows[0]
    return JobRecord(
        row=first.row,
        session=first.session,
        step=first.step,
        name=first.name,
        job=first.job,
        outcome=first.outcome,
        how=_how(first),
        origin=first.reused or "",
        place=first.place or "",
        detail=first.detail or "",
        submitted=first.job_submitted,
        started=first.job_started,
        requested=_of(requests, first.job_requested),
        attempts=tuple(_attempt(row, requests) for row in rows if row.attempt is not None),
        common=first.common,
    )


def _how(row: _Row) -> HOW:
    if row.reused:
        return "cache"
    if row.outcome == "success" and (
        row.taken == row.session if row.taken is not None else row.session > session_of(row.row)
    ):
        return "resumed"
    return "run"


def _attempt(row: _Row, requests: dict[int, Resources]) -> AttemptRecord:
    assert row.attempt is not None
    try:
        kept = _DECODER.decode(row.result)
    except msgspec.MsgspecError as error:
        raise ResultError(f"The journal's result of {row.name} cannot be read: {error}") from None
    return AttemptRecord(
        attempt=row.attempt,
        outcome=row.attempt_outcome,
        exit_code=row.exit_code,
        reason=row.reason,
        folder=row.folder,
        submitted=row.submitted,
        ended=row.ended,
        requested=_of(requests, row.requested),
        usage=kept.usage,
        image=kept.image,
    )


def _of(requests: dict[int, Resources], number: Any) -> Resources | None:
    return requests.get(number) if number is not None else None
