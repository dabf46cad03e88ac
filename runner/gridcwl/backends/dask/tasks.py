"""A job as a Dask task: its key, its resources, and what travels with it. Pure, but for input files that go along."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.errors import BackendError, UnsupportedError
from gridcwl.model import Job, JobId, Resources, RunId, paths
from gridcwl.model.codec import to_plain, with_secrets
from gridcwl.model.job import folder_name

_MOST_FILES = 6 << 20
"""Bytes of input files that travel with one task."""
ROOM = 1 << 20
"""Bytes of outputs that come back with one answer: the scheduler keeps answers in memory."""

WITNESSES = "witnesses"


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What all tasks of a run have in common."""

    folder: Path
    """Of the run on this machine."""
    shared: bool
    """Workers have this machine's files."""
    local: bool = False
    """Jobs do not leave this machine, so that they may have secrets, and end with the client."""
    recycled: str = ""
    """The folder of recyclers of workers of this machine; empty: each job has a folder of its own, which stays."""
    base: str = ""
    """Folder for jobs on workers that have not."""
    site: str = ""
    image: str = ""
    """The workers are in this container, and start no others."""
    settings: Mapping[str, Any] | None = None
    """For containers, as ``gridcwl.worker.site`` reads them."""
    worker_options: Mapping[str, Any] | None = None
    """Fields of ``WorkerOptions``."""


def messages_of(event: Any) -> Iterator[Mapping[str, Any]]:
    """What clients and workers report in an event of the scheduler."""
    messages = event.get("messages") if isinstance(event, Mapping) else None
    for message in messages if isinstance(messages, list | tuple) else ():
        if isinstance(message, Mapping) and "state" in message:
            yield message


def topic(run: RunId) -> str:
    """Where the events of a run are logged at the scheduler."""
    return f"gridcwl-{run}"


def key_of(job: Job) -> str:
    """The key of a job's attempt: whoever submits it again joins the task that there is."""
    return f"gridcwl-{folder_name(job)}"


def demands(resources: Resources) -> dict[str, float]:
    """A job's resources as Dask's: its workers never have more of them in use than they declare."""
    found = {"CORES": max(resources.cores, 0.01), "MEMORY": float(resources.ram_mib << 20)}
    return {**found, "GPU": float(resources.gpus)} if resources.gpus else found


def refuse_giant(job: Job, workers: Mapping[str, Mapping[str, float]]) -> None:
    """Raise if none of these workers can ever run a job; without any workers nobody knows.

    Raises:
        BackendError: naming what is short.
    """
    need = demands(job.resources)
    if not workers or any(all(has.get(name, 0) >= value for name, value in need.items()) for has in workers.values()):
        return
    best = {name: max(has.get(name, 0) for has in workers.values()) for name in ("CORES", "MEMORY", "GPU")}
    where = "no worker of the Dask cluster has more than"
    resources = job.resources
    if resources.cores > best["CORES"]:
        raise _exceeded(job, f"{resources.cores:g} cores", f"{where} {best['CORES']:g}")
    if resources.ram_mib << 20 > best["MEMORY"]:
        raise _exceeded(job, f"{resources.ram_mib} MiB of memory", f"{where} {int(best['MEMORY']) >> 20} MiB")
    if resources.gpus > best["GPU"]:
        raise _exceeded(job, f"{resources.gpus} GPU(s)", f"{where} {best['GPU']:g}", "CUDARequirement")
    asked = f"{resources.cores:g} cores, {resources.ram_mib} MiB and {resources.gpus} GPU(s)"
    raise _exceeded(job, asked, "no worker of the Dask cluster has all of them")


def _exceeded(job: Job, asked: str, why: str, requirement: str = "ResourceRequirement") -> BackendError:
    return BackendError(
        f"{job.name} asks for {asked}, but {why}",
        remedy=f"Lower the tool's {requirement}, give --cap-resources, or start larger workers.",
    )


def task_of(job: Job, options: TaskOptions, secrets: Mapping[str, str]) -> dict[str, Any]:
    """What travels to the worker.

    Raises:
        UnsupportedError: a secret, or too many bytes of input files, would leave this machine.
    """
    plain = to_plain(job)
    name = folder_name(job)
    task: dict[str, Any] = {"key": key_of(job), "job": str(job.id), "topic": topic(job.run), "name": name}
    request: dict[str, Any] = {"site": options.site}
    if options.settings is not None:
        request["settings"] = options.settings
    if secrets and (revealed := with_secrets(plain, secrets)) != plain:
        if not options.local:
            raise UnsupportedError(
                f"{job.name} has a secret among its inputs, and secrets do not leave this machine",
                remedy="Run it here (--backend local), or let the tool take the secret from where it runs.",
            )
        plain = revealed
    if options.shared:
        request |= {
            "options": {**(options.worker_options or {}), "recycle": options.recycled},
            "workdir": str(options.folder / name),
        }
        if not options.local:  # the workers of this client run a job once
            request["witness"] = str(options.folder / WITNESSES / name)
    else:
        carried, files = _along(plain, job) if job.storage is None else ({}, b"")
        request |= {"carried": carried, "room": ROOM, "settings": {"*": dict(options.settings or {}).get("*", {})}}
        task |= {"folder": options.base, "files": files}
    task["request"] = json.dumps({**request, "job": plain}, ensure_ascii=True)
    return task


def _along(plain: dict[str, Any], job: Job) -> tuple[dict[str, str], bytes]:
    """Take the job's local files along: by their names in the tar file their URLs, and the tar file."""
    names: dict[str, str] = {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in plain["staged"]:
            entry["sources"] = [_carried(source, job, names, archive) for source in entry["sources"]]
    if not names:
        return {}, b""
    return {name: source for source, name in names.items()}, buffer.getvalue()


def _carried(source: str, job: Job, names: dict[str, str], archive: tarfile.TarFile) -> str:
    if not source.startswith("file://"):
        return source
    if source not in names:
        path = Path(paths.file_path(source, f"The location of an input of {job.name}"))
        names[source] = f"gridcwl-files/{len(names)}/{path.name}"
        if path.exists():  # else the worker reports it
            archive.add(path.resolve(), names[source])
        if archive.offset > _MOST_FILES:
            raise UnsupportedError(
                f"{job.name} reads {path}, and with it more than {_MOST_FILES >> 20} MiB would travel with a Dask task",
                remedy="Choose a store that carries files between machines, with --store; or set shared_files in the "
                "table [dask] if the workers have this machine's files.",
            )
    return names[source]


def job_of(key: str, run: RunId) -> tuple[JobId, int] | None:
    """The job and the attempt of a key; None if it is not one of this run."""
    name, _, attempt = key.removeprefix("gridcwl-").rpartition("-")
    if not key.startswith("gridcwl-") or not name.startswith(f"{run}-") or not attempt.isdigit():
        return None
    return JobId(name), int(attempt)
