"""Runs for programs without an event loop: as :mod:`gridcwl.api`, with calls that block. Each run has a thread."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gridcwl.api import Client, Inputs, Run
from gridcwl.runs.events import Event, RunEnded
from gridcwl.runs.queries import explained_in, exported, jobs_in, logs_of, status_in
from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.logs import JobLog
from gridcwl.runs.record.status import RunStatus
from gridcwl.runs.run_driver import RunDriver
from gridcwl.runs.settings import ResumeSettings, Settings

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate_options import CrateOptions
    from gridcwl.runs.record.job_records import JobRecord
    from gridcwl.runs.report import Report


class BlockingRun:
    """A run for programs without an event loop: as ``Run``, with methods that block.

    It is worked on by a thread of its own. Made by ``gridcwl.run``, ``gridcwl.submit`` and ``gridcwl.resume``.
    """

    def __init__(self, begin: Callable[[Client], Coroutine[Any, Any, Run]], settings: Settings) -> None:
        begun: Future[tuple[asyncio.AbstractEventLoop, Run]] = Future()
        self._ended = threading.Event()
        self._settings = settings

        async def work() -> None:
            async with Client(**settings) as client:
                run = await begin(client)
                begun.set_result((asyncio.get_running_loop(), run))

        def thread() -> None:
            try:
                asyncio.run(work())
            except BaseException as error:  # noqa: BLE001  raised where the caller waits
                if not begun.done():
                    begun.set_exception(error)
            finally:
                self._ended.set()
                _threads.discard(threading.current_thread())

        worker = threading.Thread(target=thread, name="gridcwl-run")
        _wait_for_it_at_exit(worker)
        worker.start()
        self._loop, self._run = begun.result()

    def __repr__(self) -> str:
        return f"<gridcwl.BlockingRun {self.id}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    @property
    def folder(self) -> Path:
        """Where the run's record and the logs of its jobs are."""
        return self._run.folder

    @property
    def outputs(self) -> dict[str, Any]:
        """The same as :meth:`result`."""
        return self.result()

    def events(self) -> Iterator[Event]:
        """What happens in the run, until it has ended; see ``Run.events``."""
        received: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._of_driver.publisher.listen(received.put)
        while True:
            event = received.get()
            yield event
            if isinstance(event, RunEnded):
                return

    def result(self) -> dict[str, Any]:
        """Wait until the run has ended; returns its outputs. Raises as ``Run.result``.

        An exception that comes meanwhile, such as KeyboardInterrupt, cancels the run and is raised when it has ended.
        """
        try:
            self._ended.wait()
        except BaseException:
            self.cancel()
            raise
        return self._of_driver.result()

    def status(self) -> RunStatus:
        """How the run stands now."""
        return status_in(self._run._folder)

    def logs(self, step: str | None = None) -> list[JobLog]:
        """What the jobs' tools wrote; see ``Run.logs``."""
        return logs_of(self._run._folder, step)

    def explain(self, step: str) -> list[Answer]:
        """Why jobs ran; see ``Run.explain``."""
        return explained_in(self._run._folder, step)

    def jobs(self) -> list[JobRecord]:
        """What is recorded of each job; see ``Run.jobs``."""
        return jobs_in(self._run._folder)

    def report(self) -> Report:
        """What the run did so far, what its jobs requested and used, and suggestions; see ``Run.report``."""
        from gridcwl.runs.report import report_with_replicas

        folder = self._run._folder
        with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
            return thread.submit(lambda: asyncio.run(report_with_replicas(folder))).result()

    def export(self, crate: str | Path, options: CrateOptions | None = None) -> Path:
        """Write the run as an RO-Crate; see ``Run.export``."""
        return exported(self._run._folder, crate, options)

    def cancel(self) -> None:
        """Stop the run and its jobs; returns when it has ended."""
        try:
            self._loop.call_soon_threadsafe(self._of_driver.prepared.cancel)
        except RuntimeError:  # the loop is closed: the run has ended
            return
        self._ended.wait()

    def resume(self, **settings: Unpack[ResumeSettings]) -> BlockingRun:
        """Resume the run after it has ended; see ``gridcwl.resume``."""
        return BlockingRun(lambda client: client.resume(self.id, **settings), self._settings)

    @property
    def _of_driver(self) -> RunDriver:
        assert self._run._driver is not None
        return self._run._driver


def submit(document: str | Path, inputs: Inputs = None, **settings: Unpack[Settings]) -> BlockingRun:
    """Begin a run in a thread of its own. Works in any thread, also where an event loop runs.

    The program ends when its runs have ended.

    Args:
        document: see ``Client.submit``.
        inputs: see there.
        settings: see there.

    Raises:
        GridCWLError: the document, the inputs or the settings are wrong.
    """
    return BlockingRun(lambda client: client.submit(document, inputs), settings)


def run(document: str | Path, inputs: Inputs = None, **settings: Unpack[Settings]) -> BlockingRun:
    """Run a document and wait until it has ended; ``run(...).outputs`` are its outputs.

    Args:
        document: see ``Client.submit``.
        inputs: see there.
        settings: see there.

    Raises:
        RunFailed: some of its jobs have failed.
        GridCWLError: the document, the inputs or the settings are wrong, or the outputs could not be published.
    """
    begun = submit(document, inputs, **settings)
    begun.result()
    return begun


def resume(run: str, *, state_dir: str | Path | None = None, **settings: Unpack[ResumeSettings]) -> BlockingRun:
    """Resume a run that was stopped, was killed, or failed, and wait until it has ended.

    Args:
        run: its id or name, or the beginning of it.
        state_dir: where runs are recorded, if not where the configuration says.
        settings: changes to the run's own settings.

    Raises:
        ConfigError: there is no such run, or another process works on it.
        GridCWLError: as :func:`run`.
    """
    where: Settings = {"state_dir": state_dir} if state_dir is not None else {}
    begun = BlockingRun(lambda client: client.resume(run, **settings), where)
    begun.result()
    return begun


_threads: set[threading.Thread] = set()
"""They work on blocking runs."""


def _wait_for_it_at_exit(thread: threading.Thread) -> None:
    """Let the interpreter wait for a run before it shuts thread pools down, which runs need to the end."""
    _register()
    _threads.add(thread)


@cache
def _register() -> None:
    import concurrent.futures.thread  # noqa: F401  whoever registers last is called first

    if (register := getattr(threading, "_register_atexit", None)) is not None:
        register(_join)


def _join() -> None:
    for thread in list(_threads):
        thread.join()
