"""The commands for provenance: ``gridcwl export``, ``verify``, ``lineage`` and ``rerun``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate import Written

_MIB = 1 << 20


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to a parser, by the function that makes one of them."""
    export = command("export", _export, "write a run as a Provenance Run Crate, a kind of RO-Crate", json=False)
    export.add_argument("crate", metavar="CRATE", help="new folder, or a file that ends with .zip")
    add_crate_options(export)


def add_crate_options(parser: argparse._ActionsContainer) -> None:
    """The options that say how a crate is written."""
    parser.add_argument(
        "--data", choices=("embed", "reference"),
        help="copy all data, or refer to all (default: copy files of this machine, refer to those in Rucio)",
    )  # fmt: skip
    parser.add_argument(
        "--data-limit", type=_mebibytes, metavar="MIB", help="refer to files that are larger (default: 100 MiB)"
    )
    parser.add_argument("--license", metavar="URL", help="license of the crate")
    add_person(parser)


def add_person(parser: argparse._ActionsContainer) -> None:
    """The options that say who ran it, as cwltool has them."""
    parser.add_argument("--orcid", metavar="ORCID", help="ORCID of the person who is responsible for the run")
    parser.add_argument("--full-name", metavar="NAME", help="full name of that person")
    for name, what in (("user", "the user's account"), ("host", "the machines")):
        ways = parser.add_mutually_exclusive_group()
        ways.add_argument(
            f"--enable-{name}-provenance", dest=name, action="store_true", default=True, help=argparse.SUPPRESS
        )
        ways.add_argument(
            f"--disable-{name}-provenance", dest=name, action="store_false", help=f"do not name {what} in the crate"
        )


def _mebibytes(text: str) -> int:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return int(number * _MIB)


def _export(given: argparse.Namespace) -> int:
    from gridcwl.cli.run_list import chosen
    from gridcwl.runs.provenance.crate import CrateOptions, write_crate

    folder = chosen(given.state_dir, given.run)
    limit = given.data_limit if given.data_limit is not None else CrateOptions().limit
    options = CrateOptions(
        given.data or "auto", limit, given.orcid or "", given.full_name or "",
        given.license or CrateOptions().license, given.user, given.host,
    )  # fmt: skip
    written = write_crate(folder, Path(given.crate).absolute(), options)
    print_written(written)
    return 0


def print_written(written: Written) -> None:
    """Say on stderr what a crate has."""
    parts = [f"{written.actions} actions", f"{written.embedded} files embedded"]
    if written.referenced:
        parts.append(f"{written.referenced} referenced")
    if written.missing:
        parts.append(f"{written.missing} known by checksum only")
    print(f"gridcwl: wrote {written.path}: {', '.join(parts)}", file=sys.stderr)
