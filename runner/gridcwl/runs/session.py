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
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.errors import EXIT_FAILURE, EXIT_UNSUPPORTED, ConfigError, OutputConflict, RunCancelled, StoreError
from gridcwl.runs.options import Options, from_plain, to_plain
from gridcwl.runs.run_record import RunRecord, create_run, fingerprint, finish, reopen_run
from gridcwl.worker.failure import crossed_out

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession
    from gridcwl.model import RunId
    from gridcwl.runs.folder import RunFolder
    from gridcwl.runs.outdir import OutputFolder
    from gridcwl.runs.recorder import Recorder
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
    handles_signals: bool = False
    """The process has this run only, and SIGTERM cancels it."""

    @property
    def outdir(self) -> Path:
        """The output directory."""
        return self.cwd / self.options.outdir


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end, well or not.

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
    kept: RunRecord
    session: CwlSession
    inputs: Any
    store: RunStore | None
    folder: OutputFolder | None = None
    """Where outputs go; None if the run has succeeded before."""
    records: Recorder | None = None
    finished: Finished | None = None
    """The run succeeded in an earlier session, and nothing was edited since: there is nothing to execute."""
    earlier: Any = None
    """The outputs of such a run, if they are to be copied to another output directory: nothing else is executed."""
    _task: asyncio.Task[Any] | None = field(init=False, default=None)
    _cancelled_by: str = field(init=False, default="")

    @property
    def run(self) -> RunId:
        """The run's id."""
        return self.kept.run

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
        requests = None if self.request.handles_signals else asyncio.create_task(self._heed_requests())
        try:
            if self.earlier is not None:
                return await self._copied()
            with _with_remedies(self.kept):
                if self._cancelled_by:
                    raise _cancelled(self._cancelled_by)
                outcomes, stored = await self._jobs(watcher)
                return await self._outputs(outcomes, stored)
        except asyncio.CancelledError:
            with _with_remedies(self.kept):
                raise _cancelled(self._cancelled_by) from None
        finally:
            self._task = None
            if requests is not None:
                requests.cancel()

    async def _heed_requests(self) -> None:
        """Let other processes of this user cancel the run: signals would reach all runs of this process."""
        while not self.kept.folder.cancel_requested:  # noqa: ASYNC110  it is another process that asks
            await asyncio.sleep(_CANCEL_EVERY_S)
        self.cancel("another process")

    async def _jobs(self, watcher: Watcher) -> tuple[Outcomes, StoredRun | None]:
        from gridcwl.backends.base import BackendContext
        from gridcwl.cwl.demands import refuse_giants
        from gridcwl.plugins import open_backend
        from gridcwl.runs.opening import backend_of
        from gridcwl.runs.planning import certain
        from gridcwl.runs.retry import Retries
        from gridcwl.runs.run import Run
        from gridcwl.runs.staging import StagingBackend

        session, options, records = self.session, self.options, self.records
        assert records is not None
        stored = await self._stored(records)
        place = BackendContext(records.run, self.kept.working, session.reveal, records.ended)
        place = replace(place, archives=stored.session.archives if stored is not None else None)
        opening = open_backend(backend_of(options), place)
        async with opening if stored is None else stored.around(opening) as backend:
            session.context.largest = backend.capabilities.largest
            refuse_giants(session.graph, self.inputs, backend.capabilities.largest, cap=session.context.cap_resources)
            await backend.check(certain(session, self.inputs, records.run))
            run = Run(
                session.graph,
                self.inputs,
                session.context,
                backend,
                watcher,
                records,
                on_error=options.on_error,
                retries=Retries(options.retries, options.retry_all, options.retry_memory),
                detach=options.grid.detach,
            )
            outcomes = await run.execute()
            if isinstance(backend, StagingBackend):
                await backend.catch_up()
            return outcomes, stored

    async def _copied(self) -> Finished:
        from gridcwl.runs.outputs import copy_published, in_thread
        from gridcwl.stores.transaction import discard

        folder, working = self.folder, self.kept.working
        assert folder is not None
        discard(folder.path, self.kept.run)  # of a client that was killed
        put = partial(copy_published, folder=folder, working=working, inputs=self.inputs)
        return Finished(await in_thread(folder, put, self.earlier), 0)

    async def _stored(self, records: Recorder) -> StoredRun | None:
        if self.store is None:
            return None
        from gridcwl.runs.planning import step_names
        from gridcwl.runs.storing import StoredRun

        stored = await StoredRun.opened(
            self.options.store.store, self.store, self.kept, Path(self.session.program).stem
        )
        await stored.session.check(step_names(self.session.graph))
        records.gone, records.taken = stored.gone, stored.taken
        records.cache = stored.session.cache or records.cache
        return stored

    async def _outputs(self, outcomes: Outcomes, stored: StoredRun | None) -> Finished:
        from gridcwl.runs.outputs import partial as left
        from gridcwl.runs.outputs import published
        from gridcwl.stores.transaction import discard

        options, kept, session, folder = self.options, self.kept, self.session, self.folder
        assert folder is not None
        discard(folder.path, kept.run)  # of a client that was killed
        if outcomes.status == "success":
            produced = dict(outcomes.outputs)
            outputs = await published(produced, self.inputs, folder, kept, stored, session, options.outputs)
            leave = options.leave_tmpdir or options.outputs != "move"
            await asyncio.to_thread(finish, kept, outcomes.outputs, outputs, leave=leave)
            kept.journal.end("success")
        else:
            outputs = await left(outcomes, folder, kept, stored, session, public=options.publish_partial)
            kept.journal.end("failed", "1 failure" if outcomes.failures == 1 else f"{outcomes.failures} failures")
        return Finished(outputs, _exit_code(outcomes))


