"""A parametric description taken apart, for those who take one job at a time. Pure; reads what ``jdl`` writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gridcwl.model.chunks import chunks

_COUNT = re.compile(r"^Parameters = (\d+);$", re.MULTILINE)
_START = re.compile(r"^ParameterStart = (\d+);$", re.MULTILINE)
_WORDS = re.compile(r"^Parameters = \{(.*)\};$", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]*)"')
_GONE = re.compile(r"^Parameter(s|Start|Step) = .*\n", re.MULTILINE)


def singles(text: str) -> list[str]:
    """The descriptions that DIRAC's server makes of a parametric one, in its order."""
    words = _words(text)
    if words is None:
        return [text]
    common = _GONE.sub("", text)
    return [common.replace("%s", word) for word in words]


def cut(text: str, size: int) -> list[str]:
    """A parametric description as several of at most so many jobs each, in the same order."""
    words = _words(text)
    if words is None or len(words) <= size:
        return [text]
    common = _GONE.sub("", text)
    return [common.removesuffix("]") + f"Parameters = {{{_listed(part)}}};\n]" for part in chunks(words, size)]


def value(text: str, name: str) -> str | None:
    """What a description says of a name, without quotation marks; None if it says nothing."""
    found = re.search(rf'^{re.escape(name)} = "?(.*?)"?;$', text, re.MULTILINE)
    return found[1] if found else None


def values(text: str, name: str) -> list[str]:
    """The words of a list."""
    return _QUOTED.findall(value(text, name) or "")


def with_list(text: str, name: str, words: list[str]) -> str:
    """The description with another list in place of the one that it has."""
    written = f"{name} = {{{_listed(words)}}};"
    return re.sub(rf"^{re.escape(name)} = .*;$", lambda _: written, text, count=1, flags=re.MULTILINE)


def _words(text: str) -> list[str] | None:
    """The parameters, one for each job; None if there are none."""
    if (counted := _COUNT.search(text)) is not None:
        start = _START.search(text)
        first = int(start[1]) if start else 0
        return [str(first + place) for place in range(int(counted[1]))]
    listed = _WORDS.search(text)
    return None if listed is None else _QUOTED.findall(listed[1])


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
