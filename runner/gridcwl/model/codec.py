"""Values to JSON and back, and their JSON Schema. The schema files beside this one are written by :func:`schemas`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from gridcwl.errors import InputError, ResultError
from gridcwl.model import limits, paths
from gridcwl.model.job import JOB_FORMAT, Job
from gridcwl.model.result import RESULT_FORMAT, JobResult, ProcessResult, Usage

_LARGEST = (1 << 63) - 1
_LARGEST_EXIT_CODE = (1 << 32) - 1
_TEXTS = ("reason", "stderr_tail", "image", "element")
"""Fields of a result that a person reads."""
_NAME = 255
"""Characters of a host's or a site's name."""
_LISTED = 21
"""Names of what a tool left; a worker sends no more."""

SCHEMA_FILES: dict[str, type] = {"job.schema.json": Job, "result.schema.json": JobResult}


def to_plain(value: Job | JobResult) -> dict[str, Any]:
    """The JSON form as dicts and lists, as the worker takes it."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def to_json(value: Job | JobResult) -> str:
    """The JSON form as text; plain ASCII, for file names need not be UTF-8 and lone surrogates have to survive."""
    return json.dumps(to_plain(value), ensure_ascii=True)


def result_from_plain(plain: dict[str, Any]) -> JobResult:
    """A result from what the worker returned. Its paths are valid; whose they are is decided by ``acceptance``.

    Raises:
        ResultError: it is not a result of the format that this version reads.
        UnsafePath: a path in it is not relative, or leads out of the output directory.
    """
    try:
        result = msgspec.convert(plain, JobResult)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise ResultError(f"A job's result is not of the format {RESULT_FORMAT}: {_first(error)}") from None
    for file in result.files:
        paths.relative(file.path, "The path of an output")
        if abs(file.size) > _LARGEST:
            raise ResultError(f"The output {paths.quoted(file.path)} of a job's result has an impossible size")
    if result.exit_code is not None and abs(result.exit_code) > _LARGEST_EXIT_CODE:
        raise ResultError("A job's result has an impossible exit code")
    return replace(_readable(result), usage=_believable(result.usage))


def _believable(usage: Usage | None) -> Usage | None:
    """What a worker reports of itself, if that can be: nothing of a run depends on it."""
    if usage is None:
        return None
    counted = (usage.read_bytes, usage.written_bytes, usage.disk_bytes, usage.fetched_bytes)
    numbers = (usage.wall_s, usage.cpu_s, usage.max_rss_mib, *counted)
    if not all(number is None or 0 <= number <= _LARGEST for number in numbers):  # NaN is in no range
        return None
    return replace(usage, started=usage.started[:_NAME], host=_name(usage.host), site=_name(usage.site))


def _name(text: str) -> str:
    return text[:_NAME].encode("utf-8", "backslashreplace").decode("utf-8")


def _readable(result: JobResult) -> JobResult:
    """The result with text that can be written and shown: of bounded length, without lone surrogates."""
    changed: dict[str, Any] = {}
    for name in _TEXTS:
        text: str = getattr(result, name)
        if len(text) > limits.TEXT_CHARACTERS or not text.isascii():
            changed[name] = _cut(text)
    if len(result.left) > _LISTED:
        changed["left"] = (*result.left[:_LISTED], "...")
    if result.processes:
        changed["processes"] = tuple(_readable_process(process) for process in result.processes)
    return replace(result, **changed) if changed else result


def _readable_process(process: ProcessResult) -> ProcessResult:
    streams = {name: _cut(getattr(process, name)) for name in ("stdout", "stderr")}
    code = max(-_LARGEST_EXIT_CODE, min(process.exit_code, _LARGEST_EXIT_CODE))
    return replace(process, exit_code=code, started=process.started[:_NAME], ended=process.ended[:_NAME], **streams)


def _cut(text: str) -> str:
    cut = text if len(text) <= limits.TEXT_CHARACTERS else f"{text[: limits.TEXT_CHARACTERS]} ..."
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")


def with_secrets(value: Any, secrets: Mapping[str, str]) -> Any:
    """A plain value with secrets in place of their stand-ins; for what runs on this machine only."""
    if isinstance(value, str):
        for stand_in, secret in secrets.items():
            value = value.replace(stand_in, secret)
        return value
    if isinstance(value, dict):
        return {key: with_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_secrets(item, secrets) for item in value]
    return value


def result_from_json(text: str | bytes) -> JobResult:
    """A result from the text of ``result.json``.

    Raises:
        ResultError: it is not JSON, or see :func:`result_from_plain`.
        UnsafePath: see there.
        LimitExceeded: it is larger than a result may be.
    """
    try:
        plain = limits.read_json(text, limits.RESULT_BYTES, "A job's result")
    except ValueError as error:
        raise ResultError(f"A job's result is not JSON: {_first(error)}") from None
    return result_from_plain(plain)


def job_from_json(text: str | bytes) -> Job:
    """A job from the text of ``job.json``.

    Raises:
        InputError: it is not a job of the format that this version reads.
        UnsafePath: its id is not a base name, or a target is not an absolute path.
        LimitExceeded: it is larger than a job may be.
    """
    try:
        job = msgspec.convert(limits.read_json(text, limits.RESULT_BYTES, "A job's description"), Job)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise InputError(f"A job's description is not of the format {JOB_FORMAT}: {_first(error)}") from None
    paths.basename(job.id, "The id of a job")
    for entry in job.staged:
        paths.absolute(entry.target, f"The place of an input of {job.name}")
    for folder in job.folders:
        paths.absolute(folder, f"A folder of {job.name}")
    return job


def _first(error: Exception) -> str:
    """The first line of what a library says, cut."""
    return str(error).partition("\n")[0][:200]


def schemas() -> dict[str, str]:
    """The text of every schema file by its name."""
    return {
        name: json.dumps(msgspec.json.schema(kind), indent=2, sort_keys=True) + "\n"
        for name, kind in SCHEMA_FILES.items()
    }


def write_schemas(folder: Path) -> None:
    """Write the schema files; run after the model changed: ``python -m gridcwl.model.codec``."""
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(__file__).parent)
