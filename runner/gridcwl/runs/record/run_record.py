"""Run records: the folder, journal and working folder of a run, created for a new run and reopened to resume one."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gridcwl
from gridcwl.errors import GridCWLError, RunCancelled, RunDetached, StoreError
from gridcwl.model import JobResult, Outcome, RunId
from gridcwl.model.codec import result_from_json
from gridcwl.model.objects import entries
from gridcwl.runs.record.cleanup import (
    is_job_folder,
    is_working_folder,
    moved,
    remove_but_logs,
    remove_failed,
    remove_unused,
    working_folder,
)
from gridcwl.runs.record.counts import step_counts, summary
from gridcwl.runs.record.folder import RunFolder, new_folder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.pieces import sorted_text
from gridcwl.worker.removing import remove_tree

if TYPE_CHECKING:
    from gridcwl.runs.record.journal_log import JournalLog

logger = logging.getLogger("gridcwl.runs")

_LITERAL = re.compile(r'"location": "_:[^"]*"')
"""What a literal File or Directory is called: another name each time that the inputs are read."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Record of a run that this process holds: no other process works on the run."""

    folder: RunFolder
    working: Path
    """Jobs have their folders below; it stays until the run has succeeded."""
    journal: Journal
    history: History | None = None
    """What earlier sessions recorded; None for a new run."""

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self.folder.run


@contextmanager
def create_run(state_dir: Path, run: RunId, tmpdir_prefix: str, log: JournalLog | None = None) -> Iterator[RunRecord]:
    """Create the record of a new run: its folder, its journal and its working folder.

    Args:
        state_dir: the folder is below.
        run: its id.
        tmpdir_prefix: how the working folder's path begins.
        log: of the journal, if other machines are to have it.

    Raises:
        StoreError: one of them cannot be made.
    """
    folder = new_folder(state_dir, run)
    try:
        working = working_folder(tmpdir_prefix, run, folder.note_working)
    except StoreError:
        folder.remove()
        raise
    with folder.held():
        journal = Journal(folder.journal, new=True, log=log)
        journal.describe({"working": str(working)})
        with _removed_if_empty(working), _session(run, journal, working):
            yield RunRecord(folder, working, journal)


@contextmanager
def reopen_run(folder: RunFolder, log: JournalLog | None = None) -> Iterator[RunRecord]:
    """Reopen the record of a run whose client has ended; its remaining jobs are stopped first.

    Args:
        folder: of the run.
        log: of the journal, if other machines have it.

    Raises:
        ConfigError: another client works on it.
        JournalError: it has no journal.
        GridCWLError: what runs cannot be stopped.
    """
    _check_owner(folder)
    history = History(folder.journal)
    with contextlib.closing(history), folder.held():
        working = Path(str(history.meta("working")))
        _stop_orphans(folder.run, working, history)
        journal = Journal(folder.journal, log=log)
        working = _ensure_working_folder(folder, working, journal, history)
        with _removed_if_empty(working), _session(folder.run, journal, working):
            _collect_lost_results(working, journal, history)
            yield RunRecord(folder, working, journal, history)


def _check_owner(folder: RunFolder) -> None:
    """What a journal names is stopped, removed and taken as results: it has to be the user's own.

    Raises:
        JournalError: it is another user's.
    """
    for path in (folder.path, folder.journal):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_uid != os.geteuid():
                raise JournalError(
                    f"{path} belongs to another user", remedy="Only that user can resume or remove the run."
                )


def stop_orphans(folder: RunFolder) -> None:
    """Stop what a dead client left running; raises as :func:`reopen_run`."""
    _check_owner(folder)
    with explained_damage(folder), contextlib.closing(History(folder.journal)) as history:
        _stop_orphans(folder.run, Path(str(history.meta("working"))), history)
        if history.sessions()[-1].status in ("running", "detached"):
            from gridcwl import plugins
            from gridcwl.runs.options import saved_grid

            grid = saved_grid(history.meta("options"))
            stopped = plugins.call(grid.plugin, "stop", grid.settings, folder.run)
            if stopped:
                logger.warning("stopped %d job(s) of the run that were still at %s", stopped, grid.backend)


