"""A run that was prepared: executing it, and publishing what it made. Preparing one is in ``session.py``."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import (
    EXIT_FAILURE,
    EXIT_UNSUPPORTED,
    BackendError,
    GridCWLError,
    OutputConflict,
    ResourcesExceeded,
    RunCancelled,
    StoreError,
)
from gridcwl.model import RunId, confinement
from gridcwl.runs.options import Options
from gridcwl.runs.record.run_record import RunRecord, finish
from gridcwl.tasks import TaskScope

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.events import Watcher
    from gridcwl.runs.outdir import OutputFolder
    from gridcwl.runs.record.journal_log import JournalLog
    from gridcwl.runs.record.recorder import Recorder
    from gridcwl.runs.run import Outcomes
    from gridcwl.runs.storing import RunStorage
    from gridcwl.stores.base import RunStore

log = logging.getLogger("gridcwl")

_CANCEL_EVERY_S = 0.5
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
"""What is no mistake of gridcwl's: a full disk, one that fails, too many open files."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is to be run, and where relative paths count from."""

    options: Options
    cwd: Path
    text: str | None = None
    """The input object, where ``-`` or an empty word stands for it in the options."""
    run: RunId | None = None
    """The new run's id, if its caller has chosen one."""
    handles_signals: bool = False
    """The process has this run only, and SIGTERM cancels it."""
    journal_log: JournalLog | None = None
    """Where the journal's changes are kept for other machines."""

    @property
    def outdir(self) -> Path:
        """The output directory."""
        return self.cwd / self.options.outdir


@dataclass(frozen=True, slots=True)
class Finished:
    """Result of a run that ended, successfully or not.

    Attributes:
        outputs: the output object with published locations.
        exit_code: 0 if all of it is there; else cwltool's for what went wrong.
    """

    outputs: Any
    exit_code: int


