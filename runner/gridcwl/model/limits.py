"""How much is read of what comes from outside, in one place. Above a limit there is a clear error, never a cut."""

from __future__ import annotations

import json
from typing import Any

from gridcwl.errors import LimitExceeded
from gridcwl.worker.limits import CONTENTS_BYTES, MIB, OUTPUT_OBJECT_BYTES, RESULT_BYTES, RESULT_FILES

KIB = 1 << 10

# What comes back from a worker node: DIRAC's sandboxes hold 10 MiB, unless configured otherwise
SANDBOX_BYTES = 64 * MIB
"""An output sandbox as it is transferred."""
ARCHIVE_BYTES = 256 * MIB
"""What one results archive, or one sandbox, unpacks to in total."""
ARCHIVE_MEMBER_BYTES = 128 * MIB
"""What one of its members unpacks to."""
ARCHIVE_MEMBERS = 100_000
"""Members of one results archive."""
LOG_BYTES = 16 * MIB
"""One log that comes back in a results archive."""
REPORT_TEXT = 256 * KIB
"""The report line of a worker, with what DIRAC keeps around it."""
REPORT_BYTES = 16 * MIB
"""What a report line unpacks to in total."""

# A job's result
JSON_VALUES = 8_000_000
"""Values in one JSON text."""
JSON_DEPTH = 128
"""How deep lists and objects may be nested in JSON from outside."""

TEXT_CHARACTERS = 64 * KIB
"""A reason, or the last lines of a log, in a job's result."""

# What a person gives
TEXT_BYTES = 256 * MIB
"""A document, a file that it includes or imports, an ontology, an input object."""

# What a server says
ANSWER_BYTES = 256 * MIB
"""One answer of DiracX."""
METADATA_BYTES = 16 * MIB
"""Metadata of one dataset, and an entry of a cache."""

# What a tool says of its outputs
LITERAL_BYTES = 64 * MIB
"""``contents`` of a File literal that an output object or an expression makes."""
LISTING_ENTRIES = 1_000_000
"""Entries of all listings in one output object."""
LISTING_DEPTH = 64
"""How deep listings and secondary files may be nested."""

_SMALL = 64 * KIB
"""Bytes of a JSON text that cannot hold many values."""


__all__ = ["CONTENTS_BYTES", "MIB", "OUTPUT_OBJECT_BYTES", "RESULT_BYTES", "RESULT_FILES", "check", "read_json"]


def check(size: int, limit: int, what: str, unit: str = "bytes") -> None:
    """Refuse what is above a limit.

    Raises:
        LimitExceeded: it is.
    """
    if size > limit:
        raise LimitExceeded(what, limit, unit)


def read_json(text: str | bytes, limit: int, what: str, depth: int = JSON_DEPTH) -> Any:
    """The value of a JSON text from outside, in bounded memory.

    Args:
        text: not trusted.
        limit: bytes or characters that it may have.
        what: the text's role, the beginning of the error's sentence: "The result of job 7".
        depth: how deep lists and objects may be nested.

    Raises:
        LimitExceeded: it is too long, has too many values, or is nested too deeply.
        ValueError: it is not JSON; NotJSON for what only Python reads.
    """
    check(len(text), limit, what)
    marks: tuple[Any, ...] = (b",", b"[", b"{") if isinstance(text, bytes) else (",", "[", "{")
    if len(text) > _SMALL:
        check(sum(map(text.count, marks)), JSON_VALUES, what, "values")
    try:
        value = _DECODER.decode(text if isinstance(text, str) else _text(text))
    except RecursionError:
        raise LimitExceeded(what, depth, "levels of nested lists and objects") from None
    if text.count(marks[1]) + text.count(marks[2]) > depth and _is_deeper(value, depth):
        raise LimitExceeded(what, depth, "levels of nested lists and objects")
    return value


class NotJSON(ValueError):
    """A text has what Python's JSON has and the standard has not."""


def _refused(constant: str) -> Any:
    raise NotJSON(f"contains {constant}, which JSON does not have")


_DECODER = json.JSONDecoder(parse_constant=_refused)
"""As ``json.loads`` makes one for every text that it reads."""


def _text(encoded: bytes) -> str:
    return encoded.decode(json.detect_encoding(encoded), "surrogatepass")


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)
