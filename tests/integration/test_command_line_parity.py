"""The same document and inputs give the same output object and exit code as the reference runner gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, expression, glob, on_command_line, shell, step, tool, workflow

CAT = tool("cat", inputs={"file": on_command_line("File")}, outputs={"o": "stdout"}, stdout="copy.txt")
FAILS = shell("exit 3", outputs={"o": "stdout"})
TREE = shell("mkdir -p d/e; echo 1 > d/a; echo 2 > d/e/b", outputs={"d": glob("d", "Directory")})
NAMES = {"type": "string[]", "inputBinding": {"prefix": "-n", "itemSeparator": ","}}

# what is done: (document, words behind it)
SAME = {
    "stdout to a file": (ECHO, ["--text=hello"]),
    "a file from an option": (CAT, ["--file=data.txt"]),
    "an array on the command line": (
        tool("echo", inputs={"names": NAMES}, outputs={"o": "stdout"}, stdout="o"),
        ["--names=a", "--names=b"],
    ),
    "a folder": (TREE, []),
    "one name twice": (
        shell("mkdir a b; echo 1 > a/x; echo 2 > b/x", outputs={"p": glob("a/x"), "q": glob("b/x")}),
        [],
    ),
    "several files by one pattern": (shell("touch b.x a.x c.y", outputs={"o": glob("*.x", "File[]")}), []),
    "no file for an optional output": (shell("true", outputs={"o": glob("*.x", "File?")}), []),
    "a secondary file": (shell("touch a.bam a.bam.bai", outputs={"o": glob("a.bam", secondaryFiles=[".bai"])}), []),
    "an output object of the tool's own": (
        shell("""echo '{"o": {"class": "File", "path": "x"}}' > cwl.output.json; echo 1 > x""", outputs={"o": "File"}),
        [],
    ),
    "a number": (expression("$({o: inputs.number * 2})", {"number": "int"}, {"o": "int"}), ["--number=21"]),
    "a scatter": (
        workflow(
            {"words": "string[]"},
            {"o": {"type": "File[]", "outputSource": "say/said"}},
            say=step(ECHO, "said", scatter="text", text="words"),
        ),
        ["--words=a", "--words=b"],
    ),
    "a step under a condition": (
        workflow(
            {"word": "string"},
            {"o": {"type": "File?", "outputSource": "say/said"}},
            say=step(ECHO, "said", when="$(inputs.text == 'no')", text="word"),
        ),
        ["--word=yes"],
    ),
    "a tool that fails": (FAILS, []),
    "a workflow that fails": (
        workflow({}, {"o": {"type": "File", "outputSource": "a/o"}}, a=step(FAILS, "o")),
        [],
    ),
    "a missing output": (shell("true", outputs={"o": glob("*.x")}), []),
}  # fmt: skip


_DRIVER = """
import contextlib, io, json, os, sys
from cwltool.main import main
for folder, words in json.load(sys.stdin):
    os.chdir(folder)
    stdout = io.StringIO()
    with contextlib.redirect_stdout(sys.stderr):
        code = main(["--quiet", "--no-container", "--outdir=theirs", "doc.cwl", *words], stdout=stdout)
    print(json.dumps([code, stdout.getvalue()]))
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, int, str]]:
    """What the reference runner makes of each case: folder, exit code, stdout. All in one process, it starts slowly."""
    folders = []
    for document, words in SAME.values():
        desk = Desk(tmp_path_factory.mktemp("same"))
        desk.write("doc.cwl", document)
        desk.write("data.txt", "some data\n")
        folders.append((str(desk.folder), words))
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER], input=json.dumps(folders), capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        name: (Path(folder), code, stdout)
        for name, (folder, _), (code, stdout) in zip(SAME, folders, answers, strict=True)
    }


_NUMBERED = re.compile(r"(\.\w+)_(\d+)$")
"""The number that the reference runner gives a second output of a name; here it stands before the extension."""


def without_places(value: Any, outdir: Path) -> Any:
    """The output object with paths that count from the folder of outputs, and folders listed by name."""
    if isinstance(value, list):
        return [without_places(item, outdir) for item in value]
    if not isinstance(value, dict):
        return _NUMBERED.sub(r"_\2\1", value.replace(str(outdir), "OUT")) if isinstance(value, str) else value
    plain = {key: without_places(item, outdir) for key, item in value.items()}
    if "listing" in plain:
        plain["listing"].sort(key=lambda entry: entry["basename"])
    return plain


@pytest.mark.node
@pytest.mark.parametrize("same", SAME)
@pytest.mark.usefixtures("desk")
def test_outputs_and_exit_code_are_those_of_the_reference_runner(
    reference: dict[str, tuple[Path, int, str]], same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, code, stdout = reference[same]
    monkeypatch.chdir(folder)
    ours = gridcwl("--no-container", "--outdir=ours", "doc.cwl", *SAME[same][1])
    assert ours.code == code, ours.stderr
    if code:
        return  # what a failed tool left is not taken for its output here
    assert without_places(ours.outputs, folder / "ours") == without_places(json.loads(stdout), folder / "theirs")
