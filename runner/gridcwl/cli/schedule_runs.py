"""Runs of schedules in this process: what a driver of schedules starts, resumes and stops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cli.runs_here import RunsHere, RunState
from gridcwl.datasets.zooniverse import NotReadyError, export, with_exports
from gridcwl.errors import InputError
from gridcwl.runs.finding import found
from gridcwl.schedules.driver import NotNowError
from gridcwl.schedules.model import Schedule, Tick, values_of

if TYPE_CHECKING:
    from gridcwl.runs.options import Options

_TABLES = (".yml", ".yaml", ".json")


class LocalScheduledRuns:
    """Implements ``gridcwl.schedules.driver.Launcher``."""

    def __init__(self, runs: RunsHere) -> None:
        self._runs = runs

    def find(self, schedule: Schedule) -> Sequence[str]:
        """See ``Launcher.find``."""
        return found_now(schedule)

    def start(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.start``."""
        options = replace(options_of(schedule, tick), state_dir=self._runs.state_dir)
        exports = self._runs.state_dir / "schedules" / "exports" / tick.run
        fill = values_of(schedule, tick).of
        try:
            options, text = filled(
                options, Path(schedule.cwd), lambda value: with_exports(fill(value), exports, export)
            )
        except NotReadyError as error:
            raise NotNowError(error.message) from None
        self._runs.start(tick.run, options, Path(schedule.cwd), text)

    def resume(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.resume``."""
        del schedule
        self._runs.resume(tick.run)

    def state(self, tick: Tick) -> tuple[RunState, str]:
        """See ``Launcher.state``."""
        return self._runs.state(tick.run)

    def cancel(self, tick: Tick) -> None:
        """See ``Launcher.cancel``."""
        self._runs.cancel(tick.run)

    def remove(self, tick: Tick) -> None:
        """See ``Launcher.remove``."""
        self._runs.remove(tick.run)
        shutil.rmtree(self._runs.state_dir / "schedules" / "exports" / tick.run, ignore_errors=True)


def found_now(schedule: Schedule) -> Sequence[str]:
    """The data that match a schedule's query now.

    Raises:
        GridCWLError: they cannot be looked for.
    """
    return found(schedule.trigger.query, options_of(schedule, None), Path(schedule.cwd))


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


def filled(options: Options, cwd: Path, fill: Callable[[Any], Any]) -> tuple[Options, str | None]:
    """The options and the input object with values in it, if it is in a file."""
    if len(options.words) != 1 or not options.words[0].endswith(_TABLES):
        return options, None
    path = cwd / options.words[0]
    inputs = fill(read_table(path))
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
