"""One session of a run: from a document and its inputs to published outputs.

:func:`started` and :func:`resumed` prepare a run: they read the document, complete the inputs and hold the run's
folder. ``PreparedRun.execute`` runs it. Nothing here handles signals, changes the current folder or reads standard
input: a process may have many runs at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.errors import ConfigError
from gridcwl.model import confinement, paths
from gridcwl.model.objects import entries
from gridcwl.runs.options import Options, from_plain, to_plain
from gridcwl.runs.prepared import Finished, PreparedRun, RunRequest, confine, with_remedies
from gridcwl.runs.record.run_record import (
    RunRecord,
    create_run,
    fingerprint,
    remove_working_copies,
    reopen_run,
)
from gridcwl.worker.failure import crossed_out

if TYPE_CHECKING:
    from gridcwl.cwl.described import DescribedDocument
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.recorder import Recorder
    from gridcwl.stores.base import RunStore

log = logging.getLogger("gridcwl")

_LOADING = threading.Lock()
"""cwltool and schema-salad load one document at a time: they keep what they read in variables of their modules."""


@contextmanager
def started(request: RunRequest) -> Iterator[PreparedRun]:
    """Prepare a new run. Blocks while the document is read; may be called in any thread.

    Raises:
        GridCWLError: the document, the inputs or the options are wrong, or the outputs would have no place.
    """
    from gridcwl.runs.record.folder import new_run_id

    options = request.options
    with ExitStack() as closing_:
        session, store, inputs = _load(request, closing_)
        run = request.run or new_run_id()
        record = closing_.enter_context(create_run(options.state_dir, run, _prefix(request), request.journal_log))
        record.folder.note_origin(options.run_name, request.cwd)
        yield _prepare_run(request, record, session, inputs, store, closing_)


@contextmanager
def resumed(folder: RunFolder, request: RunRequest) -> Iterator[PreparedRun]:
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
        record = closing_.enter_context(reopen_run(folder, request.journal_log))
        record.folder.note_origin(cwd=request.cwd)
        history = record.history
        known = history.meta("found") if history is not None else None
        session, store, inputs = _load(request, closing_, known)
        if (outputs := _earlier_outputs(request, record, session, inputs)) is not None:
            record.journal.end("success", final=True)
            if _is_elsewhere(request, record):
                yield _copying_run(request, record, session, inputs, store, outputs, closing_)
            else:
                if not _keeps_working_copies(request.options):  # its client was killed while it removed them
                    remove_working_copies(record)
                yield PreparedRun(request, record, session, inputs, store, finished=Finished(outputs, 0))
            return
        yield _prepare_run(request, record, session, inputs, store, closing_)


def _keeps_working_copies(options: Options) -> bool:
    return options.leave_tmpdir or options.outputs != "move" or options.cwltool.provenance is not None


def saved_request(folder: RunFolder) -> RunRequest:
    """What a run was started with.

    Raises:
        JournalError: it cannot be read.
    """
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_file import JournalError

    with closing(History(folder.journal)) as history:
        saved, cwd = history.meta("options"), history.meta("cwd")
        if saved is None:
            raise JournalError(f"The run {folder.run} failed before it started", remedy="Start it again.")
        options = replace(from_plain(saved), state_dir=folder.path.parents[1])
        return RunRequest(options, Path(cwd), history.meta("stdin"))


def described_document(request: RunRequest) -> DescribedDocument:
    """The inputs of a document, which is read and validated for it; nothing is run, and no input is read. Blocks.

    Raises:
        GridCWLError: the document is wrong, or may not be read.
    """
    confinement.confine(request.options.confinement)
    with _LOADING:
        from gridcwl.cwl.described import described
        from gridcwl.cwl.load import load, locate
        from gridcwl.cwl.problems import adopt_logging
        from gridcwl.runs.from_options import evaluation

        adopt_logging()
        how = evaluation(request.options)
        uri, _ = locate(request.options.document, how.registries)
        return described(load(uri, how).process)


def _load(request: RunRequest, closing_: ExitStack, known: Any = None) -> tuple[CwlSession, RunStore, Any]:
    """The document, the store and the whole input object, what it names by http(s) on this machine."""
    options = request.options
    _preload(options)
    confinement.confine(options.confinement)
    with _LOADING:
        from gridcwl.cwl.problems import adopt_logging
        from gridcwl.runs import dialect
        from gridcwl.runs.downloads import with_downloads
        from gridcwl.runs.from_options import opened, run_store

        adopt_logging()
        session = opened(options, folder=request.cwd, text=request.text)
        dialect.ask_for_inputs(options, session, request.cwd)
        routed = dialect.with_routes(options, session)
        store = closing_.enter_context(run_store(routed, session, known, folder=request.cwd))

    def local(value: Any) -> Any:
        _check_places(value)
        return with_downloads(value, options.cache_dir / "downloads", options.max_download_mib * 1024**2)

    session.replace_defaults(local)
    with _LOADING if dialect.grouping_of(options, session) else nullcontext():
        session, inputs = dialect.completed(options, session, store, lambda one: dict(local(one.inputs())))
    confine(options)
    return session, store, inputs


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


def _prepare_run(
    request: RunRequest, record: RunRecord, session: CwlSession, inputs: Any, store: RunStore, closing_: ExitStack
) -> PreparedRun:
    """Record what the run is, and see that its outputs have a place."""
    from gridcwl.runs.outdir import check_outdir
    from gridcwl.runs.outputs import begin, output_folder

    options = request.options
    if options.cwltool.provenance is not None:
        from gridcwl.runs.provenance.crate_options import check_orcid, check_target

        check_target(Path(options.cwltool.provenance), record.run)
        if options.cwltool.orcid:
            check_orcid(options.cwltool.orcid)
    _describe_run(request, record, session, inputs, store)
    with with_remedies(record):
        check_outdir(request.outdir)
        folder = output_folder(request.outdir, session, record, overwrite=options.overwrite)
        closing_.callback(folder.close)
        if options.outputs != "leave" and store.download:
            begin(folder, session, inputs)
        recorder = _recorder(options, session, inputs, record, closing_)
    return PreparedRun(request, record, session, inputs, store, folder, recorder)


def _earlier_outputs(request: RunRequest, record: RunRecord, session: CwlSession, inputs: Any) -> Any:
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


def _is_elsewhere(request: RunRequest, record: RunRecord) -> bool:
    """Whether outputs are to go to another directory than that of the run."""
    assert record.history is not None
    return request.outdir.absolute() != Path(str((record.history.meta("options") or {}).get("outdir"))).absolute()


def _copying_run(
    request: RunRequest,
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


def _prefix(request: RunRequest) -> str:
    """The working folder's prefix; a trailing slash, which says that it is a folder, stays."""
    prefix = request.options.tmpdir_prefix
    return prefix if prefix.startswith("/") else f"{request.cwd}/{prefix}"


def _describe_run(request: RunRequest, record: RunRecord, session: CwlSession, inputs: Any, store: RunStore) -> None:
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
        made = {key: _without_passwords(item) for key, item in value.items()}
        return made if any(made[key] is not item for key, item in value.items()) else value
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return crossed_out(value) if isinstance(value, str) else value


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
