"""``gridcwl attach RUN``: show a run that another process works on, until it has ended; Ctrl-C detaches again."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from gridcwl.cli.display import LiveWatcher, PlainWatcher
from gridcwl.cli.running import print_outputs
from gridcwl.engine.progress import StepProgress
from gridcwl.errors import GridCWLError, RunFailed, UsageError
from gridcwl.model import Job, JobId, JobResult, Outcome, RunId
from gridcwl.runs.events import Event, Failure, JobEnded, JobStarted, StepsChanged
from gridcwl.runs.observer import follow, recorded_outputs
from gridcwl.runs.record.counts import StepCounts
from gridcwl.runs.record.folder import RunFolder

_CHANGES = (
    *("outdir", "overwrite", "publish_partial", "max_jobs", "on_error", "retries", "retry_all", "settings"),
    *("retry_memory", "cap_resources", "engine"),
)


def attach(folder: RunFolder, given: argparse.Namespace) -> int:
    """Show the run and print its outputs; returns its exit code, or 0 after Ctrl-C.

    Raises:
        UsageError: settings of the run are to be changed, while it is active.
        GridCWLError: the run failed or was stopped.
    """
    if any(getattr(given, name) not in (None, False) for name in _CHANGES):
        raise UsageError(
            f"The run {folder.run} is active, and its settings cannot be changed now",
            remedy=f"Stop it first: gridcwl cancel {folder.run}, then gridcwl resume.",
        )
    loudness = given.loudness or 0
    live = sys.stderr.isatty() and loudness >= 0 and os.environ.get("TERM") != "dumb"
    watcher = LiveWatcher(verbose=loudness > 0) if live else PlainWatcher(quiet=loudness < 0, verbose=loudness > 0)
    try:
        outputs = asyncio.run(_shown(folder, watcher))
    except KeyboardInterrupt:
        print(
            f"gridcwl: Detached. The run {folder.run} continues; gridcwl attach {folder.run} shows it", file=sys.stderr
        )
        return 0
    except RunFailed as error:
        print_outputs(error.outputs if error.outputs is not None else {}, None)
        raise
    return 0 if print_outputs(outputs, None) else 1


async def _shown(folder: RunFolder, watcher: PlainWatcher) -> Any:
    shown = RecordReplay(folder.run, watcher)
    with watcher:
        watcher.started(folder.run, lambda: shown.steps)
        async for event in follow(folder):
            shown.take(event)
    return await recorded_outputs(folder)


class RecordReplay:
    """Passes on to a watcher what a run's record says."""

    def __init__(self, run: RunId, watcher: PlainWatcher) -> None:
        self._run = run
        self._watcher = watcher
        self.steps: Sequence[StepProgress] = ()

    def take(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepsChanged():
                self.steps = [_progress(step) for step in event.steps]
                self._watcher.count_reused({step.step: step.reused for step in event.steps})
                self._watcher.tick()
            case JobStarted():
                self._watcher.job_started(self._job(event.name, event.job))
            case JobEnded():
                result = JobResult(event.job, Outcome(event.outcome), event.exit_code, event.reason)
                self._watcher.job_ended(self._job(event.name, event.job, event.attempt), result)
            case Failure():
                self._watcher.failed(event.name, GridCWLError(event.message, remedy=event.remedy))

    def _job(self, name: str, job: JobId, attempt: int = 1) -> Job:
        return Job(job, self._run, name, (), attempt=attempt)


def _progress(step: StepCounts) -> StepProgress:
    return StepProgress(
        path=tuple(step.step.split("/")),
        is_workflow=False,
        total=step.total,
        taken=step.running + step.done + step.failed,
        done=step.done,
        failed=step.failed,
        skipped=step.skipped,
        blocked=int(step.blocked),
    )
