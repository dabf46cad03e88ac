"""Lifecycle of a job's result, from the engine's wish for it to its delivery to the engine: a state machine as a table.

    wanted -> submitted -> running -> finished -> recorded -> committed -> delivered
                                 \\-> failed -> failure recorded -> delivered

A success is *recorded* when the journal has it, *committed* when the store knows its files, and *delivered* when the
engine has its outputs. Each is done before the next begins, so that a client may end at any moment: what
:func:`left_at` makes of the journal and the backend is where a resumed run continues.

Pure: nothing here knows a journal, a store or a backend. ``runs.staging`` and ``runs.run`` take the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gridcwl.model import JobId, JobState


class Stage(StrEnum):
    """Where a job's result is in its life."""

    WANTED = "wanted"
    """The engine wants it; no attempt is at the backend."""
    SUBMITTED = "submitted"
    RUNNING = "running"
    FINISHED = "finished"
    """The backend gave a success; only this process knows it."""
    FAILED = "failed"
    """The attempt failed, or its outputs were refused; only this process knows it."""
    RECORDED = "recorded"
    """The journal has the success."""
    FAILURE_RECORDED = "failure recorded"
    COMMITTED = "committed"
    """The store knows its files."""
    DELIVERED = "delivered"
    """The engine has its outputs, or its failure."""
    WITHDRAWN = "withdrawn"
    """It is not wanted any more, as the run stops."""


class Transition(StrEnum):
    """What happens to a result."""

    SUBMIT = "submit"
    DECLINE = "decline"
    """The backend takes none of the batch."""
    START = "start"
    WAIT = "wait"
    """It waits again: a batch system has rescheduled it."""
    FINISH = "finish"
    FAIL = "fail"
    RECORD = "record"
    COMMIT = "commit"
    REFUSE = "refuse"
    """The store does not accept its files, or its outputs are not what the tool promised."""
    FIND = "find"
    """An earlier session has recorded it."""
    FIND_COMMITTED = "find committed"
    """An earlier session, or another run, has committed it."""
    RETRY = "retry"
    WITHDRAW = "withdraw"
    DELIVER = "deliver"


TABLE: Mapping[tuple[Stage, Transition], Stage] = MappingProxyType(
    {
        (Stage.WANTED, Transition.SUBMIT): Stage.SUBMITTED,
        (Stage.WANTED, Transition.FIND): Stage.RECORDED,
        (Stage.WANTED, Transition.FIND_COMMITTED): Stage.COMMITTED,
        (Stage.WANTED, Transition.FAIL): Stage.FAILED,  # it cannot be submitted: an input has no replica
        (Stage.SUBMITTED, Transition.DECLINE): Stage.WANTED,
        (Stage.SUBMITTED, Transition.START): Stage.RUNNING,
        (Stage.SUBMITTED, Transition.WAIT): Stage.SUBMITTED,
        (Stage.SUBMITTED, Transition.FINISH): Stage.FINISHED,  # a backend need not report that it runs
        (Stage.SUBMITTED, Transition.FAIL): Stage.FAILED,
        (Stage.RUNNING, Transition.START): Stage.RUNNING,  # at another site
        (Stage.RUNNING, Transition.WAIT): Stage.SUBMITTED,
        (Stage.RUNNING, Transition.FINISH): Stage.FINISHED,
        (Stage.RUNNING, Transition.FAIL): Stage.FAILED,
        (Stage.FINISHED, Transition.RECORD): Stage.RECORDED,
        (Stage.FAILED, Transition.RECORD): Stage.FAILURE_RECORDED,
        (Stage.RECORDED, Transition.COMMIT): Stage.COMMITTED,
        (Stage.RECORDED, Transition.REFUSE): Stage.FAILED,
        (Stage.COMMITTED, Transition.REFUSE): Stage.FAILED,
        (Stage.COMMITTED, Transition.DELIVER): Stage.DELIVERED,
        (Stage.FAILURE_RECORDED, Transition.RETRY): Stage.WANTED,
        (Stage.FAILURE_RECORDED, Transition.WITHDRAW): Stage.WITHDRAWN,
        (Stage.FAILURE_RECORDED, Transition.DELIVER): Stage.DELIVERED,
    }
)
"""All that can happen. What is not in here is a mistake of gridcwl, or an event of a backend that means nothing."""

_NOT_KEPT = frozenset({Stage.WANTED, Stage.DELIVERED, Stage.WITHDRAWN})


class LifecycleError(RuntimeError):
    """A step was taken that the table does not have: a mistake in gridcwl."""


def after(stage: Stage, step: Transition) -> Stage:
    """The stage that a step leads to.

    Raises:
        LifecycleError: nothing in the table.
    """
    then = TABLE.get((stage, step))
    if then is None:
        raise LifecycleError(f"A result that is {stage} cannot {step}")
    return then


def left_at(outcome: str | None, at_backend: JobState | None, *, committed: bool) -> Stage:
    """Where an earlier session has left a job whose client ended at any moment.

    Args:
        outcome: of the last attempt that the journal has; None if it has none.
        at_backend: the job's state at the backend; None if it is not there.
        committed: the journal has that the store knows its files, or there are none that the store has to know.
    """
    if outcome == "success":
        return Stage.COMMITTED if committed else Stage.RECORDED
    if at_backend is not None and (outcome is None or at_backend is not JobState.DONE):
        # One that is done, and of which the failure is recorded, has failed: its outputs were not what they had to be.
        return Stage.SUBMITTED
    return Stage.WANTED


class Stages:
    """The stages of the jobs of one session. A job that was not heard of is wanted; one that has ended is forgotten."""

    def __init__(self) -> None:
        self._at: dict[JobId, Stage] = {}

    def at(self, job_id: JobId) -> Stage:
        """The stage of a job."""
        return self._at.get(job_id, Stage.WANTED)

    def can(self, job_id: JobId, step: Transition) -> bool:
        """Whether a step is possible now: an event of a backend may come twice, or too late."""
        return (self._at.get(job_id, Stage.WANTED), step) in TABLE

    def move(self, job_id: JobId, step: Transition) -> Stage:
        """Take a step; returns the new stage. Raises as :func:`after`."""
        then = after(self._at.get(job_id, Stage.WANTED), step)
        if then in _NOT_KEPT:
            self._at.pop(job_id, None)
        else:
            self._at[job_id] = then
        return then
