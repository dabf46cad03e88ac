"""A backend whose jobs have ended when they are submitted: for benchmarks of what is around jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Self


class InstantBackend:
    """Implements ``gridcwl.backends.Backend``: each job has one output file, which ``produce`` makes or invents."""

    def __init__(self, produce: Callable[[Any], Any]) -> None:
        """Prepare.

        Args:
            produce: from a job to its ``ProducedFile``.
        """
        from gridcwl.backends.base import Capabilities

        self.capabilities = Capabilities(containers=True, survives_client=False, batch_size=100, window=1000)
        self._produce = produce
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def check(self, _samples: Sequence[Any]) -> None:
        """Everything could run."""

    async def settled(self) -> None:
        """Nothing is under way."""

    async def submit(self, jobs: Sequence[Any]) -> None:
        """Answer at once."""
        from gridcwl.model import JobEvent, JobResult, JobState, Outcome, Usage

        for job in jobs:
            usage = Usage("2026-01-01T00:00:00Z", 1.0, 1.0, 1.0, "nowhere")
            result = JobResult(job.id, Outcome.SUCCESS, 0, files=(self._produce(job),), usage=usage)
            self._events.put_nowait(JobEvent(job.id, JobState.RUNNING))
            self._events.put_nowait(JobEvent(job.id, JobState.DONE, result))

    async def results(self) -> AsyncIterator[Any]:
        """As they come."""
        while (event := await self._events.get()) is not None:
            yield event

    async def cancel(self, _job_ids: Collection[Any], *, running: bool = True) -> None:
        """Nothing runs."""

    async def recover(self, _run: Any) -> Mapping[Any, Any]:
        """Nothing outlives the client."""
        return {}

    async def close(self) -> None:
        """No more events."""
        self._events.put_nowait(None)
