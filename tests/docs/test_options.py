"""The reference page of the command line has what --help has, no more and no less."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT

REFERENCE = ROOT / "docs" / "reference" / "command-line.md"


def sections() -> dict[str, str]:
    """The page's text by command: the empty name for ``gridcwl DOCUMENT``, ``logs`` for ``gridcwl logs``."""
    found = {"": ""}
    command = ""
    for line in REFERENCE.read_text("utf-8").splitlines():
        heading = re.fullmatch(r"## `gridcwl ([a-z-]+)`.*", line)
        if heading:
            command = heading.group(1)
        elif line.startswith("## "):
            command = "" if line == "## `gridcwl DOCUMENT`" else "beside"
        found[command] = found.get(command, "") + line + "\n"
    return found


def documented(text: str) -> set[str]:
    """Options in the first column of the tables: `--option`."""
    rows = re.findall(r"^\| (`-.*?) \|", text, flags=re.M)
    return {name for row in rows for name in re.findall(r"`(-[-\w]*)", row)}


def helped(*words: str) -> set[str]:
    """Options that --help lists."""
    program = Path(sys.executable).with_name("gridcwl")
    text = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^  (-\S.*?)(?:  .*)?$", text, flags=re.M)
    return {name for row in rows for name in re.findall(r"(?<![\w-])(--?[a-zA-Z][-\w]*)", row)}


def sub_commands() -> list[str]:
    return [name for name in sections() if name not in ("", "beside")]


@pytest.mark.parametrize("command", ["", *sub_commands()])
def test_options_of_help_and_reference_are_the_same(command: str) -> None:
    assert documented(sections()[command]) == helped(*command.split())


def test_every_sub_command_is_in_the_reference() -> None:
    program = Path(sys.executable).with_name("gridcwl")
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^  gridcwl ([a-z]+(?: [^|\n]+)? \| .*)$", text, flags=re.M)
    told = {part.split()[0] for line in lines for part in line.split("|")}
    assert told == set(sub_commands())
