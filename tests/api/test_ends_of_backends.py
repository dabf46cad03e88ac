"""However a backend behaves when it is closed, the run and its client end; the backend is closed once, to the end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from documents import Desk, on_command_line, tool

import gridcwl
from gridcwl import plugins
from gridcwl.model import JobEvent, JobId, JobState
from gridcwl.runs import staging

PLUGIN = Path(__file__).parents[1] / "plugin"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the toy backend, which is found as if its distribution was installed."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    plugin = importlib.import_module("gridcwl_toy.plugin").BACKEND
    known = {**plugins.backends(), plugin.name: plugin}
    monkeypatch.setattr(plugins, "backends", lambda: known)
    plugins.declared.cache_clear()
    yield importlib.import_module("gridcwl_toy.backend")
    plugins.declared.cache_clear()


async def waits_for_ever(events: AsyncIterator[JobEvent]) -> AsyncIterator[JobEvent]:
    async for event in events:
        yield event
    await asyncio.Event().wait()


async def repeats_itself_for_ever(events: AsyncIterator[JobEvent]) -> AsyncIterator[JobEvent]:
    async for event in events:
        yield event
    while True:
        yield JobEvent(JobId("nobody"), JobState.RUNNING)


@pytest.mark.parametrize("endless", [waits_for_ever, repeats_itself_for_ever])
def test_a_backend_whose_results_never_end_does_not_keep_the_run_from_ending(
    desk: Desk, toy: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, endless: Any
) -> None:
    monkeypatch.setattr(staging, "LAST_RESULTS_S", 0.2)
    results = toy.ToyBackend.results
    monkeypatch.setattr(toy.ToyBackend, "results", lambda self: endless(results(self)))
    desk.write("hello.cwl", tool("echo", "hello", outputs={"said": "stdout"}, stdout="said.txt"))
    caplog.set_level(logging.WARNING)

    async def main() -> dict[str, Any]:
        async with gridcwl.Client(backend="toy") as client:
            return await (await client.submit("hello.cwl")).result()

    outputs = asyncio.run(main())

    assert Path(outputs["said"]).read_text() == "hello\n"
    assert "The backend has not ended its results within 0.2 s after it was closed" in caplog.text


def test_a_client_that_is_cancelled_again_while_its_runs_are_cancelled_waits_for_them_all_the_same(
    desk: Desk, toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = tool(
        "sh", "-c", 'until [ -e "$0" ]; do sleep 0.05; done', inputs={"gate": on_command_line("string")}, outputs={}
    )
    desk.write("waiting.cwl", waiting)
    close, closed = toy.ToyBackend.close, []

    async def main() -> gridcwl.RunStatus:
        closing, may_close = asyncio.Event(), asyncio.Event()

        async def slow(self: Any) -> None:
            closing.set()
            await may_close.wait()
            await close(self)
            closed.append(self)

        monkeypatch.setattr(toy.ToyBackend, "close", slow)
        ids = []

        async def work() -> None:
            async with gridcwl.Client(backend="toy") as client:
                run = await client.submit("waiting.cwl", {"gate": str(desk.folder / "gate")})
                ids.append(run.id)
                async for event in run.events():
                    if isinstance(event, gridcwl.JobStarted):
                        raise LookupError("the body of the block has failed")  # noqa: TRY004

        working = asyncio.create_task(work())
        await closing.wait()
        for _ in range(3):
            working.cancel()
            await asyncio.sleep(0)
        may_close.set()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        assert working.cancelled()
        async with gridcwl.Client() as client:
            return await (await client.open(ids[0])).status()

    status = asyncio.run(asyncio.wait_for(main(), 120))

    assert len(closed) == 1
    assert (status.state, status.message) == ("cancelled", "The run was stopped by its client")
