"""What every backend has to do, whoever wrote it: subclass :class:`BackendSuite` and give it a ``place``.

A plugin with optional functions subclasses :class:`HooksSuite` as well.

Jobs are bare commands whose outputs come back as files of this machine, so that no store is needed.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridcwl.backends import Backend
from gridcwl.backends.base import BackendPlugin
from gridcwl.errors import BackendError
from gridcwl.model import ExitCodes, Job, JobEvent, JobId, JobResult, JobState, Outcome, OutputRules, Resources, RunId

_T = TypeVar("_T")


def new_run_id() -> RunId:
    """A unique id of a run."""
    return RunId(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")


@dataclass
class Place:
    """A backend to be held to the contract.

    Attributes:
        make: a backend for a run.
        patience_s: for one job to come and go.
    """

    make: Callable[[RunId], AbstractAsyncContextManager[Backend]]
    patience_s: float = 60.0
    run: RunId = field(default_factory=new_run_id)

    def job(self, number: int, script: str = "echo hello > out.txt", **fields: Any) -> Job:
        given: dict[str, Any] = {"outputs": OutputRules(("out.txt",)), "name": f"job[{number}]", **fields}
        return Job(JobId(f"{self.run}-1-{number}"), self.run, command=("sh", "-c", script), **given)

    def open(self) -> AbstractAsyncContextManager[Backend]:
        return self.make(self.run)

    def wait(self, work: Callable[[Backend], Awaitable[_T]], number: int = 1) -> _T:
        """Do something with a backend of this place."""

        async def with_it() -> _T:
            async with self.open() as backend:
                return await work(backend)

        return asyncio.run(asyncio.wait_for(with_it(), self.patience_s * number))

    def results(self, jobs: Sequence[Job]) -> dict[JobId, JobResult]:
        """Run jobs to their end."""

        async def all_of_it(backend: Backend) -> dict[JobId, JobResult]:
            await backend.submit(jobs)
            return {event.id: event.result for event in await ended(backend, len(jobs)) if event.result}

        return self.wait(all_of_it, len(jobs))


async def ended(backend: Backend, number: int) -> list[JobEvent]:
    """The events that end so many jobs."""
    found: list[JobEvent] = []
    async for event in backend.results():
        if event.result is not None:
            found.append(event)
        if len(found) == number:
            break
    return found


def text_of(result: JobResult) -> str:
    """What the job's only output says."""
    (file,) = result.files
    return Path(file.location.removeprefix("file://")).read_text()


_HOOKS = {
    "start_ahead": 1,
    "preload": 1,
    "stop": 2,
    "stop_processes": 1,
    "stop_containers": 2,
    "offers": 1,
    "sites": 1,
    "open_batch_jobs": 2,
    "open_planner": 1,
    "machine_planner": 1,
    "open_nodes": 1,
    "open_pool_nodes": 1,
    "pools": 0,
    "accounting": 4,
    "health": 2,
}
"""How many arguments gridcwl gives each optional function of a plugin: see ``BackendPlugin.hooks``."""


class HooksSuite:
    """The optional functions that a plugin declares."""

    @pytest.fixture
    def plugin(self) -> BackendPlugin:
        raise NotImplementedError

    def test_each_hook_is_a_function_of_the_module_and_takes_what_it_is_given(self, plugin: BackendPlugin) -> None:
        module = importlib.import_module(plugin.module)
        for name in plugin.hooks:
            assert name in _HOOKS, f"{name} is no hook: gridcwl never calls it"
            function = getattr(module, name, None)
            assert callable(function), f"{plugin.module} has no function {name}"
            inspect.signature(function).bind(*[None] * _HOOKS[name])


