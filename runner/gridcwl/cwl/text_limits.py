"""Limits of YAML and JSON texts, checked before they are parsed: nesting, and what aliases multiply.

A few lines can stand for a structure that no machine holds (aliases of aliases), or take a parser for ever (brackets
in brackets). Where the limits are passed, the error names the file and the line.
"""

from __future__ import annotations

import re
from typing import Any

from gridcwl.cwl.sources import shown_path
from gridcwl.errors import DocumentError

MOST_LEVELS = 256
MOST_COPIES = 100_000
"""Values that aliases may add to those that are written."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'|(?<![^\s])#[^\n]*|[\[\]{}]')
_BRACKET = re.compile(r"[\[\]{}]")
_MOST_WITH_STRINGS = 20 * MOST_LEVELS
"""Where strings are counted, too: what looks like one may be none."""
_DASHES = re.compile(rf"(?:[-?:][ \t]+){{{MOST_LEVELS},}}")
_ALIAS = re.compile(r"(?:^|[\s\[\]{},:-])\*[^\s\[\]{},]", re.M)


def check_text(text: str, name: str) -> None:
    """See that a text can be parsed in time and memory.

    Args:
        text: YAML or JSON.
        name: of the file, for errors.

    Raises:
        DocumentError: it is nested too deeply, or its aliases stand for too much.
    """
    if text.count("[") + text.count("{") > MOST_LEVELS or _DASHES.search(text):
        at = too_deep_at(text)
        if at is not None:
            raise too_deep(text, at, name)
    if "*" in text and _ALIAS.search(text):
        _check_aliases(text, name)


def too_deep(text: str, at: int, name: str) -> DocumentError:
    """The error of a text that is nested too deeply at this position."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return DocumentError(f"{_shown(name)}:{line}:{column}: it is nested more than {MOST_LEVELS} levels deep")


def _shown(name: str) -> str:
    return shown_path(name)


def too_deep_at(text: str) -> int | None:
    """Where brackets, or dashes of one line, open more levels than are allowed; None if they do not."""
    dashes = _DASHES.search(text)
    if dashes:
        return dashes.start()
    return _level_passed(_TOKEN, text, MOST_LEVELS) or _level_passed(_BRACKET, text, _MOST_WITH_STRINGS)


def _level_passed(token: re.Pattern[str], text: str, most: int) -> int | None:
    level = 0
    for found in token.finditer(text):
        sign = found[0]
        if sign in ("[", "{"):
            level += 1
            if level > most:
                return found.start()
        elif sign in ("]", "}"):
            level = max(level - 1, 0)
    return None


def _check_aliases(text: str, name: str) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        _count(YAML(typ="safe").parse(text), name)
    except YAMLError:
        return  # it is parsed again, and its mistake is reported then


def _count(events: Any, name: str) -> None:
    sizes: dict[str, int] = {}
    opened: list[list[Any]] = []
    """Anchor and size so far of each collection around the event."""
    copies = 0
    for event in events:
        kind = type(event).__name__
        size = 0
        if kind == "AliasEvent":
            size = sizes.get(event.anchor, 1)
            copies += size
            if copies > MOST_COPIES:
                where = f"{_shown(name)}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
                raise DocumentError(f"{where}: its aliases stand for more than {MOST_COPIES} values")
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            opened.append([event.anchor, 1])
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, size = opened.pop()
            if anchor:
                sizes[anchor] = size
        elif kind == "ScalarEvent":
            size = 1
            if event.anchor:
                sizes[event.anchor] = 1
        if opened:
            opened[-1][1] += size
