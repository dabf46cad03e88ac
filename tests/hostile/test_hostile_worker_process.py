"""Whatever ends the receiving of results fails the run at once, with the reason; it never waits for ever."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from gridcwl.backends.local import process
from gridcwl.backends.local.backend import LocalBackend
from gridcwl.backends.local.machine import Ledger
from gridcwl.errors import BackendError
from gridcwl.model import Job, JobId, OutputRules, RunId
from gridcwl.worker import result as worker_result
from gridcwl.worker import server as worker_server

NOBODY_READS = "exec sleep 600"


def job(script: str, **fields) -> Job:
    return Job(JobId("job-1"), RunId("run"), "step", ("sh", "-c", script), outputs=OutputRules(("*",)), **fields)


def results_of(backend: LocalBackend, *jobs: Job):
    """All events until there are no more, or what is raised."""

    async def go():
        async with backend:
            await backend.submit(jobs)
            return [event async for event in backend.results() if event.result]

    return asyncio.run(asyncio.wait_for(go(), 60))


@pytest.fixture
def backend(tmp_path):
    def make() -> LocalBackend:
        return LocalBackend(tmp_path, ledger=Ledger(1.0, 10_000, 0))

    return make


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"id": "job-1"}', "1e999", '{"id":' + '["' * 20 + "\\xff", "[" * 5000]
)
def test_a_tool_that_writes_into_the_workers_pipe_fails_the_run(backend, line):
    script = f"printf '%s\\n' '{line}' > /proc/$PPID/fd/1; {NOBODY_READS}"
    with pytest.raises(BackendError, match="it sent something else"):
        results_of(backend(), job(script))


def test_an_oversized_line_fails_the_run(backend, monkeypatch):
    monkeypatch.setattr(process, "RESULT_BYTES", 1 << 20)
    script = f"head -c 3000000 /dev/zero | tr '\\0' x > /proc/$PPID/fd/1; {NOBODY_READS}"
    with pytest.raises(BackendError, match="has more than 1 MiB"):
        results_of(backend(), job(script))


def test_a_job_that_cannot_be_sent_fails_the_run(backend, monkeypatch):
    def unsendable(_job):
        raise ValueError("no JSON")

    monkeypatch.setattr(process, "to_plain", unsendable)
    with pytest.raises(ValueError, match="no JSON"):
        results_of(backend(), job("true"))


def test_a_worker_that_fails_at_a_job_answers_all_the_same(monkeypatch):
    def short_of_memory(*_, **__):
        raise MemoryError

    monkeypatch.setattr(worker_server, "run_job", short_of_memory)
    sent = io.BytesIO()
    request = json.dumps({"job": {"id": "job-1"}, "workdir": "/nowhere", "options": {}}).encode()

    worker_server.JobServer(1, sent).serve(io.BytesIO(request))

    answer = json.loads(sent.getvalue())
    assert (answer["id"], answer["outcome"]) == ("job-1", "permanent-failure")


def test_a_result_that_is_too_long_is_a_failure_of_its_job(monkeypatch):
    monkeypatch.setattr(worker_result, "RESULT_BYTES", 1 << 10)
    made = worker_result.new("job-1", worker_result.Clock().usage(None))
    made["outcome"], made["files"] = "success", [{"path": "x" * 2000}]

    answer = json.loads(worker_result.line_of(made))

    assert (answer["outcome"], answer["files"]) == ("permanent-failure", [])
    assert "with 1 outputs" in answer["reason"]
