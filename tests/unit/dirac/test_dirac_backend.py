"""The DIRAC backend against a DIRAC in memory, which runs the real sandboxes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dirac_builders import RUN, a_job
from dirac_in_memory import InMemoryDirac

from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
from gridcwl.backends.dirac.matching import Wishes
from gridcwl.errors import BackendError, UnsupportedError
from gridcwl.model import (
    Job,
    JobEvent,
    JobResult,
    JobState,
    Outcome,
    Placement,
    Resources,
    StagedFile,
    Storage,
    StorageElement,
)


def backend(dirac: InMemoryDirac, folder: Path, **options: Any) -> DiracBackend:
    named = {name: options.pop(name) for name in ("secrets",) if name in options}
    made = DiracBackend(dirac, DiracOptions(folder, poll_first_s=0.02, **options), run=RUN, **named)
    made._call._first_s = 0.01
    return made


async def ended(made: DiracBackend, number: int, seen: Callable[[JobEvent], None] = lambda _e: None) -> list[JobEvent]:
    """The events that end so many jobs."""
    found: list[JobEvent] = []
    async for event in made.results():
        seen(event)
        if event.result is not None:
            found.append(event)
            if len(found) == number:
                return found
    raise AssertionError("the backend was closed")


def run(dirac: InMemoryDirac, jobs: Sequence[Job], folder: Path, **options: Any) -> dict[str, JobResult]:
    """Run jobs to their end."""

    async def all_of_it() -> dict[str, JobResult]:
        async with backend(dirac, folder, **options) as made:
            await made.submit(jobs)
            return {event.id: event.result for event in await ended(made, len(jobs))}

    return asyncio.run(asyncio.wait_for(all_of_it(), 120))


def test_the_shards_of_a_step_are_one_submission_with_one_sandbox(tmp_path):
    dirac = InMemoryDirac()
    jobs = [a_job(number) for number in range(1, 9)]
    results = run(dirac, jobs, tmp_path)
    assert {result.outcome for result in results.values()} == {Outcome.SUCCESS}
    calls = Counter(dirac.calls)
    assert (calls["submit"], calls["put_sandbox"], calls["confirm"]) == (1, 1, 1)
    assert [told.name for told in dirac.jobs.values()] == [job.id for job in jobs]
    files = [results[job.id].files[0] for job in jobs]
    assert [Path(file.location.removeprefix("file://")).read_text() for file in files] == [
        f"hello {number}\n" for number in range(1, 9)
    ]


def test_a_server_that_takes_fewer_jobs_gets_more_submissions(tmp_path):
    dirac = InMemoryDirac(limit=3)
    results = run(dirac, [a_job(number) for number in range(1, 9)], tmp_path)
    assert len(results) == 8
    assert sorted(told.number for told in dirac.jobs.values()) == list(range(1, 9))


def test_a_local_input_travels_in_the_sandbox_where_no_store_carries_it(tmp_path):
    data = tmp_path / "odd name; é"
    data.write_text("data\n")
    job = a_job(1, "cat", "/gridcwl/in/x", staged=(StagedFile("/gridcwl/in/x", "file", (data.as_uri(),)),))
    (result,) = run(InMemoryDirac(), [job], tmp_path / "w").values()
    assert Path(result.files[0].location.removeprefix("file://")).read_text() == "data\n"


def test_small_results_are_fetched_without_sandboxes_and_all_in_one_call(tmp_path):
    dirac = InMemoryDirac(hold=True)
    jobs = [a_job(number) for number in range(1, 9)]

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            await made.submit(jobs)
            await made.settled()
            with dirac.unseen():
                dirac.go()
                await asyncio.to_thread(dirac.wait)
            return await ended(made, 8)

    events = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert {event.result.outcome for event in events} == {Outcome.SUCCESS}
    assert all(event.site.startswith("LCG.") for event in events)
    calls = Counter(dirac.calls)
    assert (calls["reports"], calls["sandbox"]) == (1, 0)
    text = [Path(event.result.files[0].location.removeprefix("file://")).read_text() for event in events]
    assert sorted(text) == [f"hello {number}\n" for number in range(1, 9)]


def test_large_results_come_by_sandbox(tmp_path):
    dirac = InMemoryDirac()
    large = a_job(1, "sh", "-c", "head -c 20000 /dev/urandom")
    results = run(dirac, [large, a_job(2)], tmp_path)
    assert results[large.id].files[0].size == 20000
    assert Counter(dirac.calls)["sandbox"] == 1


def test_where_dirac_keeps_no_parameters_results_come_by_sandbox(tmp_path):
    dirac = InMemoryDirac(keeps_parameters=False)
    results = run(dirac, [a_job(1), a_job(2)], tmp_path)
    assert {result.outcome for result in results.values()} == {Outcome.SUCCESS}
    assert Counter(dirac.calls)["sandbox"] == 2


def test_a_report_of_a_rescheduled_job_from_another_site_is_ignored(tmp_path):
    dirac = InMemoryDirac(echo=lambda told, text: text.replace(told.site, "LCG.Elsewhere.org"))
    seen: list[JobEvent] = []

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            await made.submit([a_job(1, "sh", "-c", "sleep 1; echo hello")])
            return await ended(made, 1, seen.append)

    (event,) = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert event.state is JobState.DONE
    assert event.site != "LCG.Elsewhere.org"
    assert Counter(dirac.calls)["sandbox"] == 1


def at_lyon(number: int, *command: str) -> Job:
    """A job whose inputs are at Lyon."""
    entry = StagedFile("/in/x", "file", ("https://lyon/x",), size=10**9, location="rucio://s/x")
    element = StorageElement("LYON", ("https://lyon/",), ("LCG.Lyon.fr",))
    return a_job(number, *command, staged=(entry,), storage=Storage("s", "p", (element,), "rucio"))


def test_jobs_that_do_not_start_near_their_inputs_may_run_anywhere(tmp_path):
    dirac = InMemoryDirac(full={"LCG.Lyon.fr"})
    wishes = Wishes(local_bytes=0, local_wait_s=0.2)

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path, wishes=wishes) as made:
            await made.submit([at_lyon(1), at_lyon(2)])
            return await ended(made, 2)

    events = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert [(told.name, told.only, told.status) for told in dirac.jobs.values()][:2] == [
        (f"{RUN}-1-1", ("LCG.Lyon.fr",), "Killed"),
        (f"{RUN}-1-2", ("LCG.Lyon.fr",), "Killed"),
    ]
    assert [(told.name, told.only) for told in dirac.jobs.values()][2:] == [(f"{RUN}-1-1", ()), (f"{RUN}-1-2", ())]
    assert all("LCG.Lyon.fr" not in event.site for event in events)
    assert {event.result.id for event in events} == {f"{RUN}-1-1", f"{RUN}-1-2"}


def test_jobs_that_must_run_near_their_inputs_wait_for_ever(tmp_path):
    dirac = InMemoryDirac(full={"LCG.Lyon.fr"})
    wishes = Wishes(local_bytes=0, local_wait_s=0.0, locality="strict")

    async def all_of_it() -> None:
        async with backend(dirac, tmp_path, wishes=wishes) as made:
            await made.submit([at_lyon(1)])
            await made.settled()
            while dirac.calls.count("states") < 8:  # noqa: ASYNC110  a call has no event
                await asyncio.sleep(0.01)
            assert "kill" not in dirac.calls

    asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert len(dirac.jobs) == 1


def test_packed_jobs_run_longest_first(tmp_path):
    order = tmp_path / "order"
    jobs = [
        a_job(n, "sh", "-c", f"echo {n} >> {order}", resources=Resources(time_limit_s=seconds))
        for n, seconds in ((1, 10), (2, 90), (3, 40))
    ]
    run(InMemoryDirac(), jobs, tmp_path / "w", pack=3)
    assert order.read_text().split() == ["2", "3", "1"]


def test_packed_jobs_run_side_by_side_on_the_cores_that_they_ask_for(tmp_path):
    # Each waits for the other: one after the other they would never end.
    meet = f"touch {tmp_path}/$0; while ! test -e {tmp_path}/a || ! test -e {tmp_path}/b; do sleep 0.05; done"
    dirac = InMemoryDirac()
    at_lyon = Placement(sites=("LCG.Lyon.fr",))
    jobs = [a_job(n, "sh", "-c", meet, name, placement=at_lyon) for n, name in ((1, "a"), (2, "b"))]
    results = run(dirac, jobs, tmp_path / "w", pack=2)
    assert {result.outcome for result in results.values()} == {Outcome.SUCCESS}
    (told,) = dirac.jobs.values()
    assert "MinNumberOfProcessors = 2;" in told.text


def test_a_tool_s_failure_is_the_tool_s_with_its_own_words(tmp_path):
    job = a_job(1, "sh", "-c", "echo ouch >&2; exit 3")
    (result,) = run(InMemoryDirac(), [job], tmp_path).values()
    assert (result.outcome, result.exit_code, result.stderr_tail) == (Outcome.PERMANENT_FAILURE, 3, "ouch\n")
    assert "DIRAC job 1: Failed" in result.reason
    assert Path(str(result.stderr_log)).read_text() == "ouch\n"


def test_packed_jobs_share_a_dirac_job_and_keep_their_own_results(tmp_path):
    dirac = InMemoryDirac()
    jobs = [a_job(number, "sh", "-c", f"echo {number}; exit {int(number == 3)}") for number in range(1, 8)]
    results = run(dirac, jobs, tmp_path, pack=3)
    assert [told.name for told in dirac.jobs.values()] == [f"{RUN}-1-1:3", f"{RUN}-1-4:6", f"{RUN}-1-7"]
    outcomes = [results[job.id].outcome for job in jobs]
    assert outcomes == [Outcome.SUCCESS] * 2 + [Outcome.PERMANENT_FAILURE] + [Outcome.SUCCESS] * 4


def test_a_service_that_is_down_for_a_while_only_costs_time(tmp_path):
    dirac = InMemoryDirac()

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            dirac.unreachable = 7
            await made.submit([a_job(1), a_job(2)])
            return await ended(made, 2)

    events = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert {event.state for event in events} == {JobState.DONE}
    assert len(dirac.jobs) == 2


@pytest.mark.parametrize("call", ["submit", "confirm"])
def test_an_answer_that_is_lost_does_not_run_a_job_twice(tmp_path, call):
    dirac = InMemoryDirac(deaf_after=[call])
    results = run(dirac, [a_job(1), a_job(2)], tmp_path)
    assert {result.outcome for result in results.values()} == {Outcome.SUCCESS}
    assert [told.status for told in dirac.jobs.values()] == ["Done", "Done"]


def test_a_credential_that_ends_in_mid_run_is_waited_for(tmp_path, caplog):
    dirac = InMemoryDirac(hold=True)

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            await made.submit([a_job(1)])
            await made.settled()
            dirac.expired = True
            while "Jobs keep running" not in caplog.text:  # noqa: ASYNC110  a log has no event
                await asyncio.sleep(0.01)
            dirac.expired = False
            dirac.go()
            return await ended(made, 1)

    (event,) = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert event.state is JobState.DONE
    assert "the proxy has expired" in caplog.text


def test_a_credential_that_will_end_too_soon_is_reported(tmp_path, caplog):
    dirac = InMemoryDirac(ends=datetime.now(UTC) + timedelta(minutes=10))
    run(dirac, [a_job(1, resources=Resources(time_limit_s=3600))], tmp_path)
    assert "the proxy ends at" in caplog.text


def test_without_a_credential_nothing_begins(tmp_path):
    with pytest.raises(BackendError, match="expired"):
        run(InMemoryDirac(expired=True), [a_job(1)], tmp_path)


def test_a_job_whose_site_failed_is_tried_elsewhere(tmp_path):
    dirac = InMemoryDirac(sabotage=lambda told: ("Failed", "Stalled", "") if told.number == 1 else None)
    first = a_job(1)

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            await made.submit([first])
            (event,) = await ended(made, 1)
            await made.submit([replace(first, attempt=2)])
            return [event, *await ended(made, 1)]

    failed, done = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert failed.result.outcome is Outcome.TEMPORARY_FAILURE
    assert dirac.jobs[2].banned == (failed.site,)
    assert dirac.jobs[2].name == f"{first.id}.2"
    assert (done.state, done.site != failed.site) == (JobState.DONE, True)


def test_a_job_that_dirac_has_lost_is_a_failure_that_may_pass(tmp_path):
    dirac = InMemoryDirac(hold=True)

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path, poll_top_s=1.0) as made:
            await made.submit([a_job(1)])
            await made.settled()
            dirac.jobs[1].status = "Deleted"
            return await ended(made, 1)

    (event,) = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert event.result.outcome is Outcome.PERMANENT_FAILURE
    assert "Deleted" in event.result.reason


def test_what_has_not_begun_is_cancelled_in_bulk(tmp_path):
    dirac = InMemoryDirac(hold=True)
    jobs = [a_job(number) for number in range(1, 6)]

    async def all_of_it() -> list[JobEvent]:
        async with backend(dirac, tmp_path) as made:
            await made.submit(jobs)
            await made.settled()
            await made.cancel([job.id for job in jobs], running=False)
            return await ended(made, 5)

    events = asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert {event.state for event in events} == {JobState.CANCELLED}
    assert dirac.calls.count("kill") == 1


def test_a_client_that_stops_leaves_nothing_behind(tmp_path):
    dirac = InMemoryDirac(hold=True)

    async def all_of_it() -> None:
        async with backend(dirac, tmp_path) as made:
            await made.submit([a_job(1), a_job(2)])
            await made.settled()

    asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert [told.status for told in dirac.jobs.values()] == ["Killed", "Killed"]


def test_a_client_that_leaves_finds_its_jobs_again_and_submits_none_twice(tmp_path):
    dirac = InMemoryDirac(hold=True)
    jobs = [a_job(number) for number in range(1, 4)]

    async def leave() -> None:
        async with backend(dirac, tmp_path, leave=True) as made:
            await made.submit(jobs)
            await made.settled()

    async def come_back() -> tuple[Any, list[JobEvent]]:
        async with backend(dirac, tmp_path) as made:
            found = await made.recover(RUN)
            await made.submit(jobs)
            dirac.go()
            return found, await ended(made, 3)

    asyncio.run(asyncio.wait_for(leave(), 120))
    found, events = asyncio.run(asyncio.wait_for(come_back(), 120))
    assert dict(found) == {job.id: (JobState.WAITING, 1) for job in jobs}
    assert {event.state for event in events} == {JobState.DONE}
    assert len(dirac.jobs) == 3


def test_jobs_that_nobody_wants_any_more_end_with_the_session_that_found_them(tmp_path):
    dirac = InMemoryDirac(hold=True)

    async def leave() -> None:
        async with backend(dirac, tmp_path, leave=True) as made:
            await made.submit([a_job(1), a_job(2)])
            await made.settled()

    async def come_back() -> None:
        async with backend(dirac, tmp_path) as made:
            await made.recover(RUN)
            await made.submit([a_job(1)])
            dirac.hold = False
            dirac._pool.submit(dirac._run, dirac.jobs[1])
            await ended(made, 1)

    asyncio.run(asyncio.wait_for(leave(), 120))
    asyncio.run(asyncio.wait_for(come_back(), 120))
    assert [told.status for told in dirac.jobs.values()] == ["Done", "Killed"]


def test_a_secret_does_not_leave_this_machine(tmp_path):
    dirac = InMemoryDirac()
    with pytest.raises(UnsupportedError, match="secrets do not leave this machine"):
        run(dirac, [a_job(1)], tmp_path, secrets={a_job(1).command[0]: "the secret"})
    assert "submit" not in dirac.calls


def test_one_job_that_cannot_run_anywhere_keeps_its_batch_from_being_taken(tmp_path):
    dirac = InMemoryDirac()
    with pytest.raises(BackendError, match="can run at no site"):
        run(dirac, [a_job(1), a_job(2, resources=Resources(cores=99))], tmp_path)
    assert not dirac.jobs


def test_jobs_with_different_needs_are_different_submissions(tmp_path):
    dirac = InMemoryDirac()
    jobs = [a_job(number, placement=Placement(priority=number % 2)) for number in range(1, 5)]
    run(dirac, jobs, tmp_path, wishes=Wishes())
    assert sorted(Counter(told.text.count("Priority = 1;") for told in dirac.jobs.values()).items()) == [(0, 2), (1, 2)]
    assert dirac.calls.count("submit") == 2


def test_states_and_sites_are_reported(tmp_path):
    dirac = InMemoryDirac()
    seen: list[JobEvent] = []

    async def all_of_it() -> None:
        async with backend(dirac, tmp_path) as made:
            await made.submit([a_job(1, "sh", "-c", "sleep 2")])
            await ended(made, 1, seen.append)

    asyncio.run(asyncio.wait_for(all_of_it(), 120))
    assert any(e.state is JobState.RUNNING and e.site.startswith("LCG.") and "Application" in e.detail for e in seen)


def test_a_result_reports_at_which_site_it_was(tmp_path):
    results = run(InMemoryDirac(), [a_job(1, "true"), a_job(2, "true")], tmp_path)
    assert all(result.usage.site.startswith("LCG.") for result in results.values())
