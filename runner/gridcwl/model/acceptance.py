"""Which results are accepted: a job may claim its own files, its own uploads and its own inputs, and nothing else.

A result comes from a worker node, which is not trusted. Pure functions; the bytes are compared by whoever has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gridcwl.errors import GridCWLError, LimitExceeded, ResultError
from gridcwl.model import paths
from gridcwl.model.job import Job, StorageElement
from gridcwl.model.result import JobResult, Outcome, ProducedFile

SANDBOX = "sandbox:"
"""How the location of an output begins that is in the results archive; its path follows."""
_ADLER32, _SHA1 = re.compile("[0-9a-f]{8}"), re.compile("[0-9a-f]{40}")


def accepted(result: JobResult, job: Job, roots: Sequence[str] = (), *, sandbox: bool = False) -> JobResult:
    """The result, if it is of this job and claims only what is the job's. Inputs that were passed through lose sums.

    Args:
        result: as it was decoded.
        job: that was submitted.
        roots: what the paths begin with that are the job's own on this machine: ``/run/job-1/``.
        sandbox: its files may be in its results archive.

    Raises:
        ResultError: it is the result of another job, or names an upload or an element that is not this job's.
        UnsafePath: a location is not acceptable.
    """
    if result.id != job.id:
        raise ResultError(f"The result is of the job {paths.quoted(result.id)}, not of {job.id}")
    for log in (result.stdout_log, result.stderr_log):
        if log is not None and not (log.startswith(tuple(roots)) and paths.absolute(log, "A job's log")):
            raise ResultError(f"The result names the log {paths.quoted(log)}, which is not the job's")
    if not result.files and not result.outdir and not result.element:
        return result
    if result.element and all(result.element != element.name for element in _elements(job)):
        raise ResultError(
            f"The result names the storage element {paths.quoted(result.element)}, which is not the job's"
        )
    own = _Own(job, roots, sandbox, bool(result.element))
    if result.outdir and not own.is_outdir(result.outdir):
        raise ResultError(
            f"The result names the output directory {paths.quoted(result.outdir)}, which is not the job's"
        )
    files = tuple([own.checked(file) for file in result.files])
    changed = any(new is not old for new, old in zip(files, result.files, strict=True))
    return replace(result, files=files) if changed else result


def refused(job: Job, error: GridCWLError, detail: str = "") -> JobResult:
    """The result of a job whose own was not accepted.

    What is too large will be so again; anything else is the node's fault, and another one may do better.
    """
    outcome = Outcome.PERMANENT_FAILURE if isinstance(error, LimitExceeded) else Outcome.TEMPORARY_FAILURE
    reason = f"The job's result was not accepted. {error.message.rstrip('.')}."
    return JobResult(job.id, outcome, reason=f"{reason} {detail}".rstrip())


class _Own:
    """What is a job's own."""

    def __init__(self, job: Job, roots: Sequence[str], sandbox: bool, element: bool) -> None:
        self._job = job
        self._roots = tuple(roots)
        self._sandbox = sandbox
        self._element = element
        storage = job.storage
        self._uploads = f"{storage.root}{storage.scope}/{storage.prefix}" if storage is not None else None
        self._inputs: tuple[frozenset[str], tuple[str, ...]] | None = None

    def is_outdir(self, url: str) -> bool:
        """Whether this is the URL of the job's output directory."""
        if url == SANDBOX:
            return self._sandbox
        if self._uploads is not None and url == self._uploads.rstrip("./"):
            return True
        if not self._roots or not url.startswith("file://"):
            return False
        return f"{paths.file_path(url, 'The output directory of a result')}/".startswith(self._roots)

    def checked(self, file: ProducedFile) -> ProducedFile:
        location = file.location
        if self._is_below_roots(location):
            return file
        if location.startswith(SANDBOX):
            if not self._sandbox or location[len(SANDBOX) :] != file.path:
                raise self._foreign(file)
            return file  # its size is compared with its bytes
        if file.size < 0:
            raise ResultError(f"The output {paths.quoted(file.path)} has an impossible size")
        if self._uploads is not None and location.startswith(self._uploads):
            paths.location(location, f"The location of the output {paths.quoted(file.path)}")
            if file.kind == "file" and (file.adler32 is None or not self._element):
                raise ResultError(f"The output {paths.quoted(file.path)} has no checksum or no storage element")
            if not _ADLER32.fullmatch(file.adler32 or "00000000") or not _SHA1.fullmatch(file.sha1 or 40 * "0"):
                raise ResultError(f"The output {paths.quoted(file.path)} has a checksum that is none")
            return file
        if self._is_input(location):
            # Its sums are known where it came from; with sums it would be taken for the job's own.
            known = file.adler32 is None and file.sha1 is None
            in_place = self._job.in_place and location.startswith("file://")
            return file if known or in_place else replace(file, adler32=None, sha1=None)
        raise self._foreign(file)

    def _is_below_roots(self, location: str) -> bool:
        if not self._roots or not location.startswith("file://"):
            return False
        return paths.file_path(location, "The location of an output").startswith(self._roots)

    def _is_input(self, location: str) -> bool:
        if self._inputs is None:
            names = [name.rstrip("/") for name in _inputs(self._job)]
            self._inputs = frozenset(names), tuple(name + "/" for name in names)
        whole, below = self._inputs
        return location.rstrip("/") in whole or (location.startswith(below) and _is_plain(location))

    def _foreign(self, file: ProducedFile) -> ResultError:
        where = paths.quoted(file.location)
        return ResultError(
            f"The output {paths.quoted(file.path)} is at {where}, which is neither the job's own nor its input"
        )


def _inputs(job: Job) -> Iterable[str]:
    for entry in job.staged:
        if entry.location:
            yield entry.location
        yield from entry.sources


def _elements(job: Job) -> Iterable[StorageElement]:
    return job.storage.elements if job.storage is not None else ()


def _is_plain(url: str) -> bool:
    try:
        paths.location(url, "It")
    except GridCWLError:
        return False
    return True
