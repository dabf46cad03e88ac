"""Names of final outputs that are known before anything runs: those of tools that will run for certain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cwltool.process import shortname

from gridcwl.cwl.context import JobContext
from gridcwl.cwl.demands import is_filled
from gridcwl.cwl.tool import evaluated_globs
from gridcwl.engine.graph import Leaf, Step, Workflow
from gridcwl.errors import GridCWLError

_MAGIC = ("$(", "${", "*", "?", "[", "\\")
_ONE_FILE = ("File", "Directory")


class JobOutput(NamedTuple):
    """A final output of one job, or of a tool of which no job is known yet."""

    name: str
    """That of a directory ends with ``/``."""
    grouped: bool = False
    """It has secondary files."""


JobOutputs = Mapping[str, JobOutput]
"""What a job will produce: its outputs of one file each, by their ids."""


def known_outputs(process: Workflow | Leaf, inputs: Mapping[str, Any], context: JobContext | None = None) -> list[str]:
    """The names, each once; those of directories end with ``/``.

    With a context, expressions of a tool that is the whole document are evaluated, too.
    """
    if isinstance(process, Workflow):
        return list(dict.fromkeys(output.name for output in _OfJobs({}).of_workflow(process, inputs)))
    names = list(_of_tool(process, None))
    if context is not None and process.kind == "tool":
        try:
            evaluated = evaluated_globs(process.handle, dict(inputs), context, process.id)
        except GridCWLError:
            return names  # the run itself will say so
        ports = _ports(process, None)
        names += [_name(pattern, port["type"]) for port in ports for pattern in evaluated(port) if _is_plain(pattern)]
    return list(dict.fromkeys(names))


def outputs_of(leaf: Leaf, globs: Callable[[Any], list[str]]) -> JobOutputs:
    """What a job of the tool will produce, as far as that is known.

    Args:
        leaf: the tool.
        globs: gives the patterns of an output of the job, evaluated.
    """
    found = {}
    for port in _ports(leaf, None):
        patterns = globs(port)
        if len(patterns) == 1 and _is_plain(patterns[0]):
            name = _name(patterns[0], port["type"])
            found[shortname(port["id"])] = JobOutput(name, bool(port.get("secondaryFiles")))
    return found


def outputs_of_jobs(
    process: Workflow | Leaf, inputs: Mapping[str, Any], jobs: Mapping[str, Sequence[JobOutputs]]
) -> list[JobOutput]:
    """What the jobs that are known will produce of the final outputs, in the order of the output object.

    Where no job of a tool is known, it is what :func:`known_outputs` has of the tool.

    Args:
        process: of the run.
        inputs: of the run.
        jobs: those that are known, by the path of their step, in the order of the shards.
    """
    if isinstance(process, Leaf):
        known = [output for job in jobs.get(process.id, ()) for output in job.values()]
        return known or [JobOutput(name) for name in _of_tool(process, None)]
    return list(_OfJobs(jobs).of_workflow(process, inputs))


@dataclass(frozen=True, slots=True)
class _OfJobs:
    jobs: Mapping[str, Sequence[JobOutputs]]
    seen: set[tuple[str, str]] = field(default_factory=set)
    """Outputs of steps that were found already: what is a final output twice is one file."""

    def of_workflow(
        self, workflow: Workflow, inputs: Mapping[str, Any], prefix: str = "", *, certain: bool = True
    ) -> Iterator[JobOutput]:
        """Its outputs; where no job is known, only if the workflow is certain to run."""
        steps = {step.id: step for step in workflow.steps}
        for sink in workflow.outputs:
            if sink.pick_value is not None or sink.value_from is not None:
                continue
            for source in sink.sources:
                name, _, output = source.rpartition("/")
                if not name:
                    yield from map(JobOutput, _passed_through(inputs.get(output)))
                elif name in steps and (prefix + name, output) not in self.seen:
                    self.seen.add((prefix + name, output))
                    yield from self._of_step(steps[name], output, inputs, prefix, certain=certain)

    def _of_step(
        self, step: Step, output: str, inputs: Mapping[str, Any], prefix: str, *, certain: bool
    ) -> Iterator[JobOutput]:
        if step.loop is not None:
            return
        certain = certain and step.when is None and (not step.scatter or is_filled(step, inputs))
        path = prefix + step.id
        if isinstance(step.run, Workflow):
            yield from self.of_workflow(_giving(step.run, output), {}, f"{path}/", certain=certain)
        elif path in self.jobs:
            yield from (job[output] for job in self.jobs[path] if output in job)
        elif certain:
            yield from map(JobOutput, _of_tool(step.run, output))


def _giving(workflow: Workflow, output: str) -> Workflow:
    """The workflow with this output only."""
    chosen = tuple(sink for sink in workflow.outputs if sink.id == output)
    return Workflow(workflow.id, workflow.inputs, workflow.steps, chosen)


def _of_tool(leaf: Leaf, output: str | None) -> Iterator[str]:
    for port in _ports(leaf, output):
        pattern = port["outputBinding"].get("glob")
        patterns = [pattern] if isinstance(pattern, str) else list(pattern or ())
        if len(patterns) == 1 and _is_plain(patterns[0]):
            yield _name(patterns[0], port["type"])


def _ports(leaf: Leaf, output: str | None) -> Iterator[Mapping[str, Any]]:
    """The outputs of one file each, that no expression makes."""
    if leaf.kind != "tool":
        return
    process: Any = leaf.handle
    for port in process.tool["outputs"]:
        binding = port.get("outputBinding")
        wanted = output in (None, shortname(port["id"])) and port["type"] in _ONE_FILE
        if wanted and binding and "outputEval" not in binding:
            yield port


def _passed_through(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value.get("class") in _ONE_FILE:
        location = str(value.get("location", ""))
        if value.get("basename") and location.startswith(("file://", "_:")):
            yield _name(str(value["basename"]), value["class"])


def _is_plain(pattern: Any) -> bool:
    return isinstance(pattern, str) and bool(_name(pattern, "File")) and not any(sign in pattern for sign in _MAGIC)


def _name(pattern: str, kind: str) -> str:
    return pattern.rstrip("/").rpartition("/")[2] + ("/" if kind == "Directory" else "")
