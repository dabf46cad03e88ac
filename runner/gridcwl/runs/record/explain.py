"""How each shard of a step stands, and why: what it ran for, where its result came from, or why it did not run.

A job that ran is compared, part by part, with the nearest earlier job of the same shard: never with one whose result
another shard of this run has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridcwl.errors import StoreError
from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.record.journal_rows import Attempt, JobRow
from gridcwl.runs.reuse.keys import differences

_RUNS = 10
_CANDIDATES = 50
_MISSING = 100
_INDEX = re.compile(r"(.+)\[(\d+)\]")

Difference = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The explanation of one shard.

    Attributes:
        state: done, reused, failed, running, waiting, stopped, not started, skipped, or blocked.
    """

    name: str
    state: str
    message: str
    differences: tuple[Difference, ...] = ()
    """Parts of the key: name, value now, value of the nearest earlier job."""

    @property
    def reused(self) -> bool:
        """Its result was taken, and it did not run."""
        return self.state == "reused"

    def plain(self) -> dict[str, Any]:
        """For machines."""
        parts = [{"part": name, "now": now, "before": before} for name, now, before in self.differences]
        return {
            "name": self.name,
            "state": self.state,
            "reused": self.reused,
            "message": self.message,
            "differences": parts,
        }


def answers(history: History, folder: RunFolder, step: str, state_dir: Path) -> Iterator[Answer]:
    """The answer for every shard of a step, one by one.

    Args:
        history: of the run.
        folder: of the run.
        step: or one shard.
        state_dir: where earlier runs are.
    """
    alive = folder.alive
    status = history.current_status()
    with ExitStack() as stack:
        view = _View(
            history=history,
            going=alive or status == "detached",
            killed=status == "running" and not alive,
            current=history.current(),
            others=_earlier_runs(history, folder, state_dir, stack),
        )
        for row in history.jobs(step=step, where=history.latest):
            yield view.answer(row)
        for name in history.skips(step):
            yield Answer(name, "skipped", "skipped: its 'when' was false")
        yield from view.without_jobs(step)


