"""What all calls of an engine have in common, and what no program can be given."""

from __future__ import annotations

import os
from typing import Any, Dict, List

from gridcwl.worker.engine import EngineError, Plain
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.options import WorkerOptions


def limits_of(job: Plain, options: WorkerOptions) -> Dict[str, Any]:
    """Fields of a ``Call`` that a job's resources and this machine's options decide."""
    resources = job["resources"]
    return {
        "cores": resources["cores"] if options.limit_cores else None,
        "ram_mib": resources["ram_mib"] if options.limit_ram else None,
        "network": resources["network"],
        "gpus": resources["gpus"],
        "shm_bytes": resources["shm_bytes"],
        "capabilities": options.capabilities,
        "processes": options.processes,
        "labels": {"gridcwl.run": job["run"], "gridcwl.job": job["id"]},
    }


def refuse_unsayable(process: Plain) -> None:
    """See that command and environment can be given to a program, with or without a container.

    Raises:
        Failure: they cannot.
    """
    for name, value in process["environment"].items():
        if not name or "=" in name or "\0" in name:
            raise WorkerFailure(f"No environment variable can have the name {ascii(name)}.")
        if "\0" in value:
            raise WorkerFailure(f"The value of the environment variable {name} contains a NUL character.")
    if any("\0" in word for word in process["command"]):
        raise WorkerFailure("An argument of the command contains a NUL character.")


def refuse_bytes(words: List[str]) -> None:
    """Container engines take their words as JSON; what is not UTF-8 would become something else there.

    Raises:
        EngineError: one of them is not.
    """
    for word in words:
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            shown = os.fsencode(word).decode("utf-8", "backslashreplace")
            raise EngineError(f"A container cannot be given {shown}: it is not UTF-8. Rename the file.") from None
