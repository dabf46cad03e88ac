#!/usr/bin/env python3
"""A FITS file with a notice in the header of each of its parts, for products that must not be taken for what they are
not.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from astropy.io import fits


def label(source: Path, target: Path, notice: str) -> None:
    """Copy a FITS file; every part gets the notice as a COMMENT, where there is one."""
    with fits.open(source) as parts:
        for part in parts:
            if notice:
                part.header.add_comment(notice)
        parts.writeto(target, overwrite=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Label one file."""
    parser = argparse.ArgumentParser(prog="irf-label", description="Copy a FITS file, with a notice in its headers.")
    parser.add_argument("irf", type=Path, help="FITS file, plain or gzip")
    parser.add_argument("--notice", default="", help="what it has to say; nothing is added when empty")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (Astropy {version('astropy')})")
    given = parser.parse_args(argv)
    try:
        label(given.irf, given.output, given.notice)
    except (OSError, ValueError) as error:
        print(f"irf-label: {given.irf.name} cannot be labelled: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
