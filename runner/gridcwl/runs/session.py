"""From a loaded document and its inputs to published outputs: folder, backend, loop, publishing, cleaning up."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.backends.local.backend import LocalBackend, LocalOptions
from gridcwl.cwl.demands import refuse_giants
from gridcwl.cwl.session import CwlSession
from gridcwl.errors import EXIT_FAILURE, EXIT_UNSUPPORTED, RunCancelled, StoreError
from gridcwl.runs.publish import check_outdir, publish
from gridcwl.runs.run import Outcomes, Run, Watcher, new_run_id

log = logging.getLogger("gridcwl.runs")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How one run is done."""

    outdir: Path
    tmpdir_prefix: str
    engine: str = "docker"
    max_jobs: int | None = None
    on_error: Any = "stop"
    limit_memory: bool = False
    limit_cores: bool = False
    leave_tmpdir: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that came to its end, well or not.

    Attributes:
        outputs: the output object with published locations.
        exit_code: 0 if all of it is there; else cwltool's for what went wrong.
    """

    outputs: Any
    exit_code: int


def run_locally(session: CwlSession, inputs: Any, options: RunOptions, watcher: Watcher) -> Finished:
    """Run to the end on this machine. SIGINT and SIGTERM stop the run and everything it started.

    Raises:
        RunCancelled: it was stopped.
        GridCWLError: it could not be begun, or its outputs could not be published.
    """
    check_outdir(options.outdir)
    with working_folder(options.tmpdir_prefix) as folder:
        kept: frozenset[str] = frozenset()
        try:
            run_id = new_run_id()
            outcomes = asyncio.run(_execute(session, inputs, options, watcher, folder, run_id))
            kept = frozenset(outcomes.failed_jobs)
            with _terminated_gently():
                published = publish(dict(outcomes.outputs), options.outdir, folder, run_id, inputs)
        except StoreError as error:
            error.remedy += f" What the jobs made is kept in {folder}."
            raise
        except BaseException:
            if not options.leave_tmpdir:
                _clean(folder, kept)
            raise
        if not options.leave_tmpdir:
            _clean(folder, kept)
    return Finished(published, _exit_code(outcomes))


def _exit_code(outcomes: Outcomes) -> int:
    if outcomes.status == "success":
        return 0
    return EXIT_UNSUPPORTED if outcomes.unsupported else EXIT_FAILURE


async def _execute(
    session: CwlSession, inputs: Any, options: RunOptions, watcher: Watcher, folder: Path, run_id: Any
) -> Outcomes:
    local = LocalOptions(
        folder=folder,
        engine=options.engine,
        max_jobs=options.max_jobs,
        limit_memory=options.limit_memory,
        limit_cores=options.limit_cores,
    )
    with _stopped_by_signals() as stopped:
        try:
            async with LocalBackend(local, reveal=session.reveal) as backend:
                refuse_giants(session.graph, inputs, backend.capabilities.largest)
                run = Run(session.graph, inputs, session.context, backend, watcher, run_id, options.on_error)
                return await run.execute()
        except asyncio.CancelledError:
            raise _cancelled(stopped[0] if stopped else None) from None


def _cancelled(number: signal.Signals | None) -> RunCancelled:
    error = RunCancelled(f"The run was stopped by {number.name if number else 'its caller'}")
    if number:
        error.exit_code = 128 + number  # as shells have it
    return error


@contextmanager
def _terminated_gently() -> Iterator[None]:
    """Outside of the event loop: SIGTERM is an exception, like SIGINT, so that what was begun is taken back."""

    def stop(number: int, _frame: object) -> None:
        raise _cancelled(signal.Signals(number))

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _stopped_by_signals() -> Iterator[list[signal.Signals]]:
    """Turn SIGINT and SIGTERM into the cancellation of this task. Yields the signals that came."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        came.append(number)
        if task is not None and len(came) == 1:
            log.warning("%s: stopping the run and its jobs ...", number.name)
            task.cancel()

    handled = (signal.SIGINT, signal.SIGTERM)
    for number in handled:
        loop.add_signal_handler(number, stop, number)
    try:
        yield came
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@contextmanager
def working_folder(prefix: str) -> Iterator[Path]:
    """A new folder for a run's jobs.

    Raises:
        StoreError: it cannot be made.
    """
    parent, name = os.path.split(prefix)
    try:
        folder = tempfile.mkdtemp(prefix=name, dir=parent or ".")
    except OSError as error:
        raise StoreError(
            f"No working folder can be made in {parent or '.'}: {error.strerror}",
            remedy="Choose another --tmpdir-prefix.",
        ) from error
    yield Path(folder).resolve()


def _clean(folder: Path, keep: frozenset[str]) -> None:
    """Remove the working folder, but leave the folders of jobs that failed: their logs are wanted."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in os.scandir(folder):
        if entry.name.rpartition("-")[0] not in keep:
            shutil.rmtree(entry.path, ignore_errors=True)
