"""The commands for documents: ``gridcwl lint``."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to a parser, by the function that makes one of them."""
    lint = command("lint", _lint, "find what is valid CWL and causes trouble elsewhere", run=False, json=False)
    lint.add_argument("documents", nargs="+", metavar="DOCUMENT", help="CWL file, or FILE#process")
    lint.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="(default: text)")
    lint.add_argument("--select", action="append", default=[], metavar="CODES", help="only these: GC101,GC2")
    lint.add_argument("--ignore", action="append", default=[], metavar="CODES", help="not these: GC102,GC4")


def _lint(given: argparse.Namespace) -> int:
    from gridcwl.cli.lint import lint

    return lint(given)
