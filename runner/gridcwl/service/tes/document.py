"""A task as a CWL document of one tool and its input object. Pure.

All that a client wrote goes into the input object, where nothing is evaluated: processes as one JSON text, which the
hint ``gridcwl:Processes`` names, Files and Directories as inputs, patterns of outputs as texts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gridcwl.service.tes import places as where
from gridcwl.service.tes.request import Executor, Output, Task, TaskResources

DOCUMENT = "task.cwl"
CONTENT = "content"
"""The folder, among the attachments, of what inputs have for content."""
_GB = 1_000_000_000
_MIB = 1 << 20


def document(task: Task, *, network: bool) -> dict[str, Any]:
    """The document."""
    resources = task.resources or TaskResources()
    inputs: dict[str, Any] = {"processes": "string"}
    for number, given in enumerate(task.inputs or ()):
        inputs[f"f{number}"] = "Directory" if given.is_directory else "File"
    outputs: dict[str, Any] = {}
    for number, output in enumerate(task.outputs or ()):
        inputs[f"g{number}"] = "string"
        kind: Any = "Directory" if output.is_directory else "File"
        kind = {"type": "array", "items": ["File", "Directory"]} if output.has_wildcards else ["null", kind]
        outputs[f"o{number}"] = {"type": kind, "outputBinding": {"glob": f"$(inputs.g{number})"}}
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["task"],
        "requirements": _requirements(task, resources, network=network),
        "hints": {"gridcwl:Processes": {"processes": "$(inputs.processes)"}, **_placement(resources)},
        "inputs": inputs,
        "outputs": outputs,
    }


def params(task: Task, files: Path) -> dict[str, Any]:
    """The input object.

    Args:
        task: checked.
        files: the attachments, among them what inputs have for content.
    """
    found = where.places(task)
    made: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    for number, given in enumerate(task.inputs or ()):
        location = (files / CONTENT / str(number)).as_uri() if given.content else _location(str(given.url))
        made[f"f{number}"] = {"class": "Directory" if given.is_directory else "File", "location": location}
        inputs[f"f{number}"] = given.path
    for number, output in enumerate(task.outputs or ()):
        made[f"g{number}"] = glob(output, found)
    value = {
        "processes": [_process(executor) for executor in task.executors],
        "folders": found.folders,
        "made": found.made,
        "inputs": inputs,
        "changed": [f"f{number}" for number in sorted(found.changed)],
        "gpus": int(_parameters(task.resources or TaskResources()).get("gpus", 0)),
    }
    return made | {"processes": json.dumps(value)}


def glob(output: Output, found: where.Places) -> str:
    """The pattern of an output, relative to the job's output directory."""
    pattern = found.inside(where.normal(output.path))
    return pattern if output.has_wildcards else pattern.replace("\\", "\\\\")


def _location(url: str) -> str:
    return Path(url).as_uri() if url.startswith("/") else url


def _process(executor: Executor) -> dict[str, Any]:
    fields = {
        "command": executor.command,
        "image": executor.image,
        "environment": executor.env or {},
        "workdir": executor.workdir or None,
        "stdin": executor.stdin or None,
        "stdout": executor.stdout or None,
        "stderr": executor.stderr or None,
        "ignore_failure": bool(executor.ignore_error),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _parameters(resources: TaskResources) -> dict[str, str]:
    return dict(resources.backend_parameters or {})


def _requirements(task: Task, resources: TaskResources, *, network: bool) -> dict[str, Any]:
    needs: dict[str, Any] = {"coresMin": max(1, resources.cpu_cores or 1)}
    if resources.ram_gb:
        needs["ramMin"] = math.ceil(resources.ram_gb * _GB / _MIB)
    if resources.disk_gb:
        needs["outdirMin"] = math.ceil(resources.disk_gb * _GB / _MIB)
    made: dict[str, Any] = {
        "DockerRequirement": {"dockerPull": task.executors[0].image},
        "ResourceRequirement": needs,
        "WorkReuse": {"enableReuse": False},
        "LoadListingRequirement": {"loadListing": "no_listing"},
    }
    if network:
        made["NetworkAccess"] = {"networkAccess": True}
    if limit := _parameters(resources).get("time_limit"):
        made["ToolTimeLimit"] = {"timelimit": int(limit)}
    return made


def _placement(resources: TaskResources) -> dict[str, Any]:
    """Zones and backend parameters as gridcwl's own hint has them."""
    given = _parameters(resources)
    made: dict[str, Any] = {"sites": list(resources.zones or ())}
    for ours, name in (("banned", "banned_sites"), ("tags", "tags")):
        made[ours] = [word.strip() for word in given.get(name, "").split(",") if word.strip()]
    for ours, name in (("platform", "platform"), ("jobType", "job_type")):
        made[ours] = given.get(name, "")
    made = {name: value for name, value in made.items() if value}
    if "priority" in given:
        made["priority"] = int(given["priority"])
    return {"gridcwl:Placement": made} if made else {}
