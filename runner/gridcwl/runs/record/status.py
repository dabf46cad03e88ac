"""State of a run, read from its record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.record.journal_rows import FailedShard
from gridcwl.runs.record.listing import about_folder, about_run

_FAILURES = 20


@dataclass(frozen=True, slots=True)
class RunStatus:
    """State of a run."""

    run: str
    name: str
    """What the user calls it; may be empty."""
    state: str
    """``running``, ``success``, ``failed``, ``cancelled``, ``detached``, ``killed``, or ``broken`` without a record."""
    document: str | None
    started: float | None
    """Seconds since 1970."""
    ended: float | None
    """Seconds since 1970; of a run that is active, now."""
    seconds: float | None
    """How long it ran, in all sessions."""
    done: int
    """Jobs that ended well, of ``shards``."""
    failed: int
    shards: int
    """Jobs that are known of."""
    message: str
    """Why it ended, if not with success."""
    steps: tuple[StepCounts, ...] = ()
    """Not in lists of runs."""
    failures: tuple[FailedShard, ...] = ()
    """The first ones; not in lists of runs."""

    @property
    def active(self) -> bool:
        """Its jobs may run now."""
        return self.state in ("running", "detached")


def status_of(folder: RunFolder) -> RunStatus:
    """How the run stands, with its steps and failures.

    Raises:
        JournalError: its record cannot be read.
    """
    with explained_damage(folder), closing(History(folder.journal)) as history:
        return status_in_history(folder, history)


def status_in_history(folder: RunFolder, history: History) -> RunStatus:
    """The same, from a journal that is open."""
    about = about_run(folder, history)
    steps = step_counts(history, alive=about["state"] in ("running", "detached"))
    return _status(about, tuple(steps), tuple(history.failed_shards(None, _FAILURES)))


def summary_of(folder: RunFolder) -> RunStatus:
    """How the run stands, without its steps and failures."""
    return _status(about_folder(folder))


def status_from(about: Mapping[str, Any]) -> RunStatus:
    """How a run stands, from what a service says of it: see ``gridcwl.runs.about``."""
    steps = tuple(_step(step) for step in about.get("steps") or ())
    failures = tuple(FailedShard(**shard) for shard in about.get("failures") or ())
    return _status(about, steps, failures)


def _step(plain: Mapping[str, Any]) -> StepCounts:
    values = dict(plain)
    return StepCounts(**(values | {"waiting": values["waiting"] + values.pop("not_started", 0)}))


def _status(
    about: Mapping[str, Any], steps: tuple[StepCounts, ...] = (), failures: tuple[FailedShard, ...] = ()
) -> RunStatus:
    known = {name: about[name] for name in RunStatus.__slots__ if name in about}
    return RunStatus(**{**known, "steps": steps, "failures": failures})
