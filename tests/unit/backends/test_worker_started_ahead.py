"""The worker process that starts while the document is read."""

import asyncio

import pytest

from gridcwl.backends.local import process
from gridcwl.errors import BackendError
from gridcwl.model import Job, JobId, Outcome, RunId
from gridcwl.tasks import TaskScope


@pytest.fixture
def start_ahead():
    """Starts one when it is called: pytest changes the environment between a fixture and its test."""
    started = []

    def start():
        process.start_ahead()
        ((_, one),) = process._ready
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()
        one.wait()
    process._ready.clear()


def run_one(folder):
    """The process that ran a job, and its result."""

    async def running():
        async with TaskScope() as tasks:
            workers = process.WorkerProcesses(1, 1, str(folder), {}, {}, tasks)
            result = await workers.run(Job(JobId("one"), RunId("r"), "step", ("true",)), str(folder / "one"))
            pid = workers._processes[0]._process.pid
            await workers.close()
            return pid, result.outcome

    return asyncio.run(running())


def test_it_takes_the_first_job(start_ahead, tmp_path):
    ahead = start_ahead()
    assert run_one(tmp_path) == (ahead.pid, Outcome.SUCCESS)
    assert process._ready == []


def test_one_that_has_ended_meanwhile_is_not_used(start_ahead, tmp_path):
    ahead = start_ahead()
    ahead.kill()
    ahead.wait()

    pid, outcome = run_one(tmp_path)

    assert (pid != ahead.pid, outcome) == (True, Outcome.SUCCESS)


def test_one_that_was_started_with_another_environment_is_not_used(start_ahead, tmp_path, monkeypatch):
    ahead = start_ahead()
    monkeypatch.setenv("X509_CERT_DIR", str(tmp_path))

    pid, outcome = run_one(tmp_path)

    assert (pid != ahead.pid, outcome) == (True, Outcome.SUCCESS)
    assert ahead.poll() is not None


def test_it_ends_with_the_client(start_ahead):
    ahead = start_ahead()
    ahead.stdin.close()

    assert ahead.wait(120) == 0


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_worker_that_is_just_being_started_is_stopped_with_its_job(tmp_path, steps):
    async def stopping():
        async with TaskScope() as tasks:
            workers = process.WorkerProcesses(1, 1, str(tmp_path), {}, {}, tasks)
            job = Job(JobId("one"), RunId("r"), "step", ("sleep", "86400"))
            running = asyncio.create_task(workers.run(job, str(tmp_path / "one")))
            for _ in range(steps):
                await asyncio.sleep(0)
            workers.stop(job.id, "the run was stopped")
            await workers.close()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            assert workers._processes[0]._process is None
            return outcome

    outcome = asyncio.run(stopping())
    assert isinstance(outcome, BackendError) or outcome.outcome == Outcome.CANCELLED
