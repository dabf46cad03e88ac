"""Documents whose parts share YAML anchors run, and mean the same once they are packed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import ECHO, Desk

HEAD = """\
cwlVersion: v1.2
class: Workflow
requirements: {StepInputExpressionRequirement: {}}
$namespaces: {my: "https://example.org/"}
"""
INPUTS = "inputs: {a: string, b: string}\n"
OUTPUTS = "outputs: {o: {type: File, outputSource: one/said}, p: {type: File, outputSource: two/said}}\n"
STEPS = {
    "all that a step is": """
steps:
  one: &step {run: echo.cwl, in: {text: a}, out: [said]}
  two: *step
""",
    "a step but for its inputs, by a merge": """
steps:
  one: &step {run: echo.cwl, in: {text: a}, out: [said]}
  two: {<<: *step, in: {text: b}}
""",
    "a template that is no step": """
my:template: &step {run: echo.cwl, out: [said]}
steps:
  one: {<<: *step, in: {text: a}}
  two: {<<: *step, in: {text: b}}
""",
    "the inputs": """
steps:
  one: {run: echo.cwl, in: &in {text: {source: a, valueFrom: $(self)!}}, out: [said]}
  two: {run: echo.cwl, in: *in, out: [said]}
""",
    "one input": """
steps:
  one: {run: echo.cwl, in: {text: &text {default: hello}}, out: [said]}
  two: {run: echo.cwl, in: {text: *text}, out: [said]}
""",
    "inputs by a merge of two": """
my:one: &one {text: {source: b}}
my:other: &other {text: {source: a}, more: {source: b}}
steps:
  one: {run: echo.cwl, in: {<<: [*one, *other]}, out: [said]}
  two: {run: echo.cwl, in: {<<: [*other, *one]}, out: [said]}
""",
    "the outputs": """
steps:
  one: {run: echo.cwl, in: {text: a}, out: &out [said]}
  two: {run: echo.cwl, in: {text: b}, out: *out}
""",
    "the tool": """
steps:
  one:
    run: &tool
      class: CommandLineTool
      baseCommand: echo
      inputs: {text: {type: string, inputBinding: {}}}
      outputs: {said: stdout}
      stdout: said.txt
    in: {text: a}
    out: [said]
  two: {run: *tool, in: {text: b}, out: [said]}
""",
}
TYPES = {
    "a parameter": "inputs: {a: &text {type: string, doc: Said.}, b: *text}\n",
    "a named type": (
        "inputs:\n  a: {type: &kind {type: enum, name: kind, symbols: [x, y]}, default: x}\n  b: {type: *kind}\n"
    ),
}
KINDS = """
steps:
  one: {run: echo.cwl, in: {text: {source: a, valueFrom: $(self)}}, out: [said]}
  two: {run: echo.cwl, in: {text: {source: b, valueFrom: $(self)}}, out: [said]}
"""
FLOWS = {name: HEAD + INPUTS + steps + OUTPUTS for name, steps in STEPS.items()} | {
    name: HEAD + inputs + KINDS + OUTPUTS for name, inputs in TYPES.items()
}


def said(document: str) -> dict[str, str]:
    """The checksums of a run's outputs."""
    run = gridcwl(f"--outdir={document}.outputs", document, "--a=x", "--b=y")
    assert run.code == 0, run.stderr
    return {name: file["checksum"] for name, file in run.outputs.items()}


@pytest.mark.parametrize("shared", FLOWS)
def test_what_shares_an_anchor_runs_and_is_the_same_once_packed(desk: Desk, shared: str) -> None:
    desk.write("echo.cwl", ECHO)
    document = desk.write("w.cwl", FLOWS[shared])
    packed = gridcwl("--pack", document)
    assert packed.code == 0, packed.stderr
    alone = desk.write("packed/w.cwl", packed.stdout)
    assert said(alone) == said(document)
    checked = subprocess.run(
        [Path(sys.executable).with_name("cwltool"), "--validate", alone], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_two_steps_that_share_an_anchor_are_two(desk: Desk) -> None:
    desk.write("echo.cwl", ECHO)
    outputs = said(desk.write("w.cwl", FLOWS["a step but for its inputs, by a merge"]))
    assert outputs["o"] != outputs["p"]


def test_a_mistake_below_an_alias_is_reported_with_a_line(desk: Desk) -> None:
    desk.write("echo.cwl", ECHO)
    wrong = FLOWS["the inputs"].replace("source: a", "source: nowhere")
    told = gridcwl("--validate", desk.write("w.cwl", wrong))
    assert told.code == 1
    assert "w.cwl:" in told.stderr
    assert "'nowhere'" in told.stderr


def test_a_packed_document_has_no_aliases(desk: Desk) -> None:
    desk.write("echo.cwl", ECHO)
    packed = gridcwl("--pack", desk.write("w.cwl", FLOWS["the inputs"])).stdout
    (flow,) = (process for process in json.loads(packed)["$graph"] if process["class"] == "Workflow")
    assert [step["in"][0]["id"] for step in flow["steps"]] == ["#main/one/text", "#main/two/text"]
