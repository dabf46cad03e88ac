"""What users read when something is wrong: a file for each mistake, with the message as it is printed.

``GRIDCWL_WRITE_MESSAGES=1 pytest tests/messages`` (``make messages``) writes the messages again; read what changed.
A file holds the command, the documents and the message:

    $ gridcwl --validate doc.cwl
    --- doc.cwl
    cwlVersion: v1.2
    --- message
    gridcwl: ...
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from pathlib import Path

import pytest

from gridcwl.cli.logs import set_up_logging
from gridcwl.cli.main import main

pytestmark = pytest.mark.node

CASES = sorted(Path(__file__).with_name("cases").glob("*.txt"))
_PART = re.compile(r"^--- (.+)\n", re.M)
_SIZE = re.compile(r"(\S+) \((\d+) bytes\)")
_ABOUT_THE_RUN = re.compile(
    r"\[\d+:|gridcwl: (the run|Run) failed|When the cause|Fix the cause|Resume|  gridcwl resume|"
    r"  (exit code|command|logs) "
)
"""What is printed of every run that failed, not of the mistake."""
_FOLDER = f"my documents + dätå/{'long name ' * 8}!"
"""Where the documents are: no message shows it as a URL has it, and none depends on its length."""
_NOISE = re.compile(
    r"""\b(CommentedMap|CommentedSeq|dict|NoneType|ValidationException|WorkflowException|Traceback|TypeError:|KeyError
    |AttributeError|ValueError|IndexError|AssertionError)\b
    |[0-9a-f]{8}-[0-9a-f]{4}-|_:|<[\w.]+\sobject|file://|\[Errno|internal\serror|\{cwl_version\}|https://w3id""",
    re.VERBOSE,
)


def parts(text: str) -> tuple[list[str], dict[str, str], str]:
    """The command's words, the files, and the message."""
    command, *rest = _PART.split(text)
    files = dict(zip(rest[::2], rest[1::2], strict=True))
    message = files.pop("message")
    return shlex.split(command.removeprefix("$ gridcwl ")), files, message


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_mistake_is_explained(path, tmp_path, monkeypatch, capfd):
    text = path.read_text()
    words, files, expected = parts(text)
    folder = tmp_path / _FOLDER
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    for name, content in files.items():
        size = _SIZE.fullmatch(name)
        Path(size[1] if size else name).write_text("x" * int(size[2]) if size else content)
    main(words)
    printed = capfd.readouterr().err
    printed = printed.replace(f"{folder}/", "").replace(str(folder), ".")
    message = "".join(line for line in printed.splitlines(keepends=True) if not _ABOUT_THE_RUN.match(line))
    if os.environ.get("GRIDCWL_WRITE_MESSAGES"):
        path.write_text(text.removesuffix(expected) + message)
        return
    assert message == expected
    assert not _NOISE.findall(message)


def test_levels_keep_their_names_where_a_library_renames_them(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(logging, "_levelToName", {**logging._levelToName, logging.WARNING: "WARN"})
    monkeypatch.chdir(tmp_path)
    set_up_logging(0)
    logging.getLogger("gridcwl.cwl").warning("something")
    assert capfd.readouterr().err == "WARNING gridcwl.cwl: something\n"


def test_there_are_enough_of_them():
    assert len(CASES) >= 80
