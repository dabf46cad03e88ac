"""``gridcwl production``: what a user types and sees, with real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, new_desk

TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "inputs": {"seed": "int", "energy": {"type": "float", "default": 1.0}},
    "arguments": [
        # a seed that ends with 0 fails the first time
        "case $(inputs.seed) in *0) [ -e /MARKS/$(inputs.seed) ] || { touch /MARKS/$(inputs.seed); exit 3; };; esac; "
        "echo $(inputs.seed) $(inputs.energy) > events.txt"
    ],
    "outputs": {"events": {"type": "File", "outputBinding": {"glob": "events.txt"}}},
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = new_desk(tmp_path, monkeypatch)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GRIDCWL_ENGINE", "none")
    (made.folder / "marks").mkdir()
    made.write("sim.cwl", json.dumps(TOOL).replace("/MARKS", str(made.folder / "marks")))
    made.write("inputs.yml", "energy: 2.5\n")
    return made


def create(*words: str):
    return gridcwl("production", "create", "mc", *words, "--", "--outdir", "out", "sim.cwl", "inputs.yml")


def test_a_production_with_failures_ends_complete_and_is_extended(desk):
    done = create("--seeds", "seed=1..12", "--portion", "6", "--at-once", "2")
    assert done.code == 0, done.stderr
    assert "12 of 12 done" in done.stderr
    texts = sorted(path.read_text() for path in (desk.folder / "out").rglob("events*.txt"))
    assert texts == sorted(f"{seed} 2.5\n" for seed in range(1, 13))
    status = json.loads(gridcwl("production", "status", "mc", "--json").stdout)
    assert [portion["tries"] for portion in status["portions"]] == [1, 2]
    assert gridcwl("production", "extend", "mc", "--count", "3").code == 0
    shown = gridcwl("production", "status", "mc").stdout
    assert "mc: 15 of 15 done" in shown
    assert "13..15" in shown
    assert "mc    complete    15     15       0" in gridcwl("production", "status").stdout


def test_failures_are_collected_and_retried(desk):
    failed = create("--seeds", "seed=9..11", "--resubmit", "0")
    assert failed.code == 1
    shown = gridcwl("production", "status", "mc").stdout
    assert "mc: 2 of 3 done, 1 failed" in shown
    assert "sim[1]" in shown
    assert gridcwl("production", "retry", "mc").code == 0


def test_lines_of_a_file_are_items(desk):
    desk.write("echo.cwl", json.dumps({**TOOL, "inputs": {"names": "string[]"}, "baseCommand": "echo",
                                      "arguments": ["$(inputs.names)"], "stdout": "events.txt"}))  # fmt: skip
    desk.write("names.txt", "a\nb\nc\n")
    done = gridcwl(
        "production", "create", "p", "--over", "names=names.txt", "--each", "2", "--", "--outdir", "o", "echo.cwl"
    )
    assert done.code == 0, done.stderr
    assert len(list((desk.folder / "o" / "portion-0001").iterdir())) == 2
    desk.write("names.txt", "a\nb\nc\nd\n")
    assert "extended p by 1 items" in gridcwl("production", "extend", "p").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either --seeds or --over"),
        (("--seeds", "seed=5"), "FIRST..LAST"),
        (("--seeds", "sed=1..5"), "Did you mean seed"),
        (("--over", "seed=./none*.txt"), "finds nothing"),
        (("--seeds", "seed=1..5", "--portion", "0"), "whole number, at least 1"),
    ],
)
def test_mistakes_are_explained(desk, words, message):
    done = create(*words)
    assert done.code != 0
    assert message in done.stderr


def test_a_stopped_production_is_created_only_and_continued(desk):
    create("--seeds", "seed=1..2", "--only-create")
    assert "mc    open" in gridcwl("production", "status").stdout
    assert "retry mc" in gridcwl("production", "stop", "mc").stderr
    assert gridcwl("production", "retry", "mc").code == 0
