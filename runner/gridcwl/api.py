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
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack

from gridcwl.errors import ConfigError, RunFailed
from gridcwl.remote.connection import NATIVE, WES, Connection
from gridcwl.runs.events import Event, Publisher
from gridcwl.runs.options import Options
from gridcwl.runs.prepared import PreparedRun, RunRequest
from gridcwl.runs.queries import explained_in, exported, jobs_in, logs_of, status_in
from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.folder import RunFolder, all_folders, checked_id, find
from gridcwl.runs.record.logs import JobLog
from gridcwl.runs.record.status import RunStatus, status_from
from gridcwl.runs.run_driver import RunDriver, entered, exited
from gridcwl.runs.settings import ResumeSettings, Settings, cache_folder, changed, options_for, state_folder
from gridcwl.values import outputs_from, to_json

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate_options import CrateOptions
    from gridcwl.runs.provenance.lineage import Lineage
    from gridcwl.runs.record.job_records import JobRecord
    from gridcwl.runs.record.journal_log import JournalLog
    from gridcwl.runs.report import Report

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
            return _ServerRun(self, self._server, run)
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
        return _ServerRun(self, server, run, None if outdir is None else folder / outdir)

    async def _resume_there(self, server: Connection, run: str, settings: Mapping[str, Any]) -> Run:
        from gridcwl.remote.submission import resume_parameters

        parameters = resume_parameters(settings)
        answer = await asyncio.to_thread(server.post, f"{NATIVE}/runs/{run}/resume", json=parameters)
        outdir = settings.get("outdir")
        return _ServerRun(self, server, str(answer["run_id"]), None if outdir is None else Path.cwd() / outdir)

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


class Run:
    """A run: one that this process works on, or one that another process works on or worked on.

    Made by ``Client.submit``, ``Client.resume`` and ``Client.open``.
    """

    def __init__(self, client: Client, folder: RunFolder, driver: RunDriver | None) -> None:
        self._client = client
        self._folder = folder
        self._driver = driver

    def __repr__(self) -> str:
        return f"<gridcwl.Run {self.id}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """For notebooks: how the run stands now."""
        from gridcwl.runs.report.card import bundle, card_of

        return bundle(card_of(self._folder))

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    @property
    def id(self) -> str:
        """The run's id: ``20261129-081500-1a2b3c``. It sorts by time."""
        return self._folder.run

    @property
    def folder(self) -> Path:
        """Where the run's record and the logs of its jobs are."""
        return self._folder.path

    @property
    def ended(self) -> bool:
        """Nobody works on the run now."""
        return self._driver.ended.is_set() if self._driver is not None else not self._folder.alive

    def events(self) -> AsyncIterator[Event]:
        """What happens in the run: what has happened so far (at most 10,000 events), and what comes until it has ended.

        The last event is ``RunEnded``. Each call gives an iterator of its own.
        """
        if self._driver is not None:
            return self._driver.publisher.subscribe()
        from gridcwl.runs.observer import follow

        return follow(self._folder)

    async def result(self) -> dict[str, Any]:
        """Wait until the run has ended; returns its outputs by name, with ``File`` and ``Directory`` values.

        Cancelling the task that waits does not cancel the run.

        Raises:
            RunFailed: some of its jobs have failed; it has the outputs that there are.
            RunCancelled: it was stopped.
            RunDetached: its jobs keep running, and no client monitors them.
            GridCWLError: it could not be begun, or its outputs could not be published.
        """
        if self._driver is not None:
            await self._driver.ended.wait()
            return self._driver.result()
        from gridcwl.runs.observer import recorded_outputs

        try:
            outputs: dict[str, Any] = outputs_from(await recorded_outputs(self._folder))
        except RunFailed as error:
            error.outputs = outputs_from(error.outputs)
            raise
        return outputs

    async def output_object(self) -> dict[str, Any]:
        """As :meth:`result`, but with Files and Directories as CWL's dicts; those of RunFailed, too."""
        if self._driver is not None:
            await self._driver.ended.wait()
            return self._driver.result(plain=True)
        from gridcwl.runs.observer import recorded_outputs

        outputs: dict[str, Any] = await recorded_outputs(self._folder)
        return outputs

    async def status(self) -> RunStatus:
        """How the run stands now: its state, its steps and its first failures."""
        return await asyncio.to_thread(status_in, self._folder)

    async def logs(self, step: str | None = None) -> list[JobLog]:
        """What the jobs' tools wrote to stdout and stderr, failed ones first.

        Args:
            step: only of this step, or of one shard of it: ``align/sort[3]``.

        Raises:
            ConfigError: there is no such step.
        """
        return await asyncio.to_thread(logs_of, self._folder, step)

    async def explain(self, step: str) -> list[Answer]:
        """Why the jobs of a step ran, or where their results came from.

        Args:
            step: or one shard of it.

        Raises:
            ConfigError: there is no such step.
        """
        return await asyncio.to_thread(explained_in, self._folder, step)

    async def jobs(self) -> list[JobRecord]:
        """What is recorded of each job: its attempts, what it requested and used, and how its result was obtained."""
        return await asyncio.to_thread(jobs_in, self._folder)

    async def report(self) -> Report:
        """What the run did so far, what its jobs requested and used, and suggestions; the run may be active.

        The report has what Rucio holds of the run now, if the run has files there.
        """
        from gridcwl.runs.report import report_with_replicas

        return await report_with_replicas(self._folder)

    async def export(self, crate: str | Path, options: CrateOptions | None = None) -> Path:
        """Write the run as a Provenance Run Crate, a kind of RO-Crate; the run may be active.

        Args:
            crate: a new folder, or a file whose name ends with ``.zip``.
            options: which data it holds, and who is responsible.

        Returns:
            Where it is.

        Raises:
            ConfigError: something else is there, or the ORCID is none.
            DocumentError: the run's document cannot be packed.
            StoreError: the crate cannot be written.
        """
        return await asyncio.to_thread(exported, self._folder, crate, options)

    async def cancel(self) -> None:
        """Stop the run and its jobs, whoever works on it; returns when it has ended. It can be resumed.

        Raises:
            ConfigError: another machine works on it.
        """
        if self._driver is not None:
            self._driver.prepared.cancel()
            await self._driver.ended.wait()
            return
        from gridcwl.runs.observer import stop

        await asyncio.to_thread(stop, self._folder)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have all events of a run of this process given to a function, in the run's event loop; those before, too."""
        if self._driver is not None:
            self._driver.publisher.listen(listener)

    def request_cancel(self) -> None:
        """Stop the run, if this process works on it, without waiting for its end."""
        if self._driver is not None:
            self._driver.prepared.cancel()

    async def resume(self, **settings: Unpack[ResumeSettings]) -> Run:
        """Resume the run; see ``Client.resume``."""
        return await self._client.resume(self.id, **settings)


