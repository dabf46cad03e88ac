"""What the steps of a document ask of a place, for people and for the choice of a site; before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.cwl.demands import demand_of
from gridcwl.cwl.graph import build
from gridcwl.cwl.placement import placement_of
from gridcwl.engine.graph import Leaf, Workflow
from gridcwl.errors import DocumentError

if TYPE_CHECKING:
    from cwltool.process import Process

_HINTED = {"resources": "ResourceRequirement", "gpus": "http://commonwl.org/cwltool#CUDARequirement"}
_KINDS = ("cores", "ram", "tmpdir", "outdir")


class StepRequirements(msgspec.Struct, frozen=True, kw_only=True):
    """What each job of one step asks for. 0 and empty: the document does not say."""

    name: str
    """The step's path."""
    label: str = ""
    cores: float = 0
    ram_mib: int = 0
    disk_mib: int = 0
    """Working and output folders together."""
    gpus: int = 0
    time_s: int = 0
    image: str = ""
    """Of its container; empty without one."""
    sites: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    platform: str = ""
    several: bool = False
    """It is scattered or repeated."""
    conditional: bool = False
    """It may not run at all."""
    hints: tuple[str, ...] = ()
    """Which of these a hint asks for, not a requirement: ``resources``, ``gpus``."""
    by_inputs: tuple[str, ...] = ()
    """What depends on the inputs, so that it is not known yet: words such as ``cores``."""


def step_requirements(process: Process) -> tuple[StepRequirements, ...]:
    """What the steps of a loaded document ask for, in the order of the document; of a tool, the tool's own.

    Raises:
        DocumentError: the document's steps do not fit together, or a hint is wrong.
        UnsupportedError: it is of a class that gridcwl does not run.
    """
    return tuple(_of(build(process, abstract=True)))


def _of(
    process: Workflow | Leaf, name: str = "", *, several: bool = False, conditional: bool = False
) -> Iterator[StepRequirements]:
    if isinstance(process, Leaf):
        if process.kind == "tool":
            yield _of_tool(process, name or process.id, several=several, conditional=conditional)
        return
    for step in process.steps:
        yield from _of(
            step.run,
            f"{name}/{step.id}".lstrip("/"),
            several=several or bool(step.scatter) or step.loop is not None,
            conditional=conditional or step.when is not None,
        )


def _of_tool(leaf: Leaf, name: str, *, several: bool, conditional: bool) -> StepRequirements:
    tool: Any = leaf.handle
    demand = demand_of(leaf, name)
    resources = tool.get_requirement("ResourceRequirement")[0] or {}
    limit = (tool.get_requirement("ToolTimeLimit")[0] or {}).get("timelimit")
    docker = tool.get_requirement("DockerRequirement")[0] or {}
    unknown = list(_by_inputs(resources))
    if isinstance(limit, str):
        unknown.append("time")
    try:
        placement = placement_of(tool, _plain, name)
    except DocumentError as error:
        error.message = f"{name}: {error.message}" if name not in error.message else error.message
        raise
    image = str(docker.get("dockerPull") or docker.get("dockerImageId") or "")
    return StepRequirements(
        name=name,
        label=str(tool.tool.get("label") or ""),
        cores=demand.cores,
        ram_mib=demand.ram_mib,
        disk_mib=sum(_least(resources, kind) for kind in ("tmpdir", "outdir")),
        gpus=demand.gpus,
        time_s=(limit if isinstance(limit, int) else 0) or (placement.cpu_work if placement else 0) or 0,
        image="" if "$(" in image or "${" in image else image,
        sites=placement.sites if placement else (),
        banned=placement.banned if placement else (),
        tags=placement.tags if placement else (),
        platform=(placement.platform or "") if placement else "",
        several=several,
        conditional=conditional,
        hints=tuple(word for word, name in _HINTED.items() if _is_hint(tool, name)),
        by_inputs=tuple(unknown),
    )


def _is_hint(tool: Any, name: str) -> bool:
    wanted, required = tool.get_requirement(name)
    return bool(wanted) and not required


def _least(resources: Mapping[str, Any], kind: str) -> int:
    value = resources.get(f"{kind}Min", resources.get(f"{kind}Max"))
    return int(value) if isinstance(value, int | float) else 0


def _by_inputs(resources: Mapping[str, Any]) -> Iterator[str]:
    words = {"cores": "cores", "ram": "memory", "tmpdir": "disk", "outdir": "disk"}
    found = [words[kind] for kind in _KINDS if isinstance(resources.get(f"{kind}Min"), str)]
    yield from dict.fromkeys(found)


def _plain(value: Any) -> Any:
    """A value of a hint, which is not evaluated: an expression is not known."""
    if isinstance(value, str) and ("$(" in value or "${" in value):
        return None
    if isinstance(value, list):
        return [item for item in value if _plain(item) is not None]
    return value
