"""An input object that is wrong: one error that names file, line and remedy, before anything runs."""

from __future__ import annotations

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, on_command_line, tool

COPY = tool("cat", inputs={"f": on_command_line("File"), "n": "int?"}, outputs={"g": "stdout"})

# what is wrong: (name of the file, what it holds, words of the message)
WRONG = {
    "a file that is not there": (
        "in.yml",
        "# c\nf:\n  class: File\n  path: gone.dat\n",
        ["in.yml:4:3:", "gone.dat does not exist", "count from"],
    ),
    "a folder for a file": ("in.yml", "f:\n  class: File\n  path: .\n", ["in.yml:3:3:", "is a directory, not a File"]),
    "a text for a file": ("in.yml", "f: data.txt\n", ["in.yml:1:1:", "Write 'f: {class: File, path: ...}'"]),
    "a file that is nowhere": ("in.yml", "f:\n  class: File\n", ["in.yml:2:3:", "neither a path nor a location"]),
    "a text for a number": ("in.yml", "f: {class: File, path: in.yml}\nn: x\n", ["in.yml:2:1:", "'n' is 'x'; it has"]),
    "no value for an input": ("in.yml", "n: 1\n", ["Missing input 'f'", "--NAME VALUE"]),
    "an empty file": ("in.yml", "", ["in.yml is empty", "{} where the document takes none"]),
    "a list": ("in.yml", "- f\n", ["in.yml holds a list", "'name: value'"]),
    "a binary file": ("in.yml", bytes(range(256)), ["in.yml", "not text"]),
    "an open bracket": ("in.yml", "f: [x\nn: 1\n", ["in.yml:1:4:", "is not closed"]),
    "a tab": ("in.yml", "f:\n\tclass: File\n", ["in.yml:2:1:", "a tab"]),
    "a name twice": ("in.yml", "n: 1\nn: 2\n", ["in.yml:2:1:", "'n' is there twice"]),
    "a comma too many in JSON": ("in.json", '{"n": 1,\n "f": 2,,\n}\n', ["in.json:2:9:", "before ','"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_object_is_one_error(desk: Desk, wrong: str) -> None:
    name, content, words = WRONG[wrong]
    result = gridcwl("--no-container", "--outdir=outputs", desk.write("copy.cwl", COPY), desk.write(name, content))
    result.assert_one_error(1, *words)
    assert not desk.outdir.exists()


def test_an_input_object_that_is_not_there_is_named(desk: Desk) -> None:
    result = gridcwl(desk.write("copy.cwl", COPY), "gone.yml")
    assert (result.code, result.stderr) == (1, "gridcwl: The input object gone.yml does not exist\nCheck its path.\n")


def test_an_input_that_the_document_has_not_is_mentioned(desk: Desk) -> None:
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", ECHO), desk.write("in.yml", "text: x\ntxet: y\n"))
    assert result.code == 0
    assert "in.yml:2:1: The document has no input named 'txet'; it is ignored." in result.stderr


def test_a_missing_secondary_file_is_named(desk: Desk) -> None:
    desk.write("a.bam", "x")
    needs = tool("cat", inputs={"f": {"type": "File", "secondaryFiles": [".bai"]}})
    result = gridcwl(
        "--no-container", desk.write("t.cwl", needs), desk.write("in.yml", "f: {class: File, path: a.bam}\n")
    )
    assert result.code == 1
    assert "t.cwl:" in result.stderr
    assert f"the secondary file a.bam.bai of {desk.folder}/a.bam is missing" in result.stderr
    assert "Put it beside that file" in result.stderr


def test_a_file_of_another_format_is_refused(desk: Desk) -> None:
    desk.write("a.txt", "x")
    needs = tool("cat", inputs={"f": {"type": "File", "format": "http://formats.org/h5"}})
    written = "f: {class: File, path: a.txt, format: 'http://formats.org/text'}\n"
    result = gridcwl("--no-container", desk.write("t.cwl", needs), desk.write("in.yml", written))
    assert result.code == 1
    assert "the input f has to be a file of the format 'http://formats.org/h5'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense", "t.cwl"], "gridcwl has no option --nonsense"),
        (["--max-jobs=0", "t.cwl"], "takes a whole number, at least 1"),
        (["t.cwl", "--text=x", "--nonsense=1"], "no input nonsense in t.cwl, and no option --nonsense"),
        (["n.cwl", "--n=many"], "--n: many is not a whole number"),
    ],
)
def test_a_wrong_option_ends_as_argparse_has_it(desk: Desk, arguments: list[str], words: str) -> None:
    desk.write("t.cwl", ECHO)
    desk.write("n.cwl", tool("true", inputs={"n": "int"}))
    result = gridcwl(*arguments)
    assert result.code == 2
    assert result.stdout == ""
    assert words in result.stderr
