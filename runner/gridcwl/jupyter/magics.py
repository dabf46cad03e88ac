"""``%gridcwl`` and ``%%cwl``: the command line in a notebook, and a document in a cell.

Both start ``gridcwl --detach``: the run is worked on by a process of its own, whatever happens to the kernel.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics as _Magics
from IPython.core.magic import cell_magic, line_magic, magics_class, no_var_expand

from gridcwl import blocking
from gridcwl.cli.main import COMMANDS, PLAN, PROGRAMS
from gridcwl.errors import EXIT_USAGE, ConfigError, GridCWLError, UsageError
from gridcwl.jupyter import live
from gridcwl.values import to_json

_COMMAND = (sys.executable, "-m", "gridcwl")
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_HELP = ("-h", "--help", "help", "--version")


@dataclass(slots=True)
class Words:
    """The words of a magic: its own options, and those that go to the command line."""

    inputs: dict[str, str] = field(default_factory=dict)
    """Python expressions by the names of inputs."""
    outputs: str = ""
    """The variable that gets the outputs."""
    detach: bool = False
    state_dir: str = ""
    others: list[str] = field(default_factory=list)


def words_of(line: str) -> Words:
    """Take the magic's own options from its line.

    Raises:
        UsageError: one of them is wrong.
    """
    try:
        ahead = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {error}", remedy="Close each quotation mark.") from None
    found = Words()
    while ahead:
        word = ahead.pop(0)
        if word == "--":
            found.others += [word, *ahead]
            break
        if word in ("-i", "-o"):
            if not ahead:
                raise UsageError(f"{word} needs a value", remedy="As in -i events=variable, and -o outputs.")
            _take(found, word, ahead.pop(0))
        elif word == "--detach":
            found.detach = True
        else:
            found.others.append(word)
            if word == "--state-dir" and ahead:
                found.state_dir = ahead[0]
            elif word.startswith("--state-dir="):
                found.state_dir = word.partition("=")[2]
    return found


def _take(found: Words, option: str, value: str) -> None:
    if option == "-o":
        if not _VARIABLE.fullmatch(value):
            raise UsageError(f"-o takes the name of a variable, not {value}")
        found.outputs = value
        return
    name, _, expression = value.partition("=")
    if not name:
        raise UsageError(f"-i takes NAME=VARIABLE, not {value}", remedy="As in -i events=variable.")
    found.inputs[name] = expression or name


@magics_class
class Magics(_Magics):
    """The magics of ``%load_ext gridcwl``."""

    @line_magic
    def gridcwl(self, line: str) -> Any:
        """Run a document, or another command of gridcwl.

        ``%gridcwl workflow.cwl --x 1`` runs it and waits; ``-i x=variable`` gives an input a Python value, ``-o name``
        puts the outputs into a variable, ``--detach`` does not wait. ``%gridcwl runs`` and the other commands print.
        """
        words = words_of(line)
        if not words.others:
            raise UsageError("There is no document", remedy="%gridcwl workflow.cwl --x 1, or %gridcwl --help.")
        first = words.others[0]
        if first == "attach" and len(words.others) == 2:
            return self._ended(blocking.open_run(words.others[1]), words)
        if first == "resume":
            return self._run(words, [*words.others, "--detach", "--quiet"])
        if first in (*COMMANDS, *PROGRAMS, PLAN, *_HELP):
            return _printed(words.others)
        return self._run(words, ["--detach", "--quiet", *_with_text(words)])

    @no_var_expand
    @cell_magic
    def cwl(self, line: str, cell: str) -> Any:
        """Run the document in a cell.

        ``%%cwl -i events=variable -o outputs --x 1``: inputs have the values of variables or of options as on the
        command line; the outputs go into a variable. ``--detach`` does not wait.
        """
        words = words_of(line)
        document = _written(cell, self._cell_id())
        text = ("-",) if words.inputs else ()
        return self._run(words, ["--detach", "--quiet", document, *text, *words.others])

    def _run(self, words: Words, command: Sequence[str]) -> Any:
        done = subprocess.run(
            [*_COMMAND, *command], input=self._inputs(words) if words.inputs else "", capture_output=True,
            encoding="utf-8", errors="replace", check=False, start_new_session=True,
        )  # fmt: skip
        if done.returncode:
            raise _error(done.stderr, done.returncode)
        _print(done.stderr, sys.stderr)
        lines = done.stdout.splitlines()
        if not lines or not _RUN.fullmatch(lines[-1]):  # --help, --validate and their like
            _print(done.stdout, sys.stdout)
            return None
        run = blocking.open_run(lines[-1], words.state_dir or None)
        run._run._folder.note_origin()  # it is this notebook's
        return self._ended(run, words)

    def _ended(self, run: blocking.FollowedRun, words: Words) -> Any:
        if words.detach:
            if words.outputs:
                raise UsageError("-o needs the run's end", remedy="Leave out --detach, or take run.outputs later.")
            return run
        live.wait(run)
        outputs = run.result()
        if words.outputs:
            self.shell.user_ns[words.outputs] = outputs
        return run

    def _cell_id(self) -> str:
        """The cell's own id, which it keeps when it is edited; empty where the notebook's program sends none."""
        parent: dict[str, Any] = getattr(self.shell, "get_parent", dict)() or {}
        return str(parent.get("metadata", {}).get("cellId") or "")

    def _inputs(self, words: Words) -> str:
        """The values of variables as an input object."""
        values = {}
        for name, expression in words.inputs.items():
            try:
                values[name] = self.shell.ev(expression)
            except Exception as error:  # noqa: BLE001  it is the user's own
                raise UsageError(f"-i {name}: {expression} has no value: {error}") from None
        return to_json(values, Path.cwd())


def _with_text(words: Words) -> list[str]:
    """The words with the one that stands for an input object on standard input, if there is one."""
    at = words.others.index("--") if "--" in words.others else len(words.others)
    return [*words.others[:at], "-", *words.others[at:]] if words.inputs else words.others


def _printed(words: Sequence[str]) -> None:
    """Print what a command prints, and raise what it reports."""
    done = subprocess.run(
        [*_COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    _print(done.stdout, sys.stdout)
    if done.returncode:
        raise _error(done.stderr, done.returncode)
    _print(done.stderr, sys.stderr)


def _print(text: str, stream: Any) -> None:
    if text:
        print(text, end="" if text.endswith("\n") else "\n", file=stream)


def _error(text: str, code: int) -> GridCWLError:
    """What the command line reported."""
    message, _, remedy = text.strip().removeprefix("gridcwl: ").partition("\n")
    kind = UsageError if code == EXIT_USAGE else GridCWLError
    return kind(message or f"gridcwl ended with exit code {code}", remedy=remedy.strip())


def _written(cell: str, cell_id: str) -> str:
    """The cell as a file of the current folder, which its relative references count from.

    Its name is the cell's: when the cell was edited, its outputs may replace those that it made before. Where cells
    have no ids, the name is that of the contents.
    """
    name = f".cell-{hashlib.sha256((cell_id or cell).encode()).hexdigest()[:12]}.cwl"
    try:
        Path(name).write_text(cell, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"The cell cannot be written to {Path.cwd() / name}: {error.strerror}",
            remedy="Change to a folder that you may write to.",
        ) from None
    return name
