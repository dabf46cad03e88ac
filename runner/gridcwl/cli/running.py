"""Running a document from the command line, and going on with a run that was stopped or failed."""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gridcwl import imports
from gridcwl.cli import cwltool_options, store_options
from gridcwl.cli.display import LiveWatcher, PlainWatcher
from gridcwl.cli.grid_options import choice, from_plain
from gridcwl.cli.log_copies import LogCopies
from gridcwl.cli.options import Options
from gridcwl.cli.store_options import open_place
from gridcwl.cli.terminal import escaped_json
from gridcwl.errors import EXIT_FAILURE, ConfigError, OutputConflict, RunCancelled, StoreError
from gridcwl.worker.failure import crossed_out

if TYPE_CHECKING:
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.selection import Selection
    from gridcwl.cwl.session import CwlSession
    from gridcwl.runs.carriage import RucioPlace
    from gridcwl.runs.folder import RunFolder
    from gridcwl.runs.keeping import Kept
    from gridcwl.runs.places import BackendChoice

log = logging.getLogger("gridcwl")

_PIECES = 10_000


def run(options: Options) -> int:
    """Run the document to its end and print the output object; returns the exit code."""
    from gridcwl.runs.keeping import new_run
    from gridcwl.runs.run import new_run_id

    typed = _typed(options)
    _preload(options)
    session = opened(options)
    with rucio(options, session) as place:
        inputs = _inputs(session, options)
        with new_run(options.state_dir, new_run_id(), options.tmpdir_prefix) as kept:
            kept.folder.note_origin(options.run_name)
            _keep(kept, session, inputs, options, typed, place)
            return _work(kept, session, inputs, options, place)


@contextmanager
def rucio(options: Options, session: CwlSession, known: Any = None) -> Iterator[RucioPlace | None]:
    """Rucio, if files live there: then the session's may be there, too. ``known`` is what an earlier session found."""
    place = open_place(options.store, known)
    if place is None:
        yield None
        return
    with closing(place):
        session.reach(place.asking)
        yield place


def _inputs(session: CwlSession, options: Options) -> Any:
    """The whole input object, what it names by http(s) on this machine."""
    from gridcwl.runs.downloads import with_downloads

    def local(value: Any) -> Any:
        return with_downloads(value, options.cache_dir / "downloads", options.max_download_mib * 1024**2)

    session.replace_defaults(local)
    return local(session.inputs())


def _preload(options: Options) -> None:
    """DIRAC's client takes its time to load: meanwhile the document is read. cwltool, which reads it, comes first.

    Raises:
        ConfigError: the client of the place that was chosen is not installed.
    """
    if options.grid.server == "diracx":
        imports.require("httpx", "--backend diracx")
    elif options.grid.server is not None:
        imports.require("DIRAC", "--backend dirac")
    if options.grid.server == "dirac":
        import gridcwl.cwl  # noqa: F401
        from gridcwl.backends.dirac.client import preload

        preload()


def saved_options(folder: RunFolder) -> tuple[Options, Path, str | None]:
    """A run's options, the folder in which they were typed, and what came on standard input.

    Raises:
        JournalError: they cannot be read.
    """
    from gridcwl.runs.history import History
    from gridcwl.runs.journal import JournalError

    with closing(History(folder.journal)) as history:
        saved, cwd = history.meta("options"), history.meta("cwd")
        if saved is None:
            raise JournalError(f"The run {folder.run} ended before it began", remedy="Start it anew.")
        return _options_from(saved), Path(cwd), history.meta("stdin")


