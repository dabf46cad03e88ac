"""Workflows that are wide, long or deep: documents and input objects of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ELSEWHERE = "srm://storage.example/ctao"
"""Where input files are that nobody reads."""
TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["cat"],
    "inputs": {"x": {"type": "File", "inputBinding": {}}},
    "outputs": {"out": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
    "stdout": "out.txt",
}
GATHER = {**TOOL, "inputs": {"x": {"type": "File[]", "inputBinding": {}}}}
PAIR = {**TOOL, "inputs": {"x": {"type": "File", "inputBinding": {}}, "y": {"type": "File", "inputBinding": {}}}}
FEATURES = ("ScatterFeatureRequirement", "SubworkflowFeatureRequirement")
Cwl = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A document, its input object, and how many jobs they make."""

    document: Cwl
    inputs: Cwl
    jobs: int


def file(number: int) -> Cwl:
    name = f"shard_{number:06}.h5"
    return {"class": "File", "location": f"{ELSEWHERE}/{name}", "basename": name, "size": number}


def workflow(inputs: Cwl, outputs: Cwl, steps: Cwl) -> Cwl:
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {name: {} for name in FEATURES},
        "inputs": inputs,
        "outputs": outputs,
        "steps": steps,
    }


def step(run: Cwl | str, source: str, **fields: Any) -> Cwl:
    return {"run": run, "in": {"x": source}, "out": ["out"], **fields}


def scatter(n: int) -> Made:
    out = {"out": {"type": "File[]", "outputSource": "s/out"}}
    made = workflow({"x": "File[]"}, out, {"s": step(TOOL, "x", scatter="x")})
    return Made(made, {"x": [file(number) for number in range(n)]}, n)


def chain(n: int) -> Made:
    sources = ["x", *[f"s{number}/out" for number in range(n)]]
    steps = {f"s{number}": step("tool.cwl", sources[number]) for number in range(n)}
    made = workflow({"x": "File"}, {"out": {"type": "File", "outputSource": sources[-1]}}, steps)
    return Made(made, {"x": file(1)}, n)


def crossproduct(n: int) -> Made:
    cell = {
        "run": PAIR,
        "in": {"x": "x", "y": "y"},
        "out": ["out"],
        "scatter": ["x", "y"],
        "scatterMethod": "nested_crossproduct",
    }
    rows = {"type": "array", "items": {"type": "array", "items": "File"}}
    made = workflow({"x": "File[]", "y": "File[]"}, {"out": {"type": rows, "outputSource": "s/out"}}, {"s": cell})
    axis = [file(number) for number in range(n)]
    return Made(made, {"x": axis, "y": axis}, n * n)


def gather(n: int) -> Made:
    steps = {"s": step(TOOL, "x", scatter="x"), "merge": step(GATHER, "s/out")}
    made = workflow({"x": "File[]"}, {"out": {"type": "File", "outputSource": "merge/out"}}, steps)
    return Made(made, {"x": [file(number) for number in range(n)]}, n + 1)


def deep(levels: int) -> Made:
    made = TOOL
    for _ in range(levels):
        made = workflow({"x": "File"}, {"out": {"type": "File", "outputSource": "s/out"}}, {"s": step(made, "x")})
    out = {"out": {"type": "File[]", "outputSource": "s/out"}}
    outer = workflow({"x": "File[]"}, out, {"s": step(made, "x", scatter="x")})
    return Made(outer, {"x": [file(number) for number in range(100)]}, 100)


SHAPES: dict[str, tuple[Callable[[int], Made], int]] = {
    "scatter-1000": (scatter, 1_000),
    "scatter-2000": (scatter, 2_000),
    "scatter-10000": (scatter, 10_000),
    "scatter-100000": (scatter, 100_000),
    "chain-100": (chain, 100),
    "chain-1000": (chain, 1_000),
    "crossproduct-30x30": (crossproduct, 30),
    "crossproduct-300x300": (crossproduct, 300),
    "gather-1000": (gather, 1_000),
    "gather-10000": (gather, 10_000),
    "levels-10": (deep, 10),
    "levels-50": (deep, 50),
}


def write(folder: Path, shape: str, *, really: bool) -> tuple[list[str], int]:
    """Write a shape's document and input object; the words that name them, and how many jobs there are.

    Args:
        really: the input files are written, too, and do not only exist as names.
    """
    make, size = SHAPES[shape]
    made = make(size)
    inputs = json.dumps(made.inputs)
    if really:
        place = folder / "files"
        place.mkdir(exist_ok=True)
        for one in json.loads(inputs)["x"] if isinstance(made.inputs["x"], list) else [made.inputs["x"]]:
            (place / one["basename"]).write_bytes(b"x" * one["size"])
        inputs = inputs.replace(ELSEWHERE, place.as_uri())
    (folder / "tool.cwl").write_text(json.dumps(TOOL))
    (folder / f"{shape}.cwl").write_text(json.dumps(made.document))
    (folder / f"{shape}.json").write_text(inputs)
    return [str(folder / f"{shape}.cwl"), str(folder / f"{shape}.json")], made.jobs
