"""JSON text of large values in pieces: of a hundred thousand Files the whole text needs more memory than the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from gridcwl.model.chunks import chunks

PIECE_CHARACTERS = 1 << 18
_ITEMS = 250
"""Of a list, how many are encoded together."""


def in_pieces(value: Any) -> Iterator[str]:
    """JSON, in one piece if it is small."""
    gathered: list[str] = []
    size = 0
    for part in _parts(value):
        gathered.append(part)
        size += len(part)
        if size > PIECE_CHARACTERS:
            yield "".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered)


def _parts(value: Any) -> Iterator[str]:
    """Its text, in parts that the quick encoder makes, each of some items of a list."""
    if isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
        for number, (name, part) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{json.dumps(name)}: "
            yield from _parts(part)
        yield "}"
    elif isinstance(value, list) and value and isinstance(value[0], list):
        for number, part in enumerate(value):
            yield ", " if number else "["
            yield from _parts(part)
        yield "]"
    elif isinstance(value, list) and len(value) > _ITEMS:
        for number, part in enumerate(chunks(value, _ITEMS)):
            yield (", " if number else "[") + json.dumps(part, default=_number)[1:-1]
        yield "]"
    else:
        yield json.dumps(value, default=_number)


def _number(value: Any) -> Any:
    """What json does not know: the numbers that ruamel keeps as they were written."""
    return float(value) if hasattr(value, "__float__") else str(value)


def sorted_text(inputs: Any) -> Iterator[str]:
    """JSON as ``json.dumps`` writes it, of a long array some items at a time."""
    write = partial(json.dumps, default=str, sort_keys=True)
    if not isinstance(inputs, dict) or not all(isinstance(name, str) for name in inputs):
        yield write(inputs)
        return
    yield "{"
    for number, (name, value) in enumerate(sorted(inputs.items(), key=lambda item: item[0])):
        yield f"{', ' if number else ''}{write(name)}: "
        if not isinstance(value, list) or not value:
            yield write(value)
            continue
        for start, part in enumerate(chunks(value, _ITEMS)):
            yield (", " if start else "[") + write(part)[1:-1]
        yield "]"
    yield "}"
