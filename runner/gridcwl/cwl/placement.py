"""Where a document wants its jobs to run: the hints ``gridcwl:Placement`` and ``dirac:Scheduling``.

    $namespaces: {gridcwl: "https://gridcwl.readthedocs.io/cwl#"}
    hints:
      gridcwl:Placement: {sites: [LCG.Lyon.fr], banned: [], tags: [SSD], priority: 5}

Whatever a prefix stands for, a class is known by it: ``dirac:`` leads to another place in every document of CTAO's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gridcwl.errors import DocumentError
from gridcwl.model import Placement

if TYPE_CHECKING:
    from cwltool.process import Process

log = logging.getLogger("gridcwl.cwl")

_LISTS = ("sites", "banned", "tags")
_WORDS = {"platform": "platform", "jobType": "job_type"}
_OURS = {*_LISTS, *_WORDS, "priority"}
_THEIRS = {"sites", "platform", "priority"}
"""Of CTAO's hint."""


def kind_of(name: str) -> str | None:
    """Which of the hints that we know a class name means, however its prefix was resolved; None for any other."""
    *before, last = re.split(r"[#/:]", name)
    if last == "Placement" and any("gridcwl" in part for part in before):
        return "gridcwl:Placement"
    if last in ("Scheduling", "SchedulingHint") and any("dirac" in part for part in before):
        return "dirac:Scheduling"
    return None


def placement_of(tool: Process, evaluate: Callable[[Any], Any], name: str) -> Placement | None:
    """The value of the nearest hint; None if there is none.

    Args:
        tool: with the hints of the steps and workflows around it.
        evaluate: of expressions in the hint's values.
        name: of the job, for people.

    Raises:
        DocumentError: the hint has a field or a value that means nothing.
    """
    for hint in _nearest_first(tool):
        kind = kind_of(str(hint.get("class", "")))
        if kind is not None:
            known = _OURS if kind == "gridcwl:Placement" else _THEIRS
            return _read({key: evaluate(value) for key, value in hint.items() if key != "class"}, kind, known, name)
    return None


def _nearest_first(tool: Process) -> Iterator[Mapping[str, Any]]:
    for listed in (tool.requirements, tool.hints):
        yield from reversed(listed or ())


def _read(values: Mapping[str, Any], kind: str, known: set[str], name: str) -> Placement:
    for field in values.keys() - known:
        raise DocumentError(
            f"{name}: the hint {kind} has no field {field!r}", remedy=f"It has: {', '.join(sorted(known))}."
        )
    fields: dict[str, Any] = {field: _words(values.get(field), kind, field, name) for field in _LISTS}
    for field, ours in _WORDS.items():
        value = values.get(field)
        if value is not None and not isinstance(value, str):
            raise _wrong(kind, field, value, "a word", name)
        fields[ours] = str(value) if value else None
    priority = values.get("priority")
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int | float)):
        raise _wrong(kind, "priority", priority, "a number", name)
    return Placement(**fields, priority=None if priority is None else int(priority))


def _words(value: Any, kind: str, field: str, name: str) -> tuple[str, ...]:
    """A list of words; or one text with commas, as CTAO writes it."""
    if value is None:
        return ()
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise _wrong(kind, field, value, "a list of names", name)
    return tuple(word for item in listed if (word := str(item).strip()))


def _wrong(kind: str, field: str, value: Any, takes: str, name: str) -> DocumentError:
    return DocumentError(f"{name}: {field} of the hint {kind} is {value!r}, but takes {takes}")
