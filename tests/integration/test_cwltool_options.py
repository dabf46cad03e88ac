"""cwltool's options: all of them are known here, and what they print and run is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, glob, on_command_line, shell, step, tool, workflow

from gridcwl.cli.cwltool_options import REFUSED
from gridcwl.cli.options import _parser

COPY = tool("cp", inputs={"file": on_command_line("File", secondaryFiles=[".idx"])}, outputs={"o": glob("x.txt")},
            arguments=[{"position": 2, "valueFrom": "x.txt"}])  # fmt: skip
UPPER = shell('tr a-z A-Z < "$0"', inputs={"file": on_command_line("File")}, outputs={"o": "stdout"}, stdout="up.txt")
FLOW = workflow(
    {"text": "string", "times": {"type": "int[]", "default": [1, 2]}},
    {"said": {"type": "File", "outputSource": "say/said"}, "loud": {"type": "File", "outputSource": "shout/o"}},
    say=step("echo.cwl", "said", text="text"),
    shout=step("upper.cwl", "o", file="say/said"),
    count={"run": ECHO, "in": {"text": {"source": "times", "valueFrom": "$(String(self))"}}, "out": ["said"],
           "scatter": "text"},
)  # fmt: skip

SAME = {
    "versions": ["--print-supported-versions"],
    "development versions": ["--enable-dev", "--print-supported-versions"],
    "dependencies": ["--print-deps", "w.cwl"],
    "dependencies from here": ["--print-deps", "--relative-deps=cwd", "deep/w.cwl"],
    "dependencies of a tool": ["--print-deps", "echo.cwl"],
    "files of an input object": ["--print-input-deps", "copy.cwl", "in.yml"],
    "files of options": ["--print-input-deps", "upper.cwl", "--file=a.txt"],
    "files from here": ["--print-input-deps", "--relative-deps", "cwd", "copy.cwl", "deep/in.yml"],
    "preprocessed": ["--print-pre", "w.cwl"],
    "preprocessed tool": ["--print-pre", "echo.cwl"],
    "targets": ["--print-targets", "w.cwl"],
    "targets of a tool": ["--print-targets", "echo.cwl"],
    "subgraph of an output": ["--print-subgraph", "--target=said", "w.cwl"],
    "subgraph of a step": ["--print-subgraph", "-t", "shout", "w.cwl"],
    "subgraph of one step": ["--print-subgraph", "--single-step=say", "w.cwl"],
    "subgraph of a process": ["--print-subgraph", "--single-process", "say", "w.cwl"],
    "template": ["--make-template", "w.cwl"],
    "a target": ["--target=said", "w.cwl", "--text=x"],
    "a step as a target": ["--target", "shout", "w.cwl", "--text=x"],
    "two targets": ["-t", "said", "--target=loud", "w.cwl", "text.yml"],
    "one step": ["--single-step", "say", "w.cwl", "text.yml"],
    "one step that is scattered": ["--single-step", "count", "w.cwl", "times.yml"],
    "one process": ["--single-process=shout", "w.cwl", "--file=a.txt"],
    "no checksums": ["--no-compute-checksum", "w.cwl", "--text=x"],
    "logs": ["--log-dir", "LOGS", "w.cwl", "--text=x"],
    "one target that there is not": ["--target=sayd", "w.cwl", "--text=x"],
    "a step of a tool": ["--single-step=say", "echo.cwl", "--text=x"],
}
"""Command lines that end, and print, as cwltool's do."""

