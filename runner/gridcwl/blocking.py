"""Runs for programs without an event loop: as :mod:`gridcwl.api`, with calls that block.

Each run has a thread, or with ``detach`` a process of its own.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gridcwl.api import Client, Inputs
from gridcwl.client_runs import Run
from gridcwl.runs.events import Event, RunEnded
from gridcwl.runs.queries import explained_in, exported, jobs_in, logs_of, status_in
from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.folder import RunFolder, find
from gridcwl.runs.record.logs import JobLog
from gridcwl.runs.record.status import RunStatus
from gridcwl.runs.run_driver import RunDriver
from gridcwl.runs.settings import ResumeSettings, Settings, state_folder

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate_options import CrateOptions
    from gridcwl.runs.record.job_records import JobRecord
    from gridcwl.runs.report import Report
    from gridcwl.runs.report.card import Card

_LOOK_EVERY_S = 0.1


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
        return f"<gridcwl.{type(self).__name__} {self.id}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """For notebooks: how the run stands now."""
        return self._run._repr_mimebundle_()

    def _repr_html_(self) -> str:
        return self._run._repr_html_()

    def _card(self) -> Card:
        return self._run._card()

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        """Wait in an event loop, as that of a notebook, until the run has ended; returns and raises as :meth:`result`.

        Cancelling what waits does not cancel the run.
        """
        return self._awaited().__await__()

    async def _awaited(self) -> dict[str, Any]:
        while not self.ended:  # noqa: ASYNC110  the run is of another thread or process
            await asyncio.sleep(_LOOK_EVERY_S)
        return await asyncio.to_thread(self.result)

    @property
    def ended(self) -> bool:
        """Nobody works on the run now."""
        return self._ended.is_set()

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


class FollowedRun(BlockingRun):
    """A run that another process works on, or worked on: of ``gridcwl.open_run``, ``gridcwl.last``, or ``detach``.

    Interrupting a call that waits for it does not stop it; :meth:`cancel` does.
    """

    def __init__(self, folder: RunFolder, settings: Settings) -> None:
        self._settings = settings
        self._run = Run(Client(**settings), folder, None)

    @property
    def ended(self) -> bool:
        """Nobody works on the run now."""
        return not self._run._folder.alive

    def events(self) -> Iterator[Event]:
        """What happens in the run, until it has ended; see ``Run.events``."""
        received: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()

        async def follow() -> None:
            async for event in self._run.events():
                received.put(event)

        def thread() -> None:
            try:
                asyncio.run(follow())
            except BaseException as error:  # noqa: BLE001  raised where the caller waits
                received.put(error)

        threading.Thread(target=thread, daemon=True, name="gridcwl-follow").start()
        while True:
            event = received.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, RunEnded):
                return

    def result(self) -> dict[str, Any]:
        """Wait until the run has ended; returns its outputs. Raises as ``Run.result``.

        An exception that comes meanwhile, such as KeyboardInterrupt, leaves the run active.
        """
        while not self.ended:
            time.sleep(_LOOK_EVERY_S)
        with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
            return thread.submit(lambda: asyncio.run(self._run.result())).result()

    def cancel(self) -> None:
        """Stop the run and its jobs; returns when it has ended."""
        from gridcwl.runs.observer import stop

        stop(self._run._folder)

    def resume(self, **settings: Unpack[ResumeSettings]) -> BlockingRun:
        """Resume the run after it has ended, in a process of its own; see ``gridcwl.resume``."""
        from gridcwl import run_process

        return FollowedRun(run_process.resume(self.id, self._settings, settings), self._settings)


@dataclass(slots=True)
class Defaults:
    """What holds for all runs of this program; the extension for notebooks changes it."""

    detach: bool = False
    waited_for: Callable[[BlockingRun], None] = lambda _: None
    """Called with a run that is about to be waited for; may show it, and wait itself."""


defaults = Defaults()


def last(state_dir: str | Path | None = None) -> FollowedRun:
    """The latest run: of this notebook or terminal, or else of this folder, or else of all; it may be active.

    Raises:
        ConfigError: there is no run.
    """
    return open_run("last", state_dir)


def open_run(run: str, state_dir: str | Path | None = None) -> FollowedRun:
    """A run that this process or another one works on, or worked on.

    Args:
        run: its id or name, or the beginning of it.
        state_dir: where runs are recorded, if not where the configuration says.

    Raises:
        ConfigError: there is no such run.
    """
    settings: Settings = {"state_dir": state_dir} if state_dir is not None else {}
    return FollowedRun(find(state_folder(settings), run).folder, settings)


def submit(
    document: str | Path, inputs: Inputs = None, *, detach: bool | None = None, **settings: Unpack[Settings]
) -> BlockingRun:
    """Begin a run. Works in any thread, also where an event loop runs: there, ``await`` what this returns.

    Args:
        document: see ``Client.submit``.
        inputs: see there.
        detach: the run has a process of its own, and continues when this one is interrupted or ends. Otherwise it has
            a thread, and the program ends when its runs have ended. None is True in notebooks with ``%load_ext
            gridcwl``, and False elsewhere.
        settings: see ``Client.submit``.

    Raises:
        GridCWLError: the document, the inputs or the settings are wrong.
    """
    if defaults.detach if detach is None else detach:
        from gridcwl import run_process

        return FollowedRun(run_process.submit(document, inputs, settings), _places(settings))
    return BlockingRun(lambda client: client.submit(document, inputs), settings)


def _places(settings: Settings) -> Settings:
    """Where the run's record is."""
    return {"state_dir": settings["state_dir"]} if "state_dir" in settings else {}


def run(
    document: str | Path, inputs: Inputs = None, *, detach: bool | None = None, **settings: Unpack[Settings]
) -> BlockingRun:
    """Run a document and wait until it has ended; ``run(...).outputs`` are its outputs.

    Args:
        document: see ``Client.submit``.
        inputs: see there.
        detach: see :func:`submit`.
        settings: see ``Client.submit``.

    Raises:
        RunFailed: some of its jobs have failed.
        GridCWLError: the document, the inputs or the settings are wrong, or the outputs could not be published.
    """
    begun = submit(document, inputs, detach=detach, **settings)
    defaults.waited_for(begun)
    begun.result()
    return begun


def resume(
    run: str,
    *,
    state_dir: str | Path | None = None,
    detach: bool | None = None,
    **settings: Unpack[ResumeSettings],
) -> BlockingRun:
    """Resume a run that was stopped, was killed, or failed, and wait until it has ended.

    Args:
        run: its id or name, or the beginning of it.
        state_dir: where runs are recorded, if not where the configuration says.
        detach: see :func:`submit`.
        settings: changes to the run's own settings.

    Raises:
        ConfigError: there is no such run, or another process works on it.
        GridCWLError: as :func:`run`.
    """
    where: Settings = {"state_dir": state_dir} if state_dir is not None else {}
    begun: BlockingRun
    if defaults.detach if detach is None else detach:
        begun = open_run(run, state_dir).resume(**settings)
    else:
        begun = BlockingRun(lambda client: client.resume(run, **settings), where)
    defaults.waited_for(begun)
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
