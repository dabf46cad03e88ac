"""``gridcwl exec --image IMAGE -i FILE -o PATTERN -- COMMAND``: a command is enough; its document is made."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.cli import exec_document
from gridcwl.cli.parsing import Parser
from gridcwl.errors import UsageError

if TYPE_CHECKING:
    from gridcwl.runs.options import Options

_EPILOG = """\
All options of gridcwl DOCUMENT may stand here, too: --backend, --store, --outdir,
--group, --dry-run, --detach and so on; gridcwl --help lists them.

Input files lie in the folder where the command runs, under their own names. A word
of the command that is an input as you gave it, or {NAME}, becomes its path or paths.
A command of one word may use the shell: -- 'sort *.txt | uniq > out.txt'

  gridcwl exec -i run1.txt -- wc -l run1.txt
  gridcwl exec --image rootproject/root -i cta:run1 -o 'out*.root' \\
      --backend dirac --store rucio --group 10 -- ./analyse {input}
"""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_MIB = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_VARIABLE = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """Make the document of the command, and run it or print it; returns the exit code.

    Raises:
        GridCWLError: an option is wrong, or the run cannot be done.
        SystemExit: ``--help``.
    """
    from gridcwl.cli.main import act
    from gridcwl.cli.options import parse

    words, command = _split(arguments)
    given, rest = _parsed(words)
    if not command:
        raise UsageError("exec: there is no command", remedy="Write it behind --: gridcwl exec -i FILE -- COMMAND ...")
    inputs = exec_document.inputs_of(given.input)
    outputs = exec_document.outputs_of(given.output, [*(one.name for one in inputs), "stdout", "stderr"])
    name = given.name or exec_document.name_of(command)
    stdout = given.stdout or ("" if outputs or given.stderr else f"{name}-{_digest(*command, inputs)[:6]}.out")
    made = exec_document.document(command, inputs, outputs, _needs(given), stdout=stdout, stderr=given.stderr or "")
    head = f"#!/usr/bin/env cwl-runner\n# Made by: gridcwl exec ... -- {' '.join(shlex.join(command).split())}\n"
    text = head + exec_document.as_yaml(made)
    values = {one.name: one.value for one in inputs}
    if given.print_cwl:
        print(text, end="")
        if values:
            print("\n# The input object:", *exec_document.commented(exec_document.as_yaml(values)), sep="\n")
        return 0
    options = parse([*rest, "exec.cwl"])
    return act(_with_document(options, name, text, values))


def parser() -> Parser:
    """The command's own options."""
    made = Parser(
        prog="gridcwl exec",
        usage="gridcwl exec [OPTIONS] [-i FILE|DID ...] [-o PATTERN ...] -- COMMAND",
        description="Run a command as a job, on any backend, without writing a document.",
        epilog=_EPILOG,
    )
    made.add_argument("--image", metavar="IMAGE", default="", help="container image that the command runs in")
    made.add_argument(
        "-i",
        "--input",
        action="append",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="file, folder, pattern, URL, DID or Rucio query; may be repeated",
    )
    made.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="[NAME=]PATTERN",
        help="file, pattern, or folder with a / at its end, that the command leaves; may be repeated",
    )
    made.add_argument(
        "--stdout", metavar="FILE", help="keep what it prints as this file (default without -o: NAME-DIGEST.out)"
    )
    made.add_argument("--stderr", metavar="FILE", help="keep its error messages as this file")
    made.add_argument("--cores", type=float, metavar="N", help="cores that it needs")
    made.add_argument("--memory", type=_mib, metavar="SIZE", help="memory that it needs: 500M, 4G")
    made.add_argument("--gpus", type=int, metavar="N", help="GPUs that it needs")
    made.add_argument("--time", type=int, metavar="S", help="it is stopped after so many seconds")
    made.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="environment variable")
    made.add_argument("--network", action="store_true", help="it uses the network")
    made.add_argument("--name", metavar="NAME", type=_name, help="of the document (default: of the program)")
    made.add_argument("--print-cwl", action="store_true", help="print the document and the inputs, and run nothing")
    return made


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parsed(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's own options, and those of a run."""
    own = parser()
    mine: list[str] = []
    rest: list[str] = []
    values = 0  # of the option before that are still to come, at most
    for word in words:
        if word.startswith("-") and word != "-":
            action = own.action(word)
            complete = action is None or action.nargs == 0 or word not in own.flags
            values = 0 if action is None or complete else len(words) if action.nargs == "+" else 1
            (rest if action is None else mine).append(word)
        elif values:
            values -= 1
            mine.append(word)
        else:
            rest.append(word)
    return own.parse_args(mine), rest


def _needs(given: argparse.Namespace) -> exec_document.Needs:
    for name, value in (("--cores", given.cores), ("--gpus", given.gpus), ("--time", given.time)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} takes a number above 0, not {value:g}")
    for word in given.env:
        if not _VARIABLE.fullmatch(word):
            raise UsageError(f"--env takes NAME=VALUE, not {word!r}")
    return exec_document.Needs(
        given.image,
        int(given.cores) if given.cores is not None and given.cores == int(given.cores) else given.cores,
        given.memory,
        given.gpus,
        given.time,
        given.network,
        dict(word.split("=", 1) for word in given.env),
    )


def _mib(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"takes a size as 500M or 4G, not {text!r}")
    return max(1, round(float(found[1]) * _MIB[found[2].upper()]))


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", text):
        raise argparse.ArgumentTypeError(f"takes letters, digits and . _ -, not {text!r}")
    return text.removesuffix(".cwl")


def _digest(*values: object) -> str:
    return hashlib.sha256("\0".join(map(str, values)).encode("utf-8", "surrogateescape")).hexdigest()


def _with_document(options: Options, name: str, text: str, values: object) -> Options:
    """The options with the document, which is kept next to the runs: the same one for the same command."""
    inputs = json.dumps(values, indent=1)
    folder = options.state_dir / "exec" / _digest(text, inputs)[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in ((f"{name}.cwl", text), ("inputs.json", inputs)):
            if not (folder / file).is_file():
                (folder / file).write_text(content + "\n" * (not content.endswith("\n")), "utf-8")
    except OSError as error:
        raise UsageError(
            f"The document cannot be written to {folder}: {error.strerror}", remedy="See --state-dir."
        ) from None
    if options.loudness > 0:
        print(f"gridcwl: the document is {Path(folder, f'{name}.cwl')}", file=sys.stderr)
    return replace(options, document=str(folder / f"{name}.cwl"), words=(str(folder / "inputs.json"),))
