"""Names of final outputs that are known before anything runs: those of tools that will run for certain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cwltool.process import shortname

from gridcwl.cwl.context import JobContext
from gridcwl.cwl.demands import is_filled
from gridcwl.cwl.tool import evaluated_globs
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.errors import GridCWLError

_MAGIC = ("$(", "${", "*", "?", "[", "\\")
_ONE_FILE = ("File", "Directory")


def known_outputs(process: Workflow | Leaf, inputs: Mapping[str, Any], context: JobContext | None = None) -> list[str]:
    """The names, each once; those of directories end with ``/``.

    With a context, expressions of a tool that is the whole document are evaluated, too.
    """
    if isinstance(process, Workflow):
        return list(dict.fromkeys(_of_workflow(process, inputs)))
    names = list(_of_tool(process, None))
    if context is not None and process.kind == "tool":
        try:
            evaluated = evaluated_globs(process.handle, dict(inputs), context, process.id)
        except GridCWLError:
            return names  # the run itself will say so
        ports = _ports(process, None)
        names += [_name(pattern, port["type"]) for port in ports for pattern in evaluated(port) if _is_plain(pattern)]
    return list(dict.fromkeys(names))


def _of_workflow(workflow: Workflow, inputs: Mapping[str, Any]) -> Iterator[str]:
    steps = {step.id: step for step in workflow.steps}
    for sink in workflow.outputs:
        if sink.pick_value is not None or sink.value_from is not None:
            continue
        for source in sink.sources:
            name, _, output = source.rpartition("/")
            if not name:
                yield from _passed_through(inputs.get(output))
                continue
            step = steps.get(name)
            if step is None or step.when is not None or step.loop is not None:
                continue
            if step.scatter and not is_filled(step, inputs):
                continue
            yield from _of_output(step.run, output)


def _of_output(process: Workflow | Leaf, output: str) -> Iterator[str]:
    if isinstance(process, Leaf):
        yield from _of_tool(process, output)
        return
    chosen = [sink for sink in process.outputs if sink.id == output]
    inner = Workflow(process.id, process.inputs, process.steps, tuple(chosen))
    yield from _of_workflow(inner, {})


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
