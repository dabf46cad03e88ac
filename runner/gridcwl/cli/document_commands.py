"""The commands for documents and for the command line itself: ``init``, ``lint``, ``completion`` and ``man``."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to a parser, by the function that makes one of them."""
    init = command("init", _init, "make a tool document and its inputs from a command", run=False, json=False)
    init.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command as you would type it")
    init.add_argument("--name", metavar="NAME", help="of the document (default: of the program or script)")
    init.add_argument("--image", metavar="IMAGE", help="container image that the command runs in")
    init.add_argument("--stdout", metavar="FILE", help="name of the file that gets what the command prints")
    init.add_argument(
        "--output", action="append", default=[], metavar="NAME", help="a file, or a pattern, that the command leaves"
    )
    init.add_argument("--workflow", action="store_true", help="a workflow around the tool, too")
    init.add_argument("--force", action="store_true", help="replace files that exist")
    lint = command("lint", _lint, "find what is valid CWL and causes trouble elsewhere", run=False, json=False)
    lint.add_argument("documents", nargs="+", metavar="DOCUMENT", help="CWL file, or FILE#process")
    lint.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="(default: text)")
    lint.add_argument("--select", action="append", default=[], metavar="CODES", help="only these: GC101,GC2")
    lint.add_argument("--ignore", action="append", default=[], metavar="CODES", help="not these: GC102,GC4")
    completion = command("completion", _completion, "print a shell's completion for gridcwl", run=False, json=False)
    completion.add_argument(
        "shell", choices=("bash", "zsh", "fish", "words"), metavar="SHELL", help="bash, zsh or fish"
    )
    completion.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    command("man", _man, "print the manual page: gridcwl man | man -l -", run=False, json=False)


def _init(given: argparse.Namespace) -> int:
    from gridcwl.cli.init import init

    return init(given)


def _lint(given: argparse.Namespace) -> int:
    from gridcwl.cli.lint import lint

    return lint(given)


def _completion(given: argparse.Namespace) -> int:
    from gridcwl.cli.completing import completion

    return completion(given)


def _man(given: argparse.Namespace) -> int:
    from gridcwl.cli.manpage import man

    return man(given)
