"""Shell patterns as CWL means them, glob(7): one part of a path at a time, and a leading dot must be asked for."""

from __future__ import annotations

import functools
import re
from typing import List, NamedTuple, Optional, Pattern

from gridcwl.worker.paths import climbs

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class GlobPart(NamedTuple):
    """What one part of a path has to be."""

    literal: str
    """The name itself, where ``pattern`` is None."""
    pattern: Optional[Pattern[str]] = None
    hidden: bool = False
    """The pattern asks for a leading dot."""

    def matches(self, name: str) -> bool:
        """Whether a name is one that the pattern means."""
        if self.pattern is None:
            return name == self.literal
        return (self.hidden or not name.startswith(".")) and self.pattern.fullmatch(name) is not None


class Glob(NamedTuple):
    """A pattern, relative to the output directory."""

    parts: List[GlobPart]
    """Empty for the output directory itself."""
    only_directories: bool


class BadGlob(ValueError):
    """The pattern leads out of the output directory."""


@functools.lru_cache(maxsize=256)
def parse(pattern: str, seen_out: str) -> Glob:
    """Read a pattern. ``seen_out`` is what the tool calls its output directory, for patterns that name it in full.

    Raises:
        BadGlob: it leads out of the output directory.
    """
    relative = pattern
    if pattern == seen_out or pattern.startswith(seen_out + "/"):
        relative = pattern[len(seen_out) + 1 :]
    names = [name for name in relative.split("/") if name not in ("", ".")]
    if climbs(relative):
        raise BadGlob(f"The output pattern {pattern} leads out of the output directory.")
    return Glob([_part(name) for name in names], only_directories=relative.endswith("/"))


def _part(name: str) -> GlobPart:
    if not any(special in name for special in "*?[\\"):
        return GlobPart(name)
    return GlobPart("", re.compile(_regular(name), re.DOTALL), hidden=name.startswith((".", "\\.")))


def _regular(name: str) -> str:
    out: List[str] = []
    at = 0
    while at < len(name):
        char = name[at]
        at += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "\\" and at < len(name):
            out.append(re.escape(name[at]))
            at += 1
        elif char == "[" and (end := _end_of_set(name, at)) is not None:
            out.append(_set(name[at:end]))
            at = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def _end_of_set(name: str, start: int) -> Optional[int]:
    """Where the bracket closes that opened before ``start``; None if it never does and so means itself."""
    at = start + 1 if name[start : start + 1] in ("!", "^") else start
    at = at + 1 if name[at : at + 1] == "]" else at
    while at < len(name) and name[at] != "]":
        inner = name.find(":]", at + 2) if name.startswith("[:", at) else -1
        at = at + 1 if inner < 0 else inner + 2
    return at if at < len(name) else None


def _set(body: str) -> str:
    negated = body[:1] in ("!", "^")
    body = body[1:] if negated else body
    named = re.split(r"\[:(\w+):\]", body)
    inner = "".join(_CLASSES.get(text, "") if odd % 2 else _members(text) for odd, text in enumerate(named))
    if not inner:
        return r"[^\s\S]" if not negated else "."
    return f"[{'^' if negated else ''}{inner}]"


def _members(text: str) -> str:
    # A range that runs backwards means nothing in a shell, and is an error in a regular expression.
    text = re.sub(r"(.)-(.)", lambda range_: range_.group() if range_.group(1) <= range_.group(2) else "", text)
    return re.sub(r"([\\\[\]^&~|])", r"\\\1", text)
