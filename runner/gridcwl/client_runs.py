"""The runs that a client gives: of this process, of other processes of this machine, and at a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from gridcwl.errors import ConfigError, RunFailed
from gridcwl.remote.connection import NATIVE, WES, Connection
from gridcwl.runs.events import Event
from gridcwl.runs.queries import explained_in, exported, jobs_in, logs_of, status_in
from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.logs import JobLog
from gridcwl.runs.record.status import RunStatus, status_from
from gridcwl.runs.run_driver import RunDriver
from gridcwl.runs.settings import ResumeSettings
from gridcwl.values import outputs_from

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate_options import CrateOptions
    from gridcwl.runs.record.job_records import JobRecord
    from gridcwl.runs.report import Report
    from gridcwl.runs.report.card import Card


class Resumes(Protocol):
    """A client, as far as a run needs it."""

    async def resume(self, run: str, **settings: Unpack[ResumeSettings]) -> Run:
        """See ``Client.resume``."""


class Run:
    """A run: one that this process works on, or one that another process works on or worked on.

    Made by ``Client.submit``, ``Client.resume`` and ``Client.open``.
    """

    def __init__(self, client: Resumes, folder: RunFolder, driver: RunDriver | None) -> None:
        self._client = client
        self._folder = folder
        self._driver = driver

    def __repr__(self) -> str:
        return f"<gridcwl.Run {self.id}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """For notebooks: how the run stands now."""
        from gridcwl.runs.report.card import bundle

        return bundle(self._card())

    def _card(self) -> Card:
        """What notebooks show of the run."""
        from gridcwl.runs.report.card import card_of

        return card_of(self._folder)

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


class ServerRun(Run):
    """A run at a service."""

    def __init__(self, client: Resumes, server: Connection, run: str, outdir: Path | None = None) -> None:
        self._client = client
        self._server = server
        self._run = run
        self._outdir = outdir
        self._driver = None

    def _card(self) -> Card:
        from gridcwl.runs.report.card import Card

        about = self._server.get(f"{NATIVE}/runs/{self._run}")
        return Card(status_from(about), server=self._server.url)

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
