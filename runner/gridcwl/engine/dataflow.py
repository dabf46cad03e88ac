"""The event loop's core: ready invocations out, outputs in. No I/O, no clock, no threads.

    flow = Dataflow(workflow, inputs, evaluator)
    while True:
        for invocation in flow.take(free_slots):
            ...start it somewhere...
        if flow.done:
            break
        ...wait until one ends, then flow.succeed(invocation.id, outputs) or flow.fail(invocation.id, error)...

The cost of an event does not depend on how many shards wait or have ended: a run of a step is a cursor over its shards,
a ready step is on a stack, and a step counts those it still waits for. What was begun last is given out first, so few
sub-workflow instances are open at a time. No function recurses over the depth of sub-workflows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from gridcwl.engine.evaluation import Evaluator, carried_on, holds, prepared
from gridcwl.engine.graph import Leaf, Values, Workflow
from gridcwl.engine.instances import Path, StepInstance, WorkflowInstance
from gridcwl.engine.links import gather
from gridcwl.engine.plan import WorkflowPlan, plan
from gridcwl.engine.progress import Counter, StepProgress, counters, flattened
from gridcwl.errors import GridCWLError, OutputError

OnError: TypeAlias = Literal["stop", "continue"]
Status: TypeAlias = Literal["success", "permanentFail", "temporaryFail"]


class Invocation(msgspec.Struct, frozen=True):
    """One leaf to be run once, with these inputs."""

    id: int
    """Unique in this dataflow; differs from one run to the next. The path is what stays."""
    path: Path
    leaf: Leaf
    inputs: Values

    @property
    def name(self) -> str:
        """As people see it: ``align/sort[3]``, ``grid[2,5]``."""
        return spelled(self.path) or self.leaf.id


class ClosedWorkflow(msgspec.Struct, frozen=True):
    """An instance of a workflow that has ended."""

    path: Path
    """Empty for the outermost one."""
    inputs: Values
    outputs: Values | None
    """None if it failed."""


class EngineFailure(msgspec.Struct, frozen=True):
    """What went wrong, and where: a shard, or a whole step or workflow that could not be linked."""

    name: str
    path: Path
    error: Exception
    temporary: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.error}"


def spelled(path: Path) -> str:
    """A path as people see it."""
    return "/".join(step + (f"[{','.join(map(str, index))}]" if index else "") for step, index in path)


def unscattered(path: Path) -> str:
    """The step of a path, whatever the shard."""
    return "/".join(step for step, _ in path)


class Dataflow:
    """One run of a process. Values go in and out by reference and are never changed or copied."""

    def __init__(
        self, process: Workflow | Leaf, inputs: Values, evaluator: Evaluator, *, on_error: OnError = "stop"
    ) -> None:
        """Prepare the run; nothing is given out yet.

        Raises:
            GridCWLError: the evaluator refuses the inputs of the outermost workflow.
        """
        self._process = process
        self._evaluator = evaluator
        self._on_error = on_error
        self._ready: list[StepInstance] = []  # a stack: the next shard is the one at the top's cursor
        self._single: Invocation | None = None
        self._flying: dict[int, tuple[StepInstance | None, int]] = {}
        self._next_id = 0
        self._plans: dict[int, WorkflowPlan] = {}
        self._root: WorkflowInstance | None = None
        self._outputs: dict[str, Any] | None = None
        self._errors: list[EngineFailure] = []
        self._skipped: list[Path] = []
        self._closed: list[ClosedWorkflow] = []
        self._status: Status = "success"
        if isinstance(process, Workflow):
            self._counters = counters((), process.steps)
            self._root = self._open(process, inputs, self._counters)
            self._close_if_empty(self._root)
        else:
            self._counters = [Counter((process.id,), is_workflow=False, total=1)]
            self._single = Invocation(self._new_id(), (), process, inputs)

    @property
    def done(self) -> bool:
        """Nothing is under way and nothing more will be given out. Ask after ``take``, which may end steps itself."""
        return self._outputs is not None

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The output object once done. After a failure: what there is, null for what is not."""
        return self._outputs or {}

    @property
    def errors(self) -> Sequence[EngineFailure]:
        """All failures so far, in the order in which they happened."""
        return self._errors

    def skipped(self) -> list[Path]:
        """Shards whose ``when`` was false, each once: those since this was asked last."""
        skipped, self._skipped = self._skipped, []
        return skipped

    def closed(self) -> list[ClosedWorkflow]:
        """Workflows whose steps have all ended, each once: those since this was asked last."""
        closed, self._closed = self._closed, []
        return closed

    @property
    def status(self) -> Status:
        """The worst so far: one permanent failure makes the whole permanent."""
        return self._status

    @property
    def in_flight(self) -> int:
        """Invocations given out that have not ended."""
        return len(self._flying)

    def progress(self) -> tuple[StepProgress, ...]:
        """Every step reached so far in document order. Costs by the number of steps, not of shards."""
        return tuple(counter.snapshot() for counter in flattened(self._counters))

    def take(self, limit: int) -> list[Invocation]:
        """Up to ``limit`` invocations that can run now. Fewer mean that no more can run until some of them end.

        Expressions are evaluated here and nowhere else; a shard whose expressions fail, fails without an invocation.
        """
        batch: list[Invocation] = []
        if self._single is not None and limit > 0:
            batch.append(self._single)
            self._single = None
            self._flying[batch[0].id] = (None, 0)
            self._counters[0].taken += 1
        while self._ready and len(batch) < limit and not self._stopped:
            run = self._ready[-1]
            if not run.linked:
                self._link(run)
                continue
            if run.cursor + 1 == run.total:
                self._ready.pop()  # before its last shard is begun, which may put others on the stack
            invocation = self._advance(run)
            if invocation is not None:
                batch.append(invocation)
        self._settle()
        return batch

    def succeed(self, invocation_id: int, outputs: Values) -> None:
        """An invocation ended well. Outputs that its step names and that are not there make it a failure."""
        run, position = self._flying.pop(invocation_id)
        self._deliver(run, position, outputs, failed=False)
        self._settle()

    def fail(
        self, invocation_id: int, error: Exception, *, temporary: bool = False, outputs: Values | None = None
    ) -> None:
        """An invocation failed. What it left all the same may be given as outputs and shows in the partial result."""
        run, position = self._flying.pop(invocation_id)
        self._record(() if run is None else run.path(position), error, temporary)
        self._deliver(run, position, outputs or {}, failed=True)
        self._settle()

    def withdraw(self, invocation_id: int) -> None:
        """An invocation that was given out was not begun and will not be, as the run stops: no failure of its own."""
        run, _ = self._flying.pop(invocation_id)
        if run is None:
            self._outputs = {}
            return
        run.counter.taken -= 1
        run.failed = True
        run.open -= 1
        if not run.open:
            self._climb(run)
        self._settle()

    # -- giving out ----------------------------------------------------------------------------------------------------

    @property
    def _stopped(self) -> bool:
        return bool(self._errors) and self._on_error == "stop"

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _link(self, run: StepInstance) -> None:
        """The step at the top of the stack is due: link its inputs, which says how many shards it has."""
        try:
            run.link()
        except GridCWLError as error:
            self._ready.pop()
            self._record((*run.scope.path, (run.step.id, ())), error)
            run.counter.expect(1)
            run.counter.refuse()
            run.failed = True
            self._climb(run)
            return
        run.scope.runs[run.plan.number] = run
        run.counter.expect(run.total)
        if not run.total:
            self._ready.pop()
            self._climb(run)

    def _advance(self, run: StepInstance) -> Invocation | None:
        """Begin the next shard: an invocation, or a sub-workflow whose steps then are on the stack, or neither."""
        position = run.cursor
        run.cursor += 1
        index = run.index(position)
        inputs = run.inputs if run.scatter is None else run.scatter.inputs(run.inputs, index)
        path = (*run.scope.path, (run.step.id, index))
        try:
            if run.plan.has_expressions:
                inputs = self._evaluated(run, inputs)
                if not holds(self._evaluator, run.step, inputs):
                    self._skip(run, position)
                    return None
            inputs = run.passed_on(inputs)
            process = run.step.run
            if isinstance(process, Workflow):
                if not run.counter.inside:
                    run.counter.inside = counters(run.counter.path, process.steps)
                scope = self._open(process, inputs, run.counter.inside, parent=run, position=position, path=path)
        except GridCWLError as error:
            self._record(path, error)
            run.counter.taken += 1
            self._deliver(run, position, {}, failed=True)
            return None
        run.counter.taken += 1
        if isinstance(process, Workflow):
            run.children[position] = scope
            self._close_if_empty(scope)
            return None
        invocation = Invocation(self._new_id(), path, process, inputs)
        self._flying[invocation.id] = (run, position)
        return invocation

    def _evaluated(self, run: StepInstance, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the step's expressions make of a shard's inputs, or a loop of those of its last iteration."""
        if run.iteration:
            inputs = carried_on(self._evaluator, run.step, inputs, run.last())
        else:
            inputs = prepared(self._evaluator, run.step, inputs)
        if run.step.loop is not None:
            run.inputs = inputs
        return inputs

    def _open(
        self,
        workflow: Workflow,
        inputs: Values,
        counters: list[Counter],
        *,
        parent: StepInstance | None = None,
        position: int = 0,
        path: Path = (),
    ) -> WorkflowInstance:
        """An instance of a workflow, its first steps put on the stack."""
        entered = self._evaluator.enter(workflow, inputs)
        planned = self._plans.get(id(workflow))
        if planned is None:
            planned = self._plans[id(workflow)] = plan(workflow)
        scope = WorkflowInstance(planned, entered, counters, parent=parent, position=position, path=path)
        self._ready.extend(StepInstance(scope, number) for number in reversed(planned.first))
        return scope

    # -- taking in -----------------------------------------------------------------------------------------------------

    def _record(self, path: Path, error: Exception, temporary: bool = False) -> None:
        self._errors.append(EngineFailure(spelled(path) or self._process.id, path, error, temporary))
        if self._status != "permanentFail":
            self._status = "temporaryFail" if temporary else "permanentFail"

    def _skip(self, run: StepInstance, position: int) -> None:
        """``when`` is false: the shard's outputs are null, or a loop is over."""
        if run.iteration:
            run.counter.expect(-1)
        else:
            run.counter.skipped += 1
            self._skipped.append(run.path(position))
            run.skip(position)
        run.open -= 1
        if not run.open:
            self._climb(run)

    def _deliver(self, run: StepInstance | None, position: int, outputs: Values, *, failed: bool) -> None:
        """A shard ended."""
        if run is None:  # the process is a single leaf
            self._counters[0].done += not failed
            self._counters[0].failed += failed
            self._outputs = dict(outputs)
        elif self._accept(run, position, outputs, failed):
            self._climb(run)

    def _accept(self, run: StepInstance, position: int, outputs: Values, failed: bool) -> bool:
        """Keep what a shard gave; returns whether it was the last one of its step."""
        missing = run.store(position, outputs)
        if missing and not failed:
            failed = True
            self._record(run.path(position), _without(missing))
        if failed:
            run.failed = True
            run.counter.failed += 1
        else:
            run.counter.done += 1
            if run.step.loop is not None:
                run.iteration += 1
                run.cursor = 0
                run.counter.expect(1)
                self._ready.append(run)
                return False
        run.open -= 1
        return not run.open

    def _climb(self, run: StepInstance) -> None:
        """A step ended, and with it perhaps the workflow around it, the step that runs that, and so on upwards."""
        at: StepInstance | None = run
        while at is not None:
            scope = at.scope
            self._end_step(at)
            at = None if scope.open else self._close(scope)

    def _end_step(self, run: StepInstance) -> None:
        """Hand a step's outputs on: those who waited only for it are ready, or can never begin if it failed."""
        scope = run.scope
        scope.runs.pop(run.plan.number, None)
        run.publish()
        scope.release(run.plan)
        ready: list[int] = []
        ended = [(run.plan, run.failed)]
        while ended:
            step, failed = ended.pop()
            scope.open -= 1
            scope.failed = scope.failed or failed
            for follower in step.followers:
                if scope.pending[follower] < 0:
                    continue
                if failed:
                    scope.pending[follower] = -1
                    scope.counters[follower].blocked += 1
                    ended.append((scope.plan.steps[follower], True))
                else:
                    scope.pending[follower] -= 1
                    if not scope.pending[follower]:
                        ready.append(follower)
        self._ready.extend(StepInstance(scope, number) for number in reversed(ready))

    def _close_if_empty(self, scope: WorkflowInstance) -> None:
        if not scope.open:
            above = self._close(scope)
            if above is not None:
                self._climb(above)

    def _close(self, scope: WorkflowInstance) -> StepInstance | None:
        """All steps of a workflow ended: gather its outputs. Returns the step that runs it if that ended with it."""
        outputs, errors = gather(scope.plan.workflow.outputs, scope.values)
        if not scope.failed:  # else they only say again that something is not there
            for error in errors:
                self._record(scope.path, error)
        inputs = {name: scope.values[name] for name in scope.plan.workflow.inputs}
        self._closed.append(ClosedWorkflow(scope.path, inputs, None if scope.failed or errors else outputs))
        if scope.parent is None:
            self._outputs = outputs
            return None
        del scope.parent.children[scope.position]
        ended = self._accept(scope.parent, scope.position, outputs, scope.failed or bool(errors))
        return scope.parent if ended else None

    def _settle(self) -> None:
        """After a failure, when the last one under way has ended: gather what there is, from the inside out."""
        if not self._stopped or self._flying or self._outputs is not None or self._root is None:
            return
        scopes = [self._root]
        for scope in scopes:  # grows while it is walked
            scopes.extend(child for run in scope.runs.values() for child in run.children.values())
        for scope in reversed(scopes):
            for run in scope.runs.values():
                run.publish()
            outputs, _ = gather(scope.plan.workflow.outputs, scope.values)
            inputs = {name: scope.values[name] for name in scope.plan.workflow.inputs}
            self._closed.append(ClosedWorkflow(scope.path, inputs, None))
            if scope.parent is not None:
                scope.parent.store(scope.position, outputs)
            else:
                self._outputs = outputs
        self._ready.clear()


def _without(names: list[str]) -> OutputError:
    return OutputError(
        f"It ended well, but without the output{'s' * (len(names) > 1)} {', '.join(names)}",
        remedy="Check that the tool's outputs have the names that the step uses.",
    )
