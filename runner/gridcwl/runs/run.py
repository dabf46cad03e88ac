"""The loop of a run: ready jobs out, results in, until the dataflow has nothing left to do.

One direction: engine -> Job -> backend -> JobResult -> output object -> engine. Events are reported to a
``Watcher``, which cannot change what happens.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from gridcwl.cwl.context import JobContext
from gridcwl.cwl.graph import CwlEvaluator
from gridcwl.cwl.resolver import JobResolver
from gridcwl.cwl.tool import ResolvedJob, collect, evaluate
from gridcwl.engine.dataflow import Dataflow, Invocation, OnError, Status, spelled, unscattered
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.errors import BackendError, GridCWLError, JobFailed, RunDetached, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome
from gridcwl.model.job import folder_name
from gridcwl.runs.events import JobFailure, Watcher
from gridcwl.runs.lifecycle import Transition
from gridcwl.runs.record.cleanup import move_logs_of
from gridcwl.runs.record.recorder import Recorder, ReusableResult, uncollected
from gridcwl.runs.retry import Retries, pause
from gridcwl.runs.staging import StagingBackend
from gridcwl.tasks import TaskScope, stop

log = logging.getLogger("gridcwl.runs")

_TOGETHER = 64
"""Events that are handled before jobs are submitted that have become ready meanwhile."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How a run ended."""

    status: Status
    outputs: Mapping[str, Any]
    """After a failure: what there is; null for the rest."""
    failures: int
    failed_jobs: frozenset[JobId]
    unsupported: bool = False
    """Something failed because the document requires what is not supported."""
    partial_outputs: Mapping[str, Any] = field(default_factory=dict)
    """Outputs that failed jobs left, by job name. They are not part of the run's outputs."""


_InboxItem: TypeAlias = JobEvent | Callable[[], Awaitable[None]] | Exception
"""What the loop waits for: an event of the backend, a coroutine function of our own to call, or an error."""


@dataclass(slots=True)
class _ActiveJob:
    """A job that was created and has not ended."""

    invocation: Invocation
    resolved: ResolvedJob
    found: ReusableResult | None = None
    """A result of an earlier session, until the store knows its files."""
    started: bool = False
    withdrawn: bool = False
    """Withdrawn before it started, as the run stops."""


