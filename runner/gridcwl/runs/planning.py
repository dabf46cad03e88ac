"""What a run would do, without doing any of it: its jobs as far as they are known before the first has run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.demands import Demand, demand_of, demands
from gridcwl.cwl.graph import CwlEvaluator
from gridcwl.cwl.placement import placement_of
from gridcwl.cwl.session import CwlSession
from gridcwl.cwl.tool import evaluate, resolve
from gridcwl.engine.dataflow import Dataflow, Invocation
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.errors import GridCWLError
from gridcwl.model import Job, JobId, Resources, RunId, StagedFile, Storage
from gridcwl.runs.sums import local_path

if TYPE_CHECKING:
    from gridcwl.runs.carriage import RucioPlace

_MOST = 2000
"""Jobs that are resolved; of the others only the number is told."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that runs a tool.

    Attributes:
        name: its path.
        jobs: those that are ready at once, fully resolved.
        number: how many there will be; None if that depends on what other steps give.
        sample: stands for the step where no job is known yet: with the resources and hints that are plain values.
        conditional: it may not run at all.
        problem: why its jobs cannot even be described.
    """

    name: str
    jobs: tuple[Job, ...]
    number: int | None
    sample: Job
    conditional: bool = False
    problem: str = ""


def planned(session: CwlSession, inputs: Mapping[str, Any], run: RunId) -> list[PlannedStep]:
    """All steps that run tools, in the document's order.

    Raises:
        GridCWLError: the inputs do not fit.
    """
    flow = Dataflow(session.graph, inputs, CwlEvaluator(session.context), on_error="continue")
    ready: dict[str, list[Job]] = {}
    problems: dict[str, str] = {}
    while invocations := flow.take(256):
        for invocation in invocations:
            step = "/".join(part for part, _ in invocation.path) or invocation.leaf.id
            try:
                job = _job(session, invocation, run, flow)
            except GridCWLError as error:
                problems.setdefault(step, str(error))
                flow.fail(invocation.id, error)
                continue
            if job is not None:
                ready.setdefault(step, []).append(job)
        if sum(map(len, ready.values())) >= _MOST:
            break
    totals = {step.name: step.total for step in flow.progress() if not step.is_workflow}
    return [
        PlannedStep(
            name,
            tuple(ready.get(name, ())),
            totals.get(name, len(ready.get(name, ())) or None),
            sample=(ready.get(name) or [_sample(leaf, name, run)])[0],
            conditional=conditional,
            problem=problems.get(name, ""),
        )
        for name, leaf, conditional in _tools(session.graph)
    ]


def located(steps: Sequence[PlannedStep], place: RucioPlace) -> list[PlannedStep]:
    """The steps with jobs that know where their inputs are: the replicas, and which sites are near them.

    Raises:
        RucioProblem: Rucio does not answer.
        ConfigError: none of its storage elements can be used.
    """
    from gridcwl.stores.rucio.elements import find_elements

    elements = asyncio.run(find_elements(place.client, place.settings))
    storage = Storage("", "", elements.usable)

    def whereabouts(job: Job) -> Job:
        return replace(job, storage=storage, staged=tuple(_with_replicas(entry, place) for entry in job.staged))

    return [replace(step, jobs=tuple(map(whereabouts, step.jobs)), sample=whereabouts(step.sample)) for step in steps]


def _with_replicas(entry: StagedFile, place: RucioPlace) -> StagedFile:
    from gridcwl.stores.rucio.names import did_of

    if not entry.sources or not entry.sources[0].startswith("rucio://"):
        return entry
    known = place.asking.replicas.get(did_of(entry.sources[0]))
    return entry if known is None else replace(entry, sources=known.pfns, size=known.size, location=entry.sources[0])


def certain(process: Workflow | Leaf, inputs: Mapping[str, Any], run: RunId) -> list[Job]:
    """Samples of the tools that ask for something and will run for certain, whatever their inputs turn out to be."""
    names = {demand.name for demand in demands(process, inputs)}
    return [_sample(leaf, name, run) for name, leaf, _ in _tools(process) if name in names]


def step_names(process: Workflow | Leaf) -> list[str]:
    """The names of all steps that run tools."""
    return [name for name, _, _ in _tools(process)]


def _job(session: CwlSession, invocation: Invocation, run: RunId, flow: Dataflow) -> Job | None:
    """The invocation's job; None for an expression, which is evaluated at once."""
    tool: Any = invocation.leaf.handle
    inputs = dict(invocation.inputs)
    toplevel = isinstance(session.graph, Leaf)
    if invocation.leaf.kind == "expression":
        flow.succeed(invocation.id, evaluate(tool, inputs, session.context, name=invocation.name, toplevel=toplevel))
        return None
    job_id = JobId(f"{run}-1-{invocation.id}")
    job = resolve(tool, inputs, session.context, job_id=job_id, run=run, name=invocation.name, toplevel=toplevel).job
    return replace(job, staged=tuple(replace(entry, size=_size(entry)) for entry in job.staged))


def _size(entry: Any) -> int | None:
    if entry.size is not None or not entry.sources:
        size: int | None = entry.size
        return size
    path = local_path(entry.sources[0])
    try:
        return os.stat(path).st_size if path else None  # noqa: PTH116
    except OSError:
        return None


def _tools(process: Workflow | Leaf) -> Iterator[tuple[str, Leaf, bool]]:
    if isinstance(process, Leaf):
        if process.kind == "tool":
            yield process.id, process, False
        return
    for step in process.steps:
        if isinstance(step.run, Leaf):
            if step.run.kind == "tool":
                yield step.id, step.run, step.when is not None
            continue
        for name, leaf, conditional in _tools(step.run):
            yield f"{step.id}/{name}", leaf, conditional or step.when is not None


def _sample(leaf: Leaf, name: str, run: RunId) -> Job:
    """A job of the step with what is known of all its jobs; an expression's value is not."""
    tool: Any = leaf.handle
    demand: Demand = demand_of(leaf, name)
    limit = (tool.get_requirement("ToolTimeLimit")[0] or {}).get("timelimit")
    return Job(
        JobId(f"{run}-1-0"),
        run,
        name,
        ("?",),
        resources=Resources(
            cores=demand.cores or 1.0,
            ram_mib=demand.ram_mib or 256,
            time_limit_s=limit if isinstance(limit, int) and limit else None,
            gpus=demand.gpus,
        ),
        placement=placement_of(tool, lambda value: value, name),
    )