def resume(folder: RunFolder, options: Options, cwd: Path, typed: str | None) -> int:
    """Go on with a run; prints and returns as :func:`run`.

    Args:
        folder: of the run.
        options: its own, or changed ones.
        cwd: where relative paths count from.
        typed: what the run was given on standard input.
    """
    from gridcwl.runs.keeping import fingerprint, taken_up

    try:
        os.chdir(cwd)
    except OSError as error:
        raise ConfigError(
            f"The run {folder.run} was started in {cwd}, which cannot be entered: {error.strerror}",
            remedy="Its document and inputs are looked for from there.",
        ) from error
    if typed is not None:
        sys.stdin = io.StringIO(typed)
    _preload(options)
    with taken_up(folder) as kept, ExitStack() as leaving:
        kept.folder.note_origin()
        session = opened(options)
        history = kept.history
        known = history.meta("found") if history is not None else None
        place = leaving.enter_context(rucio(options, session, known))
        inputs = _inputs(session, options)
        if history is not None and (outputs := history.meta("outputs")) is not None:
            if history.meta("fingerprint") == fingerprint(_documents(session), inputs):
                log.warning("The run %s has succeeded already; these are its outputs", kept.run)
                if options.outdir.absolute() != Path(str((history.meta("options") or {}).get("outdir"))).absolute():
                    log.warning("--outdir %s is not used: the outputs stay where they are", options.outdir)
                kept.journal.end("success")
                print_outputs(outputs, options.write_summary, checksums=options.cwltool.checksums)
                return 0
            log.warning("The run %s had succeeded; what was edited since, and what comes of it, runs again", kept.run)
        _keep(kept, session, inputs, options, typed, place)
        return _work(kept, session, inputs, options, place)


def opened(options: Options, how: EvaluationOptions | None = None) -> CwlSession:
    """The document with its input object; ``how`` is how it is loaded if not as for a run.

    Raises:
        GridCWLError: one of them cannot be read or is not valid.
    """
    from gridcwl.cwl.session import open_document

    session = open_document(
        options.document,
        options.words,
        how or evaluation(options),
        basedir=options.basedir,
        overrides=options.overrides,
        selection=selection(options),
    )
    if options.settings:
        from gridcwl.cwl.settings import with_settings

        session.graph = with_settings(session.graph, options.settings)
    return session


def selection(options: Options) -> Selection:
    """The part of the document that is to run."""
    from gridcwl.cwl.selection import Selection

    chosen = options.cwltool
    return Selection(chosen.targets, chosen.single_step, chosen.single_process)


def _typed(options: Options) -> str | None:
    """The input object that comes on standard input: it comes only once."""
    if options.words != ("-",):
        return None
    text = sys.stdin.read()
    sys.stdin = io.StringIO(text)
    return text


def _keep(
    kept: Kept, session: CwlSession, inputs: Any, options: Options, typed: str | None, place: RucioPlace | None
) -> None:
    from gridcwl.runs.keeping import fingerprint

    documents = _documents(session)
    for path, text in documents.items():
        kept.journal.document(path, text)
    kept.journal.describe(
        {
            "document": options.document,
            "words": options.words,
            "cwd": str(Path.cwd()),
            "stdin": typed,
            "options": _options_to(options),
            "inputs": _recorded(inputs),
            "found": place.asking.known if place is not None else {},
            "fingerprint": fingerprint(documents, inputs),
        }
    )


def _recorded(value: Any) -> Any:
    """The input object as it is recorded: without the passwords in its URLs."""
    if isinstance(value, dict):
        return {key: _recorded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_recorded(item) for item in value]
    return crossed_out(value) if isinstance(value, str) and "@" in value else value


def _documents(session: CwlSession) -> dict[str, bytes]:
    """The local files that the document consists of."""
    return {path: Path(path).read_bytes() for path in session.document.files if Path(path).is_file()}


