"""Running a document from the command line, and resuming a run: signals, what is shown, the output object."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import sys
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gridcwl.cli import background
from gridcwl.cli.display import LiveWatcher, PlainWatcher
from gridcwl.cli.log_copies import LogCopies
from gridcwl.cli.signals import cancelling
from gridcwl.cli.terminal import escaped_json
from gridcwl.errors import EXIT_FAILURE
from gridcwl.runs.options import Options

if TYPE_CHECKING:
    from gridcwl.runs.prepared import Finished, PreparedRun, RunRequest
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.run_record import RunRecord

log = logging.getLogger("gridcwl")

_PIECES = 10_000


def run(options: Options) -> int:
    """Run the document and print the output object; returns the exit code."""
    from gridcwl.runs.prepared import RunRequest
    from gridcwl.runs.session import started

    if options.server:
        from gridcwl.cli.server_runs import run as run_there

        return run_there(options)
    text = sys.stdin.read() if options.words == ("-",) else None
    request = RunRequest(options, Path.cwd(), text, handles_signals=True)
    if options.background and (code := background.leave(quiet=options.loudness < 0)) is not None:
        return code
    return _run(started(request))


def resume(folder: RunFolder, request: RunRequest) -> int:
    """Resume a run; prints and returns as :func:`run`."""
    from gridcwl.runs.session import resumed

    options = request.options
    if options.background and (code := background.leave(quiet=options.loudness < 0)) is not None:
        return code
    return _run(resumed(folder, request))


def executed(prepared: PreparedRun) -> Finished:
    """Execute a prepared run, and show how it goes."""
    options = prepared.options
    background.prepared(prepared.record.folder)
    with _watcher(options) as watcher:
        watcher.hide, watcher.default_container = prepared.session.hide, options.default_container
        if options.cwltool.log_dir:
            watcher.ended = LogCopies(Path(options.cwltool.log_dir)).copy
        return asyncio.run(_execute(prepared, watcher)) if prepared.finished is None else prepared.finished


def _run(preparing: AbstractContextManager[PreparedRun]) -> int:
    with preparing as prepared:
        options = prepared.options
        finished = executed(prepared)
        written = print_outputs(finished.outputs, options.write_summary, checksums=options.cwltool.checksums)
        if finished.exit_code:
            print(f"gridcwl: Run failed. {_where_partial(prepared.record, options)}", file=sys.stderr)
            print(f"Fix the cause, then run: gridcwl resume {prepared.run}", file=sys.stderr)
        if prepared.finished is not None:
            return 0
        return finished.exit_code or (0 if written else EXIT_FAILURE)


async def _execute(prepared: PreparedRun, watcher: PlainWatcher) -> Finished:
    with cancelling(prepared):
        return await prepared.execute(watcher)


def _where_partial(record: RunRecord, options: Options) -> str:
    """Where the outputs of a run that failed are."""
    from gridcwl.runs.record.history import History

    with closing(History(record.folder.journal)) as history:
        about = history.meta("partial")
    outdir = "the current directory" if options.outdir == Path() else options.outdir
    if not about:
        return f"Nothing was published to {outdir}."
    if options.publish_partial:
        return f"Outputs of finished steps are in {about['folder']}."
    return f"Nothing was published to {outdir}. To list outputs of finished steps: gridcwl data {record.run}"


def _watcher(options: Options) -> PlainWatcher:
    if hasattr(sys.stderr, "record"):
        from gridcwl.cli.json_log import JsonWatcher, stream

        if (lines := stream()) is not None:
            return JsonWatcher(lines, quiet=options.loudness < 0, verbose=options.loudness > 0)
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
            log.error("The output object cannot be written to %s: %s; it goes to stdout", file, error.strerror)  # noqa: TRY400
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
    """Discard the rest of the buffer, which Python would write when it exits."""
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
    while batch := list(itertools.islice(pieces, _PIECES)):
        part = "".join(batch)
        if "NaN" in part or "Infinity" in part:
            part = "".join(map(_finite, batch))
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
