"""A backend whose jobs use a store, here Rucio: names go in, URLs go to the worker, results when files are known."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from rucio_builders import client_of, fake_server

from gridcwl.backends.base import Capabilities
from gridcwl.errors import StoreError
from gridcwl.model import (
    Job,
    JobEvent,
    JobId,
    JobResult,
    JobState,
    Outcome,
    OutputRules,
    ProducedFile,
    RunId,
    StagedFile,
)
from gridcwl.runs.staging import StagingBackend
from gridcwl.stores.rucio.run_files import RunFiles, open_run_files
from gridcwl.stores.rucio.session import RucioSession
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.testbed.fakes.rucio import FakeRucio
from gridcwl.worker.naming import name_of, url_of

exception = pytest.importorskip("rucio.common.exception")

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

    async def recover(self, run: RunId) -> Mapping[JobId, JobState]:  # noqa: ARG002
        return {}

    async def settled(self) -> None:
        """Nothing outlives us."""

    async def close(self) -> None:
        self.events.put_nowait(None)


def result_of(job: Job) -> JobResult:
    assert job.storage is not None
    storage, data = job.storage, job.name.encode()
    files = tuple(
        ProducedFile(
            path, "file", url_of(storage.scope, name_of(storage.prefix, path)), len(data), "0" * 40,
            f"{zlib.adler32(data):08x}",
        )
        for globs in job.outputs.ports.values()
        for path in globs
    )  # fmt: skip
    return JobResult(job.id, Outcome.SUCCESS, 0, files=files, element=storage.elements[0].name)


def job(number: int, name: str = "step", *, staged: Sequence[StagedFile] = (), **ports: str) -> Job:
    rules = OutputRules(None, (), {port: (glob,) for port, glob in (ports or {"out": "a.txt"}).items()})
    run = RunId(RUN)
    return Job(JobId(f"{RUN}-1-{number}"), run, f"{name}[{number}]", ("true",), staged=tuple(staged), outputs=rules)


def reading(url: str) -> StagedFile:
    return StagedFile("/gridcwl/in/x", "file", (url,))


@pytest.fixture
def server(tmp_path: Path) -> FakeRucio:
    return fake_server(tmp_path / "rucio")


@pytest.fixture
def wire(server: FakeRucio) -> Iterator[RunFiles]:
    client, _ = client_of(lambda: server.client("runner"))
    made = asyncio.run(open_run_files(RucioSettings(elements="LYON-DISK"), RUN, client=client))
    yield made
    made.close()


def run(wire: RunFiles, jobs: Sequence[Job], inner: Inner | None = None, **named: Any) -> dict[JobId, JobResult]:
    """Run the jobs; their results."""

    async def work() -> dict[JobId, JobResult]:
        results: dict[JobId, JobResult] = {}
        async with StagingBackend(inner or Inner(), RucioSession(wire), **named) as backend:
            await backend.submit(jobs)
            async for event in backend.results():
                if event.result is not None:
                    results[event.id] = event.result
                if len(results) == len(jobs):
                    break
        return results

    return asyncio.run(asyncio.wait_for(work(), 60))


def test_a_result_comes_when_its_files_are_known(server: FakeRucio, wire: RunFiles) -> None:
    results = run(wire, [job(1)])
    url = results[JobId(f"{RUN}-1-1")].files[0].location
    assert url == f"rucio://user.runner/{RUN}.step.j1-1-1.a.txt"
    client = server.client("alice")
    (replica,) = client.list_replicas([{"scope": "user.runner", "name": url.rpartition("/")[2]}])
    assert replica["states"] == {"LYON-DISK": "AVAILABLE"}


def test_there_is_a_dataset_for_each_output_and_a_container_for_the_run(server: FakeRucio, wire: RunFiles) -> None:
    run(wire, [job(number, bam="x.bam", log="x.log") for number in (1, 2)])
    client = server.client("alice")
    datasets = {one["name"] for one in client.list_content("user.runner", f"{RUN}.run")}
    assert datasets == {f"{RUN}.step.bam", f"{RUN}.step.log"}
    bams = {one["name"] for one in client.list_files("user.runner", f"{RUN}.step.bam")}
    assert bams == {f"{RUN}.step.j1-{number}-1.x.bam" for number in (1, 2)}
    assert client.get_metadata("user.runner", f"{RUN}.step.bam", plugin="ALL")["gridcwl_step"] == "step"


def test_a_thousand_results_are_registered_in_few_calls(server: FakeRucio, wire: RunFiles) -> None:
    before = len(server.calls)
    run(wire, [job(number) for number in range(1000)])
    made = server.calls[before:]
    assert made.count("attach_dids_to_dids") <= 4
    assert len(made) <= 8


def test_what_lies_between_the_steps_has_a_rule_that_ends(server: FakeRucio, wire: RunFiles) -> None:
    run(wire, [job(1)])
    (rule,) = server.client("runner").list_did_rules("user.runner", f"{RUN}.run")
    assert rule["expires_at"] is not None
    assert rule["rse_expression"] == "LYON-DISK"


def test_where_our_own_jobs_put_their_files_nobody_is_asked(server: FakeRucio, wire: RunFiles) -> None:
    results = run(wire, [job(1)])
    url = results[JobId(f"{RUN}-1-1")].files[0].location
    before, inner = len(server.calls), Inner()
    run(wire, [job(2, staged=[reading(url)])], inner)
    (entry,) = inner.jobs[0].staged
    assert entry.location == url
    assert entry.sources == (f"file://{server.path('LYON-DISK', 'user.runner', url.rpartition('/')[2])}",)
    assert "list_replicas" not in server.calls[before:]


def test_inputs_of_many_jobs_are_looked_up_together(server: FakeRucio, wire: RunFiles) -> None:
    run(wire, [job(number) for number in range(700)])
    urls = [f"rucio://user.runner/{RUN}.step.j1-{number}-1.a.txt" for number in range(700)]
    client, _ = client_of(lambda: server.client("runner"))
    fresh = asyncio.run(open_run_files(RucioSettings(elements="LYON-DISK"), "another", client=client))
    before = len(server.calls)
    run(fresh, [job(number, staged=[reading(url)]) for number, url in enumerate(urls)])
    assert server.calls[before:].count("list_replicas") == 2
    fresh.close()


def test_a_job_whose_input_has_no_replica_fails_alone_and_may_be_tried_again(wire: RunFiles) -> None:
    inner = Inner()
    results = run(wire, [job(1, staged=[reading("rucio://user.runner/gone")]), job(2)], inner)
    failed, good = results[JobId(f"{RUN}-1-1")], results[JobId(f"{RUN}-1-2")]
    assert failed.outcome is Outcome.TEMPORARY_FAILURE
    assert "rucio://user.runner/gone" in failed.reason
    assert good.outcome is Outcome.SUCCESS
    assert [one.id for one in inner.jobs] == [good.id]


def test_files_of_this_machine_are_uploaded_once_where_jobs_cannot_see_it(
    server: FakeRucio, wire: RunFiles, tmp_path: Path
) -> None:
    (tmp_path / "in put.txt").write_text("words")
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "sub" / "deep").write_text("deep")
    url = (tmp_path / "in put.txt").as_uri()
    folder = StagedFile("/gridcwl/in/dir", "directory", ((tmp_path / "dir").as_uri(),))
    inner = Inner(sees_files=False)
    run(wire, [job(number, staged=[reading(url), folder]) for number in (1, 2)], inner)
    for one in inner.jobs:
        file, empty, deep = one.staged
        assert file.location.startswith("rucio://user.runner/gridcwl.s")
        assert Path(file.sources[0].removeprefix("file://")).read_text() == "words"
        assert (empty.kind, empty.sources) == ("directory", ())
        assert deep.target == "/gridcwl/in/dir/sub/deep"
        assert Path(deep.sources[0].removeprefix("file://")).read_text() == "deep"
    client = server.client("runner")
    assert len(list(client.list_files("user.runner", f"{RUN}.inputs"))) == 2
    assert f"{RUN}.inputs" in {one["name"] for one in client.list_content("user.runner", f"{RUN}.run")}
    assert list(client.list_did_rules("user.runner", f"{RUN}.run"))  # they end with the run


def test_a_file_that_rucio_does_not_take_fails_its_job_and_no_other(server: FakeRucio, wire: RunFiles) -> None:
    client = server.client("runner")
    client.add_replicas(
        "LYON-DISK",
        [{"scope": "user.runner", "name": f"{RUN}.step.j1-7-1.a.txt", "bytes": 1, "adler32": "00000001"}],
    )
    results = run(wire, [job(number) for number in range(20)])
    failed = {job_id for job_id, result in results.items() if result.outcome is not Outcome.SUCCESS}
    assert failed == {JobId(f"{RUN}-1-7")}
    reason = results[JobId(f"{RUN}-1-7")].reason
    assert f"user.runner:{RUN}.step.j1-7-1.a.txt at LYON-DISK" in reason


def test_a_database_that_is_down_for_a_while_delays_results_and_loses_none(server: FakeRucio, wire: RunFiles) -> None:
    run(wire, [job(0)])
    server.fail(5, exception.DatabaseException("server closed the connection unexpectedly"))
    results = run(wire, [job(number) for number in range(1, 30)])
    assert all(result.outcome is Outcome.SUCCESS for result in results.values())


def test_what_an_earlier_session_did_not_live_to_register_is_registered_before_anything_else(
    server: FakeRucio, wire: RunFiles
) -> None:
    lost = wire.equipped(job(1, "earlier"))
    told: list[JobId] = []
    waiting = [[(lost, result_of(lost))]]

    async def note(made: Sequence[tuple[Job, JobResult]]) -> None:
        told.extend(one.id for one, _ in made)

    run(
        wire, [job(2)],
        earlier=lambda: waiting.pop() if waiting else [],
        registered=note,
    )  # fmt: skip
    assert told == [lost.id, JobId(f"{RUN}-1-2")]
    assert server.client("alice").get_did("user.runner", f"{RUN}.earlier.j1-1-1.a.txt")["type"] == "FILE"


def test_what_an_earlier_session_made_and_rucio_does_not_take_stops_the_run_and_is_known_as_a_failure(
    server: FakeRucio, wire: RunFiles
) -> None:
    lost = wire.equipped(job(1, "earlier"))
    client = server.client("runner")
    taken = {"scope": "user.runner", "name": f"{RUN}.earlier.j1-1-1.a.txt", "bytes": 1, "adler32": "00000001"}
    client.add_replicas("MEUDON-DISK", [taken])
    told: list[tuple[JobId, Outcome]] = []
    backend = StagingBackend(
        Inner(), RucioSession(wire),
        earlier=lambda: [(lost, result_of(lost))],
        refused=lambda job, result: told.append((job.id, result.outcome)),
    )  # fmt: skip
    with pytest.raises(StoreError, match=r"does not accept outputs of an earlier session: .*j1-1-1\.a\.txt"):
        asyncio.run(backend.catch_up())
    assert told == [(lost.id, Outcome.PERMANENT_FAILURE)]


def test_registering_again_changes_nothing(server: FakeRucio, wire: RunFiles) -> None:
    made = wire.equipped(job(1))
    first = asyncio.run(wire.register([(made, result_of(made))]))
    again = asyncio.run(wire.register([(made, result_of(made))]))
    assert first == again == {}
    assert len(list(server.client("alice").list_files("user.runner", f"{RUN}.step.out"))) == 1
