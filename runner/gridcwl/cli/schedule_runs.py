"""Runs of schedules in this process: what a driver of schedules starts, resumes and stops."""

from __future__ import annotations

import asyncio
import glob
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import ConfigError, GridCWLError, InputError, RunCancelled
from gridcwl.runs.record.folder import RunFolder, find
from gridcwl.schedules.driver import RunState
from gridcwl.schedules.model import Schedule, Tick, Values, values_of
from gridcwl.worker.paths import file_url

if TYPE_CHECKING:
    from gridcwl.api import Client
    from gridcwl.runs.options import Options

log = logging.getLogger("gridcwl.schedules")

_STATES: dict[str, RunState] = {
    "running": "active",
    "detached": "active",
    "success": "success",
    "failed": "failed",
    "cancelled": "cancelled",
    "killed": "stopped",
    "broken": "stopped",
}
_TABLES = (".yml", ".yaml", ".json")


class ScheduledRuns:
    """Implements ``gridcwl.schedules.driver.Launcher`` with a client in an event loop; called from other threads."""

    def __init__(self, client: Client, state_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._state_dir = state_dir
        self._loop = loop
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting: set[str] = set()
        self._ended: dict[str, tuple[RunState, str]] = {}
        self.changed = asyncio.Event()
        """A run has ended."""

    def find(self, schedule: Schedule) -> Sequence[str]:
        """See ``Launcher.find``: DIDs by Rucio, or files of this machine."""
        query = schedule.trigger.query
        if "://" not in query and (query.startswith(("/", "./", "~")) or "/" in query.partition(":")[0]):
            folder = Path(schedule.cwd)
            found = sorted(glob.glob(str(folder / Path(query).expanduser())))  # noqa: PTH207  an absolute pattern
            return [file_url(path) for path in found if Path(path).is_file()]
        return found_in_store(query, options_of(schedule, None))

    def start(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.start``."""
        if self._folder(tick) is not None:  # another driver was quicker
            return
        options = replace(options_of(schedule, tick), state_dir=self._state_dir)
        options, text = _filled(options, schedule, values_of(schedule, tick))
        self._begin(tick, self._submitted(options, Path(schedule.cwd), text, tick))

    def resume(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.resume``."""
        del schedule
        if (folder := self._folder(tick)) is not None:
            (folder.path / STOPPED).unlink(missing_ok=True)
        self._begin(tick, self._client.resume(tick.run))

    async def _submitted(self, options: Options, cwd: Path, text: str | None, tick: Tick) -> Any:
        from gridcwl.runs.prepared import RunRequest

        return await self._client.begin(RunRequest(options, cwd, text, tick.run))

    def _begin(self, tick: Tick, beginning: Any) -> None:
        self._starting.add(tick.run)

        def create() -> None:
            self._tasks[tick.run] = self._loop.create_task(self._until_ended(tick, beginning))

        self._loop.call_soon_threadsafe(create)

    async def _until_ended(self, tick: Tick, beginning: Any) -> None:
        ended: tuple[RunState, str] = "success", ""
        try:
            run = await beginning
            await run.result()
        except RunCancelled as error:
            ended = "cancelled", error.message
        except GridCWLError as error:
            ended = "failed", error.message
        except asyncio.CancelledError:
            return  # this driver stops; whoever comes next resumes the run
        finally:
            self._starting.discard(tick.run)
            self._tasks.pop(tick.run, None)
        self._ended[tick.run] = ended
        self.changed.set()

    def state(self, tick: Tick) -> tuple[RunState, str]:
        """See ``Launcher.state``."""
        if tick.run in self._ended:
            return self._ended.pop(tick.run)
        if tick.run in self._starting or tick.run in self._tasks:
            return "active", ""
        folder = self._folder(tick)
        if folder is None:
            return "missing", ""
        from gridcwl.runs.record.status import summary_of

        if (folder.path / STOPPED).exists() and not folder.alive:
            return "stopped", ""
        status = summary_of(folder)
        return _STATES.get(status.state, "stopped"), status.message

    def cancel(self, tick: Tick) -> None:
        """See ``Launcher.cancel``."""
        if (folder := self._folder(tick)) is not None:
            folder.request_cancel()

    def remove(self, tick: Tick) -> None:
        """See ``Launcher.remove``."""
        folder = self._folder(tick)
        if folder is not None and not folder.alive:
            if (working := folder.working) is not None and working.is_dir():
                shutil.rmtree(working, ignore_errors=True)
            folder.remove()

    def mark_stopped(self) -> None:
        """Note in the folders of active runs that their driver stops: these runs are resumed later."""
        for run in [*self._tasks]:
            folder = RunFolder(self._state_dir / "runs" / run)
            if folder.path.is_dir():
                (folder.path / STOPPED).touch()

    def _folder(self, tick: Tick) -> RunFolder | None:
        try:
            return find(self._state_dir, tick.run).folder
        except GridCWLError:
            return None


STOPPED = "driver-stopped"
"""A file in a run's folder: the driver of its schedule stopped while the run was active."""


def options_of(schedule: Schedule, tick: Tick | None) -> Options:
    """What a schedule's command line means; with the values of a tick.

    Raises:
        GridCWLError: it is wrong.
    """
    from gridcwl.cli.options import parse

    words = list(schedule.words)
    if tick is not None:
        values = values_of(schedule, tick)
        words = [values.text(word) for word in words]
    options = parse(words)
    name = options.run_name or schedule.name
    return replace(options, run_name="" if tick is None else f"{name}-{tick.run[:15]}"[:100], loudness=-1)


def _filled(options: Options, schedule: Schedule, values: Values) -> tuple[Options, str | None]:
    """The options and the input object with the values of a tick in it, if it is in a file."""
    if len(options.words) != 1 or not options.words[0].endswith(_TABLES):
        return options, None
    path = Path(schedule.cwd, options.words[0])
    inputs = values.of(read_table(path))
    return replace(options, words=("",), basedir=options.basedir or str(path.parent)), json.dumps(inputs, default=str)


def read_table(path: Path) -> Any:
    """A YAML or JSON file.

    Raises:
        InputError: it cannot be read.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"The input object {path} cannot be read: {reason}") from None
    return {} if found is None else found


def found_in_store(query: str, options: Options) -> list[str]:
    """The URLs of files and datasets that a query finds now.

    Raises:
        GridCWLError: the store does not answer, or the query is wrong.
    """
    from gridcwl import plugins
    from gridcwl.runs.from_options import open_run_store
    from gridcwl.runs.options import StoreOptions

    name = plugins.store_of_location(query) or plugins.store_of_name(query)
    if not name:
        raise ConfigError(
            f"{query} is no DID, no Rucio query and no pattern of files",
            remedy="Write rucio://SCOPE/PATTERN?KEY=VALUE, or a path with *.",
        )
    if options.store.store != name:
        settings = plugins.configured(plugins.store(name), plugins.configuration())
        options = replace(options, store=StoreOptions(name, settings))
    store = open_run_store(options, None, Path.cwd())
    try:
        if store.files is None:
            raise ConfigError(f"The store {name} cannot be searched")
        try:
            found = store.files.find([query])[query]
        except InputError as error:
            if "finds nothing" in error.message or "is not in Rucio" in error.message:
                return []
            raise
        if found["class"] == "File":
            return [str(found["location"])]
        if "*" in query or "?" in query:  # what was searched for: files, or whole datasets
            return [str(one["location"]) for one in (*found["files"], *found["collections"])]
        return [str(file["location"]) for file in _all_files(found)]
    finally:
        store.close()


def _all_files(found: Any) -> list[Any]:
    return [*found["files"], *(file for inner in found["collections"] for file in _all_files(inner))]
