"""Other resources for a document's steps than the document asks for: ``--set align.ramMin=8000``."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from gridcwl.engine.graph import Leaf, Step, Workflow
from gridcwl.errors import ConfigError
from gridcwl.suggest import did_you_mean

_RESOURCES = "ResourceRequirement"
_TIME = "ToolTimeLimit"
_PAIRS = [(f"{what}Min", f"{what}Max") for what in ("cores", "ram", "tmpdir", "outdir")]
_FIELDS = {field: _RESOURCES for pair in _PAIRS for field in pair} | {"timelimit": _TIME}


class ResourceSetting(NamedTuple):
    """A value that replaces the document's."""

    step: str
    """The path of a step; all steps within it if it runs a workflow. Empty for all steps."""
    field: str
    value: float


def with_settings(process: Workflow | Leaf, given: Sequence[Sequence[Any]]) -> Workflow | Leaf:
    """The graph with other resources.

    Args:
        process: the graph; not changed.
        given: the fields of a :class:`ResourceSetting` each.

    Raises:
        ConfigError: there is no such step or field, or the values contradict each other.
    """
    settings = [ResourceSetting(*setting) for setting in given]
    names = list(dict.fromkeys(_names(process)))
    for step, field, value in settings:
        if step and step not in names:
            known = f"The steps are {', '.join(names[:20])}."
            raise ConfigError(
                f"--set {step}.{field}: there is no step {step}", remedy=did_you_mean(step, names) or known
            )
        if field not in _FIELDS:
            known = f"The fields are {', '.join(_FIELDS)}."
            raise ConfigError(f"--set: there is no field {field}", remedy=did_you_mean(field, _FIELDS) or known)
        if value == 0 and field in ("coresMin", "coresMax", "ramMin", "ramMax"):
            raise ConfigError(f"--set {field}=0: a job needs more than nothing")
    if isinstance(process, Leaf):
        return _changed_leaf(process, {setting.field: setting.value for setting in settings})
    return _changed(process, "", settings)


def _names(process: Workflow | Leaf, prefix: str = "") -> Iterator[str]:
    if isinstance(process, Leaf):
        yield process.id
        return
    for step in process.steps:
        yield prefix + step.id
        if isinstance(step.run, Workflow):
            yield from _names(step.run, f"{prefix}{step.id}/")


def _changed(workflow: Workflow, prefix: str, settings: Sequence[ResourceSetting]) -> Workflow:
    return replace(workflow, steps=tuple(_changed_step(step, prefix + step.id, settings) for step in workflow.steps))


def _changed_step(step: Step, path: str, settings: Sequence[ResourceSetting]) -> Step:
    if isinstance(step.run, Workflow):
        return replace(step, run=_changed(step.run, f"{path}/", settings))
    wanted = {
        setting.field: setting.value
        for setting in settings
        if setting.step in ("", path) or path.startswith(f"{setting.step}/")
    }
    return replace(step, run=_changed_leaf(step.run, wanted)) if wanted else step


def _changed_leaf(leaf: Leaf, wanted: Mapping[str, float]) -> Leaf:
    """The leaf with a process of its own: steps that run one file share cwltool's."""
    if leaf.kind != "tool" or not wanted:
        return leaf
    process: Any = copy.copy(leaf.handle)
    process.requirements = list(process.requirements)
    resources = {field: value for field, value in wanted.items() if _FIELDS[field] == _RESOURCES}
    if resources:
        process.requirements.append(_resources(process, resources, leaf.id))
    if "timelimit" in wanted:
        process.requirements.append({"class": _TIME, "timelimit": wanted["timelimit"]})
    return replace(leaf, handle=process)


def _resources(process: Any, wanted: Mapping[str, float], name: str) -> dict[str, Any]:
    """The tool's requirement with other values; where minimum and maximum would cross, what was not set gives way."""
    before = process.get_requirement(_RESOURCES)[0] or {}
    made: dict[str, Any] = {**before, **wanted, "class": _RESOURCES}
    for least, most in _PAIRS:
        if least in wanted and most in wanted and wanted[least] > wanted[most]:
            raise ConfigError(f"--set: {least} of {name} is more than its {most}", remedy="Set one of them.")
        if least in wanted and most in made and most not in wanted and not _fits(wanted[least], made[most]):
            del made[most]
        if most in wanted and least in made and least not in wanted and not _fits(made[least], wanted[most]):
            del made[least]
    return made


def _fits(least: Any, most: Any) -> bool:
    return isinstance(least, int | float) and isinstance(most, int | float) and least <= most
