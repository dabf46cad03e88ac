"""The graph that the engine runs: workflows, steps, sinks and leaves as immutable plain values.

No expression is evaluated and no value is looked at here. Constructing a node checks it, so a graph that exists can be
run: every source is there, no step waits for itself, every scattered input is one of the step's inputs.
Names of values in a workflow's scope are ``"name"`` for an input and ``"step/name"`` for an output of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Literal, TypeAlias

import msgspec

from gridcwl.errors import DocumentError
from gridcwl.model.grouping import Grouping

LinkMerge: TypeAlias = Literal["merge_nested", "merge_flattened"]
PickValue: TypeAlias = Literal["first_non_null", "the_only_non_null", "all_non_null"]
ScatterMethod: TypeAlias = Literal["dotproduct", "nested_crossproduct", "flat_crossproduct"]
LeafKind: TypeAlias = Literal["tool", "expression"]
LoopOutput: TypeAlias = Literal["last_iteration", "all_iterations"]
Values: TypeAlias = Mapping[str, Any]
"""An input or output object: CWL values by short name. Values go by reference: whoever gets one must not change it."""


class Missing(Enum):
    """The type of MISSING, which says that there is no value, where null would be one."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


class Leaf(msgspec.Struct, frozen=True):
    """What the engine does not look into: a CommandLineTool or an ExpressionTool."""

    id: str
    kind: LeafKind = "tool"
    handle: object = None
    """Whatever the maker of the graph needs to run it; the engine only hands it on."""


class Sink(msgspec.Struct, frozen=True):
    """Where links end: an input of a step, an output of a workflow, or an input carried on by a loop.

    https://www.commonwl.org/v1.2/Workflow.html#WorkflowStepInput
    """

    id: str
    """The short name."""
    sources: tuple[str, ...] = ()
    link_merge: LinkMerge | None = None
    """None: merge_nested if there are several sources, the value itself if there is one."""
    pick_value: PickValue | None = None
    default: object = MISSING
    """Stands in for a value that is missing or null."""
    value_from: object | None = None
    """An expression for the evaluator; None if there is none."""
    load_contents: bool = False
    connected: bool = True
    """False if the process that the step runs has no such input: only the step's expressions see it."""


class Loop(msgspec.Struct, frozen=True):
    """Run the step again while its ``when`` holds, with inputs taken from the last outputs (CWL v1.3).

    The sources of the sinks are the step's own outputs, by short name.
    """

    sinks: tuple[Sink, ...] = ()
    output_method: LoopOutput = "last_iteration"


class Groups(msgspec.Struct, frozen=True):
    """A step runs for groups of the values of one of its inputs: each shard gets a list of some of them."""

    input: str
    how: Grouping
    joined: bool = False
    """The step is not written as a scatter: the lists that its shards give are put together as one."""


class Step(msgspec.Struct, frozen=True):
    """A process in a workflow, with its links. https://www.commonwl.org/v1.2/Workflow.html#WorkflowStep"""

    id: str
    run: Leaf | Workflow
    sinks: tuple[Sink, ...] = ()
    outputs: tuple[str, ...] = ()
    """Short names of the outputs that the workflow may use."""
    scatter: tuple[str, ...] = ()
    """Short names of scattered inputs, the outermost first."""
    method: ScatterMethod = "dotproduct"
    when: object | None = None
    """An expression for the evaluator; None if the step runs in any case."""
    loop: Loop | None = None
    handle: object = None
    groups: Groups | None = None
    """Of the only input in ``scatter``."""

    def __post_init__(self) -> None:
        inputs = [sink.id for sink in self.sinks]
        _refuse_twins(f"The step {self.id}", "input", inputs)
        for key in self.scatter:
            if key not in inputs:
                raise DocumentError(
                    f"The step {self.id} scatters over {key}, which is not one of its inputs ({_listed(inputs)})"
                )
        if isinstance(self.run, Workflow):
            self._check_outputs([sink.id for sink in self.run.outputs])
        if self.loop is not None:
            self._check_loop(self.loop)

    def _check_outputs(self, promised: list[str]) -> None:
        for name in self.outputs:
            if name not in promised:
                raise DocumentError(
                    f"The step {self.id} names the output {name}, but the workflow it runs has {_listed(promised)}"
                )

    def _check_loop(self, loop: Loop) -> None:
        if self.when is None:
            raise DocumentError(
                f"The step {self.id} loops without end: it has no 'when'", remedy="Give it a 'when' that turns false."
            )
        if self.scatter:
            raise DocumentError(
                f"The step {self.id} has both loop and scatter", remedy="Loop inside a sub-workflow and scatter that."
            )
        _check_sources(f"The loop of step {self.id}", loop.sinks, set(self.outputs))


