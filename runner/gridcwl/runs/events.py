"""What happens in a run: as calls for what watches it closely, and as values for whoever follows it from Python."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from gridcwl.errors import GridCWLError
from gridcwl.model import Job, JobEvent, JobId, JobResult, RunId
from gridcwl.runs.record.counts import StepCounts

if TYPE_CHECKING:
    from gridcwl.engine.progress import StepProgress

_STEPS_EVERY_S = 0.5
_REMEMBERED = 10_000
_INDICES = re.compile(r"\[[^\]/]*\]")


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins, or is resumed."""

    run: RunId


@dataclass(frozen=True, slots=True)
class JobStarted:
    """An attempt of a job runs now."""

    run: RunId
    name: str
    """The step with its scatter indices: ``align/sort[3]``."""
    job: JobId


@dataclass(frozen=True, slots=True)
class JobMoved:
    """A batch system reports where a job is, or what it waits for."""

    run: RunId
    name: str
    job: JobId
    site: str
    """Empty if no site was chosen yet."""
    detail: str
    """In the batch system's words."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """An attempt of a job ended. A failed one may be followed by another attempt."""

    run: RunId
    name: str
    job: JobId
    attempt: int
    outcome: str
    """``success``, ``temporary-failure``, ``permanent-failure``, ``time-limit``, ``out-of-memory``, ``cancelled``."""
    exit_code: int | None
    """What the tool returned; None if it never ran."""
    reason: str
    """Why it failed; may be empty."""
    seconds: float | None
    """How long the tool ran; None if unknown."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A job failed for good; or a link, an expression or a submission failed."""

    run: RunId
    name: str
    """The job's, or what else failed."""
    message: str
    remedy: str
    """What to do about it; may be empty."""


@dataclass(frozen=True, slots=True)
class StepsChanged:
    """How many jobs of each step wait, run and have ended; at most twice a second."""

    run: RunId
    steps: tuple[StepCounts, ...]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of a run."""

    run: RunId
    status: str
    """``success``, ``failed``, ``cancelled``, ``detached`` or ``killed``."""
    message: str
    """Why, if it is not ``success``."""


Event: TypeAlias = RunStarted | JobStarted | JobMoved | JobEnded | Failure | StepsChanged | RunEnded


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that failed, with all that a person wants to see of it."""

    job: Job
    result: JobResult
    error: GridCWLError


class Watcher(Protocol):
    """Receives what happens in a run. Called often: must be quick and must not raise."""

    def started(self, run: RunId, progress: Callable[[], Sequence[StepProgress]]) -> None:
        """The run begins; ``progress`` counts the shards of every step whenever it is called."""

    def job_started(self, job: Job) -> None:
        """A job runs now."""

    def job_moved(self, job: Job, event: JobEvent) -> None:
        """A backend with several sites reports where a job is, and its state there."""

    def job_ended(self, job: Job, result: JobResult) -> None:
        """A job ended, well or not."""

    def job_reused(self, job: Job) -> None:
        """A job need not run, as its result is known."""

    def job_failed(self, failure: JobFailure) -> None:
        """A job failed, or its outputs are not what was promised."""

    def failed(self, where: str, error: Exception) -> None:
        """Something failed that is no job: a link, an expression, a submission."""

    def tick(self) -> None:
        """Counts may have changed."""


class Publisher:
    """Implements ``Watcher``: events for any number of subscribers."""

    def __init__(self, run: RunId) -> None:
        self._run = run
        self._progress: Callable[[], Sequence[StepProgress]] = tuple
        self._listeners: list[Callable[[Event], None]] = []
        self._lock = threading.Lock()
        self._past: deque[Event] = deque(maxlen=_REMEMBERED)
        self._steps: tuple[StepCounts, ...] = ()
        self._reused: Counter[str] = Counter()
        self._looked = 0.0
        self.failures: list[Failure] = []
        """The first ones."""
        self.ended = False

    def subscribe(self) -> AsyncIterator[Event]:
        """All events: the latest of those that have been, and those to come, until the run has ended."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self.listen(queue.put_nowait)
        return self._events(queue)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have all events given to a function, also those that have been. Events come in the run's event loop."""
        with self._lock:
            for event in self._past:
                listener(event)
            if not self.ended:
                self._listeners.append(listener)

    async def _events(self, queue: asyncio.Queue[Event]) -> AsyncIterator[Event]:
        try:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, RunEnded):
                    return
        finally:
            with self._lock:
                self._listeners = [one for one in self._listeners if one != queue.put_nowait]

    def end(self, status: str, message: str) -> None:
        """The run has ended."""
        self._tell_steps()
        self._publish(RunEnded(self._run, status, message))

    def _publish(self, event: Event) -> None:
        with self._lock:
            self._past.append(event)
            for listener in self._listeners:
                listener(event)
            if isinstance(event, RunEnded):
                self.ended = True
                self._listeners.clear()

    # -- as a Watcher --------------------------------------------------------------------------------------------------

    def started(self, run: RunId, progress: Callable[[], Sequence[StepProgress]]) -> None:
        """See ``Watcher``."""
        self._progress = progress
        self._publish(RunStarted(run))

    def job_started(self, job: Job) -> None:
        """See ``Watcher``."""
        self._publish(JobStarted(self._run, job.name, job.id))

    def job_moved(self, job: Job, event: JobEvent) -> None:
        """See ``Watcher``."""
        self._publish(JobMoved(self._run, job.name, job.id, event.site, event.detail))

    def job_ended(self, job: Job, result: JobResult) -> None:
        """See ``Watcher``."""
        seconds = result.usage.wall_s if result.usage is not None else None
        self._publish(
            JobEnded(
                self._run, job.name, job.id, job.attempt, str(result.outcome), result.exit_code, result.reason, seconds
            )
        )

    def job_reused(self, job: Job) -> None:
        """See ``Watcher``."""
        self._reused[_INDICES.sub("", job.name)] += 1

    def job_failed(self, failure: JobFailure) -> None:
        """See ``Watcher``."""
        self._fail(failure.job.name, failure.error)

    def failed(self, where: str, error: Exception) -> None:
        """See ``Watcher``."""
        self._fail(where, error)

    def _fail(self, name: str, error: Exception) -> None:
        failure = Failure(self._run, name, getattr(error, "message", str(error)), getattr(error, "remedy", ""))
        if len(self.failures) < _REMEMBERED:
            self.failures.append(failure)
        self._publish(failure)

    def tick(self) -> None:
        """See ``Watcher``."""
        if self._listeners and time.monotonic() - self._looked >= _STEPS_EVERY_S:
            self._tell_steps()

    def _tell_steps(self) -> None:
        self._looked = time.monotonic()
        steps = tuple(_counts(step, self._reused[step.name]) for step in self._progress())
        if steps != self._steps:
            self._steps = steps
            self._publish(StepsChanged(self._run, steps))


def _counts(step: StepProgress, reused: int) -> StepCounts:
    waiting = 0 if step.total is None else max(0, step.total - step.taken - step.skipped)
    return StepCounts(
        step.name,
        step.total,
        waiting=waiting,
        running=step.running,
        done=step.done,
        reused=reused,
        failed=step.failed,
        skipped=step.skipped,
        blocked=bool(step.blocked) and not step.taken,
    )
