"""A backend whose jobs use a store, here Rucio: names go in, URLs go to the worker, results when files are known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rucio_builders import client_of, fake_server
from staged_backends import RUN, Inner, Log, PlainInner, plain_job, result_of

from gridcwl.errors import BackendError, ConfigError, StoreError
from gridcwl.model import (
    Job,
    JobEvent,
    JobId,
    JobResult,
    JobState,
    Outcome,
    OutputRules,
    RunId,
    StagedFile,
)
from gridcwl.runs.lifecycle import Stage
from gridcwl.runs.staging import StagingBackend
from gridcwl.stores.local_runs import LocalSession
from gridcwl.stores.rucio.run_files import RunFiles, open_run_files
from gridcwl.stores.rucio.session import RucioSession
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.tasks import TaskScope
from gridcwl.testbed.fakes.rucio import FakeRucio

exception = pytest.importorskip("rucio.common.exception")


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


def run(
    wire: RunFiles | None,
    jobs: Sequence[Job],
    inner: Inner | None = None,
    *,
    log: Log | None = None,
    earlier: Sequence[tuple[Job, JobResult]] = (),
) -> dict[JobId, JobResult]:
    """Run the jobs, and reuse earlier results; the results of all."""

    async def work() -> dict[JobId, JobResult]:
        results: dict[JobId, JobResult] = {}
        session = LocalSession() if wire is None else RucioSession(wire)
        async with TaskScope() as tasks, StagingBackend(inner or Inner(), session, log or Log(), tasks) as backend:
            results |= {job.id: result for job, result in earlier if backend.reuse(job, result)}
            await backend.submit(jobs)
            events = backend.results()
            while len(results) < len(jobs) + len(earlier):
                event = await anext(events)
                if event.result is not None:
                    results[event.id] = event.result
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


class CountingLog(Log):
    """How many results were recorded at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[int] = []

    async def record(self, ended: Sequence[tuple[Job, JobResult]]) -> None:
        self.together.append(len(ended))
        await super().record(ended)


def test_results_that_come_together_are_recorded_together(wire: RunFiles) -> None:
    log = CountingLog()
    run(wire, [job(number) for number in range(1000)], log=log)
    assert sum(log.together) == 1000
    assert len(log.together) < 10


def test_intermediate_files_have_a_rule_that_ends(server: FakeRucio, wire: RunFiles) -> None:
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


def test_a_success_is_recorded_then_committed_then_delivered(wire: RunFiles) -> None:
    log = Log()
    run(wire, [job(1)], log=log)
    assert log.done == [("1", "success"), ("committed", "1")]


def test_what_an_earlier_session_did_not_live_to_commit_is_committed_before_it_is_delivered(
    server: FakeRucio, wire: RunFiles
) -> None:
    log = Log()
    found = result_of(wire.equipped(job(1, "earlier")))
    now = replace(job(5, "earlier"), id=JobId(f"{RUN}-2-5"))  # the same job in the next session
    results = run(wire, [job(2)], log=log, earlier=[(now, replace(found, id=now.id))])
    assert set(results) == {now.id, JobId(f"{RUN}-1-2")}
    assert ("committed", "1") in log.done
    assert ("5", "success") not in log.done
    assert server.client("alice").get_did("user.runner", f"{RUN}.earlier.j1-1-1.a.txt")["type"] == "FILE"


def test_what_an_earlier_session_has_committed_is_delivered_at_once(server: FakeRucio, wire: RunFiles) -> None:
    found = result_of(wire.equipped(job(1, "earlier")))
    log = Log([RucioSession(wire).batch_of(found)])
    results = run(wire, [], log=log, earlier=[(job(1, "earlier"), found)])
    assert results == {found.id: found}
    assert log.done == []
    assert "add_replicas" not in server.calls


def test_what_an_earlier_session_made_and_rucio_does_not_take_is_a_failure(server: FakeRucio, wire: RunFiles) -> None:
    lost = wire.equipped(job(1, "earlier"))
    taken = {"scope": "user.runner", "name": f"{RUN}.earlier.j1-1-1.a.txt", "bytes": 1, "adler32": "00000001"}
    server.client("runner").add_replicas("MEUDON-DISK", [taken])
    log = Log()
    (result,) = run(wire, [], log=log, earlier=[(lost, result_of(lost))]).values()
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "j1-1-1.a.txt" in result.reason
    assert log.done == []  # the run records for which job of the earlier session that is


