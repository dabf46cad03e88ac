"""``gridcwl report``: a page, a table or JSON of what a run did, requested and used."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from gridcwl import plugins
from gridcwl.cli.run_list import chosen

_FORMATS = ("html", "tsv", "json")


def add_report(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "-o", "--output", metavar="FILE",
        help="file to write (default: report-RUN.html; stdout for tsv and json); - is stdout",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=_FORMATS,
        help="html: one page; tsv: one row for each job; json: everything (default: by the name of FILE, else html)",
    )  # fmt: skip
    parser.add_argument(
        "--no-replicas",
        dest="replicas",
        action="store_false",
        help=f"do not query {plugins.stores_with('replicas')} for replicas",
    )


def report(given: argparse.Namespace) -> int:
    """Write it."""
    from gridcwl.runs.report import report_of, report_with_replicas

    folder = chosen(given.state_dir, given.run)
    ending = Path(given.output or "").suffix[1:]
    form = given.format or (ending if ending in _FORMATS else "html")
    made = asyncio.run(report_with_replicas(folder)) if given.replicas else report_of(folder)
    output = given.output or (f"report-{folder.run}.html" if form == "html" else "-")
    if output == "-":
        sys.stdout.writelines(made.parts(form))
        sys.stdout.flush()
        return 0
    made.save(output, form)  # type: ignore[arg-type]
    print(f"gridcwl: report of {folder.run} written to {output}", file=sys.stderr)
    return 0
