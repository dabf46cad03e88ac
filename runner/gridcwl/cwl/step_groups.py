"""Files per job of one step, by the hints ``dirac:Transformation``, ``dirac:ExecutionHooks`` and ``gridcwl:Grouping``.

Other runners ignore a hint, and the document has to be valid for them, too. A step is run in groups only if its types
allow both:

* it is scattered over an input that takes one value or a list of them (``[File, File[]]``): each job gets a list;
* it is not scattered, takes a list, and gives lists only: each job gets a part of the list, and what the jobs give is
  put together in its order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.utils import aslist

from gridcwl.cwl.dirac_hints import GROUPING, HOOKS, TRANSFORMATION, GroupingHint, grouping_in, own_hints
from gridcwl.cwl.inputs import plain
from gridcwl.engine.graph import Groups
from gridcwl.model.grouping import Grouping

if TYPE_CHECKING:
    from cwltool.process import Process
    from cwltool.workflow import WorkflowStep

_USUAL = ("input-data", "input_data")
_KINDS = (GROUPING, TRANSFORMATION, HOOKS)


def groups_of(step: WorkflowStep) -> Groups | None:
    """How the inputs of a step are grouped; None if they are not.

    Raises:
        DocumentError: a hint holds a value that means nothing.
    """
    if not step.tool.get("hints") and not step.tool.get("requirements"):
        return None
    found = _hint_of(step)
    if found is None:
        return None
    decided = _decided(step, found[1])
    return decided if isinstance(decided, Groups) else None


def ignored_groups(process: Process, where: str = "") -> Iterator[str]:
    """The hints for groups on steps that have no effect, a sentence each with the reason.

    Args:
        process: of the whole document.
        where: the path of a sub-workflow.
    """
    for step in getattr(process, "steps", ()):
        name = f"{where}/{shortname(step.id)}".lstrip("/")
        found = _hint_of(step)
        if found is not None:
            reason = _decided(step, found[1])
            if isinstance(reason, str):
                yield f"{found[0]} of the step {name}: {_field(found[0])} has no effect: {reason}."
        inner = _hint_of(step.embedded_tool)
        if inner is not None:
            why = "gridcwl reads it on the whole document and on steps; write it on the step"
            yield f"{inner[0]} of what the step {name} runs: {_field(inner[0])} has no effect: {why}."
        yield from ignored_groups(step.embedded_tool, name)


def _hint_of(process: Process) -> tuple[str, GroupingHint] | None:
    known = own_hints(process)
    for kind in _KINDS:
        hint = grouping_in(known.get(kind, {}), kind)
        if hint is not None:
            return kind, hint
    return None


def _field(kind: str) -> str:
    return "it" if kind == GROUPING else "group_size"


def _decided(step: WorkflowStep, hint: GroupingHint) -> Groups | str:
    """The groups, or why there are none."""
    kinds = {shortname(one["id"]): plain(one["type"]) for one in step.embedded_tool.tool["inputs"]}
    given = [shortname(one["id"]) for one in step.tool["inputs"]]
    if step.tool.get("loop"):
        return "the step is a loop"
    scattered = [shortname(name) for name in aslist(step.tool.get("scatter", []))]
    chosen = _of_scatter(hint, scattered, kinds) if scattered else _of_list(step, hint, given, kinds)
    if isinstance(chosen, str):
        return chosen
    name = chosen[0]
    if _is_read(step, name):
        return f"expressions of the step (valueFrom, when) read the input {name}, and would get a list in its place"
    balance: Any = hint.balance
    return Groups(name, Grouping(name, hint.size, hint.chunks, balance), joined=not scattered)


def _of_scatter(hint: GroupingHint, scattered: list[str], kinds: Mapping[str, Any]) -> tuple[str] | str:
    if hint.input and hint.input not in scattered:
        return f"the step is scattered over {', '.join(scattered)}, not over {hint.input}"
    if len(scattered) > 1:
        return "the step is scattered over several inputs"
    name = scattered[0]
    if not _takes_one_or_several(kinds.get(name)):
        return f"a job of the step takes one value of {name}, and no list of them; its type would be [File, File[]]"
    return (name,)


def _of_list(step: WorkflowStep, hint: GroupingHint, given: list[str], kinds: Mapping[str, Any]) -> tuple[str] | str:
    lists = [name for name in given if name in kinds and _is_list(kinds[name])]
    if hint.input and hint.input not in lists:
        return f"the step has no input {hint.input} that is a list"
    if not lists:
        return "the step is not scattered, and none of its inputs is a list"
    files = [name for name in lists if "File" in json.dumps(kinds[name])] or lists
    usual = [name for name in _USUAL if name in lists]
    name = hint.input or next(iter(usual), files[0])
    if not hint.input and not usual and len(files) > 1:
        return f"several inputs of the step are lists ({', '.join(files)}); gridcwl:Grouping says which"
    outputs = {shortname(one["id"]): plain(one["type"]) for one in step.embedded_tool.tool["outputs"]}
    for output in (shortname(one["id"]) for one in step.tool["outputs"]):
        if not _is_list(outputs.get(output)):
            return f"its output {output} is not a list, so that those of several jobs cannot be put together"
    return (name,)


def _is_read(step: WorkflowStep, name: str) -> bool:
    """Whether an expression of the step may see the values of an input."""
    texts = [str(step.tool.get("when") or "")]
    for port in step.tool["inputs"]:
        if "valueFrom" in port:
            texts.append(str(port["valueFrom"]))
            if shortname(port["id"]) == name:
                return True
    return any("inputs" in text and name in text for text in texts)


def _members(kind: Any) -> list[Any]:
    return list(kind) if isinstance(kind, list) else [kind]


def _is_array(kind: Any) -> bool:
    return isinstance(kind, Mapping) and kind.get("type") == "array"


def _is_list(kind: Any) -> bool:
    """Whether values are lists, or null."""
    members = [one for one in _members(kind) if one != "null"]
    return bool(members) and all(map(_is_array, members))


def _takes_one_or_several(kind: Any) -> bool:
    members = [one for one in _members(kind) if one != "null"]
    single = [one for one in members if not _is_array(one)]
    lists = [_members(one["items"]) for one in members if _is_array(one)]
    return bool(single) and any(all(one in items for one in single) for items in lists)
