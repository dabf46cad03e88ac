"""The local backend with real, tiny, bare jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from waiting import has_ended, until

from gridcwl.backends.base import JobOptions
from gridcwl.backends.local.backend import LocalBackend
from gridcwl.backends.local.machine import Ledger
from gridcwl.backends.local.plugin import LocalSettings
from gridcwl.errors import BackendError, ResourcesExceeded
from gridcwl.model import Job, JobId, JobState, Outcome, OutputRules, Resources, RunId


def job(name, script="true", **needs):
    return Job(
        JobId(f"job-{name}"),
        RunId("run"),
        str(name),
        ("sh", "-c", script),
        stdout="said",
        outputs=OutputRules(("*",)),
        resources=Resources(**({"cores": 1.0, "ram_mib": 1} | needs)),
    )


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def backend(self, cores=2.0, ram_mib=100, **options):
        (self.folder / "jobs").mkdir(exist_ok=True)
        return LocalBackend(self.folder / "jobs", JobOptions(**options), ledger=Ledger(cores, ram_mib, 0))

    def pipe(self, name) -> Path:
        path = self.folder / name
        if not path.exists():
            os.mkfifo(path)
        return path

    def run(self, *jobs, **options):
        """The events of these jobs, in order, until all have ended."""

        async def go():
            events = []
            async with self.backend(**options) as backend:
                await backend.submit(jobs)
                async for event in backend.results():
                    events.append(event)
                    if sum(event.result is not None for event in events) == len(jobs):
                        return events
            return events

        return asyncio.run(asyncio.wait_for(go(), 60))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_job_runs_and_then_is_done_with_its_result(place):
    running, done = place.run(job("a", "echo hello"))
    assert (running.state, running.result) == (JobState.RUNNING, None)
    assert (done.state, done.result.outcome, done.result.files[0].size) == (JobState.DONE, Outcome.SUCCESS, 6)


def test_a_failed_job_ends_as_failed(place):
    event = place.run(job("a", "exit 3"))[-1]
    assert (event.state, event.result.exit_code) == (JobState.FAILED, 3)


def test_jobs_run_side_by_side_where_there_is_room(place):
    one, two = place.pipe("one"), place.pipe("two")
    events = place.run(job("a", f"echo x > {one}; cat {two}"), job("b", f"cat {one}; echo x > {two}"))
    assert [event.state for event in events[-2:]] == [JobState.DONE, JobState.DONE]


def test_a_job_that_does_not_fit_now_waits_for_the_other(place):
    """Were they side by side, the first would find the mark of the second."""
    mark = place.folder / "mark"
    first = job("a", f"test ! -e {mark}; code=$?; touch {mark}.a; exit $code", ram_mib=60)
    second = job("b", f"test -e {mark}.a && touch {mark}", ram_mib=60)
    events = place.run(first, second)
    assert [(event.id, event.state) for event in events] == [
        ("job-a", JobState.RUNNING),
        ("job-a", JobState.DONE),
        ("job-b", JobState.RUNNING),
        ("job-b", JobState.DONE),
    ]


def test_a_small_job_passes_a_large_one_that_has_no_room(place):
    gate = place.pipe("gate")
    holds, large = job("holds", f"cat {gate}", ram_mib=60), job("large", "true", ram_mib=90)
    small = job("small", f"echo x > {gate}", ram_mib=10)
    events = place.run(holds, large, small)
    order = [event.id for event in events if event.state is JobState.RUNNING]
    assert order == ["job-holds", "job-small", "job-large"]


def test_max_jobs_holds_back_the_rest(place):
    events = place.run(job("a"), job("b"), job("c"), max_jobs=1)
    assert [event.state for event in events] == [JobState.RUNNING, JobState.DONE] * 3


def test_a_giant_refuses_its_whole_batch(place):
    async def go():
        async with place.backend() as backend:
            with pytest.raises(ResourcesExceeded, match="giant asks for 101 MiB"):
                await backend.submit([job("a", f"touch {place.folder}/ran"), job("giant", ram_mib=101)])

    asyncio.run(go())
    assert not (place.folder / "ran").exists()


def test_cancelled_jobs_end_whether_they_run_or_wait(place):
    up = place.pipe("up")
    jobs = [job("runs", f"echo up > {up}; sleep 86400"), job("waits", "true", ram_mib=100)]

    async def go():
        ended = {}
        async with place.backend() as backend:
            await backend.submit(jobs)
            await asyncio.to_thread(up.read_text)
            await backend.cancel([job.id for job in jobs])
            async for event in backend.results():
                if event.result is not None:
                    ended[event.id] = (event.state, event.result.outcome)
                if len(ended) == 2:
                    return ended
        return ended

    cancelled = (JobState.CANCELLED, Outcome.CANCELLED)
    assert asyncio.run(asyncio.wait_for(go(), 60)) == {"job-runs": cancelled, "job-waits": cancelled}


def test_closing_stops_what_runs_and_ends_the_results(place):
    up, pid = place.pipe("up"), place.folder / "pid"

    async def go():
        async with place.backend() as backend:
            await backend.submit([job("a", f"echo $$ > {pid}; echo up > {up}; exec sleep 86400")])
            await asyncio.to_thread(up.read_text)
            await backend.close()
            await backend.close()  # twice is fine
        with pytest.raises(BackendError, match="closed"):
            await backend.submit([job("b")])
        return [event async for event in backend.results()]

    events = asyncio.run(asyncio.wait_for(go(), 60))
    assert {event.id for event in events} <= {"job-a"}
    until(lambda: has_ended(int(pid.read_text())))


def test_what_the_machine_can_give_is_reported(place):
    async def go():
        async with place.backend(cores=4.0, ram_mib=77) as backend:
            return backend.capabilities

    largest = asyncio.run(go()).largest
    assert (largest.cores, largest.ram_mib) == (4.0, 77)


@pytest.mark.parametrize(("engine", "shared"), [("docker", True), ("podman", False)])
def test_containers_are_reused_with_docker_only(tmp_path, monkeypatch, engine, shared):
    made = []
    monkeypatch.setattr("gridcwl.backends.local.backend.make_engine", lambda *arguments: made.append(arguments))
    backend = LocalBackend(tmp_path, JobOptions(engine=engine), LocalSettings(reuse_containers=True))
    backend._engine()
    ((name, folder, _),) = made
    assert (name, folder) == (engine, tmp_path if shared else None)
