"""Which failures are tried again, and when: with a clock of our own, and a backend that is a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from documents import step, tool, workflow

from gridcwl.backends.base import Capabilities
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.session import open_document
from gridcwl.model import ExitCodes, Job, JobEvent, JobId, JobResult, JobState, Outcome, Resources, RunId
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.recorder import Recorder
from gridcwl.runs.retry import Retries, pause
from gridcwl.runs.reuse.checksums import ChecksumCache
from gridcwl.runs.run import Outcomes, RunLoop
from gridcwl.runs.staging import StagingBackend
from gridcwl.stores.local_runs import LocalSession
from gridcwl.tasks import TaskScope

JOB = Job(JobId("r-1-1"), RunId("r"), "say", ("true",), exit_codes=ExitCodes(permanent_failure=(9,)))


def ended(outcome: Outcome, code: int | None = 1) -> JobResult:
    return JobResult(JOB.id, outcome, code)


@pytest.mark.parametrize(
    ("outcome", "code", "usually", "with_everything"),
    [
        (Outcome.SUCCESS, 0, False, False),
        (Outcome.TEMPORARY_FAILURE, 75, True, True),
        (Outcome.PERMANENT_FAILURE, 1, False, True),
        (Outcome.PERMANENT_FAILURE, 9, False, False),
        (Outcome.TIME_LIMIT, None, False, True),
        (Outcome.OUT_OF_MEMORY, 137, False, True),
        (Outcome.CANCELLED, None, False, False),
    ],
)
def test_what_may_pass_is_tried_again_and_the_rest_if_asked(outcome, code, usually, with_everything):
    assert Retries(1).wanted(JOB, ended(outcome, code)) is usually
    assert Retries(1, everything=True).wanted(JOB, ended(outcome, code)) is with_everything
    assert not Retries(0, everything=True).wanted(JOB, ended(outcome, code))


def test_each_pause_is_twice_as_long_and_differs_by_chance_and_ends_somewhere():
    assert [pause(attempt, 0.5) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert pause(1, 0.0) == 0.5
    assert pause(1, 1.0) == 1.5
    assert pause(10_000, 0.5) == 120.0


CAPABILITIES = Capabilities(containers=False, survives_client=False, batch_size=10, window=10)


TOOL = tool(
    "true",
    inputs={"n": "int"},
    arguments=["$(runtime.ram)"],
    requirements={"ResourceRequirement": {"ramMin": 100, "coresMin": 1}},
)


@dataclass
class Listed:
    """A backend that answers each attempt of a job by a list of outcomes."""

    outcomes: dict[str, list[Outcome]]
    given: list[tuple[str, int]] = field(default_factory=list)
    memory: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    capabilities: Capabilities = CAPABILITIES
    events: asyncio.Queue[JobEvent | None] = field(default_factory=asyncio.Queue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.events.put_nowait(None)

    async def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.given.append((job.name, job.attempt))
            self.memory.append((job.resources.ram_mib, job.command))
            outcome = self.outcomes.get(job.name, [Outcome.SUCCESS])[job.attempt - 1]
            self.events.put_nowait(JobEvent(job.id, JobState.DONE, JobResult(job.id, outcome, outputs(outcome))))

    async def results(self):
        while (event := await self.events.get()) is not None:
            yield event

    async def cancel(self, *_: object, **__: object) -> None:
        """All have ended."""


def outputs(outcome: Outcome) -> int:
    return 0 if outcome is Outcome.SUCCESS else 1


class Silent:
    """A watcher that only counts."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def started(self, *_: object) -> None: ...
    def job_started(self, *_: object) -> None: ...
    def job_ended(self, *_: object) -> None: ...
    def job_reused(self, *_: object) -> None: ...
    def job_failed(self, failure) -> None:
        self.failures.append(failure.job.name)

    def failed(self, *_: object) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Bench:
    """Runs two shards, ``say[0]`` and ``say[1]``."""

    folder: Path
    slept: list[float] = field(default_factory=list)
    capabilities: Capabilities = CAPABILITIES
    memory: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """Of each attempt: MiB, and the command."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def run(self, outcomes: dict[str, list[Outcome]], **fields) -> tuple[Outcomes, list[tuple[str, int]], list[str]]:
        """How it ended, which attempts were given out, and which jobs were reported as failed."""
        flow = workflow({"n": "int[]"}, {}, say=step(TOOL, scatter="n", n="n"))
        (self.folder / "doc.cwl").write_text(json.dumps(flow))
        (self.folder / "in.json").write_text('{"n": [1, 2]}')
        session = open_document(
            str(self.folder / "doc.cwl"),
            [str(self.folder / "in.json")],
            EvaluationOptions(containers=False),
            basedir=None,
            overrides=None,
        )
        backend, watcher = Listed(outcomes, capabilities=self.capabilities), Silent()
        self.memory = backend.memory
        with closing(Journal(self.folder / "journal.db", new=True)) as journal:
            journal.begin(pid=1, pid_started=1.0, host="here", version="0")
            recorder = Recorder(RunId("r"), journal, ChecksumCache(None, by_content=True))
            fields = {"sleep": self.sleep, "chance": lambda: 0.5, "on_error": "continue", **fields}

            async def execute() -> Outcomes:
                async with TaskScope() as tasks, StagingBackend(backend, LocalSession(), recorder, tasks) as staging:
                    run = RunLoop(
                        session.graph, session.inputs(), session.context, staging, watcher, recorder, tasks, **fields
                    )
                    return await run.execute()

            outcomes_ = asyncio.run(execute())
        return outcomes_, backend.given, watcher.failures


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


PASSING = [Outcome.TEMPORARY_FAILURE, Outcome.TEMPORARY_FAILURE, Outcome.SUCCESS]


def test_a_job_that_fails_for_a_while_is_given_out_again_until_it_succeeds(bench):
    ended, given, failed = bench.run({"say[1]": PASSING}, retries=Retries(2))
    assert ended.status == "success"
    assert given == [("say[0]", 1), ("say[1]", 1), ("say[1]", 2), ("say[1]", 3)]
    assert bench.slept == [1.0, 2.0]
    assert failed == []


def test_when_all_attempts_are_used_it_has_failed_temporarily(bench):
    ended, given, failed = bench.run({"say[1]": PASSING}, retries=Retries(1))
    assert ended.status == "temporaryFail"
    assert given[-1] == ("say[1]", 2)
    assert failed == ["say[1]"]


def test_a_failure_for_good_ends_the_waiting_of_others(bench):
    async def for_ever(_seconds: float) -> None:
        await asyncio.Event().wait()

    outcomes = {"say[0]": PASSING, "say[1]": [Outcome.PERMANENT_FAILURE]}
    ended, given, _ = bench.run(outcomes, retries=Retries(2), sleep=for_ever, on_error="stop")
    assert ended.status == "permanentFail"
    assert ended.failures == 2
    assert given == [("say[0]", 1), ("say[1]", 1)]


HUNGRY = [Outcome.OUT_OF_MEMORY, Outcome.OUT_OF_MEMORY, Outcome.SUCCESS]


def test_a_job_that_ran_out_of_memory_gets_more_and_its_command_sees_it(bench):
    ended, given, _ = bench.run({"say[0]": HUNGRY}, retries=Retries(memory_factor=1.5))
    assert ended.status == "success"
    assert given == [("say[0]", 1), ("say[1]", 1), ("say[0]", 2), ("say[0]", 3)]
    assert bench.memory == [(ram, ("true", str(ram))) for ram in (100, 100, 150, 225)]


def test_memory_grows_as_far_as_the_place_has_it(bench):
    bench.capabilities = replace(CAPABILITIES, largest=Resources(ram_mib=180))
    ended, _, failed = bench.run({"say[0]": [Outcome.OUT_OF_MEMORY] * 9}, retries=Retries(memory_factor=1.5))
    assert ended.status == "permanentFail"
    assert [ram for ram, _ in bench.memory] == [100, 100, 150, 180]
    assert failed == ["say[0]"]


def test_memory_does_not_grow_for_ever(bench):
    bench.run({"say[0]": [Outcome.OUT_OF_MEMORY] * 9}, retries=Retries(memory_factor=2))
    assert [ram for ram, _ in bench.memory] == [100, 100, 200, 400, 800, 1600]


def test_other_failures_get_no_more_memory(bench):
    bench.run({"say[0]": PASSING}, retries=Retries(2, memory_factor=2))
    assert {ram for ram, _ in bench.memory} == {100}
