"""The loop of a run: ready jobs out, results in, until the dataflow has nothing left to do.

One direction: engine -> Job -> backend -> JobResult -> output object -> engine. Whoever watches is told through a
``Watcher`` and cannot change what happens.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from gridcwl.backends.base import Backend
from gridcwl.cwl.context import JobContext
from gridcwl.cwl.graph import CwlEvaluator
from gridcwl.cwl.tool import ResolvedJob, collect, evaluate, resolve
from gridcwl.engine.dataflow import Dataflow, Invocation, OnError, Status, spelled, unscattered
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.engine.progress import StepProgress
from gridcwl.errors import BackendError, GridCWLError, JobFailed, RunDetached, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.job import folder_name
from gridcwl.runs.recorder import Recorder, ReusableResult, uncollected
from gridcwl.runs.retry import Retries, pause
from gridcwl.runs.tidy import keep_words

log = logging.getLogger("gridcwl.runs")


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that failed, with all that a person wants to see of it."""

    job: Job
    result: JobResult
    error: GridCWLError


class Watcher(Protocol):
    """Told what happens in a run. Called often: must be quick and must not raise."""

    def started(self, run: RunId, progress: Callable[[], Sequence[StepProgress]]) -> None:
        """The run begins; ``progress`` counts the shards of every step whenever it is asked."""

    def job_started(self, job: Job) -> None:
        """A job runs now."""

    def job_moved(self, job: Job, event: JobEvent) -> None:
        """A place that has a choice says where a job is, and how it stands there."""

    def job_ended(self, job: Job, result: JobResult) -> None:
        """A job ended, well or not."""

    def job_failed(self, failure: JobFailure) -> None:
        """A job failed, or its outputs are not what was promised."""

    def failed(self, where: str, error: Exception) -> None:
        """Something failed that is no job: a link, an expression, a submission."""

    def tick(self) -> None:
        """Counts may have changed."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How a run ended."""

    status: Status
    outputs: Mapping[str, Any]
    """After a failure: what there is, null for what is not."""
    failures: int
    failed_jobs: frozenset[JobId]
    unsupported: bool = False
    """Something failed because the document asks for what cannot be had here."""
    left: Mapping[str, Any] = field(default_factory=dict)
    """What failed jobs have left of their outputs, by their names. It is not part of the run's outputs."""


_Happening: TypeAlias = JobEvent | Callable[[], Awaitable[None]] | Exception
"""What the loop waits for: an event of the backend, something of our own to go on with, or what broke."""


@dataclass(slots=True)
class _UnderWay:
    """A job that has been thought of and has not ended."""

    invocation: Invocation
    resolved: ResolvedJob
    begun: bool = False
    withdrawn: bool = False
    """Told not to begin, as the run stops."""


