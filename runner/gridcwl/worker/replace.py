"""Replacing the paths that a tool was promised by the real ones, and back, in texts of any kind. Pure functions."""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Mapping, Match, Pattern, Tuple

_NAME = re.compile(r"[\w.+~-]")
_LOOK_BACK = 300  # bytes; a file name has at most 255


class Prefixes:
    """Replaces path prefixes, all in one pass, so that what was put in is not replaced again.

    A prefix counts where a path begins and where it ends at a name's boundary: of ``/gridcwl/out``,
    ``--to=/gridcwl/out/x`` and ``-I/gridcwl/out:/usr`` are replaced, ``/gridcwl/out2`` and ``/home/me/gridcwl/out``
    are not.
    """

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        self._new = dict(prefixes)
        self._pattern = _pattern(tuple(self._new))

    def __call__(self, text: str) -> str:
        """The text with its prefixes replaced."""
        if "/" not in text:
            return text
        return self._pattern.sub(self._one, text)

    def _one(self, match: Match[str]) -> str:
        old = match.group()
        return self._new[old] if _begins_here(match.string, match.start()) else old


@functools.lru_cache(maxsize=64)
def _pattern(prefixes: Tuple[str, ...]) -> Pattern[str]:
    longest_first = sorted(prefixes, key=len, reverse=True)
    return re.compile("(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w.+~-])")


def _begins_here(text: str, start: int) -> bool:
    """Whether a path that is found at ``start`` begins there, and is not the end of a longer one."""
    first = start
    while first > 0 and start - first < _LOOK_BACK and _NAME.match(text, first - 1):
        first -= 1
    before = text[first:start]
    if not before:
        return True
    if first > 0 and text[first - 1] == "\\":
        return len(before) == 1  # "\n/gridcwl/out" inside a program's text
    if first > 0 and text[first - 1] == "/":
        return False
    return before.startswith("-")  # an option and its value in one word: -I/gridcwl/out


def in_json(text: str, replace: Prefixes) -> str:
    """The JSON text with its strings replaced, whatever way they were escaped; text that is no JSON stays as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return json.dumps(_in_value(value, replace))


def _in_value(value: Any, replace: Prefixes) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_in_value(item, replace) for item in value]
    if isinstance(value, dict):
        return {key: _in_value(item, replace) for key, item in value.items()}
    return value