def test_a_refused_success_is_recorded_as_a_failure_before_it_is_delivered(server: FakeRucio, wire: RunFiles) -> None:
    taken = {"scope": "user.runner", "name": f"{RUN}.step.j1-7-1.a.txt", "bytes": 1, "adler32": "00000001"}
    server.client("runner").add_replicas("LYON-DISK", [taken])
    log = Log()
    run(wire, [job(7)], log=log)
    assert log.done == [("7", "success"), ("7", "permanent-failure")]


def test_a_result_that_cannot_be_recorded_fails_the_run() -> None:
    log = Log()
    log.full = True
    with pytest.raises(StoreError, match="the disk is full"):
        run(None, [plain_job(1)], PlainInner(), log=log)


IMAGE = "images:debian.tar"


class SitesWithImages(PlainInner):
    """A backend whose sites fetch images from the run's store."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, image_places=("rucio:images:{image}.tar",))
        self.images: dict[str, Any] = {}

    def missing_images(self, jobs: Sequence[Job]) -> Sequence[str]:  # noqa: ARG002
        return [] if IMAGE in self.images else [IMAGE]

    def add_images(self, found: Mapping[str, Any]) -> None:
        self.images |= found


class StoreWithImages(LocalSession):
    between_jobs = True

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    async def archives(self, names: Sequence[str]) -> dict[str, Any]:
        self.asked.append(names)
        return {name: {"sources": [f"https://se/{name}"]} for name in names}


def test_images_in_the_store_are_looked_up_once_before_their_jobs_are_submitted() -> None:
    inner, store = SitesWithImages(), StoreWithImages()

    async def go() -> None:
        async with TaskScope() as tasks, StagingBackend(inner, store, Log(), tasks) as backend:
            await backend.submit([plain_job(1)])
            await backend.submit([plain_job(2)])

    asyncio.run(go())
    assert store.asked == [[IMAGE]]
    assert inner.images == {IMAGE: {"sources": [f"https://se/{IMAGE}"]}}


def test_images_that_are_in_a_store_need_a_run_with_that_store() -> None:
    async def go() -> None:
        async with TaskScope() as tasks, StagingBackend(SitesWithImages(), LocalSession(), Log(), tasks) as backend:
            await backend.check([])

    with pytest.raises(ConfigError, match="the run does not use it") as refused:
        asyncio.run(go())
    assert "--store rucio" in refused.value.remedy


def test_an_event_that_comes_twice_or_for_nobody_means_nothing() -> None:
    class Stuttering(PlainInner):
        async def submit(self, jobs: Sequence[Job]) -> None:
            for _ in range(2):
                await super().submit(jobs)
            self.events.put_nowait(JobEvent(jobs[0].id, JobState.RUNNING))
            await super().submit([plain_job(9)])

    log = Log()

    async def go() -> list[JobId]:
        async with TaskScope() as tasks, StagingBackend(Stuttering(), LocalSession(), log, tasks) as backend:
            await backend.submit([plain_job(1)])
            await backend.close()
            events = [event.id async for event in backend.results()]
            assert backend.stages.at(plain_job(1).id) is Stage.COMMITTED
            return events

    assert asyncio.run(go()) == [plain_job(1).id]
    assert log.done == [("1", "success")]


def test_jobs_that_the_backend_does_not_take_are_as_if_they_had_not_been_submitted() -> None:
    class Full(PlainInner):
        async def submit(self, jobs: Sequence[Job]) -> None:  # noqa: ARG002
            raise BackendError("It is full")

    async def go() -> None:
        async with TaskScope() as tasks, StagingBackend(Full(), LocalSession(), Log(), tasks) as backend:
            with pytest.raises(BackendError):
                await backend.submit([plain_job(1)])
            assert backend.stages.at(plain_job(1).id) is Stage.WANTED

    asyncio.run(go())


def test_what_ends_the_keeping_alive_of_files_fails_the_run(wire: RunFiles) -> None:
    class Dying(RucioSession):
        async def keep_alive(self) -> None:
            raise StoreError("The rule is gone")

    async def go() -> None:
        async with TaskScope() as tasks, StagingBackend(Inner(), Dying(wire), Log(), tasks) as backend:
            async for _ in backend.results():
                pass

    with pytest.raises(StoreError, match="The rule is gone"):
        asyncio.run(asyncio.wait_for(go(), 60))


def test_registering_again_changes_nothing(server: FakeRucio, wire: RunFiles) -> None:
    made = wire.equipped(job(1))
    first = asyncio.run(wire.register([(made, result_of(made))]))
    again = asyncio.run(wire.register([(made, result_of(made))]))
    assert first == again == {}
    assert len(list(server.client("alice").list_files("user.runner", f"{RUN}.step.out"))) == 1
