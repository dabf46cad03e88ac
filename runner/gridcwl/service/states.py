"""States of a run in WES, and which state may follow which.

Every change is one compare-and-set in the database: it names the states it may leave. Nothing leaves a terminal state.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """https://github.com/ga4gh/workflow-execution-service-schemas, ``State``."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"

    @property
    def is_terminal(self) -> bool:
        """Nothing follows."""
        return not MAY_FOLLOW[self]


_ENDS = frozenset({State.COMPLETE, State.EXECUTOR_ERROR, State.SYSTEM_ERROR, State.CANCELED})

MAY_FOLLOW: dict[State, frozenset[State]] = {
    State.UNKNOWN: frozenset(),
    State.QUEUED: frozenset({State.INITIALIZING, State.CANCELED, State.SYSTEM_ERROR}),
    State.INITIALIZING: frozenset({State.RUNNING, State.CANCELING, *_ENDS}),
    State.RUNNING: frozenset({State.CANCELING, *_ENDS}),
    # a run whose last job ended before it could be stopped is complete, or failed, all the same
    State.CANCELING: _ENDS,
    State.PAUSED: frozenset(),
    State.COMPLETE: frozenset(),
    State.EXECUTOR_ERROR: frozenset(),
    State.SYSTEM_ERROR: frozenset(),
    State.CANCELED: frozenset(),
    State.PREEMPTED: frozenset(),
}
"""By state: what may follow. ``PAUSED``, ``PREEMPTED`` and ``UNKNOWN`` are not used."""

ACTIVE = (State.INITIALIZING, State.RUNNING, State.CANCELING)
"""Somebody works on the run, or did when the service was killed."""


def may_precede(state: State) -> tuple[State, ...]:
    """The states that this one may follow."""
    return tuple(before for before, after in MAY_FOLLOW.items() if state in after)
