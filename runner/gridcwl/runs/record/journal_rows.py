"""Rows of a journal as values: sessions, jobs, attempts, counts and failures."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gridcwl.model import JobResult
from gridcwl.runs.record.journal import session_of


class Earlier(msgspec.Struct, frozen=True):
    """A result that an earlier session of the run recorded."""

    row: int
    name: str
    job: str
    result: JobResult


class SessionRow(msgspec.Struct, frozen=True):
    """One client's work on a run."""

    number: int
    pid: int
    pid_started: float
    host: str
    started: float
    ended: float | None
    status: str
    message: str


class Tally(msgspec.Struct, frozen=True):
    """Jobs of one step, counted by how they stand: each shard's last one, of the last session or of those before."""

    step: str
    now: bool
    """Of the last session that had jobs; otherwise the last session has not requested them."""
    ran: int
    """Ended well in this session."""
    reused: int
    """Ended well before, or in another run."""
    failed: int
    cancelled: int
    running: int
    """Begun and not ended, or lost with their client."""
    waiting: int


class PlaceTally(msgspec.Struct, frozen=True):
    """Jobs of one site, counted by how they stand."""

    place: str
    done: int
    failed: int
    cancelled: int
    running: int
    waiting: int


class FailureGroup(msgspec.Struct, frozen=True):
    """Failures of one step that are alike, and the first of them."""

    step: str
    count: int
    outcome: str
    exit_code: int | None
    reason: str
    alike: str
    last_line: str
    """The last line of stderr."""


class FailedShard(msgspec.Struct, frozen=True):
    """One shard that failed."""

    name: str
    attempts: int
    reason: str
    exit_code: int | None
    inputs: Mapping[str, str]


class JobRow(msgspec.Struct, frozen=True):
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
    started: float | None = None
    place: str | None = None
    detail: str | None = None
    taken: int | None = None
    submitted: float | None = None
    requested: int | None = None

    @property
    def made_in(self) -> int:
        """The session that first thought of it; ``session`` is the last that wanted it."""
        return session_of(self.row)


class Attempt(msgspec.Struct, frozen=True):
    """One attempt of a job."""

    attempt: int
    outcome: str
    exit_code: int | None
    reason: str
    folder: str
    ended: float
    wall_s: float | None
