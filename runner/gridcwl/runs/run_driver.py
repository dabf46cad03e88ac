"""A run that one process works on: entered, executed and left in its event loop, whatever it ends with."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from gridcwl.errors import RunCancelled, RunDetached, RunFailed
from gridcwl.runs.events import Publisher
from gridcwl.runs.prepared import Finished, PreparedRun
from gridcwl.tasks import in_thread
from gridcwl.values import outputs_from


@dataclass(slots=True)
class RunDriver:
    """A run that this process works on."""

    preparing: AbstractContextManager[PreparedRun]
    prepared: PreparedRun
    publisher: Publisher
    finished: Finished | None = None
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run to the end; keeps what it raises for whoever asks for the result."""
        try:
            self.finished = await self.prepared.execute(self.publisher)
        except BaseException as error:  # noqa: BLE001  it is raised by result()
            self.error = error
        try:
            await exited(self.preparing, self.error)
        except BaseException as error:  # noqa: BLE001  as above
            self.error = self.error or error
        status, message = "success", ""
        if isinstance(self.error, RunDetached):
            status, message = "detached", self.error.message
        elif isinstance(self.error, RunCancelled):
            status, message = "cancelled", self.error.message
        elif self.error is not None or (self.finished is not None and self.finished.exit_code):
            status, message = "failed", str(getattr(self.error, "message", self.error or ""))
        self.publisher.end(status, message)
        self.ended.set()

    def result(self, *, plain: bool = False) -> dict[str, Any]:
        """The outputs, or what was raised in their place; ``plain`` gives Files as CWL's dicts."""
        if self.error is not None:
            raise self.error
        assert self.finished is not None
        outputs: dict[str, Any] = self.finished.outputs if plain else outputs_from(self.finished.outputs)
        if self.finished.exit_code:
            failures = tuple(failure.message for failure in self.publisher.failures)
            raise RunFailed(self.prepared.run, failures, outputs, exit_code=self.finished.exit_code)
        return outputs


async def entered(preparing: AbstractContextManager[PreparedRun]) -> PreparedRun:
    """Prepare a run in a thread. If this is cancelled meanwhile, the run is given up as soon as it is prepared."""
    work = in_thread(preparing.__enter__)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if work.exception() is None:
            await exited(preparing, RunCancelled("The run was stopped by its caller before it began"))
        raise


async def exited(preparing: AbstractContextManager[PreparedRun], error: BaseException | None) -> None:
    """Let go of a run in a thread, whether or not this is cancelled meanwhile."""

    def leave() -> None:
        try:
            if error is None:
                preparing.__exit__(None, None, None)
            else:
                preparing.__exit__(type(error), error, error.__traceback__)
        except BaseException as raised:
            if raised is not error:
                raise

    work = in_thread(leave)
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            continue
    work.result()
