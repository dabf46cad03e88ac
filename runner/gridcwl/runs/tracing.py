"""Spans and metrics of a run: a span for the run, for each step and for each attempt of a job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gridcwl import telemetry
from gridcwl.engine.progress import StepProgress
from gridcwl.model import Job, JobEvent, JobId, JobResult, Outcome, RunId
from gridcwl.runs.events import JobFailure, Watcher

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_INDICES = re.compile(r"\[[^\]/]*\]")
_NS = 1_000_000_000


@contextmanager
def traced(watcher: Watcher, run: RunId, document: str) -> Iterator[Watcher]:
    """The watcher, and one that makes spans and metrics in addition if telemetry is on."""
    active = telemetry.active()
    if active is None:
        yield watcher
        return
    known = {"gridcwl.run": run, "gridcwl.document": document}
    with active.tracer.start_as_current_span(f"run {document.rpartition('/')[2]}", attributes=known):
        tracing = TracedWatcher(watcher, active)
        try:
            yield tracing
        finally:
            tracing.end()


class TracedWatcher:
    """Implements ``Watcher``: passes everything on."""

    def __init__(self, watcher: Watcher, active: telemetry.Telemetry) -> None:
        from opentelemetry import context

        self._watcher = watcher
        self._tracer = active.tracer
        self._context = context.get_current()
        self._steps: dict[str, tuple[Span, Any]] = {}
        self._jobs: dict[JobId, Span] = {}
        meter = active.meter
        self._ended = meter.create_counter("gridcwl.jobs", "{job}", "attempts of jobs that ended")
        self._reused = meter.create_counter("gridcwl.jobs.reused", "{job}", "results that were known already")
        self._running = meter.create_up_down_counter("gridcwl.jobs.running", "{job}", "jobs that run now")
        self._duration = meter.create_histogram("gridcwl.job.duration", "s", "wall time of attempts")
        self._cpu = meter.create_histogram("gridcwl.job.cpu_time", "s", "CPU time of attempts")
        self._memory = meter.create_histogram("gridcwl.job.memory", "By", "peak memory of attempts")

    def started(self, run: RunId, progress: Callable[[], Sequence[StepProgress]]) -> None:
        """See ``Watcher``."""
        self._watcher.started(run, progress)

    def job_started(self, job: Job) -> None:
        """See ``Watcher``."""
        self._begin(job, time.time_ns())
        self._watcher.job_started(job)

    def job_moved(self, job: Job, event: JobEvent) -> None:
        """See ``Watcher``."""
        span = self._jobs.get(job.id)
        if span is not None:
            span.add_event(event.detail, {"gridcwl.site": event.site})
        self._watcher.job_moved(job, event)

    def job_ended(self, job: Job, result: JobResult) -> None:
        """See ``Watcher``."""
        self._end(job, result)
        self._watcher.job_ended(job, result)

    def job_reused(self, job: Job) -> None:
        """See ``Watcher``."""
        self._reused.add(1, {"gridcwl.step": self._step(job)[0]})
        self._watcher.job_reused(job)

    def job_failed(self, failure: JobFailure) -> None:
        """See ``Watcher``."""
        self._watcher.job_failed(failure)

    def failed(self, where: str, error: Exception) -> None:
        """See ``Watcher``."""
        self._watcher.failed(where, error)

    def tick(self) -> None:
        """See ``Watcher``."""
        self._watcher.tick()

    def end(self) -> None:
        """The run has ended: so have its steps, and what is left of its jobs is somewhere else."""
        for span in (*self._jobs.values(), *(span for span, _ in self._steps.values())):
            span.end()

    def _step(self, job: Job) -> tuple[str, Any]:
        """The step's name, and the context of its span, which begins with its first job."""
        from opentelemetry import trace

        name = _INDICES.sub("", job.name)
        if name not in self._steps:
            span = self._tracer.start_span(f"step {name}", self._context, attributes={"gridcwl.step": name})
            self._steps[name] = (span, trace.set_span_in_context(span, self._context))
        return name, self._steps[name][1]

    def _begin(self, job: Job, at_ns: int) -> Span:
        step, context = self._step(job)
        known: dict[str, str | int | float] = {
            "gridcwl.job": job.id,
            "gridcwl.job.name": job.name,
            "gridcwl.step": step,
            "gridcwl.attempt": job.attempt,
            "gridcwl.cores": job.resources.cores,
            "gridcwl.ram_mib": job.resources.ram_mib,
        }
        span = self._jobs[job.id] = self._tracer.start_span(f"job {step}", context, attributes=known, start_time=at_ns)
        self._running.add(1, {"gridcwl.step": step})
        return span

    def _end(self, job: Job, result: JobResult) -> None:
        from opentelemetry.trace import Status, StatusCode

        usage = result.usage
        span = self._jobs.get(job.id)
        if span is None:
            wall_ns = round(usage.wall_s * _NS) if usage is not None else 0
            span = self._begin(job, _began_ns(result) or time.time_ns() - wall_ns)
        del self._jobs[job.id]
        step = self._step(job)[0]
        known: dict[str, str] = {"gridcwl.step": step, "gridcwl.outcome": str(result.outcome)}
        if usage is not None:
            known["gridcwl.site"] = usage.site or usage.host
            self._duration.record(usage.wall_s, known)
            if usage.cpu_s is not None:
                self._cpu.record(usage.cpu_s, known)
                span.set_attribute("gridcwl.cpu_s", usage.cpu_s)
            if usage.max_rss_mib is not None:
                self._memory.record(usage.max_rss_mib * 2**20, known)
                span.set_attribute("gridcwl.max_rss_mib", usage.max_rss_mib)
            if usage.batch_job:
                span.set_attribute("gridcwl.batch_job", usage.batch_job)
        span.set_attributes(known)
        if result.exit_code is not None:
            span.set_attribute("gridcwl.exit_code", result.exit_code)
        if result.outcome is not Outcome.SUCCESS:
            span.set_status(Status(StatusCode.ERROR, result.reason))
        self._ended.add(1, known)
        self._running.add(-1, {"gridcwl.step": step})
        span.end()


def _began_ns(result: JobResult) -> int | None:
    """When the worker began, by its clock."""
    try:
        return round(datetime.fromisoformat(result.usage.started).timestamp() * _NS) if result.usage else None
    except ValueError:
        return None
