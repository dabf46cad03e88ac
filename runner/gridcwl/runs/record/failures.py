"""Failures in words: why, with which inputs, and which of them are alike. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from gridcwl.model import Job, JobResult

_LONGEST_VALUE = 120
_LONGEST_LINE = 300
_SHARD = re.compile(r"\[[0-9,]+\]")
_VARYING = re.compile(r"\S*[/\d]\S*")
"""Words with a slash or a digit: paths, numbers, names of files. They differ from shard to shard."""


def reason_of(result: JobResult) -> str:
    """Why a job failed, in words."""
    return result.reason or f"The tool ended with exit code {result.exit_code}."


def alike(reason: str, job: Job | None = None) -> str:
    """The same text for failures of one kind: without what names the shard, its folder or its job."""
    text = reason
    if job is not None:
        text = re.sub(rf"\S*{re.escape(job.id)}[^\s,;:]*", "*", text)
        text = text.replace(job.name, _SHARD.sub("", job.name))
    return _SHARD.sub("", text)


def alike_words(text: str) -> str:
    """The same for the output of a tool: its words without paths, names of files and numbers."""
    return _VARYING.sub("*", text)


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = text.strip().splitlines()
    return lines[-1].strip()[:_LONGEST_LINE] if lines else ""


def inputs_in_words(inputs: Mapping[str, Any]) -> str:
    """A shard's inputs as JSON, each as a short text; those that are null are left out."""
    return json.dumps({name: _short(value) for name, value in inputs.items() if value is not None})


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and value.get("class") in ("File", "Directory"):
        text = str(value.get("basename") or _base(str(value.get("location") or value.get("path") or "")) or "literal")
    elif isinstance(value, list):
        shown = ", ".join(_short(item) for item in value[:3])
        text = f"[{shown}]" if len(value) <= 3 else f"[{shown}, ... {len(value)} in all]"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + " ..."


def _base(location: str) -> str:
    return PurePosixPath(unquote(location.rstrip("/"))).name