@dataclass(slots=True)
class RunLoop:
    """One run of a process on one backend."""

    process: Workflow | Leaf
    inputs: Mapping[str, Any]
    context: JobContext
    backend: StagingBackend
    watcher: Watcher
    recorder: Recorder
    tasks: TaskScope
    on_error: OnError = "stop"
    retries: Retries = field(default_factory=Retries)
    detach: bool = False
    """Leave as soon as all that is ready is submitted."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits before another attempt; tests have a clock of their own."""
    chance: Callable[[], float] = random.random
    _flow: Dataflow = field(init=False)
    _resolver: JobResolver = field(init=False)
    _active: dict[JobId, _ActiveJob] = field(init=False, default_factory=dict)
    _retrying: dict[JobId, tuple[asyncio.Task[None], Job, JobResult]] = field(init=False, default_factory=dict)
    """Jobs that wait for another attempt, with the one before and what came of it."""
    _working: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _inbox: asyncio.Queue[_InboxItem] = field(init=False)
    _sharing: asyncio.Task[None] | None = field(init=False, default=None)
    """Leaves results for other runs."""
    _reported: int = field(init=False, default=0)
    _failed_jobs: set[JobId] = field(init=False, default_factory=set)
    _partial_outputs: dict[str, Any] = field(init=False, default_factory=dict)
    """Outputs that failed jobs left, by job name."""
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
        self._resolver = JobResolver(self.context)
        self.watcher.started(self.recorder.run, self._flow.progress)
        if self.recorder.earlier is not None:
            self.recorder.active_jobs = await self.backend.recover(self.recorder.run)
        try:
            self._start_task(self._listen)
            while True:
                await self._submit_ready()
                self._report()
                if self._stopping:
                    await self._withdraw_waiting()
                if self._flow.done:
                    break
                self._share_results()
                if self.detach and not self._admitting:
                    await self.backend.settled()
                    raise RunDetached(self.recorder.run, len(self._active))
                self.recorder.write_soon()
                await self._handle_inbox()
            await self.recorder.share()
        finally:
            self.recorder.progress(self._flow.progress, now=True)
            await stop(self._working)
        unsupported = any(isinstance(failure.error, UnsupportedError) for failure in self._flow.errors)
        return Outcomes(
            self._flow.status,
            self._flow.outputs,
            len(self._flow.errors),
            frozenset(self._failed_jobs),
            unsupported,
            self._partial_outputs,
        )

    async def _handle_inbox(self) -> None:
        """Wait for what comes, and handle it with what has come meanwhile: what is done after events is done once."""
        item = await self._inbox.get()
        self.recorder.check()
        for more in reversed(range(_TOGETHER)):
            if isinstance(item, Exception):
                raise item
            if isinstance(item, JobEvent):
                self._handle_event(item)
            else:
                await item()
            if not more or self._inbox.empty():
                return
            item = self._inbox.get_nowait()

    def _share_results(self) -> None:
        """Share finished results with other runs while this run continues, all that there are at a time."""
        if self.recorder.has_results_to_share and (self._sharing is None or self._sharing.done()):
            self._sharing = self._start_task(self.recorder.share)

    def _start_task(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = self.tasks.start(self._guarded(work))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """The error of a task is raised where the run waits: otherwise it would wait forever."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001  as it says
            self._inbox.put_nowait(error)

    async def _listen(self) -> None:
        async for event in self.backend.results():
            self._inbox.put_nowait(event)
        raise BackendError("The backend was closed while the run was active")

    async def _submit_ready(self) -> None:
        """Submit ready jobs while the backend has room. What needs no job is evaluated here and now."""
        window = self.backend.capabilities.window
        while (room := window - len(self._active)) > 0:
            invocations = self._flow.take(min(room, self.backend.capabilities.batch_size))
            if not invocations:
                return
            jobs = [job for invocation in invocations if (job := self._prepare(invocation)) is not None]
            if jobs:
                await self._submit(jobs)
            await asyncio.sleep(0)  # let the backend's threads report what has ended

    def _prepare(self, invocation: Invocation) -> Job | None:
        """The invocation's Job; None if it has none, or cannot have one, or its result is known, or has to be found."""
        tool: Any = invocation.leaf.handle
        toplevel = isinstance(self.process, Leaf)
        inputs = dict(invocation.inputs)
        try:
            if invocation.leaf.kind == "expression":
                outputs = evaluate(tool, inputs, self.context, name=invocation.name, toplevel=toplevel)
                self.recorder.evaluated(_step(invocation), invocation.name, "expression", invocation.inputs, outputs)
                self._flow.succeed(invocation.id, outputs)
                return None
            resolved = self._resolved(invocation, self.recorder.job_id(invocation.id))
        except GridCWLError as error:
            self._flow.fail(invocation.id, error)
            return None
        job = resolved.job
        self._active[job.id] = _ActiveJob(invocation, resolved)
        if self.recorder.takes_long(job):
            self._admitting += 1
            self._start_task(partial(self._admit_in_thread, invocation, resolved))
            return None
        return self._admitted(job, self.recorder.admit(job, _step(invocation), reusable=resolved.reusable))

    async def _admit_in_thread(self, invocation: Invocation, resolved: ResolvedJob) -> None:
        job = resolved.job
        known = await asyncio.to_thread(self.recorder.admit, job, _step(invocation), reusable=resolved.reusable)

        async def continue_admitted() -> None:
            self._admitting -= 1
            if (admitted := self._admitted(job, known)) is not None:
                await self._submit([admitted])

        self._inbox.put_nowait(continue_admitted)

    def _admitted(self, job: Job, known: ReusableResult | JobId | None) -> Job | None:
        """The job, if it has to run, or continues under an earlier id; otherwise its earlier result is used."""
        if known is None:
            return job
        active = self._active[job.id]
        if isinstance(known, str):
            log.info("%s: still active from an earlier session, as %s", job.name, known)
            del self._active[job.id]
            job = replace(job, id=known, attempt=self.recorder.active_jobs[known].attempt)
            active.resolved = replace(active.resolved, job=job)
            self._active[job.id] = active
            return job
        if known.row is None:  # of another run, whose store knows its files
            self.backend.stages.move(job.id, Transition.FIND_COMMITTED)
        elif not self.backend.reuse(job, known.result):
            active.found = known
            return None
        return self._reused(active, known)

    def _reused(self, active: _ActiveJob, known: ReusableResult, refused: str = "") -> Job | None:
        """A committed result of an earlier session, or of another run, is delivered; the job, if it cannot be used."""
        job, step = active.resolved.job, _step(active.invocation)
        active.found = None
        if not refused:
            try:
                outputs = self._resolver.collect(active.resolved, known.result)
            except GridCWLError as error:
                refused = error.message
                self._move(job, Transition.REFUSE)
        if refused:
            self.recorder.reject(job, step, known, refused)
            self._move(job, Transition.RECORD)
            self._move(job, Transition.RETRY)
            return job
        log.info("%s: taken from an earlier run of the same job", job.name)
        self.recorder.accept(job, step, known, active.invocation.inputs, outputs)
        self.watcher.job_reused(job)
        del self._active[job.id]
        self._flow.succeed(active.invocation.id, outputs)
        self._move(job, Transition.DELIVER)
        return None

    def _move(self, job: Job, step: Transition) -> None:
        self.backend.stages.move(job.id, step)

    async def _submit(self, jobs: Sequence[Job]) -> None:
        try:
            await self.backend.submit(jobs)
        except GridCWLError as error:
            for job in jobs:
                active = self._active.pop(job.id)
                self._flow.fail(active.invocation.id, error)

    def _handle_event(self, event: JobEvent) -> None:
        if event.id not in self._active:
            return
        active = self._active[event.id]
        job = active.resolved.job
        if event.result is None:
            if event.detail:
                self.watcher.job_moved(job, event)
            if event.state is JobState.RUNNING and not active.started:
                active.started = True
                self.recorder.started(job, event)
                self.watcher.job_started(job)
            elif event.detail:
                self.recorder.moved(job, event)
            return
        result = event.result
        if active.found is not None:
            refused = "" if result.outcome is Outcome.SUCCESS else result.reason
            if (again := self._reused(active, active.found, refused)) is not None:
                self._inbox.put_nowait(lambda: self._submit([again]))
            return
        if active.withdrawn and result.outcome is Outcome.CANCELLED:
            del self._active[event.id]
            self._flow.withdraw(active.invocation.id)
            self._move(job, Transition.WITHDRAW)
            return
        self.watcher.job_ended(job, result)
        if not self._stopping and self._should_retry(active, result):
            self._schedule_retry(active, result)
            return
        del self._active[event.id]
        self._deliver(active, result)

    def _deliver(self, active: _ActiveJob, result: JobResult) -> None:
        """A job ended. Its result counts as finished only when its outputs could be collected."""
        job, attempted = active.resolved.job, result.outcome
        error: GridCWLError
        if result.outcome is Outcome.SUCCESS:
            try:
                outputs = self._resolver.collect(active.resolved, result)
            except GridCWLError as collecting:
                error, result = collecting, uncollected(result, collecting.message)
                self._move(job, Transition.REFUSE)
            else:
                self.recorder.finished(job, result, active.invocation.inputs, outputs)
                self._flow.succeed(active.invocation.id, outputs)
                self._move(job, Transition.DELIVER)
                return
            result = self._with_kept_logs(job, result)
        else:
            result = self._with_kept_logs(job, result)
            error = _failure_of(job, result)
            if (left := _partial_outputs_of(active.resolved, result)) is not None:
                self._partial_outputs[job.name] = left
        self.recorder.failed(job, _step(active.invocation), result, active.invocation.inputs)
        if result.outcome is not attempted:
            self._move(job, Transition.RECORD)
        self._reported += 1
        self._failed_jobs.add(job.id)
        self.recorder.journal.event("failed", f"{job.name}: {error.message}")
        self.watcher.job_failed(JobFailure(job, result, error))
        temporary = result.outcome is Outcome.TEMPORARY_FAILURE
        self._flow.fail(active.invocation.id, error, temporary=temporary)
        self._move(job, Transition.DELIVER)

    def _with_kept_logs(self, job: Job, result: JobResult) -> JobResult:
        return move_logs_of(result, self.recorder.journal.path.parent / "logs" / folder_name(job))

    @property
    def _stopping(self) -> bool:
        return self.on_error == "stop" and bool(self._flow.errors)

    async def _withdraw_waiting(self) -> None:
        """Something failed for good: what the backend has not begun is not to begin any more."""
        waiting = [job_id for job_id, active in self._active.items() if not active.withdrawn]
        if waiting:
            for job_id in waiting:
                self._active[job_id].withdrawn = True
            await self.backend.cancel(waiting, running=False)

    def _should_retry(self, active: _ActiveJob, result: JobResult) -> bool:
        """Whether a failed attempt is followed by another; the job is given more memory where that was missing."""
        job = active.resolved.job
        ram_mib = self.retries.more_memory(job, result, self.backend.capabilities.largest)
        if ram_mib is None:
            return self.retries.wanted(job, result)
        try:
            again = self._resolved(active.invocation, job.id, ram_mib)
        except GridCWLError as error:
            log.warning("%s cannot have more memory: %s", job.name, error.message)
            return self.retries.wanted(job, result)
        log.warning("%s ran out of its %d MiB; it gets %d MiB", job.name, job.resources.ram_mib, ram_mib)
        active.resolved = replace(again, job=replace(again.job, attempt=job.attempt))
        return True

    def _resolved(self, invocation: Invocation, job_id: JobId, ram_mib: int | None = None) -> ResolvedJob:
        return self._resolver.resolve(
            invocation.leaf.handle,
            dict(invocation.inputs),
            job_id=job_id,
            run=self.recorder.run,
            name=invocation.name,
            toplevel=isinstance(self.process, Leaf),
            ram_mib=ram_mib,
        )

    def _schedule_retry(self, active: _ActiveJob, result: JobResult) -> None:
        """Submit the job again, after a pause."""
        old = active.resolved.job
        job = replace(old, attempt=old.attempt + 1)
        active.started = False
        active.resolved = replace(active.resolved, job=job)
        wait = pause(old.attempt, self.chance())
        failure = _failure_of(old, result)
        self.recorder.retried(job)
        log.warning(
            "%s Attempt %d of %d starts in %.1f s.",
            failure.message,
            job.attempt,
            max(self.retries.most + 1, job.attempt),
            wait,
        )
        self.recorder.journal.event("retry", f"{failure.message}; attempt {job.attempt}")

        async def later() -> None:
            await self.sleep(wait)
            self._retrying.pop(job.id, None)
            self._inbox.put_nowait(lambda: self._submit_again(job))

        self._retrying[job.id] = (self._start_task(later), old, result)

    async def _submit_again(self, job: Job) -> None:
        self._move(job, Transition.RETRY)
        await self._submit([job])

    def _cancel_retries(self) -> None:
        """Another job has failed for good: what waits for its next attempt has failed, too."""
        for job_id, (task, job, result) in self._retrying.items():
            task.cancel()
            active = self._active.pop(job_id)
            self._failed_jobs.add(job_id)
            self.recorder.failed(job, _step(active.invocation), result, active.invocation.inputs)
            error = _failure_of(job, result)
            self._flow.fail(active.invocation.id, error, temporary=True)
            self._move(job, Transition.DELIVER)
            self.watcher.failed(job.name, error)
        self._retrying.clear()

    def _report(self) -> None:
        """Report failures without a job, skipped shards, and the counts."""
        for failure in self._flow.errors[self._reported :]:
            message = getattr(failure.error, "message", str(failure.error))
            self.recorder.failed_without_job(unscattered(failure.path) or failure.name, failure.name, message)
            self.watcher.failed(failure.name, failure.error)
        if self._retrying and self._stopping:
            self._cancel_retries()
        self._reported = len(self._flow.errors)
        for path in self._flow.skipped():
            self.recorder.journal.skipped(unscattered(path), spelled(path))
        for ended in self._flow.closed():
            self.recorder.evaluated(
                unscattered(ended.path), spelled(ended.path), "workflow", ended.inputs, ended.outputs
            )
        self.watcher.tick()
        self.recorder.progress(self._flow.progress)


def _step(invocation: Invocation) -> str:
    """The step's name, whatever the shard."""
    return unscattered(invocation.path) or invocation.leaf.id


def _partial_outputs_of(resolved: ResolvedJob, result: JobResult) -> Mapping[str, Any] | None:
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
