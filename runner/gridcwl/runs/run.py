"""The loop of a run: ready jobs out, results in, until the dataflow has nothing left to do.

One direction: engine -> Job -> backend -> JobResult -> output object -> engine. Whoever watches is told through a
``Watcher`` and cannot change what happens.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from gridcwl.backends.base import Backend
from gridcwl.cwl.context import JobContext
from gridcwl.cwl.graph import CwlEvaluator
from gridcwl.cwl.tool import ResolvedJob, collect, evaluate, resolve
from gridcwl.engine.dataflow import Dataflow, Invocation, OnError, Status
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.engine.progress import StepProgress
from gridcwl.errors import GridCWLError, JobFailed, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId


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


@dataclass(slots=True)
class Run:
    """One run of a process on one backend."""

    process: Workflow | Leaf
    inputs: Mapping[str, Any]
    context: JobContext
    backend: Backend
    watcher: Watcher
    id: RunId
    on_error: OnError = "stop"
    _flow: Dataflow = field(init=False)
    _under_way: dict[JobId, tuple[Invocation, ResolvedJob]] = field(init=False, default_factory=dict)
    _told: int = field(init=False, default=0)
    _failed_jobs: set[JobId] = field(init=False, default_factory=set)

    async def execute(self) -> Outcomes:
        """Run to the end. Leaves the backend open.

        Raises:
            GridCWLError: the inputs do not fit, before anything is started.
            asyncio.CancelledError: the run was stopped; whoever closes the backend stops its jobs.
        """
        self._flow = Dataflow(self.process, self.inputs, CwlEvaluator(self.context), on_error=self.on_error)
        self.watcher.started(self.id, self._flow.progress)
        results = self.backend.results()
        while True:
            await self._give_out()
            self._tell()
            if self._flow.done:
                break
            self._take_in(await anext(results))
        unsupported = any(isinstance(failure.error, UnsupportedError) for failure in self._flow.errors)
        return Outcomes(self._flow.status, self._flow.outputs, len(self._flow.errors), frozenset(self._failed_jobs), unsupported)

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
        """The invocation's Job; None if it has none, or cannot have one."""
        tool: Any = invocation.leaf.handle
        toplevel = isinstance(self.process, Leaf)
        inputs = dict(invocation.inputs)
        try:
            if invocation.leaf.kind == "expression":
                outputs = evaluate(tool, inputs, self.context, name=invocation.name, toplevel=toplevel)
                self._flow.succeed(invocation.id, outputs)
                return None
            resolved = resolve(
                tool,
                inputs,
                self.context,
                job_id=JobId(f"{self.id}-{invocation.id}"),
                run=self.id,
                name=invocation.name,
                toplevel=toplevel,
            )
        except GridCWLError as error:
            self._flow.fail(invocation.id, error)
            return None
        self._under_way[resolved.job.id] = (invocation, resolved)
        return resolved.job

    async def _submit(self, jobs: Sequence[Job]) -> None:
        try:
            await self.backend.submit(jobs)
        except GridCWLError as error:
            for job in jobs:
                invocation, _ = self._under_way.pop(job.id)
                self._flow.fail(invocation.id, error)

    def _take_in(self, event: JobEvent) -> None:
        if event.id not in self._under_way:
            return
        invocation, resolved = self._under_way[event.id]
        if event.result is None:
            if event.state is JobState.RUNNING:
                self.watcher.job_started(resolved.job)
            return
        del self._under_way[event.id]
        result = event.result
        self.watcher.job_ended(resolved.job, result)
        try:
            if result.outcome is not Outcome.SUCCESS:
                raise _failure_of(resolved.job, result)
            self._flow.succeed(invocation.id, collect(resolved, result))
        except GridCWLError as error:
            self._told += 1
            self._failed_jobs.add(resolved.job.id)
            self.watcher.job_failed(JobFailure(resolved.job, result, error))
            temporary = result.outcome is Outcome.TEMPORARY_FAILURE
            self._flow.fail(invocation.id, error, temporary=temporary)

    def _tell(self) -> None:
        """Tell of failures that are not a job's, and of the counts."""
        for failure in self._flow.errors[self._told :]:
            self.watcher.failed(failure.name, failure.error)
        self._told = len(self._flow.errors)
        self.watcher.tick()


def new_run_id() -> RunId:
    """A name for a run: sorts by time, is unique, and is safe in file, container and job names."""
    return RunId(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")


def _failure_of(job: Job, result: JobResult) -> JobFailed:
    reason = result.reason or f"it ended with exit code {result.exit_code}"
    logs = result.stderr_log.rpartition("/")[0] if result.stderr_log else ""
    return JobFailed(job.name, reason, exit_code=result.exit_code, logs=logs)
