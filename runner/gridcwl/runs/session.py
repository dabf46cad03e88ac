"""One session of a run: from a document and its inputs to published outputs.

:func:`started` and :func:`resumed` prepare a run: they read the document, complete the inputs and hold the run's
folder. :meth:`PreparedRun.execute` runs it in the caller's event loop. Nothing here handles signals, changes the
current folder or reads standard input: a process may have many runs at a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.errors import (
    EXIT_FAILURE,
    EXIT_UNSUPPORTED,
    ConfigError,
    GridCWLError,
    OutputConflict,
    RunCancelled,
    StoreError,
)
from gridcwl.model import RunId, confinement, paths
from gridcwl.model.objects import entries
from gridcwl.runs.options import Options, from_plain, to_plain
from gridcwl.runs.record.run_record import RunRecord, create_run, fingerprint, finish, reopen_run
from gridcwl.tasks import TaskScope
from gridcwl.worker.failure import crossed_out

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.outdir import OutputFolder
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.recorder import Recorder
    from gridcwl.runs.run import Outcomes, Watcher
    from gridcwl.runs.storing import StoredRun
    from gridcwl.stores.base import RunStore

log = logging.getLogger("gridcwl")

_LOADING = threading.Lock()
"""cwltool and schema-salad load one document at a time: they keep what they read in variables of their modules."""
_CANCEL_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be run, and where relative paths count from."""

    options: Options
    cwd: Path
    text: str | None = None
    """The input object, where ``-`` or an empty word stands for it in the options."""
    run: RunId | None = None
    """The new run's id, if its caller has chosen one."""
    handles_signals: bool = False
    """The process has this run only, and SIGTERM cancels it."""

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

    request: Request
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
        """RunLoop to the end. What jobs made stays until the run has succeeded, so that it can be resumed.

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
        _confine(self.options, str(self.record.working), str(self.record.folder.path))
        if self.options.telemetry:
            from gridcwl import telemetry

            telemetry.enable()
        try:
            async with TaskScope() as tasks:
                if not self.request.handles_signals:
                    tasks.start(self._watch_for_cancel_request())
                if self.earlier is not None:
                    return await self._copy_outputs()
                with _with_remedies(self.record):
                    if self._cancelled_by:
                        raise _cancelled(self._cancelled_by)
                    with self._traced(watcher) as traced:
                        outcomes, stored = await self._jobs(traced, tasks)
                        return await self._outputs(outcomes, stored)
        except asyncio.CancelledError:
            with _with_remedies(self.record):
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

    async def _jobs(self, watcher: Watcher, tasks: TaskScope) -> tuple[Outcomes, StoredRun]:
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
        archives = stored.session.archives if stored.session.between_jobs else None
        place = BackendContext(recorder.run, self.record.working, session.reveal, archives)
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
        from gridcwl.runs.outputs import copy_published, in_thread
        from gridcwl.stores.transaction import discard

        folder, working = self.folder, self.record.working
        assert folder is not None
        discard(folder.path, self.record.run)  # of a client that was killed
        put = partial(copy_published, folder=folder, working=working, inputs=self.inputs)
        return Finished(await in_thread(folder, put, self.earlier), 0)

    async def _stored(self, recorder: Recorder) -> StoredRun:
        from gridcwl.runs.planning import step_names
        from gridcwl.runs.storing import StoredRun

        stored = await StoredRun.opened(
            self.options.store.store, self.store, self.record, Path(self.session.program).stem
        )
        if stored.session.between_jobs:
            await stored.session.check(step_names(self.session.graph))
        recorder.missing = stored.gone
        recorder.cache = stored.session.cache or recorder.cache
        return stored

    async def _outputs(self, outcomes: Outcomes, stored: StoredRun) -> Finished:
        from gridcwl.runs.outputs import partial as left
        from gridcwl.runs.outputs import published
        from gridcwl.stores.transaction import discard

        options, record, session, folder = self.options, self.record, self.session, self.folder
        assert folder is not None
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
        from gridcwl.runs.provenance.crate import options_of, write_crate
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


@contextmanager
def started(request: Request) -> Iterator[PreparedRun]:
    """Prepare a new run. Blocks while the document is read; may be called in any thread.

    Raises:
        GridCWLError: the document, the inputs or the options are wrong, or the outputs would have no place.
    """
    from gridcwl.runs.run import new_run_id

    options = request.options
    with ExitStack() as closing_:
        session, store, inputs = _load(request, closing_)
        run = request.run or new_run_id()
        record = closing_.enter_context(create_run(options.state_dir, run, _prefix(request)))
        record.folder.note_origin(options.run_name, request.cwd)
        yield _prepare_run(request, record, session, inputs, store, closing_)


@contextmanager
def resumed(folder: RunFolder, request: Request) -> Iterator[PreparedRun]:
    """Prepare the next session of a run that was stopped, was killed, or failed.

    Args:
        folder: of the run.
        request: as :func:`saved_request` gives it, or with changed options.

    Raises:
        GridCWLError: as :func:`started`; or another client works on the run.
    """
    if not request.cwd.is_dir():
        raise ConfigError(
            f"The run {folder.run} was started in {request.cwd}, which is not a folder any more",
            remedy="Its document and inputs are looked for from there.",
        )
    with ExitStack() as closing_:
        record = closing_.enter_context(reopen_run(folder))
        record.folder.note_origin(cwd=request.cwd)
        history = record.history
        known = history.meta("found") if history is not None else None
        session, store, inputs = _load(request, closing_, known)
        if (outputs := _earlier_outputs(request, record, session, inputs)) is not None:
            record.journal.end("success", final=True)
            if _is_elsewhere(request, record):
                yield _copying_run(request, record, session, inputs, store, outputs, closing_)
            else:
                yield PreparedRun(request, record, session, inputs, store, finished=Finished(outputs, 0))
            return
        yield _prepare_run(request, record, session, inputs, store, closing_)


def saved_request(folder: RunFolder) -> Request:
    """What a run was started with.

    Raises:
        JournalError: it cannot be read.
    """
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal import JournalError

    with closing(History(folder.journal)) as history:
        saved, cwd = history.meta("options"), history.meta("cwd")
        if saved is None:
            raise JournalError(f"The run {folder.run} failed before it started", remedy="Start it again.")
        options = replace(from_plain(saved), state_dir=folder.path.parents[1])
        return Request(options, Path(cwd), history.meta("stdin"))


def _load(request: Request, closing_: ExitStack, known: Any = None) -> tuple[CwlSession, RunStore, Any]:
    """The document, the store and the whole input object, what it names by http(s) on this machine."""
    options = request.options
    _preload(options)
    confinement.confine(options.confinement)
    with _LOADING:
        from gridcwl.cwl.problems import adopt_logging
        from gridcwl.runs.downloads import with_downloads
        from gridcwl.runs.from_options import opened, run_store

        adopt_logging()
        session = opened(options, folder=request.cwd, text=request.text)
        store = closing_.enter_context(run_store(options, session, known, folder=request.cwd))

    def local(value: Any) -> Any:
        _check_places(value)
        return with_downloads(value, options.cache_dir / "downloads", options.max_download_mib * 1024**2)

    session.replace_defaults(local)
    found = session, store, local(session.inputs())
    _confine(options)
    return found


def _check_places(value: Any) -> None:
    """See that the files of this machine that a document or its inputs name may be read.

    Raises:
        UnsafePath: one may not.
    """
    if confinement.current() is None:
        return
    for entry in entries(value):
        place = str(entry.get("location") or entry.get("path") or "")
        if place.startswith("/") or place[:5].lower() == "file:":
            path = paths.file_path(place, f"A {entry['class']}") if place[0] != "/" else place
            confinement.check_file(path, f"A {entry['class']}")


def _confine(options: Options, *folders: str) -> None:
    """Let a run read what its documents may name, what was downloaded for it, and what its jobs make."""
    allowed = options.confinement
    if allowed is not None:
        cached = (str(options.cache_dir / name) for name in ("downloads", "results"))
        allowed = allowed.also(*folders, *cached)
    confinement.confine(allowed)


def _prepare_run(
    request: Request, record: RunRecord, session: CwlSession, inputs: Any, store: RunStore, closing_: ExitStack
) -> PreparedRun:
    """Record what the run is, and see that its outputs have a place."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import begin, output_folder

    options = request.options
    if options.cwltool.provenance is not None:
        from gridcwl.runs.provenance.crate import check_orcid, check_target

        check_target(Path(options.cwltool.provenance), record.run)
        if options.cwltool.orcid:
            check_orcid(options.cwltool.orcid)
    _describe_run(request, record, session, inputs, store)
    with _with_remedies(record):
        check_outdir(request.outdir)
        folder = output_folder(request.outdir, session, record, overwrite=options.overwrite)
        closing_.callback(folder.close)
        if options.outputs != "leave" and store.download:
            begin(folder, session, inputs)
        recorder = _recorder(options, session, inputs, record, closing_)
    return PreparedRun(request, record, session, inputs, store, folder, recorder)


