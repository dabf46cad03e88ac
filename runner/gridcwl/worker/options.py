"""Worker options: those of the machine, and the job's JSON form with its defaults filled in."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Optional, Tuple

from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.recycle import Recycler

FORMAT = "gridcwl-job/1"

# The defaults of gridcwl.model.Job, which the worker may not import; a test holds the two together.
_DEFAULTS: Plain = {
    "image": None,
    "environment": {},
    "directories": {},
    "staged": [],
    "stdin": None,
    "stdout": None,
    "stderr": None,
    "outputs": {},
    "resources": {},
    "exit_codes": {},
    "in_place": False,
    "attempt": 1,
    "storage": None,
    "trusted": [],
    "placement": None,
    "folders": [],
    "processes": [],
    "format": FORMAT,
}
_NESTED: Dict[str, Plain] = {
    "directories": {"out": "/gridcwl/out", "tmp": "/gridcwl/tmp", "inputs": "/gridcwl/in"},
    "outputs": {"globs": None, "contents": [], "ports": {}},
    "resources": {
        "cores": 1.0,
        "ram_mib": 256,
        "tmp_mib": 1024,
        "out_mib": 1024,
        "time_limit_s": None,
        "network": False,
        "gpus": 0,
        "shm_bytes": None,
    },
    "exit_codes": {"success": [], "temporary_failure": [], "permanent_failure": []},
}
_PROCESS: Plain = {
    "environment": {},
    "workdir": None,
    "stdin": None,
    "stdout": None,
    "stderr": None,
    "ignore_failure": False,
}
_STAGED: Plain = {
    "sources": [],
    "contents": "",
    "writable": False,
    "size": None,
    "checksum": None,
    "location": "",
}


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """How this machine wants its jobs run."""

    base: str = ""
    """The folder that relative sources are relative to; empty is the current one."""
    write_files: bool = False
    """Write ``job.json`` and ``result.json`` into the working directory."""
    limit_cores: bool = False
    """Hold the tool to the cores it asked for, where the engine can."""
    limit_ram: bool = False
    """Hold the tool to the memory it asked for, where the engine can."""
    collect_failed: bool = False
    """List also what a tool left that ended with an exit code that means failure."""
    recycler: Optional[Recycler] = None
    """Where jobs that succeeded leave their folders for others, and their outputs; None leaves all in its place."""
    capabilities: Tuple[str, ...] = ()
    """Linux capabilities that containers keep; see ``Call.capabilities``."""
    processes: Optional[int] = None
    """See ``Call.processes``."""
    site: str = ""
    """Where this machine is, as storage elements name their sites; empty if it is at none."""
    max_mounts: int = 200
    """With more read-only inputs than this, a container gets hard links in one mounted folder."""


def complete(job: Plain) -> Plain:
    """The job with the defaults of all that it does not say.

    Raises:
        Failure: it is of another format, or a required part is missing.
    """
    full: Plain = {**_DEFAULTS, **job}
    if full["format"] != FORMAT:
        raise WorkerFailure(f"This worker runs jobs of the format {FORMAT}, and this one is {full['format']}.")
    missing = [key for key in ("id", "run", "name", "command") if key not in full]
    if missing or not full["command"]:
        raise WorkerFailure(f"The job has no {missing[0] if missing else 'command'}.")
    for key, defaults in _NESTED.items():
        full[key] = {**defaults, **full[key]}
    full["staged"] = [{**_STAGED, **staged} for staged in full["staged"]]
    if full["processes"]:
        full["processes"] = [{**_PROCESS, **process} for process in full["processes"]]
    return full


def text_field(job: Any, key: str) -> str:
    """A text field of something that may not be a job at all; for a result that has to be written all the same."""
    value: Optional[Any] = job.get(key) if isinstance(job, dict) else None
    return value if isinstance(value, str) else ""
