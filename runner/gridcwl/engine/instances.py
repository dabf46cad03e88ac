"""What is under way: instances of workflows, and runs of their steps. The only mutable state besides the queues.

A scope is dropped when its last step ends, a run when its last shard ends. What stays of a shard is a reference to each
of its outputs, until the steps that take them have ended.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from gridcwl.engine.graph import MISSING, Step, Values
from gridcwl.engine.links import link
from gridcwl.engine.plan import StepPlan, WorkflowPlan
from gridcwl.engine.progress import Counter
from gridcwl.engine.scatter import Index, Scatter, scattered

Path: TypeAlias = tuple[tuple[str, Index], ...]
"""Steps from the outside in, each with the shard's index."""


class WorkflowInstance:
    """One instance of a workflow: the values that its links carry."""

    __slots__ = (
        "counters",
        "failed",
        "open",
        "parent",
        "path",
        "pending",
        "plan",
        "position",
        "runs",
        "users",
        "values",
    )

    def __init__(
        self,
        plan: WorkflowPlan,
        values: Values,
        counters: list[Counter],
        *,
        parent: StepInstance | None,
        position: int,
        path: Path,
    ) -> None:
        self.plan = plan
        self.values = {name: values.get(name) for name in plan.workflow.inputs}
        self.counters = counters
        self.parent = parent  # the run of which this is a shard; None for the outermost workflow
        self.position = position
        self.path = path
        self.pending = list(plan.pending)  # a step that can never begin has -1
        self.open = len(plan.steps)  # steps that have not ended
        self.failed = False
        self.runs: dict[int, StepInstance] = {}  # begun and not ended, by the step's number
        self.users = [len(step.followers) + step.is_output for step in plan.steps]  # who may still want its outputs

    def release(self, step: StepPlan) -> None:
        """This step has ended: let go of what it was the last to use, and of its own outputs if nobody takes them."""
        for number in step.upstream:
            self.users[number] -= 1
        for number in (step.number, *step.upstream):
            if not self.users[number]:
                for _, name in self.plan.steps[number].values:
                    self.values.pop(name, None)


class StepInstance:
    """One run of a step: its linked inputs, a cursor over the shards, and the outputs as they come."""

    __slots__ = (
        "children", "columns", "counter", "cursor", "failed", "inputs", "iteration", "linked", "open", "plan",
        "scatter", "scope", "total",
    )  # fmt: skip

    def __init__(self, scope: WorkflowInstance, number: int) -> None:
        self.scope = scope
        self.plan: StepPlan = scope.plan.steps[number]
        self.counter = scope.counters[number]
        self.linked = False
        self.inputs: dict[str, Any] = {}
        self.scatter: Scatter | None = None
        self.total = 1
        self.cursor = 0  # the next shard to give out
        self.open = 1  # shards that have not ended
        self.iteration = 0  # of a loop
        self.failed = False
        self.columns: list[list[Any]] = []  # for each output, the values of all shards
        self.children: dict[int, WorkflowInstance] = {}  # open sub-workflow instances by position

    @property
    def step(self) -> Step:
        """The step that this is a run of."""
        return self.plan.step

    def link(self) -> None:
        """Take the inputs from the scope. Only done when the step is due, as it may gather a great many."""
        self.inputs = link(self.step.sinks, self.scope.values)
        if self.step.scatter:
            self.scatter = scattered(self.step, self.inputs)
            self.total = self.open = self.scatter.total
        self.columns = [self._column() for _ in self.plan.values]
        self.linked = True

    def _column(self) -> list[Any]:
        if self.scatter is not None:
            return [None] * self.total
        return [] if _keeps_all(self.step) else [MISSING]

    def index(self, position: int) -> Index:
        """What tells this shard from the others: its place in the scatter, or the iteration of a loop."""
        if self.scatter is not None:
            return self.scatter.index(position)
        return (self.iteration,) if self.step.loop is not None else ()

    def path(self, position: int) -> Path:
        """Where this shard is, from the outermost workflow inwards."""
        return (*self.scope.path, (self.step.id, self.index(position)))

    def passed_on(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Of a shard's inputs those that the process knows."""
        names = self.plan.passed_on
        return inputs if names is None else {name: inputs[name] for name in names}

    def store(self, position: int, outputs: Values) -> list[str]:
        """Keep a shard's outputs; returns the names of those that are not there."""
        missing = []
        keeps_all = _keeps_all(self.step)
        for (name, _), column in zip(self.plan.values, self.columns, strict=True):
            if name not in outputs:
                missing.append(name)
            elif keeps_all:
                column.append(outputs[name])
            else:
                column[position] = outputs[name]
        return missing

    def skip(self, position: int) -> None:
        """The shard's outputs are null; a loop that never ran and keeps all iterations has kept none."""
        if not _keeps_all(self.step):
            for column in self.columns:
                column[position] = None

    def last(self) -> Values:
        """The outputs of the last iteration of a loop."""
        return {name: column[-1] for (name, _), column in zip(self.plan.values, self.columns, strict=True)}

    def publish(self) -> None:
        """Put the step's outputs, gathered and shaped, into the scope: whole ones, or what there is after a failure."""
        for (_, name), column in zip(self.plan.values, self.columns, strict=self.linked):
            if self.scatter is not None:
                self.scope.values[name] = self.scatter.shaped(column)
            elif _keeps_all(self.step):
                self.scope.values[name] = column
            elif self.step.loop is not None and self.failed:
                self.scope.values[name] = None  # what an iteration before gave is not what the loop was to give
            elif column[0] is not MISSING:
                self.scope.values[name] = column[0]


def _keeps_all(step: Step) -> bool:
    return step.loop is not None and step.loop.output_method == "all_iterations"