@contextmanager
def started(request: Request) -> Iterator[PreparedRun]:
    """Prepare a new run. Blocks while the document is read; may be called in any thread.

    Raises:
        GridCWLError: the document, the inputs or the options are wrong, or the outputs would have no place.
    """
    from gridcwl.runs.run import new_run_id

    options = request.options
    with ExitStack() as closing_:
        session, store, inputs = _opened(request, closing_)
        kept = closing_.enter_context(create_run(options.state_dir, new_run_id(), _prefix(request)))
        kept.folder.note_origin(options.run_name, request.cwd)
        yield _recorded_run(request, kept, session, inputs, store, closing_)


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
        kept = closing_.enter_context(reopen_run(folder))
        kept.folder.note_origin(cwd=request.cwd)
        history = kept.history
        known = history.meta("found") if history is not None else None
        session, store, inputs = _opened(request, closing_, known)
        if (outputs := _earlier_outputs(request, kept, session, inputs)) is not None:
            kept.journal.end("success", final=True)
            if _is_elsewhere(request, kept):
                yield _copying_run(request, kept, session, inputs, store, outputs, closing_)
            else:
                yield PreparedRun(request, kept, session, inputs, store, finished=Finished(outputs, 0))
            return
        yield _recorded_run(request, kept, session, inputs, store, closing_)


def saved_request(folder: RunFolder) -> Request:
    """What a run was started with.

    Raises:
        JournalError: it cannot be read.
    """
    from gridcwl.runs.history import History
    from gridcwl.runs.journal import JournalError

    with closing(History(folder.journal)) as history:
        saved, cwd = history.meta("options"), history.meta("cwd")
        if saved is None:
            raise JournalError(f"The run {folder.run} failed before it started", remedy="Start it again.")
        options = replace(from_plain(saved), state_dir=folder.path.parents[1])
        return Request(options, Path(cwd), history.meta("stdin"))


def _opened(request: Request, closing_: ExitStack, known: Any = None) -> tuple[CwlSession, RunStore | None, Any]:
    """The document, the store and the whole input object, what it names by http(s) on this machine."""
    options = request.options
    _preload(options)
    with _LOADING:
        from gridcwl.cwl.problems import adopt_logging
        from gridcwl.runs.downloads import with_downloads
        from gridcwl.runs.opening import opened, run_store

        adopt_logging()
        session = opened(options, folder=request.cwd, text=request.text)
        store = closing_.enter_context(run_store(options, session, known))

    def local(value: Any) -> Any:
        return with_downloads(value, options.cache_dir / "downloads", options.max_download_mib * 1024**2)

    session.replace_defaults(local)
    return session, store, local(session.inputs())


