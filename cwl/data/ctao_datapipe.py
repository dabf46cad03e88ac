#!/usr/bin/env python3
"""CTAO's own CWL, as published: the source archive of ctao-datapipe from PyPI, checked and unpacked into a cache.

    cwl/data/ctao_datapipe.py      prints the folder that has workflow_dl0_to_dl2.cwl and the others

Licence: BSD 3-clause (CTAO). Nothing of it is in this repository, and nothing of it is changed.
"""

import sys
from pathlib import Path

from pypi import Archive, FetchError, print_folder

ARCHIVE = Archive(
    "ctao-datapipe",
    "0.5.0",
    "ctao_datapipe-0.5.0.tar.gz",
    "75b0d44653a33e72bed20addd321b4a48a70ce16e2662a531100cb7bb9afeb9b",
)


def workflows(cache: Path | None = None) -> Path:
    """The folder of the workflows, fetched if missing."""
    return ARCHIVE.unpacked(cache) / "workflows"


__all__ = ["FetchError", "workflows"]

if __name__ == "__main__":
    sys.exit(print_folder(ARCHIVE, "workflows"))
