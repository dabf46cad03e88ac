"""Results archives of worker nodes: which outputs are accepted, and where they and the logs are put on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gridcwl.backends.batch.unpacking import Archive
from gridcwl.errors import GridCWLError, ResultError
from gridcwl.model import Job, JobId, JobResult, Outcome, ProducedFile, limits, paths
from gridcwl.model.acceptance import SANDBOX, accepted
from gridcwl.worker.paths import file_url
from gridcwl.worker.removing import remove_tree


def with_outputs(result: JobResult, job: Job, members: Archive, folder: Path) -> JobResult:
    """The result, if it claims only what is the job's, with what came in the archive written below ``folder``.

    Raises:
        GridCWLError: it claims anything else, or a file is not in the archive, or is not what the result says.
    """
    result = replace(result, stdout_log=None, stderr_log=None)
    if result.outcome is not Outcome.SUCCESS:
        result = replace(result, files=(), outdir="", element="")
    result = accepted(result, job, sandbox=job.storage is None)
    return _with_outputs(result, members, folder) if result.files or result.outdir == SANDBOX else result


def log_of(members: Archive, job: JobId, stream: str, folder: Path) -> str | None:
    """What the tool wrote to a stream, as a file in ``folder``; None if it wrote nothing."""
    content = members.end(f"{job}/{stream}.log", limits.LOG_BYTES)
    return written(folder / f"{stream}.log", content) if content else None


def written(path: Path, content: bytes) -> str:
    """Write a file, with its folder; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def _with_outputs(result: JobResult, members: Archive, folder: Path) -> JobResult:
    """The result with what came in the sandbox written to this machine.

    Raises:
        ResultError: a file is not in the archive, or is not what the result says.
    """
    if not any(file.location.startswith(SANDBOX) for file in result.files) and result.outdir != SANDBOX:
        return result
    out = folder / "out"
    remove_tree(out)  # of a client that died
    out.mkdir(parents=True)
    try:
        files = tuple(_placed(file, f"{result.id}/out/{file.path}", members, out) for file in result.files)
    except GridCWLError:
        remove_tree(out)
        raise
    return replace(result, files=files, outdir=file_url(str(out)) if result.outdir == SANDBOX else result.outdir)


def _placed(file: ProducedFile, member: str, members: Archive, out: Path) -> ProducedFile:
    if not file.location.startswith(SANDBOX):
        return file
    target = paths.inside(out, file.path, "The path of an output")
    try:
        if file.kind == "directory":
            target.mkdir(parents=True, exist_ok=True)
            return replace(file, location=file_url(str(target)))
        target.parent.mkdir(parents=True, exist_ok=True)
        return _brought(file, member, members, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ResultError(f"The output {paths.quoted(file.path)} is listed twice, or is below another file") from None


def _brought(file: ProducedFile, member: str, members: Archive, target: Path) -> ProducedFile:
    if member not in members:
        raise ResultError(f"The output {paths.quoted(file.path)} is not in the results archive")
    if members.size(member) == file.size:
        sums = members.copy(member, target)
        if file.sha1 in (None, sums.sha1) and file.adler32 in (None, sums.adler32) and sums.size == file.size:
            return replace(file, location=file_url(str(target)), sha1=sums.sha1, adler32=sums.adler32)
    raise ResultError(f"The output {paths.quoted(file.path)} in the results archive is not what the result says of it")
