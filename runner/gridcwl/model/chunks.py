"""Long sequences in parts, for servers that take so many at a time. ``itertools.batched`` is of Python 3.12."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in their order, at most ``size`` at a time; nothing of none."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
