"""How the backend of a run is closed: nothing that ended is lost, and one that does not close is given up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence

import pytest
from staged_backends import Log, PlainInner, plain_job

from gridcwl.model import Job, JobEvent, JobResult, JobState, Outcome
from gridcwl.runs import staging
from gridcwl.runs.staging import StagingBackend
from gridcwl.stores.local_runs import LocalSession
from gridcwl.tasks import TaskScope


def test_what_has_ended_and_nobody_took_is_recorded_when_the_backend_is_closed() -> None:
    class Stopping(PlainInner):
        async def close(self) -> None:
            stopped = JobResult(self.jobs[1].id, Outcome.CANCELLED)
            self.events.put_nowait(JobEvent(stopped.id, JobState.CANCELLED, stopped))
            self.events.put_nowait(None)

        async def submit(self, jobs: Sequence[Job]) -> None:
            await super().submit(jobs[:1])
            self.jobs += jobs[1:]

    log = Log()

    async def leave() -> None:
        async with TaskScope() as tasks, StagingBackend(Stopping(), LocalSession(), log, tasks) as backend:
            await backend.submit([plain_job(1), plain_job(2)])

    asyncio.run(leave())
    assert log.done == [("1", "success"), ("2", "cancelled")]


@pytest.mark.parametrize("hangs", ["awaiting", "in a thread"])
def test_a_backend_that_does_not_close_is_given_up_with_a_message(
    hangs: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forever = threading.Event()

    class Hanging(PlainInner):
        async def close(self) -> None:
            await (asyncio.to_thread(forever.wait) if hangs == "in a thread" else asyncio.Event().wait())

    async def leave() -> str:
        async with TaskScope() as tasks, StagingBackend(Hanging(), LocalSession(), Log(), tasks) as backend:
            await backend.submit([plain_job(1)])
        return "left"

    monkeypatch.setattr(staging, "CLOSE_S", 0.01)
    monkeypatch.setattr(staging, "LAST_RESULTS_S", 0.01)
    monkeypatch.setattr("gridcwl.tasks.given_up", False)
    try:
        assert asyncio.run(leave()) == "left"
    finally:
        forever.set()
    assert any("has not closed within" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("hangs", ["blocking the event loop", "ignoring that it is cancelled"])
def test_a_backend_that_cannot_be_interrupted_ends_the_process_of_the_command_line(
    hangs: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()  # stands for the end of the process

    class Stubborn(PlainInner):
        async def close(self) -> None:
            while not ended.is_set():
                if hangs == "blocking the event loop":
                    ended.wait()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            await super().close()

    async def leave() -> None:
        async with TaskScope() as tasks, StagingBackend(Stubborn(), LocalSession(), Log(), tasks) as backend:
            await backend.submit([plain_job(1)])

    for limit in ("CLOSE_S", "LAST_RESULTS_S", "GRACE_S"):
        monkeypatch.setattr(staging, limit, 0.01)
    monkeypatch.setattr("gridcwl.tasks.end_process", ended.set)
    monkeypatch.setattr("gridcwl.tasks.given_up", False)
    with contextlib.suppress(TimeoutError):
        asyncio.run(leave())
    assert ended.is_set()
    assert any("cannot be interrupted" in record.getMessage() for record in caplog.records)
