"""A document that is wrong: one error that names file, line and remedy; 1, or 33 for the unsupported."""

from __future__ import annotations

import pytest
from commandline import gridcwl
from documents import ECHO, Desk, glob, shell, step, tool, workflow

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\ninputs: []\noutputs: []\n"
STEPS = """\
cwlVersion: v1.2
class: Workflow
inputs: {text: string}
outputs: []
steps:
"""

# what is wrong: (document, exit code, words of the message)
WRONG = {
    "an empty file": ("", 1, ["doc.cwl", "it is empty"]),
    "a binary file": (bytes(range(256)), 1, ["doc.cwl", "not text"]),
    "a list": ("- a\n", 1, ["doc.cwl", "not a mapping", "begins with cwlVersion and class"]),
    "not CWL": ("name: x\nversion: 3\n", 1, ["doc.cwl", "no cwlVersion", "begin it with 'cwlVersion: v1.2'"]),
    "an open bracket": (
        "cwlVersion: v1.2\nclass: [Workflow\ninputs: []\n",
        1,
        ["doc.cwl:2:8:", "is not closed"],
    ),
    "a tab": ("cwlVersion: v1.2\ninputs:\n\ta: string\n", 1, ["doc.cwl:3:1:", "a tab", "spaces"]),
    "a key twice": (HEAD + "inputs: []\n", 1, ["doc.cwl:6:1:", "'inputs' is there twice"]),
    "a misspelt field": (HEAD + "stdot: x\n", 1, ["doc.cwl:6:1:", "'stdot'", "Did you mean stdout"]),
    "a misspelt class": (HEAD.replace("Tool", "Tol"), 1, ["doc.cwl:2:1:", "Did you mean CommandLineTool?"]),
    "an unknown version": (HEAD.replace("v1.2", "v9.9"), 33, ["doc.cwl", "v1.0, v1.1, v1.2"]),
    "a version that is a number": (HEAD.replace("v1.2", "1.2"), 1, ["doc.cwl:1:1:", "Write 'cwlVersion: v1.2'"]),
    "an unknown requirement": (
        HEAD + "requirements:\n  FooRequirement: {}\n",
        33,
        ["doc.cwl:7:3:", "FooRequirement is not supported", "'hints'"],
    ),
    "a misspelt requirement": (
        HEAD + "requirements:\n  - class: ResourceRequirment\n",
        33,
        ["doc.cwl:7:5:", "Did you mean ResourceRequirement?"],
    ),
    "an unknown requirement of another vocabulary": (
        "$namespaces: {foo: 'http://foo.org/#'}\n" + HEAD + "requirements:\n  foo:Bar: {}\n",
        33,
        ["doc.cwl:8:3:", "http://foo.org/#Bar is not supported"],
    ),
    "a step that runs a file that is not there": (
        STEPS + "  one: {run: gone.cwl, in: {}, out: []}\n",
        1,
        ["doc.cwl:6:", "gone.cwl, which does not exist"],
    ),
    "a link to nothing": (
        STEPS + "  one: {run: echo.cwl, in: {text: nothing}, out: [said]}\n",
        1,
        ["doc.cwl:6:", "one/text is linked to 'nothing'", "STEP/OUTPUT"],
    ),
    "a step without an input that its tool needs": (
        STEPS + "  one: {run: echo.cwl, in: {}, out: [said]}\n",
        1,
        ["doc.cwl:6:", "the step one does not give 'text', which echo.cwl requires"],
    ),
    "a step that promises what its tool has not": (
        STEPS + "  one: {run: echo.cwl, in: {text: text}, out: [sung]}\n",
        1,
        ["doc.cwl:6:", "'sung'", "are said"],
    ),
    "a link between types that do not fit": (
        STEPS.replace("string", "int") + "  one: {run: echo.cwl, in: {text: text}, out: [said]}\n",
        1,
        ["doc.cwl:6:", "takes string", "(line 3) is int"],
    ),
    "a workflow that runs itself": (
        STEPS + "  one: {run: doc.cwl, in: {text: text}, out: []}\n",
        1,
        ["doc.cwl", "leads back to itself"],
    ),
    "an abstract Operation": (
        "cwlVersion: v1.2\nclass: Operation\ninputs: []\noutputs: []\n",
        1,
        ["doc.cwl", "abstract Operation", "Put a tool or a workflow in its place"],
    ),
    "a ProcessGenerator": (
        "cwlVersion: v1.2\n$namespaces: {cwltool: 'http://commonwl.org/cwltool#'}\n"
        "class: cwltool:ProcessGenerator\ninputs: []\noutputs: []\nrun: echo.cwl\n",
        33,
        ["doc.cwl", "ProcessGenerator"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_document_is_one_error(desk: Desk, wrong: str) -> None:
    content, code, words = WRONG[wrong]
    desk.write("echo.cwl", ECHO)
    desk.write("in.yml", "text: hello\n")
    result = gridcwl("--outdir=outputs", desk.write("doc.cwl", content), "in.yml")
    result.assert_one_error(code, *words)
    assert not desk.outdir.exists()


@pytest.mark.usefixtures("desk")
def test_a_document_that_is_not_there_is_named() -> None:
    result = gridcwl("gone.cwl")
    assert result.code == 1
    assert result.stderr == "gridcwl: Cannot read gone.cwl: Not found: 'gone.cwl'\nCheck the path of the document.\n"


def test_a_folder_is_no_document(desk: Desk) -> None:
    result = gridcwl(str(desk.folder))
    assert result.code == 1
    assert "is a directory, not a file" in result.stderr
    assert "Traceback" not in result.stderr


def test_steps_that_wait_for_each_other_are_named(desk: Desk) -> None:
    copy = tool("cat", inputs={"f": "File"}, outputs={"g": "stdout"})
    circle = workflow({}, {}, one=step(copy, "g", f="two/g"), two=step(copy, "g", f="one/g"))
    result = gridcwl(desk.write("circle.cwl", circle))
    assert result.code == 1
    assert ": the steps one, two wait for each other" in result.stderr


def test_an_unknown_hint_is_mentioned_and_the_tool_runs(desk: Desk) -> None:
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", ECHO | {"hints": {"ToolTimeLimt": {}}}), "--text=x")
    assert result.code == 0
    assert "the hint ToolTimeLimt is not known and is ignored. Did you mean ToolTimeLimit?" in result.stderr
    assert result.outputs["said"]["size"] == 2


def test_a_tool_larger_than_the_machine_is_refused_before_anything_runs(desk: Desk) -> None:
    small = shell("touch ran; touch " + str(desk.folder / "ran"), inputs={}, outputs={"ran": glob("ran")})
    giant = tool("true", inputs={"f": "File"}, requirements={"ResourceRequirement": {"ramMin": 10**9}})
    flow = workflow({}, {}, small=step(small, "ran"), giant=step(giant, f="small/ran"))
    result = gridcwl("--no-container", desk.write("giant.cwl", flow))
    assert result.code == 1
    assert "giant asks for 1000000000 MiB of memory, but this machine has" in result.stderr
    assert "Lower the tool's ResourceRequirement" in result.stderr
    assert not (desk.folder / "ran").exists()


def test_a_giant_that_never_runs_harms_nobody(desk: Desk) -> None:
    giant = tool("true", inputs={"n": "int"}, requirements={"ResourceRequirement": {"coresMin": 10**6}})
    flow = workflow(
        {"ns": "int[]"},
        {},
        giant=step(giant, scatter="n", n="ns"),
        never=step(giant, when="$(false)", n={"default": 1}),
    )
    result = gridcwl(desk.write("giant.cwl", flow), desk.write("none.yml", "ns: []\n"))
    assert result.code == 0, result.stderr


def test_a_scattered_giant_is_refused_at_once(desk: Desk) -> None:
    giant = tool("true", inputs={"n": "int"}, requirements={"ResourceRequirement": {"coresMin": 10**6}})
    flow = workflow({"ns": "int[]"}, {}, giant=step(giant, scatter="n", n="ns"))
    result = gridcwl(desk.write("giant.cwl", flow), desk.write("some.yml", "ns: [1, 2]\n"))
    assert result.code == 1
    assert result.stderr.count("giant asks for 1e+06 cores") == 1
