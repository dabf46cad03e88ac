"""What a run of the fuzz tests did: how many were run, refused, and what was in them, so that nobody is fooled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .workflows import Case

_FIELDS = (
    *("scatter", "when", "pickValue", "linkMerge", "default", "valueFrom", "inputBinding", "itemSeparator", "prefix"),
    *("separate", "shellQuote", "position", "arguments", "stdin", "stdout", "secondaryFiles", "loadContents", "glob"),
    *("loadListing", "outputEval", "InitialWorkDirRequirement", "EnvVarRequirement", "ShellCommandRequirement"),
    *("writable", "InlineJavascriptRequirement"),
)
_VALUES = (
    *("record", "array", "enum", "File", "Directory", "boolean", "ExpressionTool", "nested_crossproduct"),
    *("flat_crossproduct", "dotproduct"),
)


def features(case: Case) -> set[str]:
    """What a document uses."""
    found = {case.document["cwlVersion"]}
    workflows = 0
    for key, value in _pairs(case.document):
        found |= {name for name in _FIELDS if name == key} | {name for name in _VALUES if name == value}
        workflows += value == "Workflow"
        found |= {"JavaScript"} if isinstance(value, str) and value.startswith("${") else set()
        found |= {"several sources"} if key in ("source", "outputSource") and isinstance(value, list) else set()
        found |= {"cwl.output.json"} if isinstance(value, str) and "cwl.output.json" in value else set()
    found |= {("a lone tool", "a workflow", "a sub-workflow")[min(workflows, 2)]}
    found |= {"empty array"} if any(value == [] for _, value in _pairs(case.inputs)) else set()
    return found


def _pairs(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    yield key, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _pairs(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)


def text(seed: int, counts: Counter[str], used: Counter[str], differences: Counter[str]) -> str:
    """The report."""
    lines = [
        f"seed {seed}: {dict(counts)}",
        f"features in documents that both ran: {json.dumps(dict(used.most_common()))}",
    ]
    return "\n".join(lines + [f"{number} x {reason}" for reason, number in differences.most_common()])
