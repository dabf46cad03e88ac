"""ResourceRequirement: limits checked when a document is loaded and when they are evaluated; hints that give way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from gridcwl.cwl.schema_errors import Mistake
from gridcwl.cwl.sources import place
from gridcwl.errors import DocumentError
from gridcwl.model import Resources

log = logging.getLogger("gridcwl.cwl")

_NUMBERS = (int, float)
_KINDS = ("cores", "ram", "tmpdir", "outdir", "cudaDeviceCount")
_CUDA = "http://commonwl.org/cwltool#CUDARequirement"
_CLASSES = ("ResourceRequirement", _CUDA)
_IN_MIB = "Give a number of MiB, an expression that gives one, or leave the field out."
_A_NUMBER = "Give a number, an expression that gives one, or leave the field out."


def mistakes(document: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with the plain limits of a process, in its requirements and hints."""
    for section in ("requirements", "hints"):
        for wanted in document.get(section) or ():
            if isinstance(wanted, dict) and wanted.get("class") in _CLASSES:
                yield from _of_requirement(wanted)


def _of_requirement(wanted: Mapping[str, Any]) -> Iterator[Mistake]:
    for kind in _KINDS:
        for field in (f"{kind}Min", f"{kind}Max"):
            value = wanted.get(field)
            if isinstance(value, int | float) and value < 0:
                yield Mistake(place(wanted, field), f"{field} is {value:g}, which is less than 0", _remedy(kind))
        least, most = wanted.get(f"{kind}Min"), wanted.get(f"{kind}Max")
        if isinstance(least, int | float) and isinstance(most, int | float) and 0 <= most < least:
            text = f"{kind}Min is {_written(least)}, but {kind}Max is only {_written(most)}"
            yield Mistake(place(wanted, f"{kind}Min"), text, "Raise the maximum, or leave it out.")


class LimitError(DocumentError):
    """An evaluated limit that nothing can be given for; ``field`` is the one to change."""

    def __init__(self, field: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.field = field


def selected(request: Mapping[str, Any], _context: Any) -> dict[str, float]:
    """What a job gets of what it asks for, checked; cwltool's hook ``select_resources``.

    Raises:
        LimitError: a limit is no number, or below 0, or the minimum above the maximum.
    """
    for kind in _KINDS:
        least, most = request.get(f"{kind}Min"), request.get(f"{kind}Max")
        if least is None or most is None:  # cwltool gives both or none
            continue
        if type(least) is int and type(most) is int and 0 <= least <= most:
            continue
        for field, value in ((f"{kind}Min", least), (f"{kind}Max", most)):
            if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not 0 <= value < float("inf"):
                raise LimitError(
                    field,
                    f"{field} of its ResourceRequirement is {value!r}, which is not a number of at least 0",
                    remedy=_remedy(kind),
                )
        if least > most:
            raise LimitError(
                f"{kind}Min",
                f"{kind}Min of its ResourceRequirement is {_written(least)}, but {kind}Max is only {_written(most)}",
                remedy="Raise the maximum, or leave it out.",
            )
    given = {
        "cores": request["coresMin"],
        "ram": _whole(request["ramMin"]),
        "tmpdirSize": _whole(request["tmpdirMin"]),
        "outdirSize": _whole(request["outdirMin"]),
    }
    if "cudaDeviceCountMin" in request:
        given["cudaDeviceCount"] = request["cudaDeviceCountMin"]
    return given


def capped(
    given: dict[str, float], largest: Resources | None, *, cores_and_ram: bool, gpus: bool
) -> tuple[dict[str, float], list[str]]:
    """What a job gets where less than it asks for may do, and what it gets less of, in words."""
    if largest is None:
        return given, []
    limits: list[tuple[str, float, str]] = []
    if cores_and_ram:
        limits += [("cores", largest.cores, "cores"), ("ram", largest.ram_mib, "MiB of memory")]
    if gpus and "cudaDeviceCount" in given:
        limits.append(("cudaDeviceCount", largest.gpus, "GPU(s)"))
    less = [
        f"{_written(given[kind])} {what}, and gets {_written(limit)}"
        for kind, limit, what in limits
        if given[kind] > limit
    ]
    return given | {kind: min(given[kind], limit) for kind, limit, _ in limits}, less


def fits(given: Mapping[str, float], largest: Resources) -> bool:
    """Whether the place has what a job gets."""
    gpus = given.get("cudaDeviceCount", 0)
    return given["cores"] <= largest.cores and given["ram"] <= largest.ram_mib and gpus <= largest.gpus


def _written(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _whole(value: float) -> int:
    return -int(-value // 1)


def _remedy(kind: str) -> str:
    return _IN_MIB if kind in ("ram", "tmpdir", "outdir") else _A_NUMBER