def _earlier_outputs(request: Request, record: RunRecord, session: CwlSession, inputs: Any) -> Any:
    """The outputs of a run that has succeeded already, if nothing was edited since."""
    history = record.history
    if history is None or (outputs := history.meta("outputs")) is None:
        return None
    if history.meta("fingerprint") != fingerprint(_documents(session), inputs):
        log.warning("The run %s had succeeded; what was edited since, and what comes of it, runs again", record.run)
        return None
    what = f"its outputs are copied to {request.outdir}" if _is_elsewhere(request, record) else "these are its outputs"
    log.warning("The run %s has succeeded already; %s", record.run, what)
    return outputs


def _is_elsewhere(request: Request, record: RunRecord) -> bool:
    """Whether outputs are to go to another directory than that of the run."""
    assert record.history is not None
    return request.outdir.absolute() != Path(str((record.history.meta("options") or {}).get("outdir"))).absolute()


def _copying_run(
    request: Request,
    record: RunRecord,
    session: CwlSession,
    inputs: Any,
    store: RunStore,
    outputs: Any,
    closing_: ExitStack,
) -> PreparedRun:
    """A run that has succeeded, and whose outputs are to be copied to another directory."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import output_folder

    check_outdir(request.outdir)
    folder = output_folder(request.outdir, session, record, overwrite=request.options.overwrite)
    folder.replace_own = False
    closing_.callback(folder.close)
    return PreparedRun(request, record, session, inputs, store, folder, earlier=outputs)


def _preload(options: Options) -> None:
    """Start what takes its time: a client library, or a worker process. Meanwhile cwltool reads the document.

    Raises:
        ConfigError: what the backend needs is not installed.
    """
    grid = options.grid
    if not options.background:  # what is started ahead would keep the terminal
        plugins.call(grid.plugin, "start_ahead", options.containers)
    plugins.require(grid.plugin)
    if "preload" in grid.plugin.hooks:
        with _LOADING:
            import gridcwl.cwl  # noqa: F401
        plugins.call(grid.plugin, "preload", grid.settings)


def _prefix(request: Request) -> str:
    """The working folder's prefix; a trailing slash, which says that it is a folder, stays."""
    prefix = request.options.tmpdir_prefix
    return prefix if prefix.startswith("/") else f"{request.cwd}/{prefix}"


