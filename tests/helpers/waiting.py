"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_PATIENCE_S = 120

Value = TypeVar("Value")


def until(ask: Callable[[], Value]) -> Value:
    """Ask until the answer is something; returns it.

    What a process shows of itself in ``/proc`` is empty for a moment while it becomes another program (``exec``).
    """
    patience = time.monotonic() + _PATIENCE_S
    while not (answer := ask()):
        assert time.monotonic() < patience, "it never came to that"
        time.sleep(0.01)
    return answer
