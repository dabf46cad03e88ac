"""What a person sees while a run is active: a live table on a terminal, plain lines elsewhere; failures in full."""

from __future__ import annotations

import logging
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import imports
from gridcwl.cli.live_table import Counted, head_of, table_of
from gridcwl.cli.pace import Paces, clock_text
from gridcwl.cli.site_summary import SiteSummary
from gridcwl.cli.terminal import escaped, raw
from gridcwl.engine.progress import StepProgress
from gridcwl.errors import JobFailed
from gridcwl.model import Job, JobEvent, JobId, JobResult, Outcome, RunId
from gridcwl.runs.events import JobFailure
from gridcwl.runs.record.failures import alike, alike_words, last_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_LONGEST_COMMAND = 2000
_INDICES = re.compile(r"\[[^\]/]*\]")
_TAIL_BYTES = 4096
_TAIL_LINES = 20
_AROUND_THE_TABLE = 5
"""Lines of the terminal beside those of the steps: title, head, and a few earlier lines."""
_NO_ENGINE = re.compile(r"^No Docker engine answers|^The container engine \S+ ")
_FIRST_S, _QUICKEST_S, _SLOWEST_S = 10.0, 5.0, 60.0
_LINES_PER_RUN = 60
"""Lines are so far apart that there would have been about so many."""
_STEPS_OF_A_LINE = 6
_NAMED_ALIKE = 5

Progress = Callable[[], Sequence[StepProgress]]


class StderrHandler(logging.Handler):
    """Log records as lines on stderr, looked up each time: the live display puts its own stream in place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            print(escaped(self.format(record)), file=sys.stderr)
        except Exception:  # noqa: BLE001  as logging.Handler says: never raise from here
            self.handleError(record)


@dataclass(slots=True)
class Alike:
    """Failures of one kind: the first is printed in full, the others are counted."""

    _kinds: dict[tuple[Any, ...], tuple[str, str, list[str], int]] = field(default_factory=dict)
    """By kind: the first one's name and message, the first names after it, and how many came after it."""

    def is_first(self, kind: tuple[Any, ...], name: str, message: str) -> bool:
        """Whether it is the first of its kind; otherwise it is counted."""
        known = self._kinds.get(kind)
        if known is None:
            self._kinds[kind] = (name, message, [], 0)
            return True
        first, message, names, more = known
        self._kinds[kind] = (first, message, [*names, name] if more < _NAMED_ALIKE else names, more + 1)
        return False

    def lines(self) -> Iterator[str]:
        """For each kind of which there were several: how many, and which."""
        for first, message, names, more in self._kinds.values():
            if more:
                listed = ", ".join(names) + (", ..." if more > len(names) else "")
                reason = message.removeprefix(f"{first} failed: ")
                yield f"gridcwl: {more} more failed like {first}: {listed}: {reason}"


