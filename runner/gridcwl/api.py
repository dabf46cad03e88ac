"""The Python API: run CWL documents from a program, a service or a notebook.

    outputs = gridcwl.run("workflow.cwl", {"events": Path("run1.fits")}, outdir="results").outputs

    async with gridcwl.Client(backend="dirac", store="rucio") as client:
        run = await client.submit("workflow.cwl", {"events": "rucio://cta/run1"})
        async for event in run.events():
            print(event)
        outputs = await run.result()

Any number of runs share one process and one event loop. Nothing here handles signals, changes the current folder, or
reads standard input. Errors are those of :mod:`gridcwl.errors`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack

from gridcwl.client_runs import Run, ServerRun
from gridcwl.errors import ConfigError
from gridcwl.remote.connection import NATIVE, WES, Connection
from gridcwl.runs.events import Publisher
from gridcwl.runs.options import Options
from gridcwl.runs.prepared import PreparedRun, RunRequest
from gridcwl.runs.record.folder import all_folders, checked_id, find
from gridcwl.runs.record.status import RunStatus, status_from
from gridcwl.runs.run_driver import RunDriver, entered, exited
from gridcwl.runs.settings import ResumeSettings, Settings, cache_folder, changed, options_for, state_folder
from gridcwl.values import to_json

if TYPE_CHECKING:
    from gridcwl.runs.provenance.lineage import Lineage
    from gridcwl.runs.record.journal_log import JournalLog

Inputs: TypeAlias = "Mapping[str, Any] | str | Path | None"
"""An input object, or the YAML or JSON file that holds one; None where the document takes none."""
_PREPARING = 4
"""Runs that are prepared at a time: others' threads are not kept waiting for documents."""