class _ServerRun(Run):
    """A run at a service."""

    def __init__(self, client: Client, server: Connection, run: str, outdir: Path | None = None) -> None:
        self._client = client
        self._server = server
        self._run = run
        self._outdir = outdir
        self._driver = None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from gridcwl.runs.report.card import Card, bundle

        about = self._server.get(f"{NATIVE}/runs/{self._run}")
        return bundle(Card(status_from(about), server=self._server.url))

    @property
    def id(self) -> str:
        """See ``Run.id``."""
        return self._run

    @property
    def folder(self) -> Path:
        """There is none on this machine."""
        raise ConfigError(f"The run {self._run} has its folder at the service {self._server.url}")

    @property
    def ended(self) -> bool:
        """See ``Run.ended``."""
        return not status_from(self._server.get(f"{NATIVE}/runs/{self._run}")).active

    def events(self) -> AsyncIterator[Event]:
        """See ``Run.events``."""
        from gridcwl.remote.following import events

        return events(self._server, self._run)

    async def result(self) -> dict[str, Any]:
        """See ``Run.result``. Files are fetched if the run was given an ``outdir``; else their locations are URLs."""
        try:
            outputs: dict[str, Any] = outputs_from(await self.output_object())
        except RunFailed as error:
            error.outputs = outputs_from(error.outputs)
            raise
        return outputs

    async def output_object(self) -> dict[str, Any]:
        """See ``Run.output_object``."""
        from gridcwl.remote.following import ended, fetched, raise_end

        log = await ended(self._server, self._run)
        outputs: dict[str, Any] = log.get("outputs") or {}
        if self._outdir is not None:
            outputs = await asyncio.to_thread(fetched, self._server, outputs, self._outdir)
        raise_end(self._server, self._run, log, outputs)
        return outputs

    async def status(self) -> RunStatus:
        """See ``Run.status``."""
        return status_from(await asyncio.to_thread(self._server.get, f"{NATIVE}/runs/{self._run}"))

    async def logs(self, step: str | None = None) -> list[JobLog]:
        """See ``Run.logs``; the files are fetched."""
        from gridcwl.remote.following import fetched_logs

        return await asyncio.to_thread(fetched_logs, self._server, self._run, step)

    async def explain(self, step: str) -> list[Answer]:
        """See ``Run.explain``."""
        from msgspec import convert

        found = await asyncio.to_thread(self._server.get, f"{NATIVE}/runs/{self._run}/explain", step=step)
        return convert(found["answers"], list[Answer])

    async def cancel(self) -> None:
        """See ``Run.cancel``."""
        from gridcwl.remote.following import ended

        await asyncio.to_thread(self._server.post, f"{WES}/runs/{self._run}/cancel")
        await ended(self._server, self._run)

    def request_cancel(self) -> None:
        """See ``Run.request_cancel``."""
        self._server.post(f"{WES}/runs/{self._run}/cancel")


def _connection(url: str, settings: Mapping[str, Any]) -> Connection:
    from gridcwl.remote.submission import check_settings

    check_settings(settings)
    return Connection(url)
