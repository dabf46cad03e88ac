"""From a loaded document and its inputs to published outputs: folder, backend, loop, publishing, cleaning up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.demands import refuse_giants
from gridcwl.cwl.session import CwlSession
from gridcwl.errors import EXIT_FAILURE, EXIT_UNSUPPORTED, RunCancelled
from gridcwl.runs.carrying import Carried
from gridcwl.runs.keeping import Kept, finish
from gridcwl.runs.outdir import check_outdir
from gridcwl.runs.outputs import Way, begin, output_folder, partial, published
from gridcwl.runs.places import BackendChoice, LocalChoice, Session, open_backend
from gridcwl.runs.planning import certain, step_names
from gridcwl.runs.records import Records
from gridcwl.runs.retry import Retries
from gridcwl.runs.run import Outcomes, Run, Watcher
from gridcwl.runs.secrecy import masked
from gridcwl.runs.sums import Sums, claimed
from gridcwl.stores.transaction import discard

if TYPE_CHECKING:
    from gridcwl.runs.carriage import Carriage, RucioPlace

log = logging.getLogger("gridcwl.runs")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How one run is done."""

    outdir: Path
    backend: BackendChoice = field(default_factory=LocalChoice)
    on_error: Any = "stop"
    leave_tmpdir: bool = False
    retries: Retries = field(default_factory=Retries)
    detach: bool = False
    sums: Path | None = None
    """Where checksums of input files are remembered."""
    cache: Path | None = None
    """Where results are kept for other runs; None keeps and takes none."""
    rucio: RucioPlace | None = None
    """Carries files from job to job; None where they stay on this machine."""
    overwrite: bool = False
    """Replace files in the output directory that are not the document's."""
    publish_partial: bool = False
    """Put what a failed run has made into a folder of its own in the output directory."""
    outputs: Way = "move"


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end, well or not.

    Attributes:
        outputs: the output object with published locations.
        exit_code: 0 if all of it is there; else cwltool's for what went wrong.
    """

    outputs: Any
    exit_code: int


def run_to_end(session: CwlSession, inputs: Any, options: RunOptions, watcher: Watcher, kept: Kept) -> Finished:
    """Run to the end. SIGINT and SIGTERM stop the run and everything it started.

    What jobs made stays until the run has succeeded, so that it can be resumed.

    Raises:
        RunCancelled: it was stopped.
        GridCWLError: it could not be begun, or its outputs could not be published.
    """
    check_outdir(options.outdir)
    folder = output_folder(options.outdir, session, kept, overwrite=options.overwrite)
    with contextlib.ExitStack() as closing:
        closing.callback(folder.close)
        if _publishes_here(options):
            begin(folder, session, inputs)
        records = _records(session, inputs, options, kept, closing)
        outcomes, carriage = asyncio.run(_execute(session, inputs, options, watcher, kept, records))
        discard(options.outdir, kept.run)  # of a client that was killed
        with _terminated_gently():
            if outcomes.status == "success":
                outputs = published(dict(outcomes.outputs), inputs, folder, kept, carriage, session, options.outputs)
                finish(kept, outcomes.outputs, outputs, leave=options.leave_tmpdir or options.outputs != "move")
                kept.journal.end("success")
            else:
                outputs = partial(outcomes, folder, kept, carriage, session, public=options.publish_partial)
                kept.journal.end("failed", "1 failure" if outcomes.failures == 1 else f"{outcomes.failures} failures")
    return Finished(outputs, _exit_code(outcomes))


def _publishes_here(options: RunOptions) -> bool:
    return options.outputs != "leave" and (options.rucio is None or options.rucio.settings.download)


def _records(
    session: CwlSession, inputs: Any, options: RunOptions, kept: Kept, closing: contextlib.ExitStack
) -> Records:
    sums = Sums(options.sums, by_content=options.cache is not None)
    closing.callback(sums.close)
    cache = None
    if options.cache is not None:
        from gridcwl.runs.cache import Cache

        cache = Cache(options.cache, kept.working)
        closing.callback(cache.close)
    masks = masked(session.secrets.secrets, kept.folder.path.parents[1])
    hide = session.hide if masks else None
    return Records(kept.run, kept.journal, sums, kept.history, cache, masks, claimed=claimed(inputs), hide=hide)


def _exit_code(outcomes: Outcomes) -> int:
    if outcomes.status == "success":
        return 0
    return EXIT_UNSUPPORTED if outcomes.unsupported else EXIT_FAILURE


async def _execute(
    session: CwlSession, inputs: Any, options: RunOptions, watcher: Watcher, kept: Kept, records: Records
) -> tuple[Outcomes, Carriage | None]:
    place = Session(records.run, kept.working, session.reveal, records.ended)
    with _stopped_by_signals() as stopped:
        try:
            carriage = await _carriage(session, options, kept, records)
            place = replace(place, archives=carriage.archives if carriage is not None else None)
            opening = open_backend(options.backend, place)
            async with opening if carriage is None else carriage.around(opening) as backend:
                session.context.largest = backend.capabilities.largest
                refuse_giants(session.graph, inputs, backend.capabilities.largest, cap=session.context.cap_resources)
                await backend.check(certain(session, inputs, records.run))
                run = Run(
                    session.graph,
                    inputs,
                    session.context,
                    backend,
                    watcher,
                    records,
                    on_error=options.on_error,
                    retries=options.retries,
                    detach=options.detach,
                )
                outcomes = await run.execute()
                if isinstance(backend, Carried):
                    await backend.catch_up()
                return outcomes, carriage
        except asyncio.CancelledError:
            raise _cancelled(stopped[0] if stopped else None) from None


async def _carriage(session: CwlSession, options: RunOptions, kept: Kept, records: Records) -> Carriage | None:
    if options.rucio is None:
        return None
    from gridcwl.runs.carriage import Carriage

    carriage = await Carriage.opened(options.rucio, kept, Path(session.program).stem)
    await carriage.wire.check(step_names(session.graph))
    records.gone, records.taken = carriage.gone, carriage.taken
    records.cache = carriage.cache or records.cache
    return carriage


def _cancelled(number: signal.Signals | None) -> RunCancelled:
    error = RunCancelled(f"The run was stopped by {number.name if number else 'its caller'}")
    if number:
        error.exit_code = 128 + number  # as shells have it
    return error


@contextmanager
def _terminated_gently() -> Iterator[None]:
    """Outside of the event loop: SIGTERM and SIGHUP are exceptions, like SIGINT, so that what was begun is undone."""

    def stop(number: int, _frame: object) -> None:
        _leave_terminal(signal.Signals(number))
        raise _cancelled(signal.Signals(number))

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, *_hangup())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which a terminal sends when it is closed; not if nohup or a shell has it ignored."""
    return () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)


def _leave_terminal(number: signal.Signals) -> None:
    """Write no more to a terminal that has been closed: that would be an error each time."""
    if number is not signal.SIGHUP:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(null, stream)
    os.close(null)


@contextmanager
def _stopped_by_signals() -> Iterator[list[signal.Signals]]:
    """Turn SIGINT, SIGTERM and SIGHUP into the cancellation of this task. Yields the signals that came."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        came.append(number)
        _leave_terminal(number)
        if task is not None and len(came) == 1:
            log.warning("%s: stopping the run and its jobs ...", number.name)
            task.cancel()

    handled = (signal.SIGINT, signal.SIGTERM, *_hangup())
    for number in handled:
        loop.add_signal_handler(number, stop, number)
    try:
        yield came
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
