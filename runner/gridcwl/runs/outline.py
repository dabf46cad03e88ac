"""The steps of a document and what each of them waits for, as the journal keeps it for the picture of a run.

Plain lists and dicts: they are written once when a run begins, and read when the document may be gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridcwl.engine.graph import Leaf, Step, Workflow, depths


@dataclass(frozen=True, slots=True)
class OutlineStep:
    """A step that runs a tool or an expression, or a sub-workflow with steps of its own."""

    name: str
    """Its path: ``align/sort``."""
    kind: str
    """``tool``, ``expression`` or ``workflow``."""
    scattered: bool
    conditional: bool
    after: tuple[str, ...]
    """The tools and expressions whose outputs it takes."""


def outline_of(process: Workflow | Leaf) -> list[dict[str, Any]]:
    """The outline of a document, for the journal."""
    if isinstance(process, Leaf):
        return [{"step": process.id, "kind": process.kind}]
    found: list[dict[str, Any]] = []
    _add(process, (), {}, found)
    return found


def read_outline(kept: Any) -> list[OutlineStep]:
    """The outline that a journal has; empty for journals of earlier versions."""
    if not isinstance(kept, list):
        return []
    return [
        OutlineStep(
            str(step["step"]),
            str(step.get("kind", "tool")),
            bool(step.get("scatter")),
            bool(step.get("when")),
            tuple(map(str, step.get("after", ()))),
        )
        for step in kept
        if isinstance(step, dict) and "step" in step
    ]


def _add(
    workflow: Workflow, prefix: tuple[str, ...], given: Mapping[str, Sequence[str]], found: list[dict[str, Any]]
) -> dict[str, list[str]]:
    """Add the steps of a workflow; returns for each of its outputs the tools that make it.

    Args:
        workflow: see there.
        prefix: the path of the step that runs it.
        given: for each of its inputs the tools that make it.
        found: what is added to.
    """
    made: dict[str, list[str]] = {name: list(tools) for name, tools in given.items()}
    order = sorted(zip(depths(workflow.steps), workflow.steps, strict=True), key=lambda pair: pair[0])
    for _, step in order:
        path = (*prefix, step.id)
        inputs = {
            sink.id: _unique(tool for source in sink.sources for tool in made.get(source, ())) for sink in step.sinks
        }
        after = _unique(tool for tools in inputs.values() for tool in tools)
        found.append(_kept(step, path, after))
        if isinstance(step.run, Workflow):
            inside = _add(step.run, path, inputs, found)
            made |= {f"{step.id}/{name}": inside.get(name, []) for name in step.outputs}
        else:
            made |= {f"{step.id}/{name}": ["/".join(path)] for name in step.outputs}
    return {
        sink.id: _unique(tool for source in sink.sources for tool in made.get(source, ())) for sink in workflow.outputs
    }


def _kept(step: Step, path: tuple[str, ...], after: list[str]) -> dict[str, Any]:
    kind = "workflow" if isinstance(step.run, Workflow) else step.run.kind
    kept: dict[str, Any] = {"step": "/".join(path), "kind": kind}
    marks = {"scatter": bool(step.scatter), "when": step.when is not None, "after": after}
    return kept | {name: value for name, value in marks.items() if value}


def _unique(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
