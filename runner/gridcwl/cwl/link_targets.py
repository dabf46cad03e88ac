"""What the parts of a document may be linked to: the names that a misspelt source or input is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple


class Names(NamedTuple):
    """What parts of a document may be linked to, to suggest one."""

    sources: Sequence[str] = ()
    """Inputs of workflows, and STEP/OUTPUT."""
    inputs: Mapping[str, Sequence[str]] = {}
    """The names in ``in`` of each step."""


def names_of(document: object) -> Names:
    """All that parts of a document, as it is written, may be linked to."""
    found: list[str] = []
    inputs: dict[str, list[str]] = {}
    for workflow in _workflows(document):
        found += _names(workflow.get("inputs"))
        for name, step in _named(workflow.get("steps")):
            if not isinstance(step, dict):
                continue
            out = step.get("out")
            outs = [one.get("id") if isinstance(one, dict) else one for one in out] if isinstance(out, list) else []
            found += [f"{name}/{_short(one)}" for one in outs if one]
            inputs.setdefault(name, []).extend(_names(step.get("in")))
    return Names(list(dict.fromkeys(found)), inputs)


def _workflows(document: object) -> Iterator[dict[str, object]]:
    if isinstance(document, dict):
        if document.get("class") == "Workflow":
            yield document
        for part in document.values():
            yield from _workflows(part)
    elif isinstance(document, list):
        for part in document:
            yield from _workflows(part)


def _named(value: object) -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        return [(_short(name), part) for name, part in value.items()]
    if isinstance(value, list):
        return [(_short(one["id"]), one) for one in value if isinstance(one, dict) and "id" in one]
    return []


def _names(value: object) -> list[str]:
    return [name for name, _ in _named(value)]


def _short(name: object) -> str:
    return str(name).rpartition("#")[2].rpartition("/")[2]