@dataclass(slots=True)
class PreparedRun:
    """A run that this process holds and that can be executed once."""

    request: RunRequest
    record: RunRecord
    session: CwlSession
    inputs: Any
    store: RunStore
    folder: OutputFolder | None = None
    """Where outputs go; None if the run has succeeded before."""
    recorder: Recorder | None = None
    finished: Finished | None = None
    """The run succeeded in an earlier session, and nothing was edited since: there is nothing to execute."""
    earlier: Any = None
    """The outputs of such a run, if they are to be copied to another output directory: nothing else is executed."""
    _task: asyncio.Task[Any] | None = field(init=False, default=None)
    _cancelled_by: str = field(init=False, default="")

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self.record.run

    @property
    def options(self) -> Options:
        """The run's options."""
        return self.request.options

    def cancel(self, by: str = "its caller") -> None:
        """Stop the run and its jobs: :meth:`execute` raises RunCancelled. To be called in its event loop."""
        if self._cancelled_by:
            return
        self._cancelled_by = by
        if self._task is not None:
            self._task.cancel()

    async def execute(self, watcher: Watcher) -> Finished:
        """Run to the end. What jobs made stays until the run has succeeded, so that it can be resumed.

        Cancelling the task that awaits this stops the run and everything it started.

        Raises:
            RunCancelled: it was stopped.
            RunDetached: it was detached.
            GridCWLError: it could not be begun, or its outputs could not be published.
        """
        from gridcwl.cwl.javascript import allow_javascript

        if self.finished is not None:
            return self.finished
        self._task = asyncio.current_task()
        allow_javascript(allowed=self.options.javascript)
        confine(self.options, str(self.record.working), str(self.record.folder.path))
        if self.options.telemetry:
            from gridcwl import telemetry

            telemetry.enable()
        try:
            async with TaskScope() as tasks:
                if not self.request.handles_signals:
                    tasks.start(self._watch_for_cancel_request())
                if self.earlier is not None:
                    return await self._copy_outputs()
                with with_remedies(self.record):
                    if self._cancelled_by:
                        raise _cancelled(self._cancelled_by)
                    with self._traced(watcher) as traced:
                        outcomes, stored = await self._jobs(traced, tasks)
                        return await self._outputs(outcomes, stored)
        except asyncio.CancelledError:
            with with_remedies(self.record):
                raise _cancelled(self._cancelled_by) from None
        finally:
            self._task = None

    def _traced(self, watcher: Watcher) -> AbstractContextManager[Watcher]:
        if not self.options.telemetry:
            return nullcontext(watcher)
        from gridcwl.runs.tracing import traced

        return traced(watcher, self.run, self.options.document)

    async def _watch_for_cancel_request(self) -> None:
        """Let other processes of this user cancel the run: signals would reach all runs of this process."""
        while not self.record.folder.cancel_requested:  # noqa: ASYNC110  another process makes the request
            await asyncio.sleep(_CANCEL_EVERY_S)
        self.cancel("another process")

    async def _jobs(self, watcher: Watcher, tasks: TaskScope) -> tuple[Outcomes, RunStorage]:
        from gridcwl.backends.base import BackendContext
        from gridcwl.cwl.demands import refuse_giants
        from gridcwl.plugins import open_backend
        from gridcwl.runs.from_options import backend_of
        from gridcwl.runs.planning import certain, check_capabilities
        from gridcwl.runs.retry import Retries
        from gridcwl.runs.run import RunLoop
        from gridcwl.runs.staging import StagingBackend

        session, options, recorder = self.session, self.options, self.recorder
        assert recorder is not None
        stored = await self._stored(recorder)
        place = BackendContext(recorder.run, self.record.working, session.secrets.secrets)
        opening = open_backend(backend_of(options), place)
        async with StagingBackend(opening, stored.session, recorder, tasks) as backend:
            session.context.largest = backend.capabilities.largest
            refuse_giants(session.graph, self.inputs, backend.capabilities.largest, cap=session.context.cap_resources)
            check_capabilities(session, backend.capabilities, options.grid)
            await backend.check(certain(session, self.inputs, recorder.run))
            run = RunLoop(
                session.graph,
                self.inputs,
                session.context,
                backend,
                watcher,
                recorder,
                tasks,
                on_error=options.on_error,
                retries=Retries(options.retries, options.retry_all, options.retry_memory),
                detach=options.grid.detach,
            )
            return await run.execute(), stored

    async def _copy_outputs(self) -> Finished:
        from gridcwl.runs.outputs import copy_published, publish_in_thread
        from gridcwl.stores.transaction import discard

        folder, working = self.folder, self.record.working
        assert folder is not None
        discard(folder.path, self.record.run)  # of a client that was killed
        put = partial(copy_published, folder=folder, working=working, inputs=self.inputs)
        return Finished(await publish_in_thread(folder, put, self.earlier), 0)

    async def _stored(self, recorder: Recorder) -> RunStorage:
        from gridcwl.runs.planning import step_names
        from gridcwl.runs.storing import RunStorage

        stored = await RunStorage.opened(
            self.options.store.store, self.store, self.record, Path(self.session.program).stem
        )
        if stored.session.between_jobs:
            await stored.session.check(step_names(self.session.graph))
        recorder.missing = stored.gone
        recorder.cache = stored.session.cache or recorder.cache
        return stored

    async def _outputs(self, outcomes: Outcomes, stored: RunStorage) -> Finished:
        from gridcwl.runs.outputs import partial as left
        from gridcwl.runs.outputs import published
        from gridcwl.stores.transaction import discard

        options, record, session, folder = self.options, self.record, self.session, self.folder
        assert folder is not None
        await asyncio.to_thread(record.journal.confirm)  # what is published stays
        discard(folder.path, record.run)  # of a client that was killed
        if outcomes.status == "success":
            produced = dict(outcomes.outputs)
            outputs = await published(produced, self.inputs, folder, record, stored, session, options.outputs)
            leave = options.leave_tmpdir or options.outputs != "move"
            crate = options.cwltool.provenance  # it is written before the intermediate files go
            await asyncio.to_thread(finish, record, outcomes.outputs, outputs, leave=leave or crate is not None)
            record.journal.end("success")
            await self._write_crate(remove=not leave)
        else:
            outputs = await left(outcomes, folder, record, stored, session, public=options.publish_partial)
            record.journal.end("failed", "1 failure" if outcomes.failures == 1 else f"{outcomes.failures} failures")
            await self._write_crate(remove=False)
        return Finished(outputs, _exit_code(outcomes))

    async def _write_crate(self, *, remove: bool) -> None:
        """Write the run as an RO-Crate if that was requested; then the working copies may go."""
        options = self.options.cwltool
        if options.provenance is None:
            return
        from gridcwl.runs.provenance.crate import write_crate
        from gridcwl.runs.provenance.crate_options import options_of
        from gridcwl.runs.record.cleanup import remove_but_logs

        record, target = self.record, Path(options.provenance)
        try:
            how = replace(options_of(options), again=True, removed=record.working if remove else None)
            written = await asyncio.to_thread(write_crate, record.folder, target, how)
        except GridCWLError as error:
            error.remedy = f"{error.remedy} To write the crate again: gridcwl export {record.run} DIR".strip()
            raise
        log.info("wrote %s: %d actions, %d files", target, written.actions, written.embedded)
        if remove:
            await asyncio.to_thread(remove_but_logs, record.working, record.folder.logs)