class PlainWatcher:
    """Lines on stderr: a step that begins or ends, and now and then how far it is."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.hide: Callable[[str], str] = str
        """Crosses out secrets in what tools say."""
        self._quiet = quiet
        self._verbose = verbose
        self._progress: Progress = tuple
        self._told: dict[str, tuple[int, ...]] = {}
        self._begun = time.monotonic()
        self._due = self._begun + _FIRST_S
        self._run = ""
        self._paces = Paces()
        self._retried: Counter[str] = Counter()
        self._attempts: dict[JobId, int] = {}
        self._reused: Counter[str] = Counter()
        self._running: dict[JobId, str] = {}
        self._sites = SiteSummary()
        self._said_where = ""
        self._images: Counter[str] = Counter()
        """How many jobs failed for want of an image, by reason."""
        self.default_container: str | None = None
        """The image of ``--default-container``."""
        self.ended: Callable[[Job, JobResult], None] = lambda _job, _result: None
        """Called with each job that has ended."""
        self._alike = Alike()

    def __enter__(self) -> PlainWatcher:
        return self

    def __exit__(self, *_error: object) -> None:
        self._tell(force=True)
        self._tell_of_images()
        self._tell_of_those_alike()

    def _tell_of_images(self) -> None:
        for reason, number in self._images.items():
            if number > 1:
                others = "1 more job" if number == 2 else f"{number - 1} more jobs"
                print(escaped(self.hide(f"gridcwl: {others} failed for the same reason: {reason}")), file=sys.stderr)

    def _tell_of_those_alike(self) -> None:
        for line in self._alike.lines():
            print(escaped(self.hide(line)), file=sys.stderr)

    def started(self, run: RunId, progress: Progress) -> None:
        """See ``Watcher``."""
        self._progress = progress
        self._run = run
        if self._verbose:
            self._say(f"run {run}")

    def job_started(self, job: Job) -> None:
        """See ``Watcher``."""
        self._running[job.id] = _INDICES.sub("", job.name)
        self._count_attempt(job)
        if self._verbose:
            self._say(f"{job.name}: {shown_command(job)}")

    def _count_attempt(self, job: Job) -> None:
        if job.attempt > self._attempts.get(job.id, 1):
            self._attempts[job.id] = job.attempt
            self._retried[_INDICES.sub("", job.name)] += 1

    def job_moved(self, job: Job, event: JobEvent) -> None:
        """See ``Watcher``."""
        self._sites.moved(event)
        if self._verbose:
            self._say(f"{job.name}: {event.detail}" + (f", at {event.site}" if event.site else ""))

    def job_ended(self, job: Job, result: JobResult) -> None:
        """See ``Watcher``."""
        self.ended(job, result)
        self._sites.ended(job.id)
        self._running.pop(job.id, None)
        self._count_attempt(job)
        if self._verbose:
            cost = f" in {result.usage.wall_s:.1f} s" if result.usage else ""
            self._say(f"{job.name}: {result.outcome}{cost}")

    def job_failed(self, failure: JobFailure) -> None:
        """See ``Watcher``. Of failures that are alike, the first one; of an image's, in all steps."""
        job, result = failure.job, failure.result
        if _is_of_the_image(failure):
            self._images[result.reason] += 1
            if self._images[result.reason] > 1:
                return
        last = alike_words(last_line(last_words(result)[1]))
        kind = (_INDICES.sub("", job.name), alike(failure.error.message, job), result.exit_code, last)
        if self._alike.is_first(kind, job.name, failure.error.message):
            print(escaped(self.hide(failure_text(failure, self.default_container))), file=sys.stderr)

    def failed(self, where: str, error: Exception) -> None:
        """See ``Watcher``."""
        text = escaped(str(error))
        message = getattr(error, "message", text)
        if self._alike.is_first((_INDICES.sub("", where), alike(message), None, ""), where, message):
            print(f"gridcwl: {text if text.startswith(where) else f'{where}: {text}'}", file=sys.stderr)

    def job_reused(self, job: Job) -> None:
        """See ``Watcher``."""
        self._reused[_INDICES.sub("", job.name)] += 1

    def count_reused(self, reused: Mapping[str, int]) -> None:
        """How many results of each step were known already, where another process works on the run."""
        self._reused = Counter(reused)

    def tick(self) -> None:
        """See ``Watcher``."""
        if time.monotonic() >= self._due:
            self._tell()

    def _tell(self, *, force: bool = False) -> None:
        """One line of what has changed; seldom in a long run."""
        now = time.monotonic()
        self._due = now + min(_SLOWEST_S, max(_QUICKEST_S, (now - self._begun) / _LINES_PER_RUN))
        if self._quiet:
            return
        steps = self._progress()
        self._paces.note(steps)
        running = Counter(self._running.values())
        parts: list[str] = []
        for step in steps:
            counts = (running[step.name], step.done, step.failed, step.skipped)
            if step.is_workflow or counts == self._told.get(step.name) or not any(counts):
                continue
            if len(parts) == _STEPS_OF_A_LINE and not force:
                parts.append("...")
                break
            self._told[step.name] = counts
            parts.append(f"{step.name}: {described(step, running[step.name])}")
        where = self._sites.line()
        if where and where != self._said_where:
            self._said_where = where
            parts.append(where)
        if parts:
            self._say("; ".join([*parts, *self._totals(steps, force=force)]))

    def _totals(self, steps: Sequence[StepProgress], *, force: bool) -> list[str]:
        """What concerns the whole run."""
        counted = ((sum(self._reused.values()), "reused"), (sum(self._retried.values()), "retried"))
        left = None if force else self._paces.run_left_s(steps)
        totals = [f"{number} {word}" for number, word in counted if number]
        return totals + ([f"ETA {clock_text(left)}"] if left is not None and left >= 1 else [])

    def _say(self, text: str) -> None:
        if not self._quiet:
            print(f"[{elapsed(self._begun)}] {escaped(text)}", file=sys.stderr)