def _work(kept: Kept, session: CwlSession, inputs: Any, options: Options, place: RucioPlace | None) -> int:
    from gridcwl.runs.retry import Retries
    from gridcwl.runs.session import RunOptions, run_to_end

    how = RunOptions(
        outdir=options.outdir,
        backend=_backend(options),
        on_error=options.on_error,
        leave_tmpdir=options.leave_tmpdir,
        retries=Retries(options.retries, options.retry_all, options.retry_memory),
        detach=options.grid.detach,
        sums=options.cache_dir / "sums.db",
        cache=options.cache_dir / "results" if options.cache else None,
        rucio=place,
        overwrite=options.overwrite,
        publish_partial=options.publish_partial,
        outputs=options.outputs,
    )
    try:
        with _watcher(options) as watcher:
            watcher.hide, watcher.default_container = session.hide, options.default_container
            if options.cwltool.log_dir:
                watcher.ended = LogCopies(Path(options.cwltool.log_dir)).copy
            finished = run_to_end(session, inputs, how, watcher, kept)
    except RunCancelled as error:
        error.remedy = f"What has ended is kept; gridcwl resume {kept.run} goes on."
        raise
    except OutputConflict as error:
        error.remedy = (
            f"Move away what is there and run: gridcwl resume {kept.run}{_finished_jobs(kept)}\n"
            f"Or publish elsewhere: gridcwl resume {kept.run} --outdir DIR"
        )
        if error.replaceable:
            error.remedy += f"\nOr replace it: gridcwl resume {kept.run} --overwrite"
        raise
    except StoreError as error:
        outdir = " --outdir DIR" if "--outdir" in error.remedy else ""
        error.remedy = f"{error.remedy} Then run: gridcwl resume {kept.run}{outdir}{_finished_jobs(kept)}".strip()
        raise
    written = print_outputs(finished.outputs, options.write_summary, checksums=options.cwltool.checksums)
    if finished.exit_code:
        print(f"gridcwl: the run failed; {_where_partial(kept, options)}", file=sys.stderr)
        print(f"When the cause is mended, gridcwl resume {kept.run} goes on.", file=sys.stderr)
    return finished.exit_code or (0 if written else EXIT_FAILURE)


def _where_partial(kept: Kept, options: Options) -> str:
    """Where the outputs of a run that failed are."""
    from gridcwl.runs.history import History

    with closing(History(kept.folder.journal)) as history:
        about = history.meta("partial")
    if not about:
        return f"nothing was put into {options.outdir}"
    if options.publish_partial:
        return f"what had ended is in {about['folder']}"
    return (
        f"nothing was put into {options.outdir}. What had ended is kept with the run: gridcwl data {kept.run} lists it"
    )


def _finished_jobs(kept: Kept) -> str:
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


def _backend(options: Options) -> BackendChoice:
    from gridcwl.runs.places import LocalChoice

    if options.grid.server is not None:
        return choice(
            options.grid,
            max_jobs=options.max_jobs,
            site=options.store.rucio.site,
            capabilities=options.capabilities,
            processes=options.processes,
        )
    return LocalChoice(
        engine=options.engine,
        reuse_containers=options.reuse_containers,
        max_jobs=options.max_jobs,
        limit_memory=options.strict_memory_limit,
        limit_cores=options.strict_cpu_limit,
        capabilities=options.capabilities,
        processes=options.processes,
        containers=options.cwltool.containers,
        leave_tmpdir=options.leave_tmpdir or options.outputs != "move",
    )


def evaluation(options: Options) -> EvaluationOptions:
    """How the document is loaded and its expressions are evaluated."""
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.software import Software

    return EvaluationOptions(
        containers=options.containers,
        singularity=options.engine == "singularity",
        default_container=options.default_container,
        eval_timeout_s=options.eval_timeout_s,
        js_console=options.js_console,
        javascript=options.javascript,
        software=tuple(Software(*entry) for entry in options.software),
        trusted_storage=options.trusted_storage,
        debug=options.loudness == 2,
        strict=options.strict,
        validate=options.validate,
        js_validation=options.validate and options.cwltool.js_validation,
        js_hints=options.cwltool.js_hints,
        registries=options.cwltool.registries,
        document_cache=options.cwltool.document_cache,
        skip_schemas=options.skip_schemas,
        enable_dev=options.enable_dev,
        cap_resources=options.cap_resources,
        preserve_environment=options.preserve_environment,
        preserve_entire_environment=options.preserve_entire_environment,
        mpi_config_file=options.mpi_config_file,
    )


