"""A tool that sleeps for so many seconds, and a scatter over it."""

from __future__ import annotations

from typing import Any

TOOL: dict[str, Any] = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "arguments": ["[ $0 = 0 ] || sleep $0; echo $1 > out.txt"],
    "inputs": {
        "seconds": {"type": "string", "inputBinding": {"position": 1}},
        "number": {"type": "int", "inputBinding": {"position": 2}},
    },
    "outputs": {"made": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
}
SCATTER: dict[str, Any] = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "requirements": {"ScatterFeatureRequirement": {}},
    "inputs": {"numbers": "int[]", "seconds": "string"},
    "outputs": {"made": {"type": "File[]", "outputSource": "work/made"}},
    "steps": {
        "work": {"run": TOOL, "scatter": "number", "in": {"number": "numbers", "seconds": "seconds"}, "out": ["made"]}
    },
}