def confine(options: Options, *folders: str) -> None:
    """Let a run read what its documents may name, what was downloaded for it, and what its jobs make."""
    allowed = options.confinement
    if allowed is not None:
        cached = (str(options.cache_dir / name) for name in ("downloads", "results"))
        allowed = allowed.also(*folders, *cached)
    confinement.confine(allowed)


def _exit_code(outcomes: Outcomes) -> int:
    if outcomes.status == "success":
        return 0
    return EXIT_UNSUPPORTED if outcomes.unsupported else EXIT_FAILURE


def _cancelled(by: str) -> RunCancelled:
    return RunCancelled(f"The run was stopped by {by or 'its caller'}")


@contextmanager
def with_remedies(record: RunRecord) -> Iterator[None]:
    """Add to errors how the run can be resumed."""
    try:
        yield
    except RunCancelled as error:
        error.remedy = f"Finished jobs are recorded. To resume: gridcwl resume {record.run}"
        raise
    except OutputConflict as error:
        first = f"Wait until {error.writer} has ended" if error.writer else "Move the existing files away"
        error.remedy = (
            f"{first}, then run: gridcwl resume {record.run}{_finished_jobs(record)}\n"
            f"Or publish elsewhere: gridcwl resume {record.run} --outdir DIR"
        )
        if error.replaceable:
            error.remedy += f"\nOr replace it: gridcwl resume {record.run} --overwrite"
        raise
    except StoreError as error:
        outdir = " --outdir DIR" if "--outdir" in error.remedy else ""
        error.remedy = f"{error.remedy} Then run: gridcwl resume {record.run}{outdir}{_finished_jobs(record)}".strip()
        raise
    except ResourcesExceeded:
        raise
    except BackendError as error:
        error.remedy = f"{error.remedy} Then run: gridcwl resume {record.run}{_finished_jobs(record)}".strip()
        raise
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        place = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"The run cannot write its files: {error.strerror}{place}",
            remedy=f"Fix the cause, then run: gridcwl resume {record.run}{_finished_jobs(record)}",
        ) from error


def _finished_jobs(record: RunRecord) -> str:
    """A note about the results that a run has already, if it has some."""
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_file import JournalError

    try:
        record.journal.flush()
        with closing(History(record.folder.journal)) as history:
            some = next(iter(history.jobs(where="outcome = 'success'")), None)
    except JournalError:
        return ""
    return " (finished jobs do not run again)" if some is not None else ""
