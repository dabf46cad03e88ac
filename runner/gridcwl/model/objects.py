"""Files and Directories in an input or output object: the one walk over them, and the one way to change them."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

Entry = dict[str, Any]
"""A File or Directory as CWL has it."""

_CLASSES = ("File", "Directory")
_CONTAINERS = (dict, list)
_TEXTS = ("location", "contents")
_NAMES = ("class", "location", "path", "basename", "dirname", "nameroot", "nameext")
_FIELDS = frozenset((*_NAMES, "checksum", "size", "format", "contents", "secondaryFiles", "listing"))
_OFTEN = frozenset(("class", "nameext", "format"))
"""Fields that tend to have the same value in many Files."""


def entries(value: Any, *kinds: str, into: Callable[[Entry], bool] | None = None) -> Iterator[Entry]:
    """Every File and Directory, the outer before those in it: secondary files, and what is in a listing.

    What is put into one while it is visited is visited, too.

    Args:
        value: an object, or any part of one.
        kinds: ``File`` or ``Directory`` for these only.
        into: whether what is in a File or Directory is visited, too; None visits all.
    """
    classes = kinds or _CLASSES
    waiting = [value]  # a stack, not a recursion: this is called many times for each job
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(item for item in reversed(value) if isinstance(item, _CONTAINERS))
        elif isinstance(value, dict):
            kind = value.get("class")
            if kind in classes:
                yield value
            if into is not None and kind in _CLASSES and not into(value):
                continue
            inner = [item for key, item in value.items() if isinstance(item, _CONTAINERS) and key not in _TEXTS]
            waiting.extend(reversed(inner))


def base_name_of(entry: Mapping[str, Any]) -> str:
    """The base name of a File or Directory: its own, or else the last part of its location."""
    return str(entry.get("basename") or unquote(posixpath.basename(urlsplit(str(entry["location"])).path.rstrip("/"))))


def outermost(value: Any) -> Iterator[Entry]:
    """Every File and Directory that is in no other."""
    if isinstance(value, list):
        for item in value:
            yield from outermost(item)
    elif isinstance(value, dict):
        if value.get("class") in _CLASSES:
            yield value
        else:
            for item in value.values():
                yield from outermost(item)


def changed(value: Any, change: Callable[[Entry], Any]) -> Any:
    """A copy with every File and Directory replaced, the inner ones first.

    Args:
        value: an object, or any part of one; stays as it is.
        change: gives what replaces a copy that it may change, or None to keep that copy.
    """
    if isinstance(value, list):
        return [changed(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: changed(item, change) if isinstance(item, _CONTAINERS) else item for key, item in value.items()}
    if made.get("class") not in _CLASSES:
        return made
    replaced = change(made)
    return made if replaced is None else replaced


def lean(entry: Entry) -> Entry:
    """The same File or Directory, in half of the memory: those with the same fields share their keys (PEP 412)."""
    if not entry.keys() <= _FIELDS:
        return entry
    holder: Any = _shape(tuple(entry))()
    for key, item in entry.items():
        setattr(holder, key, sys.intern(item) if key in _OFTEN and type(item) is str else item)
    made: Entry = holder.__dict__
    return made


def make_lean(value: Any, prepare: Callable[[Entry], Any] | None = None) -> Any:
    """Make every File and Directory in a value so, in place.

    Args:
        value: an object, or any part of one.
        prepare: changes each of them before, the inner ones first: fields that it adds take no more memory in between.

    Returns:
        What stands for the value.
    """
    if isinstance(value, list):
        for number, item in enumerate(value):
            if isinstance(item, _CONTAINERS):
                value[number] = make_lean(item, prepare)
        return value
    if type(value) is not dict:
        return value
    for key, item in value.items():
        if isinstance(item, _CONTAINERS):
            value[key] = make_lean(item, prepare)
    if value.get("class") not in _CLASSES:
        return value
    if prepare is not None:
        prepare(value)
    return lean(value)


@lru_cache(maxsize=256)
def _shape(_keys: tuple[str, ...]) -> type:
    """A class whose instances have these attributes, set in this order."""
    return type("Shape", (), {})
