"""Parts of a document that have the same name, where one would hide the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cwltool.process import shortname
from cwltool.utils import aslist

from gridcwl.cwl.schema_errors import Mistake
from gridcwl.cwl.sources import place

_WALKED_ELSEWHERE = frozenset(("run", "default", "doc", "label", "hints", "out"))
"""Processes of their own, what holds no names, and outputs of a step, which may be called as its inputs are."""


def same_names(document: Any) -> Iterator[Mistake]:
    """Inputs, outputs, steps, inputs of one step, and fields of one record that have the same name."""
    for section, what in (("inputs", "inputs"), ("outputs", "outputs"), ("steps", "steps")):
        yield from _twice(document.get(section), "id", what)
    for step in document.get("steps") or ():
        yield from _twice(step.get("in"), "id", f"inputs of the step {shortname(step['id'])}")
    for section in ("inputs", "outputs"):
        for parameter in _mappings(document.get(section)):
            yield from _in_type(parameter.get("type"), f"of '{shortname(str(parameter.get('id', '')))}'")
    for section in ("requirements", "hints"):
        for requirement in _mappings(document.get(section)):
            if requirement.get("class") == "SchemaDefRequirement":
                for kind in _mappings(requirement.get("types")):
                    yield from _in_type(kind, f"of the type {shortname(str(kind.get('name', '')))}")


def same_processes(written: Any) -> Iterator[Mistake]:
    """Processes of a ``$graph`` that have the same id; of any other document nothing.

    Args:
        written: a document's file as it was read, or resolved.
    """
    if isinstance(written, dict):
        yield from _twice(written.get("$graph"), "id", "processes")


def shared_names(document: Any) -> Iterator[str]:
    """What has the name of a part of another kind, an output that of an input, with both places; it is seldom meant."""
    met: dict[str, tuple[Any, str]] = {}
    for name, part, key in _all_names(document):
        first = met.setdefault(name, (part, key))
        here, there = place(part, key), place(*first)
        if here != there:
            yield (
                f"{here} the name '{shortname(name)}' is used a second time{_before(here, there)}. "
                "Rename one of them: the names in a document have to differ."
            ).lstrip()


def _in_type(kind: Any, whose: str) -> Iterator[Mistake]:
    for one in aslist(kind or []):
        if isinstance(one, dict):
            yield from _twice(one.get("fields"), "name", f"fields {whose}")
            for field in _mappings(one.get("fields")):
                yield from _in_type(field.get("type"), f"of '{shortname(str(field.get('name', '')))}'")
            for inner in ("items", "type"):
                if isinstance(one.get(inner), dict | list):
                    yield from _in_type(one[inner], whose)


def _twice(parts: Any, key: str, what: str) -> Iterator[Mistake]:
    met: dict[str, Any] = {}
    for part in _mappings(parts):
        name = part.get(key)
        if not isinstance(name, str):
            continue
        bare = name.rpartition("#")[2]
        if bare in met:
            at = place(part, key)
            before = _before(at, place(met[bare], key))
            yield Mistake(at, f"there are two {what} with the name '{shortname(bare)}'{before}", "Rename one of them.")
        met.setdefault(bare, part)


def _before(here: str, first: str) -> str:
    """Where the first of two is, in words."""
    parts = first.rsplit(":", 3)
    if len(parts) != 4:
        return ""
    return f", the first time in line {parts[1]}{'' if here.startswith(f'{parts[0]}:') else f' of {parts[0]}'}"


def _mappings(parts: Any) -> Iterable[Any]:
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _all_names(part: Any) -> Iterator[tuple[str, Any, str]]:
    """The names of a process and of all that is in it, as schema-salad sees them: the ``id``, or else the ``name``."""
    if isinstance(part, list):
        for item in part:
            yield from _all_names(item)
    elif isinstance(part, dict):
        key = next((key for key in ("id", "name") if isinstance(part.get(key), str)), None)
        if key is not None and "#" in part[key]:
            yield part[key], part, key
        for field, value in part.items():
            if field not in _WALKED_ELSEWHERE and ":" not in str(field) and isinstance(value, dict | list):
                yield from _all_names(value)
