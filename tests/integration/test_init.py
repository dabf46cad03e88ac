"""``gridcwl init -- COMMAND``: documents that are valid, clean for ``lint``, and do what the command does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk
from ruamel.yaml import YAML

SCRIPT = """\
import sys
arguments = sys.argv[1:]
if "--out" in arguments:
    print("to a file", file=open(arguments[arguments.index("--out") + 1], "w"))
print([word.rpartition("/")[2] for word in arguments])
"""


@pytest.fixture
def here(desk: Desk) -> Path:
    (desk.folder / "show.py").write_text(SCRIPT)
    (desk.folder / "run.sh").write_text('#!/bin/sh\necho "$@" | sed "s,[^ ]*/,,g"\n')
    (desk.folder / "events.txt").write_text("3\n1\n2\n")
    (desk.folder / "more data.txt").write_text("4\n")
    (desk.folder / "folder").mkdir()
    (desk.folder / "folder" / "inside.txt").write_text("x\n")
    return desk.folder


def read(name: str) -> dict:
    return YAML(typ="safe").load(Path(name))


PRINTING = {
    "options, numbers and a file": ["python3", "show.py", "--bins", "10", "--scale", "1.5", "events.txt"],
    "flags, and options with =": ["python3", "show.py", "--verbose", "--bins=10", "-n5", "events.txt", "--last"],
    "a negative number and text": ["python3", "show.py", "--shift", "-3", "some text", "yes", "007"],
    "a script of one's own": ["./run.sh", "a b", "events.txt"],
    "a name with a blank": ["cat", "more data.txt", "events.txt"],
    "a subcommand": ["printf", "%s-", "events", "7"],
    "a folder": ["ls", "folder"],
    "a script on the command line": ["sh", "-c", 'echo "$1"; wc -l < "$2"', "script", "hello", "events.txt"],
    "stdin": ["sort", "-r", "<", "events.txt"],
    "no arguments": ["uname"],
}


@pytest.mark.parametrize("command", PRINTING.values(), ids=PRINTING)
def test_the_document_is_clean_and_prints_what_the_command_prints(here: Path, command: list[str]) -> None:
    (here / "run.sh").chmod(0o755)
    result = gridcwl("init", "--name", "made", "--stdout", "printed", "--", *command)
    assert result.code == 0, result.stderr
    assert gridcwl("lint", "made.cwl").stdout == ""
    ran = gridcwl("--quiet", "--no-container", "--outdir", "out", "made.cwl", "inputs.yml")
    assert ran.code == 0, ran.stderr
    words = command[: command.index("<")] if "<" in command else command
    feed = (here / "events.txt").read_text() if "<" in command else None
    expected = subprocess.run(words, cwd=here, input=feed, capture_output=True, text=True, check=True).stdout
    assert (here / "out" / "printed").read_text() == expected


@pytest.mark.usefixtures("here")
def test_types_come_from_the_words() -> None:
    words = ("--bins", "10", "--scale", "1.5", "--log", "events.txt", "folder", "word")
    gridcwl("init", "--", "python3", "show.py", *words)
    tool = read("show.cwl")
    assert {name: entry["type"] for name, entry in tool["inputs"].items()} == {
        "script": "File",
        "bins": "int",
        "scale": "float",
        "log": "File",
        "folder": "Directory",
        "text": "string",
    }
    assert tool["baseCommand"] == ["python3"]
    assert tool["inputs"]["script"]["default"]["location"] == "show.py"
    assert read("inputs.yml")["bins"] == 10
    assert "script" not in read("inputs.yml"), "it goes with the document"


@pytest.mark.parametrize(
    "words",
    [["--out", "result.dat"], ["--out=result.dat", "--out", "result.dat"], ["--out", "result.dat", "--last"]],
)
def test_a_file_that_the_command_writes_is_an_output(here: Path, words: list[str]) -> None:
    assert gridcwl("init", "--", "python3", "show.py", "events.txt", *words).code == 0
    ran = gridcwl("--quiet", "--no-container", "--outdir", "out", "show.cwl", "inputs.yml")
    assert ran.code == 0, ran.stderr
    assert (here / "out" / "result.dat").read_text() == "to a file\n"


def test_the_last_word_may_be_the_output(here: Path) -> None:
    assert gridcwl("init", "--", "cp", "events.txt", "copy.txt").code == 0
    ran = gridcwl("--quiet", "--no-container", "--outdir", "out", "cp.cwl", "inputs.yml")
    assert (here / "out" / "copy.txt").read_text() == "3\n1\n2\n", ran.stderr


def test_outputs_can_be_named(here: Path) -> None:
    assert gridcwl("init", "--output", "a*", "--output", "b", "--", "touch", "a1", "a2", "b").code == 0
    ran = gridcwl("--quiet", "--no-container", "--outdir", "out", "touch.cwl", "inputs.yml")
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a1", "a2", "b"], ran.stderr


def test_a_workflow_around_the_tool_runs(here: Path) -> None:
    command = ("python3", "show.py", "--bins", "10", "events.txt")
    assert gridcwl("init", "--workflow", "--image", "python:3-slim", "--", *command).code == 0
    assert gridcwl("--validate", "show-workflow.cwl", "inputs.yml").code == 0
    assert gridcwl("lint", "show-workflow.cwl").stdout == ""
    assert read("show.cwl")["hints"]["DockerRequirement"] == {"dockerPull": "python:3-slim"}
    ran = gridcwl("--quiet", "--no-container", "--outdir", "out", "show-workflow.cwl", "inputs.yml")
    assert (here / "out" / "show.txt").read_text() == "['--bins', '10', 'events.txt']\n", ran.stderr


def test_nothing_is_overwritten_without_force(here: Path) -> None:
    (here / "inputs.yml").write_text("mine")
    result = gridcwl("init", "--", "cat", "events.txt")
    assert result.code == 1
    assert "inputs.yml exists already" in result.stderr
    assert (here / "inputs.yml").read_text() == "mine"
    assert not (here / "cat.cwl").exists()
    assert gridcwl("init", "--force", "--", "cat", "events.txt").code == 0


def test_a_second_tool_in_a_folder_gets_an_input_object_of_its_own(here: Path) -> None:
    assert gridcwl("init", "--", "cat", "events.txt").code == 0
    made = (here / "inputs.yml").read_text()
    result = gridcwl("init", "--", "sort", "events.txt")
    assert "gridcwl sort.cwl sort-inputs.yml\n" in result.stdout, result.stderr
    assert (here / "inputs.yml").read_text() == made
    assert gridcwl("--validate", "sort.cwl", "sort-inputs.yml").code == 0
    assert "cat.cwl, inputs.yml exist already" in gridcwl("init", "--", "cat", "events.txt").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "init needs a command"),
        (["--"], "init needs a command"),
        (["--", "sort", "events.txt", "|", "uniq"], "'|' joins several commands"),
    ],
)
def test_what_is_no_single_command_is_refused(here: Path, words: list[str], message: str) -> None:
    result = gridcwl("init", *words)
    assert result.code == 1
    assert message in result.stderr
    assert not list(here.glob("*.cwl"))