@dataclass(slots=True)
class Run:
    """One run of a process on one backend."""

    process: Workflow | Leaf
    inputs: Mapping[str, Any]
    context: JobContext
    backend: Backend
    watcher: Watcher
    records: Recorder
    on_error: OnError = "stop"
    retries: Retries = field(default_factory=Retries)
    detach: bool = False
    """Leave as soon as all that is ready is submitted."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits before another attempt; tests have a clock of their own."""
    chance: Callable[[], float] = random.random
    _flow: Dataflow = field(init=False)
    _under_way: dict[JobId, _UnderWay] = field(init=False, default_factory=dict)
    _again: dict[JobId, tuple[asyncio.Task[None], Job, JobResult]] = field(init=False, default_factory=dict)
    """Jobs that wait for another attempt, with the one before and what came of it."""
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _inbox: asyncio.Queue[_Happening] = field(init=False)
    _leaving: asyncio.Task[None] | None = field(init=False, default=None)
    """Leaves results for other runs."""
    _told: int = field(init=False, default=0)
    _failed_jobs: set[JobId] = field(init=False, default_factory=set)
    _left: dict[str, Any] = field(init=False, default_factory=dict)
    """What failed jobs have left of their outputs."""
    _admitting: int = field(init=False, default=0)
    """Jobs that a thread looks for in earlier results."""

    async def execute(self) -> Outcomes:
        """Run to the end. Leaves the backend open.

        Raises:
            GridCWLError: the inputs do not fit, before anything is started; or nothing more can be recorded.
            asyncio.CancelledError: the run was stopped; whoever closes the backend stops its jobs.
        """
        self._flow = Dataflow(self.process, self.inputs, CwlEvaluator(self.context), on_error=self.on_error)
        self._inbox = asyncio.Queue()
        self.watcher.started(self.records.run, self._flow.progress)
        if self.records.earlier is not None:
            self.records.left = await self.backend.recover(self.records.run)
        self._begin(self._listen())
        try:
            while True:
                await self._give_out()
                self._tell()
                if self._stopping:
                    await self._withdraw_waiting()
                if self._flow.done:
                    break
                self._leave_results()
                if self.detach and not self._admitting:
                    await self.backend.settled()
                    raise RunDetached(self.records.run, len(self._under_way))
                self.records.write_soon()
                happening = await self._inbox.get()
                self.records.check()
                if isinstance(happening, Exception):
                    raise happening
                if isinstance(happening, JobEvent):
                    self._take_in(happening)
                else:
                    await happening()
            await self.records.leave()
        finally:
            self.records.progress(self._flow.progress, now=True)
            for task in self._tasks:
                task.cancel()
        unsupported = any(isinstance(failure.error, UnsupportedError) for failure in self._flow.errors)
        return Outcomes(
            self._flow.status,
            self._flow.outputs,
            len(self._flow.errors),
            frozenset(self._failed_jobs),
            unsupported,
            self._left,
        )

    def _leave_results(self) -> None:
        """Finished results are left for other runs while the run goes on, as many as there are at a time."""
        if self.records.results_wait and (self._leaving is None or self._leaving.done()):
            self._leaving = self._begin(self.records.leave())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """What one of our tasks dies of is raised where the run waits: otherwise it would wait for ever."""
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._inbox.put_nowait(error)

    async def _listen(self) -> None:
        try:
            async for event in self.backend.results():
                self._inbox.put_nowait(event)
            self._inbox.put_nowait(BackendError("The backend was closed while the run went on"))
        except Exception as error:  # noqa: BLE001  raised again where the run waits
            self._inbox.put_nowait(error)

    async def _give_out(self) -> None:
        """Submit ready jobs while the backend has room. What needs no job is evaluated here and now."""
        window = self.backend.capabilities.window
        while (room := window - len(self._under_way)) > 0:
            invocations = self._flow.take(min(room, self.backend.capabilities.batch_size))
            if not invocations:
                return
            jobs = [job for invocation in invocations if (job := self._prepare(invocation)) is not None]
            if jobs:
                await self._submit(jobs)
            await asyncio.sleep(0)  # let the backend's threads tell what has ended

    def _prepare(self, invocation: Invocation) -> Job | None:
        """The invocation's Job; None if it has none, or cannot have one, or its result is known, or has to be found."""
        tool: Any = invocation.leaf.handle
        toplevel = isinstance(self.process, Leaf)
        inputs = dict(invocation.inputs)
        try:
            if invocation.leaf.kind == "expression":
                outputs = evaluate(tool, inputs, self.context, name=invocation.name, toplevel=toplevel)
                self._flow.succeed(invocation.id, outputs)
                return None
            resolved = self._resolved(invocation, self.records.job_id(invocation.id))
        except GridCWLError as error:
            self._flow.fail(invocation.id, error)
            return None
        job = resolved.job
        self._under_way[job.id] = _UnderWay(invocation, resolved)
        if self.records.takes_long(job):
            self._admitting += 1
            self._begin(self._admit_in_thread(invocation, resolved))
            return None
        return self._admitted(job, self.records.admit(job, _step(invocation), reusable=resolved.reusable))

    async def _admit_in_thread(self, invocation: Invocation, resolved: ResolvedJob) -> None:
        job = resolved.job
        try:
            known = await asyncio.to_thread(self.records.admit, job, _step(invocation), reusable=resolved.reusable)
        except Exception as error:  # noqa: BLE001  raised again where the run waits
            self._inbox.put_nowait(error)
            return

        async def go_on() -> None:
            self._admitting -= 1
            if (admitted := self._admitted(job, known)) is not None:
                await self._submit([admitted])

        self._inbox.put_nowait(go_on)

    def _admitted(self, job: Job, known: ReusableResult | JobId | None) -> Job | None:
        """The job, if it has to be run, or goes on by an earlier id; otherwise its result is taken in."""
        if known is None:
            return job
        under_way = self._under_way[job.id]
        if isinstance(known, str):
            log.info("%s: still active from an earlier session, as %s", job.name, known)
            del self._under_way[job.id]
            job = replace(job, id=known)
            under_way.resolved = replace(under_way.resolved, job=job)
            self._under_way[job.id] = under_way
            return job
        step = _step(under_way.invocation)
        try:
            outputs = collect(under_way.resolved, known.result)
        except GridCWLError as error:
            self.records.reject(job, step, known, error.message)
            return job
        log.info("%s: taken from an earlier run of the same job", job.name)
        self.records.accept(job, step, known)
        del self._under_way[job.id]
        self._flow.succeed(under_way.invocation.id, outputs)
        return None

    async def _submit(self, jobs: Sequence[Job]) -> None:
        try:
            await self.backend.submit(jobs)
        except GridCWLError as error:
            for job in jobs:
                under_way = self._under_way.pop(job.id)
                self._flow.fail(under_way.invocation.id, error)

    def _take_in(self, event: JobEvent) -> None:
        if event.id not in self._under_way:
            return
        under_way = self._under_way[event.id]
        job = under_way.resolved.job
        if event.result is None:
            if event.detail:
                self.watcher.job_moved(job, event)
            if event.state is JobState.RUNNING and not under_way.begun:
                under_way.begun = True
                self.records.began(job, event)
                self.watcher.job_started(job)
            elif event.detail:
                self.records.moved(job, event)
            return
        result = event.result
        if under_way.withdrawn and result.outcome is Outcome.CANCELLED:
            del self._under_way[event.id]
            self._flow.withdraw(under_way.invocation.id)
            return
        self.watcher.job_ended(job, result)
        if not self._stopping and self._may_try_again(under_way, result):
            self._try_again(under_way, result)
            return
        del self._under_way[event.id]
        self._deliver(under_way, result)

    def _deliver(self, under_way: _UnderWay, result: JobResult) -> None:
        """A job ended. Its result counts as finished only when its outputs could be collected."""
        job = under_way.resolved.job
        error: GridCWLError
        if result.outcome is Outcome.SUCCESS:
            try:
                outputs = collect(under_way.resolved, result)
            except GridCWLError as collecting:
                error, result = collecting, uncollected(result, collecting.message)
            else:
                self.records.finished(job, result)
                self._flow.succeed(under_way.invocation.id, outputs)
                return
            result = self._with_kept_logs(job, result)
        else:
            result = self._with_kept_logs(job, result)
            error = _failure_of(job, result)
            if (left := _left_by(under_way.resolved, result)) is not None:
                self._left[job.name] = left
        self.records.failed(job, _step(under_way.invocation), result, under_way.invocation.inputs)
        self._told += 1
        self._failed_jobs.add(job.id)
        self.records.journal.event("failed", f"{job.name}: {error.message}")
        self.watcher.job_failed(JobFailure(job, result, error))
        temporary = result.outcome is Outcome.TEMPORARY_FAILURE
        self._flow.fail(under_way.invocation.id, error, temporary=temporary)

    def _with_kept_logs(self, job: Job, result: JobResult) -> JobResult:
        return keep_words(result, self.records.journal.path.parent / "logs" / folder_name(job))

    @property
    def _stopping(self) -> bool:
        return self.on_error == "stop" and bool(self._flow.errors)

    async def _withdraw_waiting(self) -> None:
        """Something failed for good: what the backend has not begun is not to begin any more."""
        waiting = [job_id for job_id, under_way in self._under_way.items() if not under_way.withdrawn]
        if waiting:
            for job_id in waiting:
                self._under_way[job_id].withdrawn = True
            await self.backend.cancel(waiting, running=False)

    def _may_try_again(self, under_way: _UnderWay, result: JobResult) -> bool:
        """Whether a failed attempt is followed by another; the job is given more memory where that was missing."""
        job = under_way.resolved.job
        ram_mib = self.retries.more_memory(job, result, self.backend.capabilities.largest)
        if ram_mib is None:
            return self.retries.wanted(job, result)
        try:
            again = self._resolved(under_way.invocation, job.id, ram_mib)
        except GridCWLError as error:
            log.warning("%s cannot have more memory: %s", job.name, error.message)
            return self.retries.wanted(job, result)
        log.warning("%s ran out of its %d MiB; it gets %d MiB", job.name, job.resources.ram_mib, ram_mib)
        under_way.resolved = replace(again, job=replace(again.job, attempt=job.attempt))
        return True

    def _resolved(self, invocation: Invocation, job_id: JobId, ram_mib: int | None = None) -> ResolvedJob:
        return resolve(
            invocation.leaf.handle,
            dict(invocation.inputs),
            self.context,
            job_id=job_id,
            run=self.records.run,
            name=invocation.name,
            toplevel=isinstance(self.process, Leaf),
            ram_mib=ram_mib,
        )

    def _try_again(self, under_way: _UnderWay, result: JobResult) -> None:
        """Give out the job once more, after a pause."""
        old = under_way.resolved.job
        job = replace(old, attempt=old.attempt + 1)
        under_way.begun = False
        under_way.resolved = replace(under_way.resolved, job=job)
        wait = pause(old.attempt, self.chance())
        failure = _failure_of(old, result)
        self.records.tried_again(old)
        log.warning(
            "%s Attempt %d of %d starts in %.1f s.",
            failure.message,
            job.attempt,
            max(self.retries.most + 1, job.attempt),
            wait,
        )
        self.records.journal.event("retry", f"{failure.message}; attempt {job.attempt}")

        async def later() -> None:
            await self.sleep(wait)
            self._again.pop(job.id, None)
            self._inbox.put_nowait(lambda: self._submit([job]))

        self._again[job.id] = (self._begin(later()), old, result)

    def _give_up_waiting(self) -> None:
        """Another job has failed for good: what waits for its next attempt has failed, too."""
        for job_id, (task, job, result) in self._again.items():
            task.cancel()
            under_way = self._under_way.pop(job_id)
            self._failed_jobs.add(job_id)
            self.records.failed(job, _step(under_way.invocation), result, under_way.invocation.inputs)
            error = _failure_of(job, result)
            self._flow.fail(under_way.invocation.id, error, temporary=True)
            self.watcher.failed(job.name, error)
        self._again.clear()

    def _tell(self) -> None:
        """Tell of failures that are not a job's, of shards that do not run, and of the counts."""
        for failure in self._flow.errors[self._told :]:
            message = getattr(failure.error, "message", str(failure.error))
            self.records.failed_without_job(unscattered(failure.path) or failure.name, failure.name, message)
            self.watcher.failed(failure.name, failure.error)
        if self._again and self._stopping:
            self._give_up_waiting()
        self._told = len(self._flow.errors)
        for path in self._flow.skipped():
            self.records.journal.skipped(unscattered(path), spelled(path))
        self.watcher.tick()
        self.records.progress(self._flow.progress)


def new_run_id() -> RunId:
    """A name for a run: sorts by time (to 1/4096 s), is unique, and is safe in file, container and job names."""
    now = datetime.now(UTC)
    return RunId(f"{now:%Y%m%d-%H%M%S}-{now.microsecond * 4096 // 1_000_000:03x}{secrets.randbelow(4096):03x}")


def _step(invocation: Invocation) -> str:
    """The step's name, whatever the shard."""
    return unscattered(invocation.path) or invocation.leaf.id


def _left_by(resolved: ResolvedJob, result: JobResult) -> Mapping[str, Any] | None:
    """What a tool that failed has left of its outputs: all that it promised, or nothing."""
    if result.outcome is Outcome.SUCCESS or not result.outdir:
        return None
    try:
        return collect(resolved, result)
    except GridCWLError:
        return None


def _failure_of(job: Job, result: JobResult) -> JobFailed:
    reason = result.reason or f"it ended with exit code {result.exit_code}"
    log = result.stderr_log or result.stdout_log
    logs = log.rpartition("/")[0] if log else ""
    return JobFailed(job.name, reason, exit_code=result.exit_code, logs=logs)
