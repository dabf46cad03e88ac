"""Other resources than the document's, for a run and for what is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, step, tool, workflow

from gridcwl.backends.local.machine import this_machine

ASKS = tool(
    "sh",
    inputs={},
    arguments=["-c", "echo $(runtime.ram) $(runtime.cores); test $(runtime.ram) -ge $(inputs.least)"],
    outputs={"o": "stdout"},
    requirements={"ResourceRequirement": {"ramMin": 100, "ramMax": 150, "coresMin": 1}},
    stdout="o.txt",
) | {"inputs": {"least": {"type": "int", "default": 0}}}
INNER = workflow({}, {"o": {"type": "File", "outputSource": "ask/o"}}, ask=step(ASKS, "o"))
NESTED = workflow(
    {"least": "int"},
    {name: {"type": "File", "outputSource": f"{name}/o"} for name in ("one", "two", "sub")},
    one=step(ASKS, "o", least="least"),
    two=step(ASKS, "o"),
    sub=step(INNER, "o"),
)


def run(desk: Desk, *options: str, document: dict[str, Any] = NESTED, least: int = 0) -> CommandResult:
    words = [desk.write("doc.cwl", document)] + (["--least", str(least)] if document is NESTED else [])
    return gridcwl("--no-container", "--outdir", str(desk.outdir), *options, *words)


def told(result: CommandResult) -> dict[str, str]:
    assert result.code == 0, result.stderr
    return {name: Path(value["path"]).read_text().split()[0] for name, value in result.outputs.items()}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["one.ramMin=120"], {"one": "120", "two": "100", "sub": "100"}),
        (["one.ramMin=8000"], {"one": "8000", "two": "100", "sub": "100"}),
        (["sub.ramMin=130", "sub/ask.ramMin=140"], {"one": "100", "two": "100", "sub": "140"}),
        (["ramMin=110", "two.ramMin=111"], {"one": "110", "two": "111", "sub": "110"}),
    ],
)
def test_steps_get_what_was_set_and_their_expressions_see_it(
    desk: Desk, settings: list[str], expected: dict[str, str]
) -> None:
    assert told(run(desk, *(f"--set={setting}" for setting in settings))) == expected


def test_a_run_is_resumed_with_more_memory_and_what_had_ended_does_not_run_again(desk: Desk) -> None:
    assert run(desk, "--on-error=continue", least=500).code == 1
    result = gridcwl("resume", "last", "--set", "one.ramMin=600")
    assert told(result) == {"one": "600", "two": "100", "sub": "100"}
    assert gridcwl("status", "last").stdout.count("600") == 0


def test_a_tool_that_is_the_whole_document_needs_no_step(desk: Desk) -> None:
    assert told(run(desk, "--set", "ramMin=99", document=ASKS)) == {"o": "99"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("on.ramMin=1", "there is no step on\nDid you mean one?"),
        ("elsewhere.ramMin=1", "there is no step elsewhere\nThe steps are "),
        ("one.ramMn=1", "there is no field ramMn\nDid you mean ramMin"),
        ("one.colour=1", "there is no field colour\nThe fields are coresMin"),
        ("one.ramMin=0", "a job needs more than nothing"),
        ("one.ramMin=much", "'much' is not a number"),
        ("one.ramMin", "is not STEP.FIELD=VALUE"),
        ("one.ramMin=-5", "is not a possible value"),
        ("one.ramMin=nan", "is not a possible value"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(desk: Desk, setting: str, message: str) -> None:
    result = run(desk, "--set", setting)
    assert result.code != 0
    assert message in result.stderr


def test_minimum_and_maximum_that_contradict_each_other_are_refused(desk: Desk) -> None:
    result = run(desk, "--set=one.ramMin=200", "--set=one.ramMax=100")
    assert "ramMin of" in result.stderr
    assert result.code == 1


GREEDY = tool(
    "sh",
    inputs={},
    arguments=["-c", "echo $(runtime.cores)"],
    outputs={"o": "stdout"},
    stdout="o.txt",
) | {"hints": {"ResourceRequirement": {"coresMin": 4000, "ramMin": 1 << 40}}}
REQUIRING = GREEDY | {"hints": {}, "requirements": GREEDY["hints"]}
CORES = f"{this_machine().cores:g}"


@pytest.mark.parametrize(
    "document", [GREEDY, workflow({}, {"one": {"type": "File", "outputSource": "s/o"}}, s=step(GREEDY, "o"))]
)
def test_a_hint_for_more_than_the_machine_has_runs_with_what_it_has(desk: Desk, document: dict[str, Any]) -> None:
    assert "problem" not in plan(desk, document).stdout
    result = run(desk, document=document)
    assert list(told(result).values()) == [CORES]
    assert result.stderr.count(f"asks for 4000 cores, and gets {CORES}") == 1


def test_a_requirement_for_more_than_the_machine_has_is_capped_if_asked_for(desk: Desk) -> None:
    planned, result = plan(desk, REQUIRING), run(desk, document=REQUIRING)
    assert (planned.code, result.code) == (1, 1)
    assert "problem    doc.cwl asks for 4000 cores" in planned.stdout
    assert "give --cap-resources" in result.stderr
    planned = plan(desk, REQUIRING, "--cap-resources")
    assert (planned.code, planned.stdout.count(f"needs      {CORES} core(s)")) == (0, 1)
    assert told(run(desk, "--cap-resources", document=REQUIRING)) == {"o": CORES}


def test_a_run_that_was_refused_is_resumed_with_capped_resources(desk: Desk) -> None:
    assert run(desk, document=REQUIRING).code == 1
    assert told(gridcwl("resume", "last", "--cap-resources")) == {"o": CORES}


def plan(desk: Desk, document: dict[str, Any], *options: str) -> CommandResult:
    return gridcwl("plan", "--no-container", *options, desk.write("doc.cwl", document))