class LiveWatcher(PlainWatcher):
    """A table that stays at the bottom of the terminal, redrawn a few times a second by rich."""

    def __init__(self, *, verbose: bool = False, color: bool = True) -> None:
        super().__init__(quiet=False, verbose=verbose)
        imports.load("rich")
        from rich.console import Console
        from rich.live import Live

        # soft_wrap: the terminal wraps, so that paths and commands can be copied whole
        self._console = Console(file=raw(sys.stderr), no_color=None if color else True, soft_wrap=True)
        self._live: Live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=4, redirect_stdout=False
        )

    def __enter__(self) -> LiveWatcher:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)
        self._tell_of_images()
        self._tell_of_those_alike()

    def tick(self) -> None:
        """Nothing: the table asks for itself."""

    def _table(self) -> RenderableType:
        imports.load("rich")
        from rich.console import Group

        if not self._progress():  # the run has not begun
            return Group()
        steps = self._progress()
        self._paces.note(steps)
        counted = Counted(Counter(self._running.values()), self._retried, self._reused)
        where = self._sites.rows()
        width, height = self._console.size
        rows = height - _AROUND_THE_TABLE - (len(where) + 2 if where else 0)
        unicode = (self._console.encoding or "").lower().startswith("utf")
        head = head_of(self._run, elapsed(self._begun), steps, counted, self._paces, width)
        table = table_of(steps, counted, self._paces, rows, width, unicode=unicode)
        return Group(head, table, *([places_of(where)] if where else []))


def places_of(rows: Sequence[tuple[str, str, int]]) -> Table:
    """Where jobs are, and how they stand there."""
    imports.load("rich")
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("site", no_wrap=True)
    table.add_column("state", style="dim", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    for site, detail, number in rows:
        table.add_row(Text(escaped(site)), Text(escaped(detail)), str(number))
    return table


def described(step: StepProgress, running: int) -> str:
    """A step's counts in words."""
    parts = [f"{step.done} of {step.total} done" if step.total != 1 or not step.done else "done"]
    counted = ((running, "running"), (step.failed, "failed"), (step.skipped, "skipped"))
    return ", ".join(parts + [f"{number} {word}" for number, word in counted if number])


def elapsed(since: float) -> str:
    """Minutes and seconds since a monotonic time."""
    seconds = int(time.monotonic() - since)
    return f"{seconds // 3600:d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def shown_command(job: Job) -> str:
    """The command as one could type it, cut where it is very long."""
    text = shlex.join(job.command)
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]} ... ({len(job.command)} words)"


def _last(lines: int) -> str:
    return "last line" if lines == 1 else f"last {lines} lines"


def failure_text(failure: JobFailure, default_container: str | None = None) -> str:
    """A failed job as a person wants it: the tool's own words first."""
    job, result = failure.job, failure.result
    stream, words = last_words(result)
    lines = [f"---- {stream} of {job.name} ({_last(len(words.splitlines()))})", words, "----"] if words else []
    lines.append(f"gridcwl: {failure.error.message}")
    remedy = _remedy(failure, default_container)
    if remedy:
        lines.append(remedy)
    if result.exit_code is not None:
        lines.append(f"  exit code  {result.exit_code}")
    lines.append(f"  command    {shown_command(job)}")
    if job.image:
        lines.append(f"  image      {job.image.id}")
    if log := result.stderr_log or result.stdout_log:
        lines.append(f"  logs       {log}")
    return "\n".join(lines)


def last_words(result: JobResult) -> tuple[str, str]:
    """The end of the tool's stderr, or of its stdout if it wrote nothing there: many programs complain on stdout."""
    if result.stderr_tail.strip():
        return "stderr", result.stderr_tail.rstrip("\n")
    if result.outcome is Outcome.SUCCESS or not result.stdout_log:
        return "stderr", ""
    try:
        with Path(result.stdout_log).open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return "stderr", ""
    return "stdout", "\n".join(text.rstrip("\n").splitlines()[-_TAIL_LINES:])


def _is_of_the_image(failure: JobFailure) -> bool:
    """Whether the job failed because its image could not be fetched or made."""
    result = failure.result
    return failure.job.image is not None and result.exit_code is None and result.reason.startswith("The image ")


def _remedy(failure: JobFailure, default_container: str | None = None) -> str:
    """What to do about it. Of the worker's failures there is only the sentence."""
    if not isinstance(failure.error, JobFailed):
        return failure.error.remedy
    reason = failure.result.reason
    if failure.result.outcome is Outcome.OUT_OF_MEMORY:
        had = f"{failure.job.resources.ram_mib:g} MiB"
        return f"It had {had}. Increase it: gridcwl resume {failure.job.run} --retry-memory 2 (or --set, or ramMin)."
    if failure.job.image is None or failure.result.exit_code is not None:
        return ""
    if _is_of_the_image(failure):
        by_option = failure.job.image.id == default_container
        where = "--default-container" if by_option else "the tool's DockerRequirement"
        return f"Check the name in {where}, or build or load the image on this machine first."
    if _NO_ENGINE.search(reason):
        return (
            "Install or start it, choose another engine (--docker, --podman, --singularity, --udocker), "
            "or run without containers (--no-container)."
        )
    return ""
