"""Backends whose jobs end at once, and a journal that is a list: what is on both sides of a run's staging."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Self

from gridcwl.backends.base import Capabilities, Recovered
from gridcwl.errors import StoreError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, ProducedFile, RunId
from gridcwl.worker.naming import name_of, url_of

RUN = "20261123-000000-abcdef"


class Inner:
    """A backend that ends each job at once: it has written its own name into the files that it promised."""

    def __init__(self, *, sees_files: bool = True) -> None:
        self.capabilities = Capabilities(
            containers=True, survives_client=False, batch_size=1, window=1000, sees_files=sees_files
        )
        self.jobs: list[Job] = []
        self.events: asyncio.Queue[JobEvent | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        for job in jobs:
            self.events.put_nowait(JobEvent(job.id, JobState.RUNNING))
            self.events.put_nowait(JobEvent(job.id, JobState.DONE, result_of(job)))

    async def results(self) -> AsyncIterator[JobEvent]:
        while (event := await self.events.get()) is not None:
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """Everything has ended."""

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:  # noqa: ARG002
        return {}

    async def settled(self) -> None:
        """Nothing outlives us."""

    async def close(self) -> None:
        self.events.put_nowait(None)


class Log:
    """A journal that is a list of what was done, in its order."""

    def __init__(self, committed: Collection[str] = ()) -> None:
        self.done: list[tuple[str, str]] = []
        self.earlier = set(committed)
        self.full = False

    async def record(self, ended: Sequence[tuple[Job, JobResult]]) -> None:
        if self.full:
            raise StoreError("The journal cannot be written: the disk is full")
        self.done += [(job.id.rpartition("-")[2], result.outcome.value) for job, result in ended]

    def committed(self, batches: Iterable[str]) -> None:
        self.done += [("committed", batch.rpartition("-")[2][:-1]) for batch in batches]

    def is_committed(self, batch: str) -> bool:
        return batch in self.earlier


def result_of(job: Job) -> JobResult:
    assert job.storage is not None
    storage, data = job.storage, job.name.encode()
    files = tuple(
        ProducedFile(
            path, "file", url_of(storage.scheme, storage.scope, name_of(storage.prefix, path)), len(data), "0" * 40,
            f"{zlib.adler32(data):08x}",
        )
        for globs in job.outputs.ports.values()
        for path in globs
    )  # fmt: skip
    return JobResult(job.id, Outcome.SUCCESS, 0, files=files, element=storage.elements[0].name)


class PlainInner(Inner):
    """The same, with files that stay on this machine."""

    async def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        for one in jobs:
            self.events.put_nowait(JobEvent(one.id, JobState.DONE, JobResult(one.id, Outcome.SUCCESS, 0)))


def plain_job(number: int) -> Job:
    return Job(JobId(f"{RUN}-1-{number}"), RunId(RUN), f"step[{number}]", ("true",))
