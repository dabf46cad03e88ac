"""What a patch records of the upstream code that it replaces or relies on."""

from __future__ import annotations

from typing import NamedTuple


class Upstream(NamedTuple):
    """One function, class or variable of cwltool, schema-salad or cwl-utils; a test compares it with what is there."""

    url: str
    """Its first line at the pinned version."""
    name: str
    """``function``, ``Class.method``, ``VARIABLE``, or an imported name."""
    sha256: str
    """The first 16 digits for its source."""
