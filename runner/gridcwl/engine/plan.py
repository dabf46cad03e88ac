"""What can be known of a workflow before it runs, computed once and shared by all of its instances."""

from __future__ import annotations

import msgspec

from gridcwl.engine.evaluation import has_expressions
from gridcwl.engine.graph import Step, Workflow, producers, upstream


class StepPlan(msgspec.Struct, frozen=True):
    """A step, and what follows from its links."""

    step: Step
    number: int
    values: tuple[tuple[str, str], ...]
    """Each output's short name and its name in the workflow's scope."""
    upstream: tuple[int, ...]
    """The steps that this one takes a value from."""
    followers: tuple[int, ...]
    """The steps that take a value from this one."""
    is_output: bool
    """Whether an output of the workflow takes a value from it."""
    has_expressions: bool
    passed_on: tuple[str, ...] | None
    """The inputs that the process has; None if it has them all."""


class WorkflowPlan(msgspec.Struct, frozen=True):
    """A workflow, and what follows from its links."""

    workflow: Workflow
    steps: tuple[StepPlan, ...]
    pending: tuple[int, ...]
    """For each step, how many others it waits for."""
    first: tuple[int, ...]
    """The steps that wait for none."""


def plan(workflow: Workflow) -> WorkflowPlan:
    """Work out who waits for whom. The graph has been checked when it was made."""
    waits_for = upstream(workflow)
    followers: list[list[int]] = [[] for _ in waits_for]
    for number, sources in enumerate(waits_for):
        for source in sources:
            followers[source].append(number)
    made_by = producers(workflow)
    shown = {made_by[source] for sink in workflow.outputs for source in sink.sources if source in made_by}
    return WorkflowPlan(
        workflow,
        tuple(
            _planned(step, number, waits_for[number], followers[number], number in shown)
            for number, step in enumerate(workflow.steps)
        ),
        tuple(len(sources) for sources in waits_for),
        tuple(number for number, sources in enumerate(waits_for) if not sources),
    )


def _planned(step: Step, number: int, waits_for: set[int], followers: list[int], is_output: bool) -> StepPlan:
    connected = tuple(sink.id for sink in step.sinks if sink.connected)
    return StepPlan(
        step,
        number,
        tuple((name, f"{step.id}/{name}") for name in step.outputs),
        tuple(waits_for),
        tuple(followers),
        is_output,
        has_expressions(step),
        None if len(connected) == len(step.sinks) else connected,
    )
