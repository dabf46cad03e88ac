"""Hints for files per job on single steps of a workflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import gridcwl as command

import gridcwl
from gridcwl.errors import DocumentError, GridCWLError

STRINGS = {"type": "array", "items": "string"}
ONE_OR_SEVERAL = ["string", STRINGS]
HINTS = [
    {"class": "dirac:Transformation", "group_size": 2},
    {"class": "dirac:ExecutionHooks", "group_size": 2},
    {"class": "gridcwl:Grouping", "input": "names", "size": 2},
]


def expression(kind, output, text):
    return {
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"names": {"type": kind}},
        "outputs": {"made": {"type": output}},
        "expression": text,
    }


COUNT = expression(ONE_OR_SEVERAL, "int", "${return {made: Array.isArray(inputs.names) ? inputs.names.length : -1};}")
HEADS = expression(STRINGS, STRINGS, "${return {made: [inputs.names.length + '', inputs.names[0] + '']};}")


def workflow(tool, output, *hints, **step):
    requirements = ("ScatterFeatureRequirement", "StepInputExpressionRequirement", "InlineJavascriptRequirement")
    made = {"in": {"names": "names"}, "out": ["made"], "run": tool, "hints": list(hints), **step}
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "$namespaces": {"dirac": "https://diracgrid.org/cwl#", "gridcwl": "https://gridcwl.readthedocs.io/cwl#"},
        "requirements": {name: {} for name in requirements},
        "inputs": {"names": {"type": STRINGS}},
        "outputs": {"made": {"type": output, "outputSource": "work/made"}},
        "steps": {"work": made},
    }


def ran(desk, document, names="abcde"):
    desk.write("doc.cwl", json.dumps(document))
    return gridcwl.run("doc.cwl", {"names": list(names)}, outdir="out").outputs["made"]


def planned(desk, document):
    desk.write("doc.cwl", json.dumps(document))
    done = command("plan", "doc.cwl", desk.write("in.json", '{"names": ["a", "b"]}'))
    assert done.code == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("not so")]


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint["class"])
def test_jobs_of_a_scattered_step_get_lists_of_the_size_that_a_hint_says(desk, hint):
    document = workflow(COUNT, "int[]", hint, scatter="names")
    assert ran(desk, document) == [2, 2, 1]
    assert planned(desk, document) == []


def test_without_the_hint_the_same_document_has_a_job_for_each_value(desk):
    assert ran(desk, workflow(COUNT, "int[]", scatter="names")) == [-1] * 5


def test_a_scatter_over_nothing_has_no_groups(desk):
    assert ran(desk, workflow(COUNT, "int[]", HINTS[0], scatter="names"), "") == []


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint["class"])
def test_lists_that_groups_of_a_list_give_are_put_together_in_order(desk, hint):
    document = workflow(HEADS, "string[]", hint)
    assert ran(desk, document) == ["2", "a", "2", "c", "1", "e"]
    assert planned(desk, document) == []


def test_a_step_whose_list_is_empty_runs_once_as_without_the_hint(desk):
    assert ran(desk, workflow(HEADS, "string[]", HINTS[0]), "") == ["0", "undefined"]


def test_a_number_of_jobs_can_be_said_in_place_of_a_size(desk):
    hint = {"class": "gridcwl:Grouping", "chunks": 2}
    assert ran(desk, workflow(COUNT, "int[]", hint, scatter="names")) == [3, 2]


def test_groups_of_a_step_are_balanced_by_the_sizes_of_files(desk):
    for name, size in (("a", 90), ("b", 10), ("c", 10), ("d", 60)):
        desk.write(name, "x" * size)
    files = {"type": "array", "items": "File"}
    tool = {**COUNT, "inputs": {"names": {"type": ["File", files]}}}
    hint = {"class": "gridcwl:Grouping", "chunks": 2, "balance": "size"}
    document = workflow(tool, "int[]", hint, scatter="names")
    document["inputs"] = {"names": {"type": files}}
    desk.write("doc.cwl", json.dumps(document))
    run = gridcwl.run("doc.cwl", {"names": [Path(name) for name in "abcd"]}, outdir="out")
    assert run.outputs["made"] == [1, 3]


def test_values_without_a_size_cannot_be_balanced_and_the_message_names_the_input(desk):
    hint = {"class": "gridcwl:Grouping", "chunks": 2, "balance": "size"}
    with pytest.raises(GridCWLError, match="of the input 'names' has no known size"):
        ran(desk, workflow(COUNT, "int[]", hint, scatter="names"))


ONE = expression("string", "int", "${return {made: 1};}")
LAST = expression(STRINGS, "int", "${return {made: inputs.names.length};}")


@pytest.mark.parametrize(
    ("document", "reason", "made"),
    [
        (workflow(ONE, "int[]", HINTS[0], scatter="names"), "a job of the step takes one value of names", [1] * 5),
        (workflow(LAST, "int", HINTS[0]), "its output made is not a list", 5),
        (workflow(LAST, "int", {"class": "gridcwl:Grouping", "input": "other", "size": 2}), "no input other", 5),
        (
            workflow(COUNT, "int[]", HINTS[0], scatter="names", when="$(inputs.names != null)"),
            "expressions of the step (valueFrom, when) read the input names",
            [-1] * 5,
        ),
        (workflow({**COUNT, "hints": [HINTS[0]]}, "int[]", scatter="names"), "write it on the step", [-1] * 5),
    ],
    ids=["one value", "no list", "other input", "when", "on the tool"],
)
def test_a_hint_that_cannot_mean_anything_has_no_effect_and_plan_says_why(desk, document, reason, made):
    lines = planned(desk, document)
    assert len(lines) == 1
    assert "has no effect" in lines[0]
    assert reason in lines[0]
    assert ran(desk, document) == made


def test_a_wrong_size_on_a_step_is_refused(desk):
    with pytest.raises(DocumentError, match="group_size"):
        ran(desk, workflow(COUNT, "int[]", {"class": "dirac:Transformation", "group_size": 0}, scatter="names"))


FILES = {"type": "array", "items": "File"}


def test_a_chain_of_grouped_steps_keeps_the_order_of_files_and_is_resumed(desk):
    tool = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", 'cat "$@" > joined.txt', "sh"],
        "inputs": {"names": {"type": FILES, "inputBinding": {"position": 2}}},
        "outputs": {"made": {"type": FILES, "outputBinding": {"glob": "joined.txt"}}},
    }
    steps = {
        "first": {"in": {"names": "names"}, "out": ["made"], "run": tool, "hints": [HINTS[0]]},
        "second": {"in": {"names": "first/made"}, "out": ["made"], "run": tool, "hints": [HINTS[0]]},
    }
    document = workflow(tool, "File[]")
    document |= {
        "inputs": {"names": {"type": FILES}},
        "steps": steps,
        "outputs": {"made": {"type": FILES, "outputSource": "second/made"}},
    }
    desk.write("doc.cwl", json.dumps(document))
    for name in "abcdefg":
        desk.write(name, name)
    given = {"names": [{"class": "File", "path": name} for name in "abcdefg"]}
    done = command("--quiet", "--outdir", "out", "doc.cwl", desk.write("in.json", json.dumps(given)))
    assert [Path(file["path"]).read_text() for file in done.outputs["made"]] == ["abcd", "efg"], done.stderr
    again = command("resume", "last", "--outdir", "again")
    assert [Path(file["path"]).read_text() for file in again.outputs["made"]] == ["abcd", "efg"], again.stderr
