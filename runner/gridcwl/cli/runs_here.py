"""Runs that this process begins under ids that are known before: of schedules, and of productions."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gridcwl.errors import GridCWLError, RunCancelled
from gridcwl.model import RunId
from gridcwl.runs.record.folder import RunFolder, find

if TYPE_CHECKING:
    from gridcwl.api import Client
    from gridcwl.client_runs import Run
    from gridcwl.runs.options import Options

RunState: TypeAlias = Literal["missing", "active", "stopped", "success", "failed", "cancelled"]
_STATES: dict[str, RunState] = {
    "running": "active",
    "detached": "active",
    "success": "success",
    "failed": "failed",
    "cancelled": "cancelled",
    "killed": "stopped",
    "broken": "stopped",
}
STOPPED = "driver-stopped"
"""A file in a run's folder: its driver stopped while the run was active."""


class RunsHere:
    """Runs of a client in an event loop; called from other threads."""

    def __init__(self, client: Client, state_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.state_dir = state_dir
        self._loop = loop
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting: set[str] = set()
        self._ended: dict[str, tuple[RunState, str]] = {}
        self.changed = asyncio.Event()
        """A run has ended."""

    def start(self, run: RunId, options: Options, cwd: Path, text: str | None) -> None:
        """Begin a run, unless it has begun already."""
        if self.folder(run) is None:
            self._begin(run, self._submitted(options, cwd, text, run))

    def resume(self, run: RunId) -> None:
        """Go on with a run that was stopped, or that failed."""
        if (folder := self.folder(run)) is not None:
            (folder.path / STOPPED).unlink(missing_ok=True)
        self._begin(run, self.client.resume(run))

    async def _submitted(self, options: Options, cwd: Path, text: str | None, run: RunId) -> Run:
        from gridcwl.runs.prepared import RunRequest

        return await self.client.begin(RunRequest(options, cwd, text, run))

    def _begin(self, run: RunId, beginning: Coroutine[Any, Any, Run]) -> None:
        self._starting.add(run)
        self._ended.pop(run, None)

        def create() -> None:
            self._tasks[run] = self._loop.create_task(self._until_ended(run, beginning))

        self._loop.call_soon_threadsafe(create)

    async def _until_ended(self, run: RunId, beginning: Coroutine[Any, Any, Run]) -> None:
        ended: tuple[RunState, str] = "success", ""
        try:
            await (await beginning).result()
        except RunCancelled as error:
            ended = "cancelled", error.message
        except GridCWLError as error:
            ended = "failed", error.message
        except asyncio.CancelledError:
            return  # this driver stops; whoever comes next resumes the run
        finally:
            self._starting.discard(run)
            self._tasks.pop(run, None)
        self._ended[run] = ended
        self.changed.set()

    def state(self, run: RunId) -> tuple[RunState, str]:
        """How a run stands, and a message if it failed."""
        if run in self._ended:
            return self._ended.pop(run)
        if run in self._starting or run in self._tasks:
            return "active", ""
        folder = self.folder(run)
        if folder is None:
            return "missing", ""
        from gridcwl.runs.record.status import summary_of

        if (folder.path / STOPPED).exists() and not folder.alive:
            return "stopped", ""
        status = summary_of(folder)
        return _STATES.get(status.state, "stopped"), status.message

    def cancel(self, run: RunId) -> None:
        """Stop a run; it ends soon."""
        if (folder := self.folder(run)) is not None:
            folder.request_cancel()

    def remove(self, run: RunId) -> None:
        """Remove the record of a run that has ended."""
        folder = self.folder(run)
        if folder is not None and not folder.alive:
            if (working := folder.working) is not None and working.is_dir():
                shutil.rmtree(working, ignore_errors=True)
            folder.remove()

    def mark_stopped(self) -> None:
        """Note in the folders of active runs that their driver stops: these runs are resumed later."""
        for run in [*self._tasks]:
            folder = RunFolder(self.state_dir / "runs" / run)
            if folder.path.is_dir():
                (folder.path / STOPPED).touch()

    def folder(self, run: RunId) -> RunFolder | None:
        """The folder of a run; None if there is none."""
        try:
            return find(self.state_dir, run).folder
        except GridCWLError:
            return None
