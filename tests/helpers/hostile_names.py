"""Names that tools, nodes and servers may send: what must never become a file outside a folder."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("GRIDCWL_HOSTILE_EXAMPLES", "0"))
"""Examples for each property; 0 is as many as ``make test`` has time for."""


def examples(number: int) -> settings:
    """The same examples every time, unless more are asked for; no time limit, for machines are busy."""
    return settings(max_examples=EXAMPLES or number, derandomize=not EXAMPLES, deadline=None, database=None)


CLIMBING = ["..", ".", "a/../../b", "../victim", "/abs", "a//b", "a\0b", "", "x" * 256, "\ud800"]
"""Base names that no file may get."""

ATOMS = [
    "..",
    ".",
    "",
    "/",
    "//",
    "\0",
    "a",
    "b.txt",
    "é",
    "\udcff",
    "\ud800",
    "\n",
    "\x1b]52;c;eA==\x07",
    "%2e%2e",
    "%2f",
]
names = st.lists(st.sampled_from(ATOMS) | st.text(max_size=4), max_size=6).map("".join)
"""Base names, most of them hostile."""
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
"""Relative paths, most of them hostile."""
