"""A run that another process works on, or worked on: its events and its result from its record."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gridcwl.errors import ConfigError, RunCancelled, RunDetached, RunFailed
from gridcwl.model import JobId
from gridcwl.runs.events import Event, Failure, JobEnded, JobStarted, RunEnded, RunStarted, StepsChanged
from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.record.run_record import process_started, stop_orphans

if TYPE_CHECKING:
    from gridcwl.runs.record.journal_log import JournalLog

_LOOK_EVERY_S = 0.3
_MARGIN_S = 2.0
"""Between a job's beginning and its being in the journal."""
_FAILURES = 100


async def follow(folder: RunFolder) -> AsyncIterator[Event]:
    """The events of a run from its record: those that have been, and those to come, until nobody works on it.

    Raises:
        JournalError: its record cannot be read.
    """
    history = await asyncio.to_thread(History, folder.journal)
    with closing(history):
        follower = Follower(folder, history)
        yield RunStarted(folder.run)
        while True:
            alive = folder.alive
            began = time.monotonic()
            for event in await asyncio.to_thread(follower.look, alive=alive):
                yield event
            if not alive:
                return
            await asyncio.sleep(max(_LOOK_EVERY_S, 4 * (time.monotonic() - began)))  # a large record takes its time


@dataclass(slots=True)
class Follower:
    """Compares a run's record with what it was at the last look."""

    folder: RunFolder
    history: History
    _running: dict[tuple[int, int], JobRow] = field(default_factory=dict)
    _reported: frozenset[tuple[int, int]] = frozenset()
    """Attempts that were seen at the last look and had ended."""
    _since: float = 0.0
    _steps: tuple[StepCounts, ...] = ()

    def look(self, *, alive: bool) -> list[Event]:
        """What has happened since the last look."""
        events = list(self._jobs())
        steps = tuple(step_counts(self.history, alive=alive))
        if steps != self._steps:
            self._steps = steps
            events.append(StepsChanged(self.folder.run, steps))
        if not alive:
            events += self._end()
        return events

    def _jobs(self) -> Iterator[Event]:
        now = time.time()
        seen = f"started IS NOT NULL AND (outcome IS NULL OR started >= {self._since!r})"
        rows = {(row.row, row.attempt): row for row in self.history.jobs(where=seen)} if self._known else {}
        for key, row in rows.items():
            if key not in self._running and key not in self._reported:
                yield JobStarted(self.folder.run, row.name, JobId(row.job))
                self._running[key] = row
        ended = {key for key, row in rows.items() if row.outcome is not None}
        for key in [key for key in self._running if key not in rows or key in ended]:
            yield from self._ended(self._running.pop(key))
        self._reported = frozenset(ended)
        self._since = now - _MARGIN_S

    @property
    def _known(self) -> bool:
        return self.history.knows_running

    def _ended(self, row: JobRow) -> Iterator[Event]:
        for attempt in self.history.attempts(row.row):
            if attempt.attempt == row.attempt:
                yield JobEnded(
                    self.folder.run,
                    row.name,
                    JobId(row.job),
                    attempt.attempt,
                    attempt.outcome,
                    attempt.exit_code,
                    attempt.reason,
                    attempt.wall_s,
                )

    def _end(self) -> Iterator[Event]:
        last = self.history.sessions()[-1]
        status = "killed" if last.status == "running" else last.status
        if status != "success":
            for shard in self.history.failed_shards(None, _FAILURES):
                yield Failure(self.folder.run, shard.name, f"{shard.name} failed: {shard.reason}", "")
        yield RunEnded(self.folder.run, status, last.message)


async def recorded_outputs(folder: RunFolder) -> Any:
    """The output object of a run, once no process works on it.

    Raises:
        RunFailed: it failed, or was killed.
        RunCancelled: it was stopped.
        RunDetached: its jobs keep running.
    """
    while folder.alive:  # noqa: ASYNC110  it is another process that works
        await asyncio.sleep(_LOOK_EVERY_S)
    return await asyncio.to_thread(_outputs, folder)


def _outputs(folder: RunFolder) -> Any:
    with closing(History(folder.journal)) as history:
        last = history.sessions()[-1]
        if last.status == "success":
            return history.meta("outputs")
        if last.status == "detached":
            raise RunDetached(folder.run, sum(step.running + step.waiting for step in step_counts(history, alive=True)))
        if last.status == "cancelled":
            raise RunCancelled(last.message, remedy=f"Finished jobs are kept: gridcwl resume {folder.run}")
        shards = history.failed_shards(None, _FAILURES)
        failures = tuple(f"{shard.name} failed: {shard.reason}" for shard in shards)
        if last.status == "running":
            failures = (*failures, "the process that worked on it was killed")
        partial = history.meta("partial") or {}
        raise RunFailed(folder.run, failures or (last.message,), partial.get("outputs"))


def stop(folder: RunFolder, log: JournalLog | None = None) -> str:
    """Stop a run, whoever works on it, and wait until it has ended; returns what was done.

    Args:
        folder: of the run.
        log: of its journal, if other machines have it.

    Raises:
        ConfigError: it is worked on by another machine.
        GridCWLError: what runs cannot be stopped.
    """
    with closing(History(folder.journal)) as history:
        session, signals = history.sessions()[-1], history.meta("signals")
    if folder.alive:
        if session.host != socket.gethostname():
            raise ConfigError(f"The run {folder.run} is active on {session.host}", remedy="Cancel it on that machine.")
        if signals is False:
            folder.request_cancel()
        elif process_started(session.pid) == session.pid_started:
            os.kill(session.pid, signal.SIGTERM)
        folder.wait()
        return f"{folder.run} was stopped"
    if session.status not in ("running", "detached"):
        return f"{folder.run} has already ended: {session.status}"
    with folder.held():
        stop_orphans(folder)
        with closing(Journal(folder.journal, log=log)) as journal:
            journal.mark_last("cancelled")
    before = "was detached" if session.status == "detached" else "was killed earlier"
    return f"{folder.run} {before}; its remaining jobs were stopped"