@dataclass(slots=True)
class _View:
    """A run as it is looked at."""

    history: History
    going: bool
    killed: bool
    current: int
    others: list[tuple[str, History]]
    _counts: dict[str, StepCounts] = field(default_factory=dict)

    def answer(self, row: JobRow) -> Answer:
        now = row.session == self.current
        if not now and self.going and row.outcome != "success":
            return Answer(row.name, "waiting", f"waiting: it has not come up yet in this session{self._before(row)}")
        if row.outcome is None:
            return self._open(row)
        if row.outcome == "cancelled":
            return Answer(row.name, "stopped", f"stopped with the run after it had begun{self._before(row)}")
        if row.outcome != "success":
            return self._failed(row)
        return self._done(row, now=now)

    # -- not ended -----------------------------------------------------------------------------------------------------

    def _open(self, row: JobRow) -> Answer:
        before = self._before(row)
        if self.going and row.started is not None:
            place = f" at {row.place}" if row.place else ""
            detail = f" ({row.detail})" if row.detail else ""
            attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
            message = f"running{place} since {_clock(row.started)}{detail}{attempt}"
            return Answer(row.name, "running", message + before)
        if self.going:
            detail = f": {row.detail}" if row.detail else " for a place to run"
            again = f" for attempt {row.attempt + 1}" if row.attempt else detail
            return Answer(row.name, "waiting", f"waiting{again}{before}")
        if row.started is not None or row.attempt:
            how = "it was running when gridcwl was killed" if self.killed else "it was running when the run stopped"
            return Answer(row.name, "stopped", f"stopped: {how}{before}")
        return Answer(row.name, "not started", f"never started: the run {self._end()} first{before}")

    def _end(self) -> str:
        return "was killed" if self.killed else "stopped"

    def without_jobs(self, step: str) -> Iterator[Answer]:
        """Shards that no job has been made for."""
        for counts in step_counts(self.history, alive=self.going):
            if not (counts.step == step or counts.step.startswith(f"{step}/") or _is_shard(step, counts.step)):
                continue
            if counts.blocked:
                yield Answer(counts.step, "blocked", "never starts: a step before it failed")
            elif counts.total is None:
                message = "waiting for its inputs" if self.going else f"never started: the run {self._end()} first"
                yield Answer(counts.step, "waiting" if self.going else "not started", message)
            elif counts.waiting or counts.failed:
                yield from self._missing(counts, step)

    def _missing(self, counts: StepCounts, step: str) -> Iterator[Answer]:
        known = self.history.names(counts.step)
        state = "waiting" if self.going else "not started"
        message = "waiting: it has not come up yet" if self.going else f"never started: the run {self._end()} first"
        failed = {failure.name: failure.reason for failure in self.history.failures_without_job(counts.step)}
        for name, reason in failed.items():
            if step in (counts.step, name) or counts.step.startswith(f"{step}/"):
                yield Answer(name, "failed", f"failed before it had a job: {reason}")
        missing = (counts.total or 0) - len(known) - len(failed) - counts.skipped
        if missing <= 0:
            return
        prefix = f"{counts.step}["
        if all(_INDEX.fullmatch(name) for name in known) and (known or (counts.total or 0) > 1):
            skipped = set(self.history.skips(counts.step))
            names = (f"{prefix}{number}]" for number in range(counts.total or 0))
            absent = [name for name in names if name not in known and name not in failed and name not in skipped]
            for name in absent[:_MISSING]:
                if step in (counts.step, name) or counts.step.startswith(f"{step}/"):
                    yield Answer(name, state, message)
            absent = absent[_MISSING:]
            missing = len(absent)
        if missing and not _is_shard(step, counts.step):
            yield Answer(counts.step, state, f"{missing} {'more ' if known else ''}shard(s): {message}")

    # -- ended ---------------------------------------------------------------------------------------------------------

    def _failed(self, row: JobRow) -> Answer:
        attempts = self.history.attempts(row.row)
        reason = _why(attempts[-1]) if attempts else "no reason was recorded"
        number = f", after {row.attempt} attempts" if row.attempt > 1 else ""
        return Answer(row.name, "failed", f"failed{number}: {reason.rstrip('.')}{self._before(row)}")

    def _done(self, row: JobRow, *, now: bool) -> Answer:
        if row.reused:
            return Answer(row.name, "reused", f"reused: its result was taken from {row.reused}")
        if (row.taken is not None and row.taken == row.session) or (row.taken is None and row.session > row.made_in):
            when = self._when(row)
            return Answer(row.name, "reused", f"reused: it ended in an earlier session of this run{when}")
        where = f" at {row.place}" if row.place else ""
        took = self._took(row)
        if not now:
            return Answer(row.name, "done", f"done in an earlier session of this run{where}{took}")
        tried = f", attempt {row.attempt}" if row.attempt > 1 else ""
        done = f"done: it ran{where}{took}{tried}"
        if before := self._before(row):
            return Answer(row.name, "done", f"{done}{before}")
        return self._compared(row, done)

    def _compared(self, row: JobRow, done: str) -> Answer:
        if failed := self._edited(row):
            return Answer(row.name, "done", f"{done}{failed}")
        mine = self.history.description(row.row)
        nearest: tuple[int, bool, int, str, list[Difference]] | None = None
        for order, (where, journal, candidate) in enumerate(self._candidates(row)):
            parts = differences(mine, journal.description(candidate.row))
            found = (len(parts), candidate.name != row.name, order, f"{where}, {candidate.name}", parts)
            nearest = found if nearest is None else min(nearest, found, key=lambda one: one[:3])
            if not parts:
                break
        if nearest is None:
            return Answer(row.name, "done", f"{done}; no earlier run of this document has such a job")
        if nearest[0]:
            message = f"{done}, as it differs from the nearest earlier one ({nearest[3]}) in"
            return Answer(row.name, "done", message, tuple(nearest[4]))
        message = f"{done}, although the same job ended well before ({nearest[3]}): {_why_not(self.history)}"
        return Answer(row.name, "done", message)

    def _candidates(self, row: JobRow) -> Iterator[tuple[str, History, JobRow]]:
        """Earlier jobs of the same step that ended well and stand for no other shard now: the same shard's first."""
        ended = f"outcome = 'success' AND step = {_quoted(row.step)}"
        for where, journal in [("this run before", self.history), *self.others]:
            only = f"{ended} AND id < {row.made_in << 32}" if journal is self.history else ended
            same = journal.jobs(step=row.name, where=only, newest_first=True)
            others = f"{only} AND name <> {_quoted(row.name)}"
            # in this run another shard's job is no earlier one of this shard
            rest = iter(()) if journal is self.history else journal.jobs(where=others, newest_first=True)
            for found in (*_first(same, 1), *_first(rest, _CANDIDATES)):
                if found.key == row.key or not self.history.is_wanted(found.key, self.current):
                    yield where, journal, found

    # -- before --------------------------------------------------------------------------------------------------------

    def _before(self, row: JobRow) -> str:
        """What became of the same job in earlier sessions, if it did not end well there."""
        failed, stopped, last = 0, 0, None
        for earlier in self.history.same(row):
            if earlier.outcome is None or earlier.outcome == "cancelled":
                stopped += earlier.started is not None or earlier.outcome is not None
            elif earlier.outcome != "success":
                failed += 1
                last = self.history.attempts(earlier.row)[-1:] or last
        parts = []
        if failed and last:
            parts.append(f"failed {_times(failed)} before ({_why(last[0]).rstrip('.')})")
        if stopped:
            parts.append(f"was stopped {_times(stopped)} before")
        return f"; it {' and '.join(parts)}" if parts else ""

    def _edited(self, row: JobRow) -> str:
        """What became of the same shard in earlier sessions, where it was another job and did not end well."""
        where = f"id < {row.made_in << 32} AND key <> x'{row.key.hex()}'"
        last = next(self.history.jobs(step=row.name, where=where, newest_first=True), None)
        if last is None or last.outcome in (None, "success"):
            return ""
        attempts = self.history.attempts(last.row)
        parts = [
            part for part, _, _ in differences(self.history.description(row.row), self.history.description(last.row))
        ]
        ended = "was stopped" if last.outcome == "cancelled" else "failed"
        why = f" ({_why(attempts[-1]).rstrip('.')})" if attempts and ended == "failed" else ""
        listed = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
        return f"; it {ended} before{why}, and differs from then in: {listed}"

    def _took(self, row: JobRow) -> str:
        attempts = self.history.attempts(row.row)
        seconds = attempts[-1].wall_s if attempts else None
        return f" in {seconds:.1f} s" if seconds is not None else ""

    def _when(self, row: JobRow) -> str:
        attempts = self.history.attempts(row.row)
        return f" ({_clock(attempts[-1].ended)})" if attempts else ""