class BackendSuite:
    """The contract."""

    seen_s: float = 3
    """A job that runs so long is seen to run: longer than the backend's polls are apart."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        raise NotImplementedError

    def test_a_job_runs_and_its_output_comes_back(self, place: Place) -> None:
        job = place.job(1, "echo hello there > out.txt; echo seen >&2")
        result = place.results([job])[job.id]
        assert (result.id, result.outcome, result.exit_code) == (job.id, Outcome.SUCCESS, 0)
        assert text_of(result) == "hello there\n"
        assert result.files[0].sha1 is not None
        assert result.usage is not None
        assert Path(str(result.stderr_log)).read_text() == "seen\n"

    def test_many_jobs_end_each_with_its_own_result(self, place: Place) -> None:
        jobs = [place.job(number, f"echo {number} > out.txt") for number in range(1, 6)]
        results = place.results(jobs)
        assert [text_of(results[job.id]) for job in jobs] == [f"{number}\n" for number in range(1, 6)]

    def test_exit_codes_mean_what_the_tool_declares(self, place: Place) -> None:
        codes = ExitCodes(success=(3,), temporary_failure=(4,), permanent_failure=(5,))
        jobs = [place.job(code, f"echo x > out.txt; echo why >&2; exit {code}", exit_codes=codes) for code in (3, 4, 5)]
        results = place.results(jobs)
        assert [results[job.id].outcome for job in jobs] == [
            Outcome.SUCCESS,
            Outcome.TEMPORARY_FAILURE,
            Outcome.PERMANENT_FAILURE,
        ]
        assert results[jobs[2].id].stderr_tail == "why\n"

    def test_a_time_limit_ends_a_job(self, place: Place) -> None:
        job = place.job(1, "exec sleep 300", resources=Resources(time_limit_s=1))
        assert place.results([job])[job.id].outcome is Outcome.TIME_LIMIT

    def test_a_job_reports_that_it_runs_before_it_reports_that_it_has_ended(self, place: Place) -> None:
        async def states(backend: Backend) -> list[JobState]:
            await backend.submit([place.job(1, f"sleep {self.seen_s}; echo > out.txt")])
            found: list[JobState] = []
            async for event in backend.results():
                found.append(event.state)
                if event.result is not None:
                    break
            return found

        found = place.wait(states)
        assert found[-1] is JobState.DONE
        assert JobState.RUNNING in found[:-1]

    def test_a_running_job_is_cancelled(self, place: Place) -> None:
        job = place.job(1, "exec sleep 300")

        async def all_of_it(backend: Backend) -> JobEvent:
            await backend.submit([job])
            async for event in backend.results():
                if event.result is not None:
                    return event
                if event.state is JobState.RUNNING:
                    await backend.cancel([job.id])
            raise AssertionError

        event = place.wait(all_of_it)
        assert event.result is not None
        assert (event.state, event.result.outcome) == (JobState.CANCELLED, Outcome.CANCELLED)

    def test_what_has_ended_can_be_cancelled_without_harm(self, place: Place) -> None:
        async def all_of_it(backend: Backend) -> JobEvent:
            job = place.job(1)
            await backend.submit([job])
            (event,) = await ended(backend, 1)
            await backend.cancel([job.id, JobId("unknown-1-2")])
            return event

        assert place.wait(all_of_it).state is JobState.DONE

    def test_another_attempt_is_another_job(self, place: Place) -> None:
        first = place.job(1, "echo x > out.txt; exit 75", exit_codes=ExitCodes(temporary_failure=(75,)))
        second = replace(first, attempt=2, command=("sh", "-c", "echo again > out.txt"))

        async def all_of_it(backend: Backend) -> list[JobResult]:
            found: list[JobResult] = []
            for job in (first, second):
                await backend.submit([job])
                (event,) = await ended(backend, 1)
                assert event.result is not None
                found.append(event.result)
            return found

        failed, done = place.wait(all_of_it, 2)
        assert (failed.outcome, done.outcome) == (Outcome.TEMPORARY_FAILURE, Outcome.SUCCESS)
        assert text_of(done) == "again\n"

    def test_what_no_machine_can_do_is_refused_before_it_is_taken(self, place: Place) -> None:
        async def all_of_it(backend: Backend) -> None:
            await backend.submit([place.job(1, resources=Resources(cores=100_000))])

        with pytest.raises(BackendError):
            place.wait(all_of_it)

    def test_a_backend_that_is_closed_takes_no_jobs(self, place: Place) -> None:
        async def all_of_it() -> None:
            async with place.open() as backend:
                pass
            await backend.submit([place.job(1)])

        with pytest.raises(BackendError, match="closed"):
            asyncio.run(asyncio.wait_for(all_of_it(), place.patience_s))

    def test_closing_ends_the_results_and_what_runs(self, place: Place, tmp_path: Path) -> None:
        mark = tmp_path / "mark"

        async def all_of_it() -> None:
            async with place.open() as backend:
                await backend.submit([place.job(1, f"sleep 3; echo x > {mark}")])
                await backend.settled()
            states = [event.state async for event in backend.results()]
            assert JobState.DONE not in states

        asyncio.run(asyncio.wait_for(all_of_it(), place.patience_s))
        assert not mark.exists()


class SurvivingSuite(BackendSuite):
    """And what a backend has to do whose jobs outlive their client."""

    def leaving(self, place: Place) -> AbstractAsyncContextManager[Backend]:
        """A backend that leaves its jobs where they are when it is closed."""
        raise NotImplementedError

    def test_jobs_outlive_their_client_and_are_found_again(self, place: Place) -> None:
        jobs = [place.job(number, f"echo {number} > out.txt") for number in (1, 2)]

        async def leave() -> None:
            async with self.leaving(place) as backend:
                await backend.submit(jobs)
                await backend.settled()

        async def come_back(backend: Backend) -> tuple[set[JobId], dict[JobId, JobResult]]:
            found = set(await backend.recover(place.run))
            await backend.submit(jobs)
            return found, {event.id: event.result for event in await ended(backend, 2) if event.result}

        asyncio.run(asyncio.wait_for(leave(), place.patience_s))
        found, results = place.wait(come_back, 2)
        assert found == {job.id for job in jobs}
        assert [text_of(results[job.id]) for job in jobs] == ["1\n", "2\n"]
