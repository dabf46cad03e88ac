"""Recorder of one session: looks up results that can be reused, and writes jobs and results to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.backends.base import Recovered
from gridcwl.engine.progress import StepProgress
from gridcwl.model import Job, JobEvent, JobId, JobResult, Outcome, ProducedFile, RunId
from gridcwl.model.job import folder_name, session_and_number
from gridcwl.runs.provenance import ctapipe
from gridcwl.runs.record.bindings import BindingEncoder
from gridcwl.runs.record.cleanup import mask_secrets
from gridcwl.runs.record.failures import alike, inputs_in_words, last_line, reason_of
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.reuse.checksums import ChecksumCache, local_path, sha1_of
from gridcwl.runs.reuse.keys import JobDescription, Masks, describe, unidentified

if TYPE_CHECKING:
    from gridcwl.stores.base import ResultCache

log = logging.getLogger("gridcwl.runs")

_PROGRESS_EVERY_S = 2.0
_SOON_S = 0.006
_HOSTNAME = socket.gethostname()


@dataclass(frozen=True, slots=True)
class ReusableResult:
    """A result of the same job that was found. It counts when its outputs can be collected: see ``Recorder.accept``."""

    result: JobResult
    what: JobDescription
    row: int | None = None
    """Of an earlier session of the run that recorded it; None if it is of another run."""
    origin: str = ""
    """The other run and its job."""


@dataclass(slots=True)
class Recorder:
    """Writes the journal of one session of a run. Knows nothing of CWL, nor of how jobs are run."""

    run: RunId
    journal: Journal
    sums: ChecksumCache
    earlier: History | None = None
    """The same journal, where an earlier session may have left results."""
    cache: ResultCache | None = None
    """Where results of other runs are."""
    masks: Masks = field(default_factory=dict)
    active_jobs: Mapping[JobId, Recovered] = field(default_factory=dict)
    """Jobs of earlier sessions that the backend still has: active, or ended and not collected."""
    missing: Container[str] = frozenset()
    """URLs of remote files that do not exist any more."""
    declared: Container[str] = frozenset()
    """URLs of input files with checksums that the user gave: they may be of what the files were once."""
    hide: Callable[[str], str] | None = None
    """Masks secrets in the output of tools."""
    _progressed: float = field(init=False, default=-_PROGRESS_EVERY_S)
    _progress_waits: bool = field(init=False, default=False)
    _taken: set[int] = field(init=False, default_factory=set)
    _keys: dict[JobId, bytes] = field(init=False, default_factory=dict)
    """Keys of active jobs whose results other runs may reuse."""
    _to_share: list[tuple[bytes, Job, JobResult]] = field(init=False, default_factory=list)
    _lookup: threading.Lock = field(init=False, default_factory=threading.Lock)
    _values: BindingEncoder = field(init=False)

    def __post_init__(self) -> None:
        self._values = BindingEncoder(self._masked, self.journal.share)

    def job_id(self, number: int) -> JobId:
        """The id of a job of this session."""
        return JobId(f"{self.run}-{self.journal.session}-{number}")

    def takes_long(self, job: Job) -> bool:
        """Whether :meth:`admit` has to read so much that a thread should do it."""
        return self.cache is not None or self.sums.takes_long(unidentified(job, self.declared))

    def admit(self, job: Job, step: str, *, reusable: bool) -> ReusableResult | JobId | None:
        """A job is due. Returns its result if one is known; otherwise it has to be run.

        A job of an earlier session that is still active comes back under that job's id: it is the same job.

        Raises:
            JournalError: the journal cannot be read.
        """
        what = describe(job, self.sums.identify(unidentified(job, self.declared)), self.masks)
        if self.cache is not None and reusable:
            self._keys[job.id] = what.key
        if (found := self._find_earlier_result(what, job)) is not None:
            return found
        if self.cache is not None and reusable and (cached := self.cache.take(what.key, job)) is not None:
            return ReusableResult(cached.result, what, origin=f"run {cached.run}, {cached.name}")
        active = self._find_active_job(what, job, step)
        if active is None:
            self.journal.add(self._row(job.id), step, job, what)
        elif job.id in self._keys:
            self._keys[active] = self._keys.pop(job.id)
        return active

    def accept(
        self, job: Job, step: str, known: ReusableResult, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> None:
        """The outputs of a result that was found could be collected: the job need not run.

        Raises:
            JournalError: it could not be recorded.
        """
        self._keys.pop(job.id, None)
        row = self._row(job.id) if known.row is None else known.row
        self.journal.bound(row, self._values.encode(inputs), self._values.encode(outputs))
        if known.row is not None:
            self.journal.take(known.row, step, job.name, finished=True)
            return
        self.journal.add(row, step, job, known.what, reused=known.origin)
        self.journal.result(row, 1, known.result, folder_name(job))
        self._keep_tool_logs(known.result)

    def reject(self, job: Job, step: str, known: ReusableResult, why: str) -> None:
        """The outputs of a result that was found could not be collected: it is no longer taken, and the job runs.

        Raises:
            JournalError: it could not be recorded.
        """
        log.warning("%s: an earlier result cannot be used, so it runs again: %s", job.name, why)
        if known.row is not None:
            self._fail_earlier(known, why)
        elif self.cache is not None:
            self.cache.drop(known.what.key, job)
        self.journal.add(self._row(job.id), step, job, known.what)

    async def record(self, ended: Sequence[tuple[Job, JobResult]]) -> None:
        """Attempts ended. When this returns, that will not be forgotten.

        Raises:
            JournalError: it could not be recorded.
        """
        if self.hide is not None:  # all logs are read for that
            ended = await asyncio.to_thread(self._without_secrets, ended)
        self.journal.results([(self._row(job.id), job.attempt, result, folder_name(job)) for job, result in ended])

    def _without_secrets(self, ended: Sequence[tuple[Job, JobResult]]) -> list[tuple[Job, JobResult]]:
        return [(job, mask_secrets(result, self.hide or str)) for job, result in ended]

    def committed(self, batches: Iterable[str]) -> None:
        """The store knows the files of these results.

        Raises:
            JournalError: it could not be recorded.
        """
        self.journal.registered(batches)

    def is_committed(self, batch: str) -> bool:
        """Whether an earlier session has recorded that the store knows the files of a result."""
        return self.earlier is not None and self.earlier.is_registered(batch)

    def finished(self, job: Job, result: JobResult, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """A job ended well and its outputs could be collected: only now is its result there for other runs."""
        self.journal.bound(self._row(job.id), self._values.encode(inputs), self._values.encode(outputs))
        self._keep_tool_logs(result)
        key = self._keys.pop(job.id, None)
        if key is not None:
            self._to_share.append((key, job, result))

    def failed(self, job: Job, step: str, result: JobResult, inputs: Mapping[str, Any]) -> None:
        """A job has failed for good: as its tool failed, or as its outputs could not be collected.

        Raises:
            JournalError: it could not be recorded.
        """
        self._keys.pop(job.id, None)
        hide = self.hide or str
        if self.hide is not None:
            result = mask_secrets(result, self.hide)
        row, reason = self._row(job.id), reason_of(result)
        last = last_line(result.stderr_tail)
        self.journal.failed(
            step, job.name, row, reason, alike=alike(reason, job), last_line=last, inputs=hide(inputs_in_words(inputs))
        )
        self.journal.bound(row, self._values.encode(inputs), None)
        self.journal.result(row, job.attempt, result, folder_name(job))

    def evaluated(
        self, step: str, name: str, kind: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None
    ) -> None:
        """An expression or a workflow ended, which has no job of its own."""
        encoded = None if outputs is None else self._values.encode(outputs)
        self.journal.evaluated(step, name, kind, self._values.encode(inputs), encoded)

    def failed_without_job(self, step: str, name: str, message: str) -> None:
        """Something failed that is no job: a link, an expression."""
        self.journal.failed(step, name, None, message, alike=alike(message))

    def started(self, job: Job, event: JobEvent) -> None:
        """An attempt runs now."""
        self.journal.started(self._row(job.id), job.attempt, event.site or _HOSTNAME, event.detail)

    def moved(self, job: Job, event: JobEvent) -> None:
        """A place that has a choice says where a job is, and how it stands there."""
        self.journal.placed(self._row(job.id), event.site, event.detail)

    def retried(self, job: Job) -> None:
        """An attempt failed, and this is the next one."""
        self.journal.again(self._row(job.id), job.resources)

    @property
    def has_results_to_share(self) -> bool:
        """Whether there are results to share with other runs."""
        return bool(self._to_share)

    async def share(self) -> None:
        """Share finished results with other runs. What cannot be shared is only logged."""
        while self._to_share and self.cache is not None:
            made, self._to_share = self._to_share, []
            await self.cache.share(made)

    def progress(self, steps: Callable[[], Sequence[StepProgress]], *, now: bool = False) -> None:
        """How far the steps are is kept every few seconds, for those who ask from elsewhere."""
        due = self._progressed + _PROGRESS_EVERY_S - time.monotonic()
        if now or due <= 0:
            self._progressed = time.monotonic()
            self.journal.progress([_counted(step) for step in steps()])
        elif not self._progress_waits:  # nothing may happen for hours after this
            self._progress_waits = True
            asyncio.get_running_loop().call_later(due, self._late_progress, steps)

    def _late_progress(self, steps: Callable[[], Sequence[StepProgress]]) -> None:
        self._progress_waits = False
        self.progress(steps)
        self._write()

    def write_soon(self) -> None:
        """Have what is known of jobs written now, or in a few milliseconds if that was done just now."""
        with contextlib.suppress(JournalError):  # ``check`` tells
            if self.journal.flush_now_and_then():
                asyncio.get_running_loop().call_later(_SOON_S, self._write)

    def _write(self) -> None:
        with contextlib.suppress(JournalError):
            self.journal.flush()

    def check(self) -> None:
        """See that all was recorded so far.

        Raises:
            JournalError: something could not be.
        """
        if self.journal.failure is not None:
            raise self.journal.failure

    def _keep_tool_logs(self, result: JobResult) -> None:
        """Keep what tools have logged of their own provenance: such logs are often intermediate files."""
        for file in result.files:
            if ctapipe.is_log(file.path.rpartition("/")[2]) and (path := local_path(file.location)) is not None:
                folder = RunFolder(self.journal.path.parent).tool_logs
                ctapipe.keep(Path(path), file.location, folder, self.hide or str)

    def _masked(self, text: bytes) -> bytes:
        for stand_in, word in self.masks.items():
            text = text.replace(stand_in.encode(), word.encode())
        return text if self.hide is None else self.hide(text.decode()).encode()

    def _row(self, job_id: JobId) -> int:
        return row_id(*session_and_number(job_id))

    def _find_active_job(self, what: JobDescription, job: Job, step: str) -> JobId | None:
        if self.earlier is None or not self.active_jobs:
            return None
        with self._lookup:
            found = self.earlier.find_left(
                what.key, job.name, row_id(self.journal.session, 0), self.active_jobs, self._taken
            )
            if found is None:
                return None
            row, active = found
            self._taken.add(row)
        self.journal.take(row, step, job.name)
        return JobId(active)

    def _find_earlier_result(self, what: JobDescription, job: Job) -> ReusableResult | None:
        if self.earlier is None:
            return None
        with self._lookup:
            found = self.earlier.find(what.key, job.name, row_id(self.journal.session, 0), self._taken)
            if found is None:
                return None
            self._taken.add(found.row)
        places = self._places(found.result)
        if places is None:
            log.warning("%s ended in an earlier session, but its files are gone: it runs again", job.name)
            return None
        return ReusableResult(with_places(replace(found.result, id=job.id), places), what, row=found.row)

    def _fail_earlier(self, known: ReusableResult, why: str) -> None:
        assert self.earlier is not None
        assert known.row is not None
        attempts = self.earlier.attempts(known.row)
        last = attempts[-1]
        result = uncollected(self.earlier.result(known.row, last.attempt), why)
        self.journal.result(known.row, last.attempt, result, last.folder)

    def _places(self, result: JobResult) -> dict[str, str] | None:
        """Where files are that are not where they were; None if one of them is nowhere, or is not what it was."""
        places: dict[str, str] = {}
        for file in result.files:
            if file.location in self.missing:
                return None
            if is_there(file, file.location):
                continue
            now = self.earlier.moved(file.location) if self.earlier is not None else None
            if now is None or not is_there(file, now) or not _is_same(file, now):
                return None
            places[file.location] = now
        return places


def _counted(step: StepProgress) -> dict[str, Any]:
    """What the journal cannot count itself."""
    counted: dict[str, Any] = {"step": step.name, "total": step.total}
    numbers = {"skipped": step.skipped, "failed": step.failed, "blocked": step.blocked, "done": step.done}
    if step.is_workflow:
        numbers |= {"workflow": True, "running": step.running}
    return counted | {name: number for name, number in numbers.items() if number}


def uncollected(result: JobResult, why: str) -> JobResult:
    """What becomes of a success whose outputs could not be collected: a failure, with its reason."""
    return replace(result, outcome=Outcome.PERMANENT_FAILURE, reason=why)


def is_there(file: ProducedFile, url: str) -> bool:
    """Whether an entry of a result is at this place, and has the size that it had. What is not here cannot be seen."""
    path = local_path(url)
    if path is None:
        return True
    if file.kind == "directory":
        return os.path.isdir(path)  # noqa: PTH112  called for every file of a run
    try:
        return os.stat(path).st_size == file.size  # noqa: PTH116
    except OSError:
        return False


def _is_same(file: ProducedFile, url: str) -> bool:
    """Whether a published file still has its bytes: there it is the user's, to do with as they like."""
    path = local_path(url)
    return path is None or file.kind == "directory" or file.sha1 is None or sha1_of(path) == file.sha1


def with_places(result: JobResult, places: Mapping[str, str]) -> JobResult:
    """The result with its files at other places."""
    if not places:
        return result
    return replace(
        result, files=tuple(replace(file, location=places.get(file.location, file.location)) for file in result.files)
    )