def _watcher(options: Options) -> PlainWatcher:
    if sys.stderr.isatty() and options.loudness in (0, 1) and os.environ.get("TERM") != "dumb":
        return LiveWatcher(verbose=options.loudness > 0, color=options.color)
    return PlainWatcher(quiet=options.loudness < 0, verbose=options.loudness > 0)


def print_outputs(outputs: Any, file: str | None, *, checksums: bool = True) -> bool:
    """The output object on stdout, or in the file that was asked for; of Files with or without their checksums.

    Returns:
        Whether it was written; also if a reader, like head, wanted no more of it.
    """
    if not checksums:
        outputs = _without_checksums(outputs)
    if file:
        try:
            with Path(file).open("wb") as stream:
                _write_json(outputs, stream)
        except OSError as error:
            log.error("The output object cannot be written to %s: %s; here it is", file, error.strerror)  # noqa: TRY400
        else:
            return True
    try:
        sys.stdout.flush()
        _write_json(outputs, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
    except OSError as error:  # the run has ended as it has, whoever reads its output object
        _drop_stdout()
        log.error("The output object cannot be written to stdout: %s", error.strerror)  # noqa: TRY400
        return False
    return True


def _drop_stdout() -> None:
    """Let what is left in the buffer go nowhere, as Python writes it at its end."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as null:  # noqa: PTH123
        os.dup2(null.fileno(), sys.stdout.fileno())


def _without_checksums(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_checksums(item) for item in value]
    if isinstance(value, dict):
        file = value.get("class") == "File"
        return {key: _without_checksums(item) for key, item in value.items() if not (file and key == "checksum")}
    return value


def _write_json(value: Any, stream: BinaryIO) -> None:
    """Piece by piece: the text of a hundred thousand Files, and its parts, would need more memory than the run."""
    pieces = json.JSONEncoder(indent=4, ensure_ascii=False, default=_number).iterencode(value)
    while part := "".join(map(_finite, itertools.islice(pieces, _PIECES))):
        stream.write(escaped_json(part).encode("utf-8", "surrogateescape"))
    stream.write(b"\n")


def _finite(piece: str) -> str:
    """A piece of JSON; infinity as a number that is read as one, and what is no number as null."""
    if piece.endswith(("NaN", "Infinity")):  # a string ends with its quotation mark
        return f"{piece[:-8]}1e999" if piece.endswith("y") else f"{piece[:-3]}null"
    return piece


def _number(value: Any) -> Any:
    """What json does not know: the numbers that ruamel keeps as they were written."""
    return float(value) if hasattr(value, "__float__") else str(value)


_PATHS = ("outdir", "state_dir", "cache_dir")


def _options_to(options: Options) -> dict[str, Any]:
    values = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    plain = {name: str(Path(value).absolute()) if name in _PATHS else value for name, value in values.items()}
    parts: dict[str, Any] = {"grid": options.grid, "store": options.store, "cwltool": options.cwltool}
    return plain | {name: part.plain() for name, part in parts.items()}


def _options_from(saved: dict[str, Any]) -> Options:
    known = {entry.name for entry in fields(Options)}
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in saved.items() if name in known
    }
    made: Any = replace(Options(document=""), **values)  # type: ignore[arg-type]
    grid: Any = from_plain(saved.get("grid") or {})
    paths: Any = {name: Path(str(values[name])) for name in _PATHS}
    store: Any = store_options.from_plain(saved.get("store") or {})
    cwltool: Any = cwltool_options.from_plain(saved.get("cwltool") or {})
    options: Options = replace(made, grid=grid, store=store, cwltool=cwltool, **paths)
    return options