class Client:
    """Runs documents in the current event loop. An async context manager.

    Leaving the block waits for all runs; leaving it with an exception cancels them.
    """

    def __init__(self, *, server: str | None = None, **settings: Unpack[Settings]) -> None:
        """Prepare; nothing is started yet.

        Args:
            server: the URL of a ``gridcwl serve``: runs are at this service. What they need is uploaded; a token is
                found as for storage (``BEARER_TOKEN``, ``BEARER_TOKEN_FILE``).
            settings: for all runs, over those of the configuration file and the environment; see ``Settings``.

        Raises:
            ConfigError: there is no such setting, or it does not take the value.
        """
        self._settings = settings
        self._server = None if server is None else _connection(server, settings)
        self._state_dir = state_folder(settings)
        self._open = False
        self._tasks: set[asyncio.Task[None]] = set()
        """Each drives a run; none fails, as ``Run.result`` raises what a run ended with."""
        self._preparing = asyncio.Semaphore(_PREPARING)
        self._driven: dict[str, RunDriver] = {}

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._open = False
        if error is not None:
            self._cancel_all()
        cancelled: asyncio.CancelledError | None = None
        while self._tasks:  # a task group would cancel again, and so keep runs from cleaning up
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError as raised:
                cancelled = raised
                self._cancel_all()
        if cancelled is not None:
            raise cancelled

    async def begin(self, request: RunRequest) -> Run:
        """Begin a run whose options are known already; otherwise as :meth:`submit`, and raises what that does."""
        from gridcwl.runs.session import started

        return await self._drive(started(request))

    def cancel_all(self, by: str = "its client") -> None:
        """Stop all runs that this client works on; leaving the block waits until they have ended."""
        for driver in self._driven.values():
            driver.prepared.cancel(by)

    def _cancel_all(self) -> None:
        for driver in self._driven.values():
            driver.prepared.cancel("its client")

    async def submit(
        self,
        document: str | Path,
        inputs: Inputs = None,
        *,
        run_id: str | None = None,
        journal_log: JournalLog | None = None,
        **settings: Unpack[Settings],
    ) -> Run:
        """Begin a run. Returns as soon as document and inputs have been read and found valid.

        Args:
            document: a path, ``FILE#process``, a URL, or an RO-Crate: its folder, or a ``.zip`` of it.
            inputs: values by the names of the document's inputs. Files are ``File``, ``pathlib.Path``, or CWL's dicts;
                relative paths count from the current folder.
            run_id: the run's id, if there is one already; see ``gridcwl.new_run_id``.
            journal_log: where the journal's changes are kept for other machines, as ``gridcwl serve`` does.
            settings: of this run, over those of the client.

        Raises:
            DocumentError, InputError, UnsupportedError: the document or the inputs are wrong.
            ConfigError: a setting is wrong.
            StoreError: outputs would have no place.
        """
        from gridcwl.runs.session import started

        folder = Path.cwd()
        words: tuple[str, ...] = ()
        text = None
        if isinstance(inputs, Mapping):
            words, text = ("",), await asyncio.to_thread(to_json, inputs, folder)
        elif inputs is None:
            from gridcwl.runs.provenance.reading import with_crate

            caches = partial(cache_folder, {**self._settings, **settings})
            document, words = await asyncio.to_thread(with_crate, str(document), (), caches)
        else:
            words = (str(inputs) if "://" in str(inputs) else str(folder / inputs),)  # never an option, nor ``-``
        options = options_for(str(document), words, {**self._settings, **settings}, folder)
        if self._server is not None:
            return await self._submit_there(self._server, options, folder, text, {**self._settings, **settings})
        run = None if run_id is None else checked_id(run_id)
        return await self._drive(started(RunRequest(options, folder, text, run, journal_log=journal_log)))

    async def resume(
        self, run: str, *, journal_log: JournalLog | None = None, **settings: Unpack[ResumeSettings]
    ) -> Run:
        """Resume a run that was stopped, was killed, or failed. Jobs that finished do not run again.

        Args:
            run: its id or name, or the beginning of it.
            journal_log: as for :meth:`submit`.
            settings: changes to the run's own settings.

        Raises:
            ConfigError: there is no such run, or another process works on it.
            GridCWLError: as :meth:`submit`.
        """
        from gridcwl.runs.session import resumed, saved_request

        if self._server is not None:
            return await self._resume_there(self._server, run, settings)
        folder = find(self._state_dir, run).folder
        request = await asyncio.to_thread(saved_request, folder)
        options = changed(request.options, settings, Path.cwd())
        if journal_log is not None and not request.cwd.is_dir():  # it was another machine's, and all paths are absolute
            request = replace(request, cwd=Path.cwd())
        return await self._drive(resumed(folder, replace(request, options=options, journal_log=journal_log)))

    async def open(self, run: str) -> Run:
        """A run that this process or another one works on, or worked on.

        Args:
            run: its id or name, or the beginning of it.

        Raises:
            ConfigError: there is no such run.
        """
        if self._server is not None:
            await asyncio.to_thread(self._server.get, f"{WES}/runs/{run}/status")
            return ServerRun(self, self._server, run)
        folder = find(self._state_dir, run).folder
        return Run(self, folder, self._driven.get(folder.run))

    async def runs(self) -> list[RunStatus]:
        """All runs that are recorded, the latest first, without their steps."""
        from gridcwl.runs.record.status import summary_of

        if self._server is not None:
            found = await asyncio.to_thread(self._server.get, f"{NATIVE}/runs", limit=1000)
            return [status_from(about) for about in found["runs"]]
        return await asyncio.to_thread(lambda: [summary_of(folder) for folder in all_folders(self._state_dir)])

    async def _submit_there(
        self, server: Connection, options: Options, folder: Path, text: str | None, settings: Mapping[str, Any]
    ) -> Run:
        from gridcwl.remote.submission import check_settings, prepared
        from gridcwl.remote.submission import submit as post

        check_settings(settings)
        fields, uploads = await asyncio.to_thread(prepared, options, folder, text)
        run = await asyncio.to_thread(post, server, fields, uploads)
        outdir = settings.get("outdir")
        return ServerRun(self, server, run, None if outdir is None else folder / outdir)

    async def _resume_there(self, server: Connection, run: str, settings: Mapping[str, Any]) -> Run:
        from gridcwl.remote.submission import resume_parameters

        parameters = resume_parameters(settings)
        answer = await asyncio.to_thread(server.post, f"{NATIVE}/runs/{run}/resume", json=parameters)
        outdir = settings.get("outdir")
        return ServerRun(self, server, str(answer["run_id"]), None if outdir is None else Path.cwd() / outdir)

    async def lineage(self, file: str | Path, depth: int | None = None) -> Lineage:
        """Which runs, jobs and files a file came from; across users, if they are in a store that records it.

        Args:
            file: a path, ``rucio://SCOPE/NAME``, or ``SCOPE:NAME``.
            depth: how many jobs are followed back, one after the other; None for all.

        Raises:
            ConfigError: there is no such file.
            StoreError: a store does not answer.
        """
        from gridcwl.runs.provenance.lineage import lineage_of

        return await asyncio.to_thread(lineage_of, str(file), self._state_dir, depth)

    async def _drive(self, preparing: AbstractContextManager[PreparedRun]) -> Run:
        self._check_open()
        async with self._preparing:
            prepared = await entered(preparing)
        try:
            self._check_open()  # it may have been left meanwhile
        except ConfigError as error:
            await exited(preparing, error)
            raise
        driver = RunDriver(preparing, prepared, Publisher(prepared.run))
        self._driven[prepared.run] = driver
        task = asyncio.create_task(self._until_ended(driver), name=f"gridcwl-{prepared.run}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Run(self, prepared.record.folder, driver)

    def _check_open(self) -> None:
        if not self._open:
            raise ConfigError("The client is not open", remedy="Use it as in: async with gridcwl.Client() as client")

    async def _until_ended(self, driver: RunDriver) -> None:
        try:
            await driver.run()
        finally:
            self._driven.pop(driver.prepared.run, None)


def _connection(url: str, settings: Mapping[str, Any]) -> Connection:
    from gridcwl.remote.submission import check_settings

    check_settings(settings)
    return Connection(url)
