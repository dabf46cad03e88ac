"""How much is read of what comes from outside, in one place. Above a limit there is a clear error, never a cut."""

from __future__ import annotations

from gridcwl.errors import LimitExceeded
from gridcwl.worker.limits import CONTENTS_BYTES, MIB, OUTPUT_OBJECT_BYTES, RESULT_BYTES, RESULT_FILES

GIB = 1 << 30

# What comes back from a worker node
SANDBOX_BYTES = 512 * MIB
"""An output sandbox as it is transferred."""
ARCHIVE_BYTES = 2 * GIB
"""What is unpacked of one results archive, in total."""
ARCHIVE_MEMBER_BYTES = 1 * GIB
"""What is unpacked of one of its members."""
ARCHIVE_MEMBERS = 200_000
"""Members of one results archive."""
LOG_BYTES = 16 * MIB
"""One log that comes back in a results archive."""
REPORT_BYTES = 1 * MIB
"""What the report line of a worker unpacks to, in total."""

# A job's result
JSON_DEPTH = 256
"""How deep lists and objects may be nested in JSON from outside."""

# What a tool says of its outputs
LITERAL_BYTES = 64 * MIB
"""``contents`` of a File literal that an output object or an expression makes."""
LISTING_ENTRIES = 1_000_000
"""Entries of all listings in one output object."""
LISTING_DEPTH = 128
"""How deep listings may be nested."""


__all__ = ["CONTENTS_BYTES", "OUTPUT_OBJECT_BYTES", "RESULT_BYTES", "RESULT_FILES", "check"]


def check(size: int, limit: int, what: str, unit: str = "bytes") -> None:
    """Refuse what is above a limit.

    Raises:
        LimitExceeded: it is.
    """
    if size > limit:
        raise LimitExceeded(what, limit, unit)