_DRIVER = """
import contextlib, io, json, os, sys
from cwltool.main import main
folder, lines = json.load(sys.stdin)
for number, words in enumerate(lines):
    os.chdir(folder)
    stdout = io.StringIO()
    with contextlib.redirect_stdout(sys.stderr):
        words = [word.replace("LOGS", os.path.abspath("theirlogs")) for word in words]
        try:
            code = main(["--quiet", "--no-container", f"--outdir=theirs{number}", *words], stdout=stdout)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, stdout.getvalue()]))
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, str]]]:
    """A folder, and what cwltool does there; all in one process, for it starts slowly."""
    desk = Desk(tmp_path_factory.mktemp("same"))
    for folder in ("", "deep/"):
        desk.write(f"{folder}w.cwl", FLOW)
        for name, document in (("echo", ECHO), ("upper", UPPER), ("copy", COPY)):
            desk.write(f"{folder}{name}.cwl", document)
        desk.write(f"{folder}a.txt", "some data\n")
        desk.write(f"{folder}a.txt.idx", "index\n")
        desk.write(f"{folder}in.yml", "file: {class: File, path: a.txt}\n")
        desk.write(f"{folder}text.yml", "text: x\n")
        desk.write(f"{folder}times.yml", "text: [3]\n")
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps([str(desk.folder), list(SAME.values())]),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return desk.folder, {name: (code, text) for name, (code, text) in zip(SAME, answers, strict=True)}


def comparable(text: str, outdir: str) -> Any:
    """The output without what names the folder of outputs; of JSON, the value."""
    text = text.replace(outdir, "OUT")
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("same", SAME)
@pytest.mark.usefixtures("desk")
def test_it_prints_and_ends_as_cwltool(
    reference: tuple[Path, dict[str, tuple[int, str]]], same: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, answers = reference
    monkeypatch.chdir(folder)
    code, text = answers[same]
    number = list(SAME).index(same)
    words = [word.replace("LOGS", "ourlogs") for word in SAME[same]]
    ours = gridcwl("--no-container", f"--outdir=ours{number}", *words)
    assert ours.code == code, ours.stderr
    if code == 0:
        assert comparable(ours.stdout, f"ours{number}") == comparable(text, f"theirs{number}")


def test_logs_are_copied_under_the_names_that_cwltool_gives_them(
    reference: tuple[Path, dict[str, tuple[int, str]]], desk: Desk
) -> None:
    folder, _ = reference
    result = gridcwl("--no-container", f"--log-dir={desk.folder}/logs", str(folder / "w.cwl"), "--text=x")
    assert result.code == 0, result.stderr
    for name in ("say", "shout"):
        (ours,) = (desk.folder / "logs" / name).iterdir()
        (theirs,) = folder.glob(f"theirlogs/{name}*/*")  # in one process cwltool numbers its jobs on
        assert (ours.name, ours.read_text()) == (theirs.name, theirs.read_text())
    noisy = desk.write("n.cwl", shell("echo out; echo err >&2; exit 3"))
    assert gridcwl("--no-container", "--log-dir", "logs", noisy).code == 1
    assert (desk.folder / "logs" / "n.cwl" / "stderr.log").read_text() == "err\n"
    assert (desk.folder / "logs" / "n.cwl" / "stdout.log").read_text() == "out\n"


def test_every_option_of_cwltool_is_known() -> None:
    from cwltool.argparser import arg_parser

    theirs = {flag for action in arg_parser()._actions for flag in action.option_strings}
    assert sorted(theirs - set(_parser().flags)) == []


def test_an_option_of_cwltool_takes_a_value_as_there() -> None:
    from cwltool.argparser import arg_parser

    ours = _parser()
    for action in arg_parser()._actions:
        for flag in action.option_strings:
            if flag not in REFUSED and flag not in ("--pack", "--version", "--help", "-h"):
                mine = ours.action(flag)
                assert mine is not None
                assert (mine.nargs == 0) == (action.nargs == 0), flag


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_what_is_refused_is_refused_with_a_sentence(option: str) -> None:
    for words in ([option, "x", "t.cwl"], [f"{option}=x", "t.cwl"]):
        result = gridcwl(*words)
        assert result.code == 2
        assert result.stderr.startswith(f"gridcwl: gridcwl does not support {option}: ")


def test_rdf_is_that_of_cwltool(desk: Desk) -> None:
    from rdflib import Graph
    from rdflib.compare import isomorphic

    document = desk.write("t.cwl", ECHO)
    graphs = []
    for serializer in ("turtle", "nt"):
        result = gridcwl("--print-rdf", "--rdf-serializer", serializer, document)
        assert result.code == 0, result.stderr
        graphs.append(Graph().parse(data=result.stdout, format=serializer))
    driver = "import sys; from cwltool.main import main; sys.exit(main(['--quiet', '--print-rdf', sys.argv[1]]))"
    theirs = subprocess.run([sys.executable, "-c", driver, document], capture_output=True, text=True, check=True)
    graphs.append(Graph().parse(data=theirs.stdout, format="turtle"))
    assert len(graphs[0]) > 5
    assert isomorphic(graphs[0], graphs[1])
    assert isomorphic(graphs[0], graphs[2])
    assert gridcwl("--print-rdf", "--rdf-serializer=nonsense", document).code == 1
