"""What the tools of a document ask of a machine, as far as that is known before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gridcwl.engine.graph import Leaf, Step, Workflow
from gridcwl.errors import DocumentError, ResourcesExceeded
from gridcwl.model import Resources

_CORES = ("coresMin", "coresMax")
_MEMORY = ("ramMin", "ramMax")
_GPUS = ("cudaDeviceCountMin", "cudaDeviceCountMax")
_SIZE = re.compile(r"([1-9]\d*)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_CUDA = "http://commonwl.org/cwltool#CUDARequirement"


def refuse_giants(
    process: Workflow | Leaf, inputs: Mapping[str, Any], largest: Resources | None, *, cap: bool = False
) -> None:
    """Refuse requirements that cannot be met before anything runs; hints give way.

    Args:
        process: of the run.
        inputs: of the run.
        largest: the most that one job can get.
        cap: requirements give way, too (``--cap-resources``).

    Raises:
        ResourcesExceeded: a tool asks for more than the place can give to one job.
    """
    if largest is None or cap:
        return
    for demand in filter(_is_required, demands(process, inputs)):
        if demand.cores > largest.cores:
            raise ResourcesExceeded(demand.name, f"{demand.cores:g} cores", f"{largest.cores:g}")
        if demand.ram_mib > largest.ram_mib:
            raise ResourcesExceeded(demand.name, f"{demand.ram_mib} MiB of memory", f"{largest.ram_mib} MiB")
        if demand.gpus > largest.gpus:
            raise ResourcesExceeded(demand.name, f"{demand.gpus} GPU(s)", str(largest.gpus), "CUDARequirement")


def _is_required(demand: Demand) -> bool:
    return demand.required


class Demand(NamedTuple):
    """The least that one tool asks for."""

    name: str
    """The step's path, as it is shown while it runs."""
    cores: float = 0.0
    ram_mib: int = 0
    gpus: int = 0
    required: bool = True
    """False where a hint asks: it gives way."""

    def within(self, largest: Resources | None, *, cap: bool = False) -> Demand:
        """The same, of a hint at most what the place has; with ``cap`` of a requirement, too."""
        if largest is None or (self.required and not cap):
            return self
        return self._replace(
            cores=min(self.cores, largest.cores),
            ram_mib=min(self.ram_mib, largest.ram_mib),
            gpus=min(self.gpus, largest.gpus),
        )


def demands(process: Workflow | Leaf, inputs: Mapping[str, Any]) -> Iterator[Demand]:
    """The demands that are plain numbers, of the tools that will run for certain.

    Left out is what may never run: steps under a condition, and scatters that may turn out to be empty.
    """
    if isinstance(process, Leaf):
        yield from _of_tool(process, process.id)
        return
    for step in process.steps:
        if step.when is None and (not step.scatter or is_filled(step, inputs)):
            yield from _of_step(step, step.id)


def demand_of(leaf: Leaf, name: str, largest: Resources | None = None, *, cap: bool = False) -> Demand:
    """All that one tool asks for in plain numbers; 0 for what it does not declare, or declares by an expression.

    Args:
        leaf: the tool.
        name: as it is shown.
        largest: the most that one job can get; hints ask for no more.
        cap: requirements ask for no more, either.
    """
    asked = [demand.within(largest, cap=cap) for demand in _of_tool(leaf, name)]
    return Demand(
        name,
        cores=max((demand.cores for demand in asked), default=0.0),
        ram_mib=max((demand.ram_mib for demand in asked), default=0),
        gpus=max((demand.gpus for demand in asked), default=0),
    )


def _of_step(step: Step, name: str) -> Iterator[Demand]:
    if isinstance(step.run, Leaf):
        yield from _of_tool(step.run, name)
        return
    for inner in step.run.steps:
        if inner.when is None and not inner.scatter:
            yield from _of_step(inner, f"{name}/{inner.id}")


def is_filled(step: Step, inputs: Mapping[str, Any]) -> bool:
    """Whether all arrays that the step scatters over are inputs of the run, and hold something."""
    for sink in step.sinks:
        if sink.id in step.scatter and (sink.value_from is not None or not all(map(inputs.get, sink.sources))):
            return False
    return True


def _of_tool(leaf: Leaf, name: str) -> Iterator[Demand]:
    if leaf.kind != "tool":
        return
    process: Any = leaf.handle
    wanted, required = process.get_requirement("ResourceRequirement")
    if wanted:
        cores, memory = plain_number(wanted, _CORES), plain_number(wanted, _MEMORY)
        yield Demand(name, float(cores), int(memory), required=bool(required))
    graphics, required = process.get_requirement(_CUDA)
    if graphics:
        yield Demand(name, gpus=max(1, int(plain_number(graphics, _GPUS))), required=bool(required))


def plain_number(wanted: Mapping[str, Any], fields: tuple[str, str]) -> float:
    """The minimum, or where only a maximum is given that one; 0 for an expression.

    As cwltool's ``Process.evalResources`` has it.
    """
    for field in fields:
        if field in wanted:
            value = wanted[field]
            return value if isinstance(value, int | float) else 0
    return 0


def shm_bytes(written: str, name: str) -> int:
    """The bytes that cwltool's ``ShmSize`` asks for: a number, and one of the units b, k, m and g.

    Raises:
        DocumentError: it is none.
    """
    match = _SIZE.fullmatch(written.strip())
    if match is None:
        raise DocumentError(
            f"{name} asks for a shared memory of {written!r}, which is no size",
            remedy="Write shmSize as a number with a unit: 128m or 1g.",
        )
    return int(match[1]) * _UNITS[match[2].lower()]