def _recorded_run(
    request: Request, kept: RunRecord, session: CwlSession, inputs: Any, store: RunStore | None, closing_: ExitStack
) -> PreparedRun:
    """Record what the run is, and see that its outputs have a place."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import begin, output_folder

    options = request.options
    _record(request, kept, session, inputs, store)
    with _with_remedies(kept):
        check_outdir(request.outdir)
        folder = output_folder(request.outdir, session, kept, overwrite=options.overwrite)
        closing_.callback(folder.close)
        if options.outputs != "leave" and (store is None or store.download):
            begin(folder, session, inputs)
        records = _records(options, session, inputs, kept, closing_)
    return PreparedRun(request, kept, session, inputs, store, folder, records)


def _earlier_outputs(request: Request, kept: RunRecord, session: CwlSession, inputs: Any) -> Any:
    """The outputs of a run that has succeeded already, if nothing was edited since."""
    history = kept.history
    if history is None or (outputs := history.meta("outputs")) is None:
        return None
    if history.meta("fingerprint") != fingerprint(_documents(session), inputs):
        log.warning("The run %s had succeeded; what was edited since, and what comes of it, runs again", kept.run)
        return None
    what = f"its outputs are copied to {request.outdir}" if _is_elsewhere(request, kept) else "these are its outputs"
    log.warning("The run %s has succeeded already; %s", kept.run, what)
    return outputs


def _is_elsewhere(request: Request, kept: RunRecord) -> bool:
    """Whether outputs are to go to another directory than that of the run."""
    assert kept.history is not None
    return request.outdir.absolute() != Path(str((kept.history.meta("options") or {}).get("outdir"))).absolute()


def _copying_run(
    request: Request,
    kept: RunRecord,
    session: CwlSession,
    inputs: Any,
    store: RunStore | None,
    outputs: Any,
    closing_: ExitStack,
) -> PreparedRun:
    """A run that has succeeded, and whose outputs are to be copied to another directory."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import output_folder

    check_outdir(request.outdir)
    folder = output_folder(request.outdir, session, kept, overwrite=request.options.overwrite)
    folder.replace_own = False
    closing_.callback(folder.close)
    return PreparedRun(request, kept, session, inputs, store, folder, earlier=outputs)


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


def _record(request: Request, kept: RunRecord, session: CwlSession, inputs: Any, store: RunStore | None) -> None:
    options = replace(request.options, outdir=request.outdir)
    documents = _documents(session)
    for path, text in documents.items():
        kept.journal.document(path, text)
    kept.journal.describe(
        {
            "document": options.document,
            "words": options.words,
            "cwd": str(request.cwd),
            "stdin": request.text,
            "options": to_plain(options),
            "inputs": _without_passwords(inputs),
            "found": store.files.known if store is not None else {},
            "fingerprint": fingerprint(documents, inputs),
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


def _records(options: Options, session: CwlSession, inputs: Any, kept: RunRecord, closing_: ExitStack) -> Recorder:
    from gridcwl.runs.checksums import Checksums, declared_checksums
    from gridcwl.runs.keys import secret_masks
    from gridcwl.runs.recorder import Recorder

    sums = Checksums(options.cache_dir / "sums.db", by_content=options.cache)
    closing_.callback(sums.close)
    cache = None
    if options.cache:
        from gridcwl.runs.cache import Cache

        cache = Cache(options.cache_dir / "results", kept.working)
        closing_.callback(cache.close)
    masks = secret_masks(session.secrets.secrets, kept.folder.path.parents[1])
    hide = session.hide if masks else None
    declared = declared_checksums(inputs)
    return Recorder(kept.run, kept.journal, sums, kept.history, cache, masks, declared=declared, hide=hide)


def _exit_code(outcomes: Outcomes) -> int:
    if outcomes.status == "success":
        return 0
    return EXIT_UNSUPPORTED if outcomes.unsupported else EXIT_FAILURE


def _cancelled(by: str) -> RunCancelled:
    return RunCancelled(f"The run was stopped by {by or 'its caller'}")


@contextmanager
def _with_remedies(kept: RunRecord) -> Iterator[None]:
    """Say in errors how the run can be resumed."""
    try:
        yield
    except RunCancelled as error:
        error.remedy = f"Finished jobs are recorded. To resume: gridcwl resume {kept.run}"
        raise
    except OutputConflict as error:
        error.remedy = (
            f"Move the existing files away, then run: gridcwl resume {kept.run}{_finished_jobs(kept)}\n"
            f"Or publish elsewhere: gridcwl resume {kept.run} --outdir DIR"
        )
        if error.replaceable:
            error.remedy += f"\nOr replace it: gridcwl resume {kept.run} --overwrite"
        raise
    except StoreError as error:
        outdir = " --outdir DIR" if "--outdir" in error.remedy else ""
        error.remedy = f"{error.remedy} Then run: gridcwl resume {kept.run}{outdir}{_finished_jobs(kept)}".strip()
        raise


def _finished_jobs(kept: RunRecord) -> str:
    """What is said of the results that a run has already, if it has some."""
    from gridcwl.runs.history import History
    from gridcwl.runs.journal import JournalError

    try:
        kept.journal.flush()
        with closing(History(kept.folder.journal)) as history:
            some = next(iter(history.jobs(where="outcome = 'success'")), None)
    except JournalError:
        return ""
    return " (finished jobs do not run again)" if some is not None else ""