def process_started(pid: int) -> float | None:
    """When a process of this machine started, in the kernel's ticks since it booted; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else float(fields[19])


def fingerprint(documents: Mapping[str, bytes], inputs: Any) -> str:
    """Digest of a run's documents and inputs: it changes if one of them is edited."""
    digest = hashlib.sha256(
        json.dumps(sorted((name, hashlib.sha256(text).hexdigest()) for name, text in documents.items())).encode()
    )
    for text in sorted_text(inputs):
        digest.update(_LITERAL.sub("", text).encode())
    for path in sorted(_local_files(inputs)):
        with contextlib.suppress(OSError):
            about = os.stat(path)  # noqa: PTH116
            digest.update(os.fsencode(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0"))
    return digest.hexdigest()


def finish(record: RunRecord, outputs: Any, published: Any, *, leave: bool) -> None:
    """Record that a run succeeded and its outputs are published: working copies are removed, journal and logs stay."""
    record.journal.moved(moved(outputs, published))
    record.journal.describe({"outputs": published})
    if not leave:
        remove_working_copies(record)


def remove_working_copies(record: RunRecord) -> None:
    """Remove what the jobs of a run made, whose outputs are published; their logs stay."""
    remove_but_logs(record.working, record.folder.logs)


@contextmanager
def _session(run: RunId, journal: Journal, working: Path) -> Iterator[None]:
    pid = os.getpid()
    journal.begin(
        pid=pid, pid_started=process_started(pid) or 0.0, host=socket.gethostname(), version=gridcwl.__version__
    )
    status, message = "failed", ""
    try:
        yield
        status = ""
    except RunDetached as error:
        status, message = "detached", error.message
        raise
    except (RunCancelled, KeyboardInterrupt) as error:
        status, message = "cancelled", getattr(error, "message", "The run was interrupted")
        raise
    except GridCWLError as error:
        message = error.message
        raise
    except BaseException as error:
        message = repr(error)
        raise
    finally:
        with contextlib.suppress(StoreError):
            if status:
                journal.end(status, message)
            journal.confirm()  # the files are another process's now if the run is
            with contextlib.closing(History(journal.path)) as history:
                counted = summary(step_counts(history, alive=status == "detached"))
                if is_working_folder(working, run) and not (history.meta("options") or {}).get("leave_tmpdir"):
                    remove_failed(working, history.failed_folders(), journal.path.parent / "logs")
            journal.describe({"summary": counted})
        journal.close()


@contextmanager
def _removed_if_empty(working: Path) -> Iterator[None]:
    """Remove the working folder afterwards if it is empty."""
    try:
        yield
    finally:
        remove_unused(working)


def _stop_orphans(run: RunId, working: Path, history: History) -> None:
    from gridcwl import plugins
    from gridcwl.runs.options import saved_grid

    here = plugins.backend("local")
    stopped: int = plugins.call(here, "stop_processes", working) if is_working_folder(working, run) else 0
    options = history.meta("options") or {}
    if (
        saved_grid(options).backend == "local"
        and history.containers()
        and any(session.status == "running" for session in history.sessions())
    ):
        stopped += plugins.call(here, "stop_containers", str(options.get("engine", "docker")), run)
    if stopped:
        logger.warning("stopped %d process(es) or container(s) of the killed client", stopped)


def _collect_lost_results(working: Path, journal: Journal, history: History) -> None:
    """Record results that workers left while no client was listening; remove the folders of jobs that did not end."""
    for row, job, folder in _lost_folders(working, history):
        if (result := _success(folder, job)) is not None:
            journal.result(row, int(folder.name.rpartition("-")[2]), result, folder.name)
        else:
            _forget_uploads(folder)
            remove_tree(folder)  # the job runs again, in a folder of its own


def _lost_folders(working: Path, history: History) -> Iterator[tuple[int, str, Path]]:
    """The folders of attempts that no result is known of, with the job's row and id; links are none."""
    for row, job in history.lost():
        if is_job_folder(job):
            for folder in working.glob(f"{glob.escape(job)}-*"):
                if folder.name[len(job) + 1 :].isdecimal() and folder.is_dir() and not folder.is_symlink():
                    yield row, job, folder


def forget_lost_uploads(run: RunId, history: History) -> None:
    """Remove from storage what jobs of a run that is not resumed had put there when they were killed."""
    working = Path(str(history.meta("working")))
    if not is_working_folder(working, run):
        return
    for _, _, folder in _lost_folders(working, history):
        if not (folder / "result.json").exists():
            _forget_uploads(folder)


def _forget_uploads(folder: Path) -> None:
    """Remove from storage what a job has put there that was killed before it could say so: nobody will know of it."""
    from gridcwl.worker.put import left_behind, remove

    if left := left_behind(str(folder)):
        remaining = remove(left)
        if remaining:
            logger.warning("up to %d file(s) that a killed job uploaded remain in storage: %s", remaining, left[0])


def _success(folder: Path, job: str) -> JobResult | None:
    """The result that a worker left in a job's folder, if it is this job's."""
    try:
        result = result_from_json((folder / "result.json").read_bytes())
    except (OSError, GridCWLError):
        return None
    return result if result.outcome is Outcome.SUCCESS and result.id == job else None


def _ensure_working_folder(folder: RunFolder, working: Path, journal: Journal, history: History) -> Path:
    """The working folder, made again if it was removed meanwhile."""
    if is_working_folder(working, folder.run):
        return working
    options = history.meta("options") or {}
    prefix = str(options.get("tmpdir_prefix") or f"{tempfile.gettempdir()}/gridcwl-")
    remove_unused(working)  # a client was killed while it removed it
    made = working_folder(prefix, folder.run, folder.note_working)
    journal.describe({"working": str(made)})
    return made


def _local_files(value: Any) -> Iterator[str]:
    from gridcwl.runs.reuse.checksums import local_path

    found = (local_path(str(entry.get("location", ""))) for entry in entries(value, "File"))
    return (path for path in found if path)
