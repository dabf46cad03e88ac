"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere; failures in full."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gridcwl.engine.progress import StepProgress
from gridcwl.model import Job, JobResult, RunId
from gridcwl.runs.run import JobFailure

if TYPE_CHECKING:
    from rich.table import Table

_LONGEST_COMMAND = 2000
_LINES_EVERY_S = 10.0

Progress = Callable[[], Sequence[StepProgress]]


class StderrHandler(logging.Handler):
    """Log records as lines on stderr, found anew each time: the live display puts its own stream in place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:  # noqa: BLE001  as logging.Handler says: never raise from here
            self.handleError(record)


class PlainWatcher:
    """Lines on stderr: a step that begins or ends, and now and then how far it is."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._progress: Progress = tuple
        self._told: dict[str, tuple[int, ...]] = {}
        self._begun = self._last = time.monotonic()

    def __enter__(self) -> PlainWatcher:
        return self

    def __exit__(self, *_error: object) -> None:
        self._tell(force=True)

    def started(self, run: RunId, progress: Progress) -> None:
        """See ``Watcher``."""
        self._progress = progress
        if self._verbose:
            self._say(f"run {run}")

    def job_started(self, job: Job) -> None:
        """See ``Watcher``."""
        if self._verbose:
            self._say(f"{job.name}: {shown_command(job)}")

    def job_ended(self, job: Job, result: JobResult) -> None:
        """See ``Watcher``."""
        if self._verbose:
            cost = f" in {result.usage.wall_s:.1f} s" if result.usage else ""
            self._say(f"{job.name}: {result.outcome}{cost}")

    def job_failed(self, failure: JobFailure) -> None:
        """See ``Watcher``."""
        print(failure_text(failure), file=sys.stderr)

    def failed(self, where: str, error: Exception) -> None:
        """See ``Watcher``."""
        text = str(error)
        print(f"gridcwl: {text if text.startswith(where) else f'{where}: {text}'}", file=sys.stderr)

    def tick(self) -> None:
        """See ``Watcher``."""
        if time.monotonic() - self._last >= _LINES_EVERY_S:
            self._tell()

    def _tell(self, *, force: bool = False) -> None:
        self._last = time.monotonic()
        if self._quiet:
            return
        for step in self._progress():
            counts = (step.taken, step.done, step.failed, step.skipped)
            if step.is_workflow or counts == self._told.get(step.name) or not (any(counts) or force):
                continue
            self._told[step.name] = counts
            if any(counts):
                self._say(f"{step.name}: {described(step)}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(f"[{elapsed(self._begun)}] {text}", file=sys.stderr)


class LiveWatcher(PlainWatcher):
    """A table that stays at the bottom of the terminal, redrawn a few times a second by rich."""

    def __init__(self, *, verbose: bool = False) -> None:
        super().__init__(quiet=False, verbose=verbose)
        from rich.console import Console
        from rich.live import Live

        self._live: Live = Live(
            console=Console(stderr=True), get_renderable=self._table, refresh_per_second=4, redirect_stdout=False
        )

    def __enter__(self) -> LiveWatcher:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def tick(self) -> None:
        """Nothing: the table asks for itself."""

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, title=f"gridcwl  {elapsed(self._begun)}", title_justify="left")
        table.add_column("step", no_wrap=True)
        for name, style in (("done", "green"), ("running", "cyan"), ("waiting", "dim"), ("failed", "red")):
            table.add_column(name, justify="right", style=style)
        for step in self._progress():
            waiting = "" if step.total is None else str(step.total - step.taken - step.skipped)
            table.add_row(
                "  " * (len(step.path) - 1) + step.path[-1],
                f"{step.done}" + (f" (+{step.skipped} skipped)" if step.skipped else ""),
                str(step.running or ""),
                waiting if waiting != "0" else "",
                str(step.failed or ""),
            )
        return table


def described(step: StepProgress) -> str:
    """A step's counts in words."""
    parts = [f"{step.done} of {step.total} done" if step.total != 1 or not step.done else "done"]
    parts += [f"{number} {word}" for number, word in _counted(step) if number]
    return ", ".join(parts)


def _counted(step: StepProgress) -> list[tuple[int, str]]:
    return [(step.running, "running"), (step.failed, "failed"), (step.skipped, "skipped")]


def elapsed(since: float) -> str:
    """Minutes and seconds since a monotonic time."""
    seconds = int(time.monotonic() - since)
    return f"{seconds // 3600:d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def shown_command(job: Job) -> str:
    """The command as one could type it, cut where it is very long."""
    text = shlex.join(job.command)
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]} ... ({len(job.command)} words)"


def failure_text(failure: JobFailure) -> str:
    """A failed job as a person wants it: the tool's own words first."""
    job, result = failure.job, failure.result
    lines = []
    if result.stderr_tail.strip():
        lines += [f"---- stderr of {job.name} (its end)", result.stderr_tail.rstrip("\n"), "----"]
    lines.append(f"gridcwl: {failure.error}")
    if result.exit_code is not None:
        lines.append(f"  exit code  {result.exit_code}")
    lines.append(f"  command    {shown_command(job)}")
    if job.image:
        lines.append(f"  image      {job.image.id}")
    if result.stderr_log:
        lines.append(f"  logs       {result.stderr_log}")
    return "\n".join(lines)