def _describe_run(request: Request, record: RunRecord, session: CwlSession, inputs: Any, store: RunStore) -> None:
    from gridcwl.runs.outline import outline_of

    options = replace(request.options, outdir=request.outdir)
    documents = _documents(session)
    for path, text in documents.items():
        record.journal.document(path, text)
    record.journal.describe(
        {
            "document": options.document,
            "words": options.words,
            "cwd": str(request.cwd),
            "stdin": request.text,
            "options": to_plain(options),
            "inputs": _without_passwords(inputs),
            "found": store.files.known if store.files is not None else {},
            "fingerprint": fingerprint(documents, inputs),
            "graph": outline_of(session.graph),
            "signals": request.handles_signals,
        }
    )


def _without_passwords(value: Any) -> Any:
    """The input object as it is recorded: without the passwords in its URLs."""
    if isinstance(value, dict):
        return {key: _without_passwords(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return crossed_out(value) if isinstance(value, str) and "@" in value else value


def _documents(session: CwlSession) -> dict[str, bytes]:
    """The local files that the document consists of."""
    return {path: Path(path).read_bytes() for path in session.document.files if Path(path).is_file()}


def _recorder(options: Options, session: CwlSession, inputs: Any, record: RunRecord, closing_: ExitStack) -> Recorder:
    from gridcwl.runs.record.recorder import Recorder
    from gridcwl.runs.reuse.checksums import ChecksumCache, declared_checksums
    from gridcwl.runs.reuse.keys import secret_masks

    sums = ChecksumCache(options.cache_dir / "sums.db", by_content=options.cache)
    closing_.callback(sums.close)
    cache = None
    if options.cache:
        from gridcwl.runs.reuse.cache import Cache

        cache = Cache(options.cache_dir / "results", record.working)
        closing_.callback(cache.close)
    masks = secret_masks(session.secrets.secrets, record.folder.path.parents[1])
    hide = session.hide if masks else None
    declared = declared_checksums(inputs)
    return Recorder(record.run, record.journal, sums, record.history, cache, masks, declared=declared, hide=hide)


def _exit_code(outcomes: Outcomes) -> int:
    if outcomes.status == "success":
        return 0
    return EXIT_UNSUPPORTED if outcomes.unsupported else EXIT_FAILURE


def _cancelled(by: str) -> RunCancelled:
    return RunCancelled(f"The run was stopped by {by or 'its caller'}")


@contextmanager
def _with_remedies(record: RunRecord) -> Iterator[None]:
    """Add to errors how the run can be resumed."""
    try:
        yield
    except RunCancelled as error:
        error.remedy = f"Finished jobs are recorded. To resume: gridcwl resume {record.run}"
        raise
    except OutputConflict as error:
        error.remedy = (
            f"Move the existing files away, then run: gridcwl resume {record.run}{_finished_jobs(record)}\n"
            f"Or publish elsewhere: gridcwl resume {record.run} --outdir DIR"
        )
        if error.replaceable:
            error.remedy += f"\nOr replace it: gridcwl resume {record.run} --overwrite"
        raise
    except StoreError as error:
        outdir = " --outdir DIR" if "--outdir" in error.remedy else ""
        error.remedy = f"{error.remedy} Then run: gridcwl resume {record.run}{outdir}{_finished_jobs(record)}".strip()
        raise


def _finished_jobs(record: RunRecord) -> str:
    """A note about the results that a run has already, if it has some."""
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal import JournalError

    try:
        record.journal.flush()
        with closing(History(record.folder.journal)) as history:
            some = next(iter(history.jobs(where="outcome = 'success'")), None)
    except JournalError:
        return ""
    return " (finished jobs do not run again)" if some is not None else ""
