"""A parametric description taken apart, for those who take one job at a time. Pure; reads what ``jdl`` writes."""

from __future__ import annotations

import re

_COUNT = re.compile(r"^Parameters = (\d+);$", re.MULTILINE)
_START = re.compile(r"^ParameterStart = (\d+);$", re.MULTILINE)
_WORDS = re.compile(r"^Parameters = \{(.*)\};$", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]*)"')
_GONE = re.compile(r"^Parameter(s|Start|Step) = .*\n", re.MULTILINE)


def singles(text: str) -> list[str]:
    """The descriptions that DIRAC's server makes of a parametric one, in its order."""
    if (counted := _COUNT.search(text)) is not None:
        start = _START.search(text)
        first = int(start[1]) if start else 0
        words = [str(first + place) for place in range(int(counted[1]))]
    elif (listed := _WORDS.search(text)) is not None:
        words = _QUOTED.findall(listed[1])
    else:
        return [text]
    common = _GONE.sub("", text)
    return [common.replace("%s", word) for word in words]


def value(text: str, name: str) -> str | None:
    """What a description says of a name, without quotation marks; None if it says nothing."""
    found = re.search(rf'^{re.escape(name)} = "?(.*?)"?;$', text, re.MULTILINE)
    return found[1] if found else None


def values(text: str, name: str) -> list[str]:
    """The words of a list."""
    return _QUOTED.findall(value(text, name) or "")


def with_list(text: str, name: str, words: list[str]) -> str:
    """The description with another list in place of the one that it has."""
    listed = ", ".join(f'"{word}"' for word in words)
    written = f"{name} = {{{listed}}};"
    return re.sub(rf"^{re.escape(name)} = .*;$", lambda _: written, text, count=1, flags=re.MULTILINE)
