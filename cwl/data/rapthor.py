#!/usr/bin/env python3
"""rapthor's own CWL, as published: its wheel from PyPI, checked and unpacked into a cache.

    cwl/data/rapthor.py      prints the folder that has ddecal_solve.cwl and the other steps

Licence: GPL 3 (ASTRON). Nothing of it is in this repository, and nothing of it is changed.
"""

import sys
from pathlib import Path

from pypi import Archive, FetchError, print_folder

ARCHIVE = Archive(
    "rapthor",
    "2.1.post1",
    "rapthor-2.1.post1-py3-none-any.whl",
    "d6f9f37636632cc2a03cb5acacec69a731f090f731510e3e7dcd7767834aab69",
)
_STEPS = ("rapthor", "pipeline", "steps")


def steps(cache: Path | None = None) -> Path:
    """The folder of the steps, fetched if missing."""
    return ARCHIVE.unpacked(cache).joinpath(*_STEPS)


__all__ = ["FetchError", "steps"]

if __name__ == "__main__":
    sys.exit(print_folder(ARCHIVE, *_STEPS))
