"""Other resources than the document's, for a run and for what is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import Said, gridcwl
from documents import Desk, step, tool, workflow

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


def run(desk: Desk, *options: str, document: dict[str, Any] = NESTED, least: int = 0) -> Said:
    words = [desk.write("doc.cwl", document)] + (["--least", str(least)] if document is NESTED else [])
    return gridcwl("--no-container", "--outdir", str(desk.outdir), *options, *words)


def told(said: Said) -> dict[str, str]:
    assert said.code == 0, said.stderr
    return {name: Path(value["path"]).read_text().split()[0] for name, value in said.outputs.items()}


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
    said = gridcwl("resume", "last", "--set", "one.ramMin=600")
    assert told(said) == {"one": "600", "two": "100", "sub": "100"}
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
    said = run(desk, "--set", setting)
    assert said.code != 0
    assert message in said.stderr


def test_minimum_and_maximum_that_contradict_each_other_are_refused(desk: Desk) -> None:
    said = run(desk, "--set=one.ramMin=200", "--set=one.ramMax=100")
    assert "ramMin of" in said.stderr
    assert said.code == 1
