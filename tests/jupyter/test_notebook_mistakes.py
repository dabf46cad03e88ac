"""Mistakes in ``%gridcwl``, ``%%cwl`` and calls: what is raised. How a cell shows it is tested with a kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from documents import new_desk

import gridcwl
from gridcwl.errors import EXIT_USAGE, ConfigError, GridCWLError, InputError, UsageError
from gridcwl.jupyter import magics
from gridcwl.jupyter.magics import Magics

COUNT = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs:
  events: {type: File, inputBinding: {position: 1}}
  numbers: int[]?
outputs: {}
"""


class Shell:
    """As much of IPython's shell as the magics use."""

    def __init__(self, **variables: Any) -> None:
        self.user_ns = variables

    def ev(self, expression: str) -> Any:
        return self.user_ns[expression]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("count.cwl -i", "-i needs a value"),
        ("count.cwl -i =x", "-i takes NAME=VARIABLE"),
        ("count.cwl -o", "-o needs a value"),
        ("count.cwl -o 1x", "-o takes the name of a variable"),
        ("count.cwl 'x", "cannot be read"),
        ("", "There is no document"),
        ("-o outputs", "There is no document"),
        ("count.cwl -i events=missing", "-i events: missing has no value"),
    ],
)
def test_a_line_with_a_mistake_is_refused_before_any_process_starts(
    line: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(UsageError) as caught:
        Magics(Shell()).gridcwl(line)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"), [(EXIT_USAGE, UsageError), (1, GridCWLError)], ids=["the words are wrong", "something else is"]
)
@pytest.mark.parametrize("line", ["count.cwl --events", "status nothing", None], ids=["document", "command", "cell"])
def test_what_the_command_line_reports_is_raised_with_its_remedy(
    code: int, kind: type[GridCWLError], line: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert words[:3] == list(magics._COMMAND)
        return subprocess.CompletedProcess(words, code, "", "gridcwl: It is wrong: events\nWrite it as in ...\n")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", refused)
    shown = Magics(Shell())
    with pytest.raises(GridCWLError) as caught:
        shown.cwl("", "class: Workflow") if line is None else shown.gridcwl(line)
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.remedy) == ("It is wrong: events", "Write it as in ...")


@pytest.mark.parametrize(
    ("inputs", "settings", "kind", "words"),
    [({"numbers": ["x"]}, {}, InputError, "numbers"), ({}, {"colour": 1}, ConfigError, "colour")],
    ids=["input", "setting"],
)
def test_a_call_with_a_mistake_raises_what_names_it(
    inputs: dict[str, Any],
    settings: dict[str, Any],
    kind: type[GridCWLError],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    new_desk(tmp_path, monkeypatch)
    Path("count.cwl").write_text(COUNT)
    Path("events.txt").write_text("x")
    with pytest.raises(kind, match=words):
        gridcwl.run("count.cwl", {"events": Path("events.txt"), **inputs}, **settings)
