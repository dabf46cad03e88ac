"""Runs in one process share the machine: each waits for what others have, and is woken when they give it back."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends.local.backend import LocalBackend
from gridcwl.backends.local.machine import Ledger, Turn, shared_machine
from gridcwl.model import Job, JobId, JobState, OutputRules, Resources, RunId


def job(name: str, script: str = "true", cores: float = 1.0) -> Job:
    return Job(
        JobId(name),
        RunId("run"),
        name,
        ("sh", "-c", script),
        outputs=OutputRules(("*",)),
        resources=Resources(cores=cores, ram_mib=1),
    )


class Machine:
    """A machine with one core, and what has started and ended on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(1.0, 100, 0)
        self.seen: list[str] = []
        self.changed = threading.Condition()

    def pipe(self, name: str) -> Path:
        os.mkfifo(self.folder / name)
        return self.folder / name

    def until(self, holds: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, 60)

    @asynccontextmanager
    async def run(self, name: str) -> AsyncIterator[LocalBackend]:
        folder = self.folder / name
        folder.mkdir()
        async with LocalBackend(folder, ledger=self.ledger) as backend:
            yield backend

    async def wait(self, backend: LocalBackend, number: int) -> None:
        """Wait until so many jobs of the run have ended."""
        async for event in backend.results():
            with self.changed:
                self.seen.append(f"{event.id} {event.state.name.lower()}")
                self.changed.notify_all()
            number -= event.result is not None
            if not number:
                return

    async def whole_run(self, name: str, *jobs: Job) -> None:
        async with self.run(name) as backend:
            await backend.submit(jobs)
            with self.changed:
                self.changed.notify_all()
            await self.wait(backend, len(jobs))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def in_time(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_two_runs_in_one_loop_take_turns_and_never_more_than_there_is(machine: Machine) -> None:
    async def go() -> None:
        await asyncio.gather(*(machine.whole_run(run, *(job(f"{run}{n}") for n in range(4))) for run in ("a", "b")))

    in_time(go())
    assert [entry.partition(" ")[2] for entry in machine.seen] == ["running", "done"] * 8
    assert [entry[0] for entry in machine.seen[::2]] == list("abababab")
    assert machine.ledger.free_cores == 1.0


def test_a_run_in_another_thread_starts_when_a_job_of_the_first_ends(machine: Machine) -> None:
    gate = machine.pipe("gate")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(in_time, machine.whole_run("a", job("a", f"cat {gate}")))
        machine.until(lambda: "a running" in machine.seen)
        second = threads.submit(in_time, machine.whole_run("b", job("b")))
        machine.until(lambda: len(machine.ledger._queue) == 1)
        gate.write_text("go")
        first.result()
        second.result()
    assert machine.seen.index("a done") < machine.seen.index("b done")
    assert machine.ledger.free_cores == 1.0


def test_runs_in_many_threads_all_end(machine: Machine) -> None:
    with ThreadPoolExecutor(4) as threads:
        for ended in [
            threads.submit(in_time, machine.whole_run(run, *(job(f"{run}{n}") for n in range(10)))) for run in "abcd"
        ]:
            ended.result()
    assert machine.ledger.free_cores == 1.0
    assert not machine.ledger._queue


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_run_that_is_cancelled_while_it_waits_holds_nobody_up(machine: Machine, how: str) -> None:
    gate = machine.pipe("gate")

    async def go() -> None:
        async with machine.run("a") as first, machine.run("b") as second, machine.run("c") as third:
            await first.submit([job("a", f"cat {gate}")])
            await second.submit([job("b")])
            await third.submit([job("c")])
            if how == "cancel":
                await second.cancel([JobId("b")])
            else:
                await second.close()
            await asyncio.to_thread(gate.write_text, "go")
            await machine.wait(first, 1)
            await machine.wait(third, 1)

    in_time(go())
    assert machine.seen == ["a running", "a done", "c running", "c done"]
    assert machine.ledger.free_cores == 1.0
    assert not machine.ledger._queue


def test_a_run_that_is_stopped_gives_back_what_its_jobs_had(machine: Machine) -> None:
    async def go() -> None:
        async with machine.run("b") as second:
            async with machine.run("a") as first:
                await first.submit([job("a", "exec sleep 1000")])
                await second.submit([job("b")])
                async for event in first.results():
                    assert event.state is JobState.RUNNING
                    break
            await machine.wait(second, 1)

    in_time(go())
    assert machine.seen == ["b running", "b done"]


def test_a_run_whose_loop_is_gone_holds_nobody_up(machine: Machine) -> None:
    gone = Turn(lambda: None)
    gone.loop = asyncio.new_event_loop()
    gone.loop.close()
    machine.ledger.take(job("holds"))
    machine.ledger.take(job("waits"), gone)
    assert machine.ledger.wake_others(Turn(lambda: None)) == []
    assert not machine.ledger._queue


def test_small_jobs_of_other_runs_pass_a_large_one_only_for_a_while() -> None:
    ledger, large, small = Ledger(2.0, 100, 0), Turn(lambda: None), Turn(lambda: None)
    one = job("small")
    assert ledger.take(one, small)
    assert not ledger.take(job("large", cores=2.0), large)
    passed = 0
    while passed < 10_000 and ledger.take(one, small):
        ledger.give_back(one)
        passed += 1
    assert 0 < passed < 10_000
    ledger.give_back(one)
    assert ledger.take(job("large", cores=2.0), large)
    ledger.leave(large)
    ledger.give_back(job("large", cores=2.0))
    assert ledger.take(one, small)


def test_all_local_runs_of_a_process_share_one_machine_if_none_is_given(tmp_path: Path) -> None:
    one, two = (LocalBackend(tmp_path) for _ in range(2))
    assert one._ledger is two._ledger is shared_machine()
