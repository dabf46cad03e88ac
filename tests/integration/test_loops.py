"""Loops of the coming CWL v1.3, behind --enable-dev."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import Desk, expression, shell

PLUS_ONE = expression("${return {'r': inputs.n + 1};}", {"n": "int"}, {"r": "int"})


def loop(run: Any, links: dict[str, Any], again: dict[str, Any], when: str, kind: str, method: str) -> Any:
    step = {"run": run, "in": links, "out": ["r"], "when": when, "loop": again, "outputMethod": method}
    return {
        "cwlVersion": "v1.3.0-dev1",
        "class": "Workflow",
        "requirements": {"InlineJavascriptRequirement": {}, "StepInputExpressionRequirement": {}},
        "inputs": {"n": "int"},
        "outputs": {"r": {"type": kind, "outputSource": "s/r"}},
        "steps": {"s": step},
    }


def inner(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "cwlVersion"}


@pytest.mark.node
@pytest.mark.parametrize(
    ("method", "kind", "given"), [("last_iteration", "int?", 4), ("all_iterations", "int[]", [2, 3, 4])]
)
def test_a_loop_gives_its_last_iteration_or_all(desk: Desk, method: str, kind: str, given: Any) -> None:
    desk.write("doc.cwl", loop(inner(PLUS_ONE), {"n": "n"}, {"n": "r"}, "$(inputs.n < 4)", kind, method))
    result = gridcwl("--enable-dev", "--no-container", "doc.cwl", "--n", "1")
    assert result.code == 0, result.stderr
    assert result.outputs == {"r": given}


@pytest.mark.node
def test_a_loop_that_never_begins_gives_null(desk: Desk) -> None:
    desk.write("doc.cwl", loop(inner(PLUS_ONE), {"n": "n"}, {"n": "r"}, "$(inputs.n < 4)", "int?", "last_iteration"))
    assert gridcwl("--enable-dev", "--no-container", "doc.cwl", "--n", "9").outputs == {"r": None}


@pytest.mark.node
def test_a_loop_that_fails_gives_nothing_of_the_iterations_before(desk: Desk) -> None:
    when = "${if (inputs.n > 2) throw new Error('no more'); return true;}"
    desk.write("doc.cwl", loop(inner(PLUS_ONE), {"n": "n"}, {"n": "r"}, when, "int?", "last_iteration"))
    result = gridcwl("--enable-dev", "--no-container", "doc.cwl", "--n", "1")
    assert (result.code, result.outputs) == (1, {"r": None})
    assert "no more" in result.stderr


def test_a_loop_of_a_tool_hands_its_files_on(desk: Desk) -> None:
    script = 'cat "$0" >> r.txt 2>&1; echo line >> r.txt'
    more = shell(
        script,
        inputs={"f": {"type": "File", "inputBinding": {}}, "n": "int"},
        outputs={"r": {"type": "File", "outputBinding": {"glob": "r.txt"}}},
    )
    links = {"n": {"default": 0}, "f": {"default": {"class": "File", "basename": "e", "contents": "begin\n"}}}
    again = {"f": "r", "n": {"valueFrom": "$(inputs.n + 1)"}}
    desk.write("doc.cwl", loop(inner(more), links, again, "$(inputs.n < 3)", "File?", "last_iteration"))
    result = gridcwl("--enable-dev", "--no-container", "--outdir", str(desk.outdir), "doc.cwl", "--n", "1")
    assert result.code == 0, result.stderr
    assert Path(result.outputs["r"]["path"]).read_text() == "begin\nline\nline\nline\n"


def test_without_enable_dev_a_document_of_a_coming_version_is_refused(desk: Desk) -> None:
    desk.write("doc.cwl", loop(inner(PLUS_ONE), {"n": "n"}, {"n": "r"}, "$(inputs.n < 4)", "int?", "last_iteration"))
    assert gridcwl("--no-container", "doc.cwl", "--n", "1").code != 0
