"""What a run would do, without doing any of it: its jobs as far as they are known before the first has run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.demands import Demand, demand_of, demands, plain_number
from gridcwl.cwl.graph import CwlEvaluator
from gridcwl.cwl.known_outputs import JobOutputs, outputs_of
from gridcwl.cwl.placement import placement_of
from gridcwl.cwl.session import CwlSession
from gridcwl.cwl.tool import ResolvedJob, evaluate, globs_of, image_of, resolve
from gridcwl.engine.dataflow import Dataflow, Invocation
from gridcwl.engine.graph import Leaf, Step, Workflow
from gridcwl.errors import BackendError, GridCWLError
from gridcwl.model import Job, JobId, Resources, RunId
from gridcwl.runs.reuse.checksums import local_path

if TYPE_CHECKING:
    from gridcwl.backends.base import Capabilities
    from gridcwl.runs.options import GridOptions
    from gridcwl.stores.base import RunStore

_MOST_FILES = 20_000
"""Files of one directory of which the sizes are added up."""
_MOST = 2000
"""Jobs that are resolved; of the others only the number is reported."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that runs a tool.

    Attributes:
        name: its path.
        jobs: those that are ready at once, fully resolved.
        number: how many there will be; None if that depends on what other steps give.
        outputs: what each of the jobs will produce, as far as that is known.
        sample: stands for the step where no job is known yet: with the resources and hints that are plain values.
        conditional: it may not run at all.
        problem: why its jobs cannot even be described.
    """

    name: str
    jobs: tuple[Job, ...]
    number: int | None
    sample: Job
    outputs: tuple[JobOutputs, ...] = ()
    conditional: bool = False
    problem: str = ""


def planned(session: CwlSession, inputs: Mapping[str, Any], run: RunId) -> list[PlannedStep]:
    """All steps that run tools, each behind those whose outputs it takes.

    Raises:
        GridCWLError: the inputs do not fit.
    """
    flow = Dataflow(session.graph, inputs, CwlEvaluator(session.context), on_error="continue")
    ready: dict[str, list[Job]] = {}
    outputs: dict[str, list[JobOutputs]] = {}
    problems: dict[str, str] = {}
    while invocations := flow.take(256):
        for invocation in invocations:
            step = "/".join(part for part, _ in invocation.path) or invocation.leaf.id
            try:
                resolved = _resolved(session, invocation, run, flow)
                produced = {} if resolved is None else outputs_of(invocation.leaf, globs_of(resolved))
            except GridCWLError as error:
                problems.setdefault(step, str(error))
                flow.fail(invocation.id, error)
                continue
            if resolved is not None:
                ready.setdefault(step, []).append(_with_sizes(resolved.job))
                outputs.setdefault(step, []).append(produced)
        if sum(map(len, ready.values())) >= _MOST:
            break
    totals = {step.name: step.total for step in flow.progress() if not step.is_workflow}
    return [
        PlannedStep(
            tool.name,
            tuple(ready.get(tool.name, ())),
            totals.get(tool.name) or len(ready.get(tool.name, ())) or (1 if tool.single else None),
            sample=(ready.get(tool.name) or [_sample_with_image(session, tool, run)])[0],
            outputs=tuple(outputs.get(tool.name, ())),
            conditional=tool.conditional,
            problem=problems.get(tool.name, ""),
        )
        for tool in _tools(session.graph)
    ]


async def located(steps: Sequence[PlannedStep], store: RunStore) -> list[PlannedStep]:
    """The steps with jobs that know where their inputs are: the replicas, and which sites are near them.

    Raises:
        StoreError: the store does not answer.
        ConfigError: it cannot be used as it is configured.
    """
    jobs = iter(await store.locate([job for step in steps for job in (*step.jobs, step.sample)]))
    return [replace(step, jobs=tuple(islice(jobs, len(step.jobs))), sample=next(jobs)) for step in steps]


def certain(session: CwlSession, inputs: Mapping[str, Any], run: RunId) -> list[Job]:
    """Samples of the tools that ask for something and will run for certain, whatever their inputs turn out to be."""
    names = {demand.name for demand in demands(session.graph, inputs)}
    return [_sample(session, tool, run) for tool in _tools(session.graph) if tool.name in names]


def check_capabilities(session: CwlSession, capabilities: Capabilities, grid: GridOptions) -> None:
    """Refuse what the backend cannot do, before any job runs.

    Raises:
        BackendError: a step needs a container, or jobs are to outlive the client.
    """
    if grid.detach and not capabilities.survives_client:
        raise BackendError(
            f"Jobs of the backend {grid.backend} end with the client, so that they cannot only be submitted",
            remedy="Use --detach: a process in the background works on the run.",
        )
    if capabilities.containers:
        return
    for tool in _tools(session.graph):
        handle: Any = tool.leaf.handle
        if image_of(handle, session.context) is not None:
            raise BackendError(
                f"{tool.name} needs a container (DockerRequirement), and the backend {grid.backend} has none",
                remedy="Add --no-container, or choose another backend.",
            )


def step_names(process: Workflow | Leaf) -> list[str]:
    """The names of all steps that run tools."""
    return [tool.name for tool in _tools(process)]


def _resolved(session: CwlSession, invocation: Invocation, run: RunId, flow: Dataflow) -> ResolvedJob | None:
    """The invocation's job; None for an expression, which is evaluated at once."""
    tool: Any = invocation.leaf.handle
    inputs = dict(invocation.inputs)
    toplevel = isinstance(session.graph, Leaf)
    if invocation.leaf.kind == "expression":
        flow.succeed(invocation.id, evaluate(tool, inputs, session.context, name=invocation.name, toplevel=toplevel))
        return None
    job_id = JobId(f"{run}-1-{invocation.id}")
    return resolve(tool, inputs, session.context, job_id=job_id, run=run, name=invocation.name, toplevel=toplevel)


