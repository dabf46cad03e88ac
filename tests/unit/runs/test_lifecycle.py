"""The table of a result's life: every step from every stage, and where a client that ended has left a job."""

from __future__ import annotations

import pytest

from gridcwl.model import JobId, JobState
from gridcwl.runs.lifecycle import TABLE, LifecycleError, Stage, Stages, Transition, after, left_at

JOB = JobId("r-1-1")

EXPECTED = [
    ("wanted", "submit", "submitted"),
    ("wanted", "find", "recorded"),
    ("wanted", "find committed", "committed"),
    ("wanted", "fail", "failed"),
    ("submitted", "decline", "wanted"),
    ("submitted", "start", "running"),
    ("submitted", "wait", "submitted"),
    ("submitted", "finish", "finished"),
    ("submitted", "fail", "failed"),
    ("running", "start", "running"),
    ("running", "wait", "submitted"),
    ("running", "finish", "finished"),
    ("running", "fail", "failed"),
    ("finished", "record", "recorded"),
    ("failed", "record", "failure recorded"),
    ("recorded", "commit", "committed"),
    ("recorded", "refuse", "failed"),
    ("committed", "refuse", "failed"),
    ("committed", "deliver", "delivered"),
    ("failure recorded", "retry", "wanted"),
    ("failure recorded", "withdraw", "withdrawn"),
    ("failure recorded", "deliver", "delivered"),
]


@pytest.mark.parametrize(("stage", "step", "then"), EXPECTED)
def test_a_step_leads_to_its_stage(stage: str, step: str, then: str) -> None:
    assert after(Stage(stage), Transition(step)) is Stage(then)


def test_the_table_has_these_steps_and_no_others() -> None:
    assert {(stage.value, step.value, then.value) for (stage, step), then in TABLE.items()} == set(EXPECTED)


@pytest.mark.parametrize(
    ("stage", "step"), [(stage, step) for stage in Stage for step in Transition if (stage, step) not in TABLE]
)
def test_what_is_not_in_the_table_is_a_mistake(stage: Stage, step: Transition) -> None:
    with pytest.raises(LifecycleError, match=f"is {stage} cannot {step}"):
        after(stage, step)


def test_nothing_is_delivered_before_it_is_recorded() -> None:
    """Walk all ways from the beginning: whatever the steps, a delivery is behind a record."""
    seen, ways = set(), [(Stage.WANTED, False, False)]
    while ways:
        stage, recorded, committed = way = ways.pop()
        if way in seen:
            continue
        seen.add(way)
        if stage is Stage.DELIVERED:
            assert recorded
        if stage is Stage.COMMITTED:
            assert recorded
        for (at, step), then in TABLE.items():
            if at is stage:
                record = step in (Transition.RECORD, Transition.FIND, Transition.FIND_COMMITTED) or (
                    recorded and step not in (Transition.REFUSE, Transition.RETRY)
                )
                ways.append((then, record, committed or step is Transition.COMMIT))
    assert {stage for stage, *_ in seen} == set(Stage)


@pytest.mark.parametrize(
    ("outcome", "at_backend", "committed", "stage"),
    [
        (None, None, False, Stage.WANTED),
        (None, JobState.WAITING, False, Stage.SUBMITTED),
        (None, JobState.RUNNING, False, Stage.SUBMITTED),
        (None, JobState.DONE, False, Stage.SUBMITTED),  # its result is collected
        (None, JobState.FAILED, False, Stage.SUBMITTED),
        ("success", None, False, Stage.RECORDED),
        ("success", JobState.DONE, False, Stage.RECORDED),
        ("success", None, True, Stage.COMMITTED),
        ("permanent-failure", None, True, Stage.WANTED),
        ("temporary-failure", JobState.RUNNING, True, Stage.SUBMITTED),  # its next attempt
        ("permanent-failure", JobState.DONE, True, Stage.WANTED),  # its outputs were not what they had to be
    ],
)
def test_a_resumed_run_continues_where_the_client_ended(
    outcome: str | None, at_backend: JobState | None, committed: bool, stage: Stage
) -> None:
    assert left_at(outcome, at_backend, committed=committed) is stage


def test_a_job_that_was_not_heard_of_is_wanted_and_one_that_was_delivered_is_forgotten() -> None:
    stages = Stages()
    assert stages.at(JOB) is Stage.WANTED
    for step in (Transition.SUBMIT, Transition.START, Transition.FINISH, Transition.RECORD, Transition.COMMIT):
        stages.move(JOB, step)
    assert stages.at(JOB) is Stage.COMMITTED
    assert not stages.can(JOB, Transition.FINISH)
    stages.move(JOB, Transition.DELIVER)
    assert stages.at(JOB) is Stage.WANTED