class Workflow(msgspec.Struct, frozen=True):
    """Steps and the links between them. https://www.commonwl.org/v1.2/Workflow.html#Workflow

    Raises:
        DocumentError: two things have one name, a source is nowhere, or steps wait for each other in a circle.
    """

    id: str
    inputs: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    outputs: tuple[Sink, ...] = ()
    handle: object = None

    def __post_init__(self) -> None:
        where = f"The workflow {self.id}"
        _refuse_twins(where, "input", self.inputs)
        _refuse_twins(where, "step", [step.id for step in self.steps])
        _refuse_twins(where, "output", [sink.id for sink in self.outputs])
        known = set(self.inputs) | set(producers(self))
        for step in self.steps:
            _check_sources(f"The step {step.id}", step.sinks, known)
        _check_sources(where, self.outputs, known)
        cycle = find_cycle(self)
        if cycle:
            raise DocumentError(
                f"{where} has a cycle: {' -> '.join([*cycle, cycle[0]])}",
                remedy="Each of these steps waits for the one before it; remove one of the links.",
            )


def producers(workflow: Workflow) -> dict[str, int]:
    """Which step, by its position, makes each ``step/name`` of this scope."""
    return {f"{step.id}/{name}": number for number, step in enumerate(workflow.steps) for name in step.outputs}


def upstream(workflow: Workflow) -> list[set[int]]:
    """For each step the positions of the steps that it waits for."""
    made_by = producers(workflow)
    return [
        {made_by[source] for sink in step.sinks for source in sink.sources if source in made_by}
        for step in workflow.steps
    ]


def depths(steps: tuple[Step, ...]) -> list[int]:
    """For each step of a workflow, how many steps come before it in the longest chain."""
    made_by = {f"{step.id}/{name}": number for number, step in enumerate(steps) for name in step.outputs}
    found: dict[int, int] = {}
    ahead = list(range(len(steps)))
    while ahead:  # no recursion: chains of steps may be long
        sources = {made_by[source] for sink in steps[ahead[-1]].sinks for source in sink.sources if source in made_by}
        unknown = [source for source in sources if source not in found]
        if unknown:
            ahead += unknown
        else:
            found[ahead.pop()] = 1 + max((found[source] for source in sources), default=-1)
    return [found[number] for number in range(len(steps))]


def find_cycle(workflow: Workflow) -> list[str]:
    """The names of steps that wait for each other, in the order of the data; empty if there are none."""
    try:
        TopologicalSorter(dict(enumerate(upstream(workflow)))).prepare()
    except CycleError as error:
        return [workflow.steps[number].id for number in error.args[1][:-1]]
    return []


def _refuse_twins(where: str, kind: str, names: list[str] | tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DocumentError(f"{where} has more than one {kind} called {name}")
        seen.add(name)


def _check_sources(where: str, sinks: tuple[Sink, ...], known: set[str]) -> None:
    for sink in sinks:
        for source in sink.sources:
            if source not in known:
                raise DocumentError(f"{where} takes {sink.id} from {source}, which does not exist")


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
