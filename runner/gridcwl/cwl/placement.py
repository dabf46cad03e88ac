"""Where a document wants its jobs to run: the hints ``gridcwl:Placement``, ``dirac:Job`` and ``dirac:Scheduling``.

    $namespaces: {gridcwl: "https://gridcwl.readthedocs.io/cwl#"}
    hints:
      gridcwl:Placement: {sites: [LCG.Lyon.fr], banned: [], tags: [SSD], priority: 5}

What else DIRAC's hints say is read by ``dirac_hints``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.dirac_hints import JOB, SCHEDULING, hints_in, kind_of
from gridcwl.errors import DocumentError
from gridcwl.model import Placement

if TYPE_CHECKING:
    from cwltool.process import Process

_LISTS = ("sites", "banned", "tags")
_WORDS = {"platform": "platform", "jobType": "job_type"}
_OURS = {*_LISTS, *_WORDS, "priority"}
_KINDS = ("gridcwl:Placement", JOB, SCHEDULING)
_OF_JOB = {"banned_sites": "banned", "type": "jobType"}
"""Fields of ``dirac:Job`` that are called otherwise here."""
_READ = {*_OURS, "cpu_work"}


def placement_of(tool: Process, evaluate: Callable[[Any], Any], name: str) -> Placement | None:
    """The value of the nearest hint; None if there is none.

    Args:
        tool: with the hints of the steps and workflows around it.
        evaluate: of expressions in the hint's values.
        name: of the job, for people.

    Raises:
        DocumentError: the hint has a field or a value that means nothing.
    """
    for listed in (tool.requirements, tool.hints):
        for kind, hint in hints_in(listed):
            if kind not in _KINDS:
                continue
            if kind != "gridcwl:Placement":  # other runners ignore what they do not know; gridcwl plan lists it
                renamed = {_OF_JOB.get(key, key) if kind == JOB else key: value for key, value in hint.items()}
                hint = {key: value for key, value in renamed.items() if key in _READ}  # noqa: PLW2901
            return _read({key: evaluate(value) for key, value in hint.items()}, kind, _READ, name)
    return None


def _read(values: Mapping[str, Any], kind: str, known: set[str], name: str) -> Placement:
    for field in values.keys() - (_OURS if kind == "gridcwl:Placement" else known):
        raise DocumentError(
            f"{name}: the hint {kind} has no field {field!r}", remedy=f"It has: {', '.join(sorted(_OURS))}."
        )
    fields: dict[str, Any] = {field: _words(values.get(field), kind, field, name) for field in _LISTS}
    for field, ours in _WORDS.items():
        value = values.get(field)
        if value is not None and not isinstance(value, str):
            raise _wrong(kind, field, value, "a word", name)
        fields[ours] = str(value) if value else None
    priority, cpu_work = (_number(values.get(field), kind, field, name) for field in ("priority", "cpu_work"))
    return Placement(**fields, priority=priority, cpu_work=cpu_work)


def _number(value: Any, kind: str, field: str, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _wrong(kind, field, value, "a number", name)
    return None if value is None else int(value)


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


__all__ = ["kind_of", "placement_of"]
