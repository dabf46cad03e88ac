"""Waiting for a condition, never for a time; and looks at what others change meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

_PATIENCE_S = 120

Value = TypeVar("Value")


def until(ask: Callable[[], Value], *, pause_s: float = 0.01, patience_s: float = _PATIENCE_S) -> Value:
    """Ask until the answer is something; returns it.

    What a process shows of itself in ``/proc`` is empty for a moment while it becomes another program (``exec``).
    """
    patience = time.monotonic() + patience_s
    while not (answer := ask()):
        assert time.monotonic() < patience, "it never came to that"
        time.sleep(pause_s)
    return answer


def has_ended(pid: int) -> bool:
    """Whether a process is no more. One that nobody has waited for yet (a zombie) has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def files_below(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Files whose names match, in a folder that others change: what vanishes meanwhile is left out.

    ``Path.rglob`` fails at a folder that is removed between two looks.
    """
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names if fnmatch(name, pattern))
