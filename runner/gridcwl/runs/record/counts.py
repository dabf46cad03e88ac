"""Shard counts of the steps of a run: from the journal, combined with the engine's progress. Pure functions.

A shard is counted once, by the state of its last job. Jobs that the last session has not requested yet count as an
earlier session left them, as far as the step still has so many shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_rows import Tally


@dataclass(frozen=True, slots=True)
class StepCounts:
    """How the shards of one step stand."""

    step: str
    total: int | None = None
    """None as long as the step waits for its inputs and nobody knows."""
    waiting: int = 0
    """Known of, not begun; of a run that has ended: never begun."""
    running: int = 0
    done: int = 0
    """Ended well, those whose results were reused too."""
    reused: int = 0
    """Of those done: results of earlier sessions of this run, or of other runs."""
    failed: int = 0
    stopped: int = 0
    """Begun, and stopped with the run."""
    skipped: int = 0
    """Their ``when`` was false."""
    attempts: int = 0
    """Begun in all sessions."""
    blocked: bool = False
    """It never begins, as a step before it failed."""


def step_counts(history: History, *, alive: bool) -> list[StepCounts]:
    """How each step stands, in the order in which they began; then those that have not.

    Args:
        history: of the run.
        alive: its jobs may run now: a client works on it, or it is detached.
    """
    return combine(history.tallies(), history.progress(), history.attempts_by_step(), alive=alive)


def combine(
    tallies: Iterable[Tally], progress: Sequence[Mapping[str, Any]], attempts: Mapping[str, int], *, alive: bool
) -> list[StepCounts]:
    """What :func:`step_counts` returns."""
    now: dict[str, Tally] = {}
    before: dict[str, Tally] = {}
    begun = []
    for tally in tallies:
        begun.append(tally.step)
        (now if tally.now else before)[tally.step] = tally
    known = {str(step["step"]): step for step in progress if not step.get("workflow") or step.get("skipped")}
    return [
        _of_workflow(known[step])
        if known.get(step, {}).get("workflow")
        else _of_step(step, now.get(step), before.get(step), known.get(step, {}), attempts.get(step, 0), alive)
        for step in dict.fromkeys([*begun, *known])
    ]


def _of_step(
    step: str, now: Tally | None, before: Tally | None, known: Mapping[str, Any], attempts: int, alive: bool
) -> StepCounts:
    skipped = int(known.get("skipped", 0))
    ran, reused, failed, cancelled, running, waiting = _numbers(now)
    if now is None and before is None:  # an ExpressionTool has no jobs
        ran = int(known.get("done", 0))
    failed = max(failed, int(known.get("failed", 0)))
    seen = ran + reused + failed + cancelled + running + waiting + skipped
    total = known.get("total")
    room = None if total is None else max(0, total - seen)
    was_done, was_reused, was_failed, *was_open = _numbers(before)
    earlier_done = _capped(was_done + was_reused, room)
    room = None if room is None else room - earlier_done
    earlier_failed = _capped(was_failed, room)
    room = None if room is None else room - earlier_failed
    earlier_open = _capped(sum(was_open), room)
    room = earlier_open if room is None else room
    stopped = cancelled
    if alive:  # the last session comes to them yet
        waiting += room + earlier_failed
    else:
        failed += earlier_failed
        stopped += running + (earlier_stopped := min(earlier_open, was_open[0] + was_open[1]))
        running = 0
        waiting += room - earlier_stopped
    done = ran + reused + earlier_done
    parts = done + failed + stopped + running + waiting + skipped
    return StepCounts(
        step=step,
        total=parts if parts or total is not None else None,
        waiting=waiting,
        running=running,
        done=done,
        reused=reused + min(was_reused, earlier_done),
        failed=failed,
        stopped=stopped,
        skipped=skipped,
        attempts=attempts,
        blocked=bool(known.get("blocked")) and not parts,
    )


def _of_workflow(known: Mapping[str, Any]) -> StepCounts:
    """A sub-workflow with instances that were skipped: they have no jobs that could be counted."""
    total = known.get("total")
    done, failed, running, skipped = (int(known.get(name, 0)) for name in ("done", "failed", "running", "skipped"))
    waiting = 0 if total is None else max(0, total - done - failed - running - skipped)
    return StepCounts(
        str(known["step"]), total, waiting=waiting, running=running, done=done, failed=failed, skipped=skipped
    )


def _numbers(tally: Tally | None) -> tuple[int, int, int, int, int, int]:
    """Ran, reused, failed, cancelled, running, waiting."""
    if tally is None:
        return 0, 0, 0, 0, 0, 0
    return tally.ran, tally.reused, tally.failed, tally.cancelled, tally.running, tally.waiting


def _capped(number: int, room: int | None) -> int:
    return number if room is None else min(number, room)


def summary(counts: Iterable[StepCounts]) -> dict[str, int]:
    """Shards of all steps, without those that were skipped."""
    counts = list(counts)
    return {
        "done": sum(step.done for step in counts),
        "failed": sum(step.failed for step in counts),
        "shards": sum((step.total or 0) - step.skipped for step in counts),
    }