def _with_sizes(job: Job) -> Job:
    return replace(job, staged=tuple(replace(entry, size=_size(entry)) for entry in job.staged))


def _size(entry: Any) -> int | None:
    if entry.size is not None or not entry.sources:
        size: int | None = entry.size
        return size
    path = local_path(entry.sources[0])
    try:
        if path and entry.kind == "directory":
            return _tree_size(path)
        return os.stat(path).st_size if path else None  # noqa: PTH116
    except OSError:
        return None


def _tree_size(path: str) -> int | None:
    """The bytes of the files below a directory; None if there are too many to look at."""
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    sizes = [file.stat().st_size for file in islice(files, _MOST_FILES + 1) if not file.is_symlink()]
    return sum(sizes) if len(sizes) <= _MOST_FILES else None


@dataclass(frozen=True, slots=True)
class _Tool:
    """A step that runs a tool, by its path."""

    name: str
    leaf: Leaf
    conditional: bool = False
    single: bool = True
    """It runs once: neither it nor a workflow around it is scattered or repeated."""


def _tools(process: Workflow | Leaf) -> Iterator[_Tool]:
    """All of them, each behind those whose outputs it takes."""
    if isinstance(process, Leaf):
        if process.kind == "tool":
            yield _Tool(process.id, process)
        return
    for step in _in_order(process.steps):
        conditional, single = step.when is not None, not step.scatter and step.loop is None
        if isinstance(step.run, Leaf):
            if step.run.kind == "tool":
                yield _Tool(step.id, step.run, conditional, single)
            continue
        for tool in _tools(step.run):
            name = f"{step.id}/{tool.name}"
            yield _Tool(name, tool.leaf, tool.conditional or conditional, tool.single and single)


def _in_order(steps: Sequence[Step]) -> Iterator[Step]:
    waiting, done = list(steps), set[str]()
    needs = {
        step.id: {source.rpartition("/")[0] for sink in step.sinks for source in sink.sources} - {""} for step in steps
    }
    while waiting:
        step = next((step for step in waiting if needs[step.id] <= done), waiting[0])
        waiting.remove(step)
        done.add(step.id)
        yield step


def _sample_with_image(session: CwlSession, tool: _Tool, run: RunId) -> Job:
    handle: Any = tool.leaf.handle
    return replace(_sample(session, tool, run), image=image_of(handle, session.context))


def _sample(session: CwlSession, step: _Tool, run: RunId) -> Job:
    """A job of the step with what is known of all its jobs; an expression's value is not."""
    tool: Any = step.leaf.handle
    context = session.context
    demand: Demand = demand_of(step.leaf, step.name, context.largest, cap=context.cap_resources)
    limit = (tool.get_requirement("ToolTimeLimit")[0] or {}).get("timelimit")
    wanted = tool.get_requirement("ResourceRequirement")[0] or {}
    none = Resources()
    return Job(
        JobId(f"{run}-1-0"),
        run,
        step.name,
        ("?",),
        resources=Resources(
            cores=demand.cores or 1.0,
            ram_mib=demand.ram_mib or 256,
            tmp_mib=int(plain_number(wanted, ("tmpdirMin", "tmpdirMax"))) or none.tmp_mib,
            out_mib=int(plain_number(wanted, ("outdirMin", "outdirMax"))) or none.out_mib,
            time_limit_s=limit if isinstance(limit, int) and limit else None,
            gpus=demand.gpus,
        ),
        placement=placement_of(tool, lambda value: value, step.name),
    )
