"""Answers of workers to results. A worker is not trusted: its answer is checked as that of any worker node."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gridcwl.backends.batch import unpacking
from gridcwl.backends.batch.outputs import log_of, with_outputs
from gridcwl.backends.dask.tasks import TaskOptions
from gridcwl.errors import GridCWLError, ResultError
from gridcwl.model import Job, JobResult, Outcome, limits
from gridcwl.model.acceptance import accepted, refused
from gridcwl.model.codec import result_from_json
from gridcwl.model.job import folder_name
from gridcwl.worker.recycle import places_of, recycled_by

_STREAMS = ("stdout", "stderr")
_MOST_LOG = 1 << 20
_MOST_REASON = 1000


def result_of(job: Job, answer: Mapping[str, Any], options: TaskOptions) -> JobResult:
    """The result of a job from its worker's answer."""
    line = answer.get("line")
    try:
        if not isinstance(line, str):
            return lost_result(job, str(answer.get("lost", "it sent no result"))[:_MOST_REASON])
        limits.check(len(line), limits.RESULT_BYTES, "The answer of a worker")
        if options.shared:
            result = accepted(result_from_json(line), job, _places(job, answer.get("process"), options))
        else:
            result = _archived(job, line, options)
    except GridCWLError as error:
        return refused(job, error)
    if result.usage is not None:
        worker = str(answer.get("worker", ""))[:256]
        result = replace(result, usage=replace(result.usage, site=options.site, batch_job=worker))
    return result


def lost_result(job: Job, why: str) -> JobResult:
    """The result of a job that left none: the place failed, and that may pass."""
    return JobResult(job.id, Outcome.TEMPORARY_FAILURE, reason=f"The job returned no result: {why.rstrip('.')}.")


def write_log(job: Job, message: Mapping[str, Any], options: TaskOptions) -> None:
    """Keep what a running job wrote, where ``gridcwl logs`` finds it."""
    stream, text, start = message.get("stream"), message.get("text"), message.get("start")
    if options.shared or stream not in _STREAMS or not isinstance(text, bytes) or not isinstance(start, int):
        return
    path = options.folder / folder_name(job) / f"{stream}.log"
    known = path.stat().st_size if path.is_file() else 0
    if start == 0 < known:  # its worker was lost, and it was started again elsewhere
        path.unlink()
        known = 0
    if start == known and known + len(text) <= _MOST_LOG:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(text)


def _places(job: Job, process: object, options: TaskOptions) -> list[str]:
    """What the paths of a job's files begin with."""
    recycled = recycled_by(options.recycled, process) if isinstance(process, int) else ""
    return places_of(str(options.folder / folder_name(job)), recycled)


def _archived(job: Job, line: str, options: TaskOptions) -> JobResult:
    """From an archive with the result, logs and outputs."""
    try:
        answer = limits.read_json(line, limits.RESULT_BYTES, "The answer of a worker")
    except ValueError:
        raise ResultError("The answer of a worker is no JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("archive"), str):
        return accepted(result_from_json(json.dumps(answer)), job)  # it was stopped before it began
    try:
        content = base64.b64decode(answer["archive"], validate=True)
    except ValueError:
        raise ResultError("The answer of a worker is damaged") from None
    folder = options.folder / folder_name(job)
    folder.mkdir(parents=True, exist_ok=True)
    members = unpacking.read_archive(io.BytesIO(content), "The results archive", scratch=folder)
    text = members.read(f"{job.id}/result.json", limits.RESULT_BYTES)
    if text is None:
        raise ResultError("The results archive of a worker has no result")
    result = with_outputs(result_from_json(text), job, members, folder)
    logs = {stream: log_of(members, job.id, stream, folder) for stream in _STREAMS}
    return replace(result, stdout_log=logs["stdout"], stderr_log=logs["stderr"])


__all__ = ["lost_result", "result_of", "write_log"]
