"""A job of a run as it was, from the run's record: to be looked into by a person, not to be run again by gridcwl.

The record has what the job was in words (command, environment, image, which bytes are where) and the values of its
inputs (where these bytes are); together they are the job. Of secrets the record has words that stand for them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import Job, JobId, RunId, StagedFile, paths
from gridcwl.model.job import Image, JobDirectories, OutputRules, Resources
from gridcwl.model.objects import base_name_of, entries
from gridcwl.runs.provenance.stored import copied, store_with
from gridcwl.runs.record.history import FAILED, History
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.record.logs import check_step


@dataclass(frozen=True, slots=True)
class RebuiltJob:
    """A job of a run, and how it ended."""

    job: Job
    outcome: str
    """Empty while it runs, or if it never ran."""
    exit_code: int | None
    reason: str
    place: str
    """Where it ran."""


def rebuilt(history: History, step: str) -> RebuiltJob:
    """The last job of a step or of one shard of it, the first that failed if there are several.

    Raises:
        ConfigError: the run has no such job.
        StoreError: what one of its inputs was is not recorded.
    """
    check_step(history, step)
    failed = next(history.jobs(step=step, where=f"{FAILED} AND {history.latest}"), None)
    row = failed or next(history.jobs(step=step, where=history.latest), None)
    if row is None:
        raise ConfigError(f"No job of {step} was begun", remedy="Only a job that was begun has a container and inputs.")
    attempts = history.attempts(row.row)
    last = attempts[-1] if attempts else None
    return RebuiltJob(
        _job(history, row),
        last.outcome if last else row.outcome or "",
        last.exit_code if last else None,
        last.reason if last else "",
        row.place or "",
    )


def _job(history: History, row: JobRow) -> Job:
    words = history.description(row.row)
    common, own = json.loads(words.common), json.loads(words.own)
    binding = history.binding(row)
    known = [dict(entry) for entry in entries(binding.inputs if binding is not None else {})]
    resources = common.get("resources") or {}
    image = common.get("image")
    return Job(
        id=JobId(row.job),
        run=RunId(row.job.rpartition("-")[0] or row.job),
        name=row.name,
        command=tuple(own["command"]),
        image=None if image is None else msgspec.convert(image, Image),
        environment=dict(common.get("environment") or {}),
        directories=msgspec.convert(common["directories"], JobDirectories),
        staged=tuple(_staged(target, what, known, row.name) for target, what in (own.get("inputs") or {}).items()),
        outputs=OutputRules(globs=()),
        resources=Resources(
            cores=float(resources.get("cores") or 1.0),
            gpus=int(resources.get("gpus") or 0),
            network=bool(resources.get("network")),
        ),
    )


def _staged(target: str, what: Sequence[Any], known: Sequence[Mapping[str, Any]], job: str) -> StagedFile:
    kind, _, writable = str(what[0]).partition(", ")
    entry = StagedFile(target, kind, writable=bool(writable))  # type: ignore[arg-type]  # the record has these kinds
    if kind == "literal":
        return replace(entry, contents=str(what[1]))
    if len(what) == 1:
        return entry
    identity = " ".join(str(part) for part in what[1:])
    if "://" in identity:
        return replace(entry, sources=(identity,))
    alike = [one for one in known if one.get("location") and str(one.get("class", "")).lower() == kind]
    found = max(alike, key=lambda one: _likeness(one, target, identity), default=None)
    if found is None or (len(alike) > 1 and not _likeness(found, target, identity)):
        found = next((one for one in alike if _has_bytes(str(one["location"]), identity)), None)
    if found is None:
        raise StoreError(
            f"The record does not have where the input {target} of {job} is",
            remedy="Open its container with inputs of your choice: gridcwl shell --image IMAGE -i FILE.",
        )
    return replace(entry, sources=(str(found["location"]),))


def _likeness(entry: Mapping[str, Any], target: str, identity: str) -> int:
    """How sure it is that an input's value is what was staged there; 0 if nothing says so."""
    same_bytes = bool(entry.get("checksum")) and str(entry["checksum"]) in identity
    return 2 * same_bytes + (base_name_of(entry) == posixpath.basename(target))


def _has_bytes(location: str, identity: str) -> bool:
    """Whether a file of this machine, which the job saw under another name, is the one of this checksum and size."""
    checksum, _, size = identity.partition(" ")
    if urlsplit(location).scheme != "file" or not checksum.startswith("sha1$"):
        return False
    path = Path(paths.file_path(location, "An input"))
    if not path.is_file():
        return False
    if size.isdigit() and path.stat().st_size != int(size):
        return False
    with path.open("rb") as file:
        return f"sha1${hashlib.file_digest(file, 'sha1').hexdigest()}" == checksum


def here(job: Job, folder: Path) -> Job:
    """The job with all inputs that a store holds on this machine; the others are left where they are.

    Raises:
        StoreError: one cannot be read.
    """
    urls = list(dict.fromkeys(url for entry in job.staged for url in entry.sources if store_with("copy_files", url)))
    if not urls:
        return job
    folder.mkdir(parents=True, exist_ok=True)
    copies = copied(urls, folder)
    staged = (replace(entry, sources=tuple(copies.get(url, url) for url in entry.sources)) for entry in job.staged)
    return replace(job, staged=tuple(staged))
