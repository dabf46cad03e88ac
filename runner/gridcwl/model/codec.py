"""Values to JSON and back, and their JSON Schema. The schema files beside this one are written by :func:`schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from gridcwl.model.job import Job
from gridcwl.model.result import JobResult

SCHEMA_FILES: dict[str, type] = {"job.schema.json": Job, "result.schema.json": JobResult}


def to_plain(value: Job | JobResult) -> dict[str, Any]:
    """The JSON form as dicts and lists, as the worker takes it."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def to_json(value: Job | JobResult) -> str:
    """The JSON form as text; plain ASCII, for file names need not be UTF-8 and lone surrogates have to survive."""
    return json.dumps(to_plain(value), ensure_ascii=True)


def result_from_plain(plain: dict[str, Any]) -> JobResult:
    """A result from what the worker returned.

    Raises:
        msgspec.ValidationError: it is not a result of the format that this version reads.
    """
    return msgspec.convert(plain, JobResult)


def result_from_json(text: str | bytes) -> JobResult:
    """A result from the text of ``result.json``; raises as :func:`result_from_plain`."""
    return result_from_plain(json.loads(text))


def job_from_json(text: str | bytes) -> Job:
    """A job from the text of ``job.json``; raises as :func:`result_from_plain`."""
    return msgspec.convert(json.loads(text), Job)


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
