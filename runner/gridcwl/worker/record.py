"""Files of a job in its working directory: ``job.json`` when it starts, ``result.json`` when it has ended."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from typing import Any

from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import SUCCESS, TEMPORARY, failure_of

log = logging.getLogger(__name__)

_RESERVE = 64 * 1024  # bytes


def begin(job: Plain, workdir: str) -> None:
    """Write ``job.json``, and keep a little room for a result that has to say that the disk is full.

    Raises:
        OSError: there is no room.
    """
    with open(workdir + "/.reserve", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, _RESERVE)
    _write(workdir + "/job.json", job)


def end(result: Plain, workdir: str) -> Plain:
    """Write ``result.json``; where its list of files has no room, a failure without that list.

    Returns what was written. Never raises: what cannot be written is logged.
    """
    path = workdir + "/result.json"
    try:
        try:
            os.makedirs(workdir, exist_ok=True)
            _write(path, result)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(workdir + "/.reserve")
    except OSError as error:
        result = _without_files(result, error)
        try:
            _write(path, result)
        except OSError:
            log.error("The result could not be written; it is: %s", json.dumps(result, ensure_ascii=True))  # noqa: TRY400
    return result


def _without_files(result: Plain, error: OSError) -> Plain:
    outcome = TEMPORARY if result["outcome"] == SUCCESS else result["outcome"]
    reason = f"{result['reason']} {failure_of(error, 'writing the result').reason}".strip()
    return {**result, "outcome": outcome, "reason": reason, "files": [], "escaped": []}


def _write(path: str, value: Any) -> None:
    """Write a file so that it is there whole or not at all."""
    # Plain ASCII: file names need not be UTF-8, and lone surrogates have to survive.
    data = json.dumps(value, ensure_ascii=True, indent=1).encode("ascii") + b"\n"
    temporary = path + ".part"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