def _is_shard(name: str, step: str) -> bool:
    """Whether this is the name of a shard of the step: ``outer[3]/say[1]`` of ``outer/say``."""
    return name != step and re.sub(r"\[[0-9,]+\]", "", name) == step


def _why(attempt: Attempt) -> str:
    return attempt.reason or f"exit code {attempt.exit_code}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _why_not(history: History) -> str:
    options = history.meta("options") or {}
    if not options.get("cache"):
        return "results of other runs are reused only with --cache"
    return "its tool forbids reuse (WorkReuse), that run kept nothing (--cache), or what it kept was damaged or removed"


def _first(rows: Iterator[JobRow], most: int) -> Iterator[JobRow]:
    for _ in range(most):
        row = next(rows, None)
        if row is None:
            return
        yield row


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _earlier_runs(history: History, folder: RunFolder, state_dir: Path, stack: ExitStack) -> list[tuple[str, History]]:
    """Journals of the last runs of the same document before this one."""
    document = (history.meta("cwd"), history.meta("document"))
    found: list[tuple[str, History]] = []
    for other in all_folders(state_dir):
        if other.run >= folder.run or len(found) == _RUNS:
            continue
        with suppress(StoreError), explained_damage(other):
            journal = History(other.journal)
            stack.callback(journal.close)
            known = (journal.meta("cwd"), journal.meta("document"))
            if known == document or Path(str(known[1])).name == Path(str(document[1])).name:
                found.append((f"run {other.run}", journal))
    return found
