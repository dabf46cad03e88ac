"""Counts of a run's jobs are right over any number of sessions, however each of them ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcwl.model import Job, JobId, JobResult, Outcome, RunId
from gridcwl.runs.record.counts import StepCounts, combine, step_counts
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.reuse.keys import JobDescription

WHAT = JobDescription(b"{}", b"{}")
OUTCOMES = {
    "done": Outcome.SUCCESS,
    "failed": Outcome.PERMANENT_FAILURE,
    "stopped": Outcome.CANCELLED,
}

Fate = tuple[str, int]
"""How a shard ends in a session, and after how many failed attempts."""
FATES = st.tuples(
    st.sampled_from(["done", "failed", "stopped", "lost", "waits", "not reached", "skipped", "other run"]),
    st.integers(0, 2),
)


@dataclass
class Model:
    """What is true of one step, in the plainest words."""

    shards: int
    state: dict[int, str] = field(default_factory=dict)
    reused: set[int] = field(default_factory=set)
    attempts: int = 0

    def session(self) -> None:
        self.reused = {shard for shard in self.reused if self.state[shard] == "done"}
        for shard, state in list(self.state.items()):
            if state == "skipped":
                del self.state[shard]

    def counts(self, *, alive: bool, now: set[int]) -> StepCounts:
        """``now``: the shards that the last session has come to."""
        number = dict.fromkeys(("waiting", "running", "done", "failed", "stopped", "skipped"), 0)
        for shard in range(self.shards):
            state = self.state.get(shard, "waits")
            if alive and shard not in now and state != "done":
                state = "waits"
            if state == "lost":
                state = "running" if alive else "stopped"
            number["waiting" if state == "waits" else state] += 1
        reused = len(self.reused)
        return StepCounts("s", self.shards, reused=reused, attempts=self.attempts, **number)


def record(journal: Journal, model: Model, fates: list[Fate], rows: dict[int, int]) -> set[int]:
    """One session: every shard comes to its fate, in the journal and in the model."""
    now = set()
    for shard, (fate, failures) in enumerate(fates):
        if fate == "not reached":
            continue
        now.add(shard)
        name, row = f"s[{shard}]", row_id(journal.session, shard)
        job = Job(JobId(f"r-{journal.session}-{shard}"), RunId("r"), name, ("x",))
        if model.state.get(shard) == "done":
            journal.take(rows[shard], "s", name, finished=True)
            model.reused.add(shard)
            continue
        if fate == "skipped":
            journal.skipped("s", name)
            model.state[shard] = "skipped"
            continue
        if fate == "other run":
            journal.add(row, "s", job, WHAT, reused="run x, s[0]")
            journal.result(row, 1, JobResult(job.id, Outcome.SUCCESS, 0), "f")
            rows[shard], model.state[shard] = row, "done"
            model.reused.add(shard)
            continue
        journal.add(row, "s", job, WHAT)
        rows[shard], model.state[shard] = row, fate
        if fate == "waits":
            continue
        for attempt in range(1, failures + 1):
            journal.started(row, attempt, "here", "")
            journal.result(row, attempt, JobResult(job.id, Outcome.TEMPORARY_FAILURE, 1), "f")
            journal.again(row)
        journal.started(row, failures + 1, "here", "")
        model.attempts += failures + 1
        if fate != "lost":
            journal.result(row, failures + 1, JobResult(job.id, OUTCOMES[fate], 0), "f")
            journal.started(row, failures + 1, "here", "")  # comes late, as from another thread
    return now


@settings(max_examples=40, deadline=None)
@given(
    sessions=st.lists(
        st.tuples(st.lists(FATES, min_size=4, max_size=4), st.sampled_from(["failed", "cancelled", "killed"])),
        min_size=1,
        max_size=5,
    ),
    alive=st.booleans(),
)
def test_every_shard_is_counted_once_as_it_stands(sessions: list[tuple[list[Fate], str]], alive: bool) -> None:
    model, rows = Model(shards=4), {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        for number, (fates, ending) in enumerate(sessions):
            last = number + 1 == len(sessions)
            journal = Journal(path, new=number == 0)
            journal.begin(pid=1, pid_started=1.0, host="here", version="0")
            model.session()
            now = record(journal, model, fates, rows)
            skipped = sum(state == "skipped" for state in model.state.values())
            journal.progress([{"step": "s", "total": 4, "skipped": skipped}])
            journal.flush()
            going = last and alive
            if not going and ending != "killed":
                journal.end(ending)
            journal.close()
            with closing(History(path)) as history:
                assert step_counts(history, alive=going) == [model.counts(alive=going, now=now)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db", new=True)
    made.begin(pid=1, pid_started=1.0, host="here", version="0")
    yield made
    made.close()


def counted(journal: Journal, *, alive: bool = False) -> StepCounts:
    journal.flush()
    with closing(History(journal.path)) as history:
        (counts,) = step_counts(history, alive=alive)
    return counts


def test_a_step_with_fewer_shards_than_before_counts_no_more_than_it_has(journal: Journal) -> None:
    record(journal, Model(3), [("done", 0)] * 3, {})
    journal.progress([{"step": "s", "total": 3}])
    journal.end("failed")
    journal.begin(pid=1, pid_started=1.0, host="here", version="0")
    journal.progress([{"step": "s", "total": 2}])
    counts = counted(journal, alive=True)
    assert (counts.total, counts.done, counts.waiting) == (2, 2, 0)


def test_shards_that_failed_before_they_had_a_job_are_counted(journal: Journal) -> None:
    journal.progress([{"step": "s", "total": 2, "failed": 1}])
    journal.end("failed")
    counts = counted(journal)
    assert (counts.total, counts.failed, counts.waiting) == (2, 1, 1)


def test_a_journal_of_an_earlier_version_is_still_counted(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "journal.db"
    with closing(Journal(path, new=True)) as journal:
        journal.begin(pid=1, pid_started=1.0, host="here", version="0")
        record(journal, Model(3), [("done", 0), ("failed", 0), ("waits", 0)], {})
        journal.end("failed")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE failures; DROP TABLE skipped; "
            + "".join(f"ALTER TABLE jobs DROP COLUMN {name};" for name in ("started", "place", "detail", "taken"))
            + 'INSERT OR REPLACE INTO meta VALUES (\'progress\', \'[{"step": "s", "total": 4}]\')'
        )
    with closing(History(path)) as history:
        (counts,) = step_counts(history, alive=False)
        assert (counts.total, counts.done, counts.failed, counts.waiting) == (4, 1, 1, 2)
        assert [(group.step, group.count) for group in history.failure_groups(5)] == [("s", 1)]
        assert [shard.name for shard in history.failed_shards(None, 5)] == ["s[1]"]
        assert list(history.skips("s")) == []
    with closing(Journal(path)) as journal:  # a resumed run writes what is new
        journal.begin(pid=1, pid_started=1.0, host="here", version="0")
        record(journal, Model(3), [("lost", 0)], {})


def test_a_step_that_is_evaluated_without_jobs_is_counted_as_far_as_the_run_is():
    (counts,) = combine([], [{"step": "e", "total": 3, "done": 2}], {}, alive=True)
    assert (counts.done, counts.waiting, counts.total) == (2, 1, 3)
    (counts,) = combine([], [{"step": "e", "total": 3, "done": 2, "failed": 1}], {}, alive=False)
    assert (counts.done, counts.failed, counts.waiting) == (2, 1, 0)
