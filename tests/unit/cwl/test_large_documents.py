"""Documents of many levels and many steps are loaded in the time that their size warrants."""

from __future__ import annotations

import json
import time

import pytest
from cwltool.builder import Builder

from gridcwl.cwl import load
from gridcwl.cwl.context import EvaluationOptions
from gridcwl.errors import DocumentError

TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"x": {"type": "File", "inputBinding": {}}},
    "outputs": {"out": "stdout"},
}
FEATURES = {"SubworkflowFeatureRequirement": {}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def around(run, **fields):
    """A workflow of one step."""
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": FEATURES,
        "inputs": {"x": "File"},
        "outputs": {"out": {"type": "File", "outputSource": "s/out"}},
        "steps": {"s": {"run": run, "in": {"x": "x"}, "out": ["out"], **fields}},
    }


def loaded(path):
    return load.load(load.locate(str(path))[0], EvaluationOptions())


def depth(process) -> int:
    levels = 0
    while hasattr(process, "steps"):
        process, levels = process.steps[0].embedded_tool, levels + 1
    return levels


def nested(levels, tool=TOOL):
    document = tool
    for _ in range(levels):
        document = around(document)
    return document


def test_fifty_levels_written_into_one_another_take_seconds(tmp_path):
    (tmp_path / "deep.cwl").write_text(json.dumps(nested(50)))
    begun = time.process_time()
    assert depth(loaded(tmp_path / "deep.cwl").process) == 50
    assert time.process_time() - begun < 60  # twice as many for each level would be years


def test_fifty_levels_in_files_of_their_own_take_seconds(tmp_path):
    (tmp_path / "level0.cwl").write_text(json.dumps(TOOL))
    for level in range(1, 51):
        (tmp_path / f"level{level}.cwl").write_text(json.dumps(around(f"level{level - 1}.cwl")))
    begun = time.process_time()
    assert depth(loaded(tmp_path / "level50.cwl").process) == 50
    assert time.process_time() - begun < 60


def test_a_link_to_nowhere_is_reported_at_any_depth_and_once(tmp_path):
    broken = around(TOOL)
    broken["steps"]["s"]["in"]["x"] = "missing"
    (tmp_path / "deep.cwl").write_text(json.dumps(nested(5, broken), indent=1))
    with pytest.raises(DocumentError) as error:
        loaded(tmp_path / "deep.cwl")
    assert str(error.value).count("missing") >= 1
    assert "deep.cwl:" in str(error.value)


def test_steps_that_run_one_file_share_it_unless_they_inherit_other_requirements(tmp_path):
    (tmp_path / "tool.cwl").write_text(json.dumps(TOOL))
    document = around("tool.cwl")
    first = document["steps"]["s"]
    document["steps"]["same"] = dict(first)
    document["steps"]["other"] = {**first, "requirements": {"EnvVarRequirement": {"envDef": {"A": "b"}}}}
    (tmp_path / "workflow.cwl").write_text(json.dumps(document))
    steps = {
        step.id.rpartition("/")[2].rpartition("#")[2]: step for step in loaded(tmp_path / "workflow.cwl").process.steps
    }
    assert steps["s"].embedded_tool is steps["same"].embedded_tool
    assert steps["s"].embedded_tool is not steps["other"].embedded_tool
    assert not steps["s"].embedded_tool.get_requirement("EnvVarRequirement")[0]
    assert steps["other"].embedded_tool.get_requirement("EnvVarRequirement")[0]


def test_an_array_is_not_copied_for_each_of_its_items():
    """What is copied for one item does not hold the others."""
    datum = [{"class": "File", "location": f"file:///{number}"} for number in range(3)]
    copied = Builder.bind_input.__globals__["copy"].deepcopy({"position": [0], "datum": datum})
    assert copied == {"position": [0]}
