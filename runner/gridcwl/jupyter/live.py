"""Runs that show themselves: once if they have ended, else changing until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.display import display

from gridcwl.blocking import BlockingRun
from gridcwl.client_runs import Run
from gridcwl.errors import GridCWLError

_EVERY_S = 0.5
_MOST = 5
"""Runs that are looked at after each cell."""
_SHARE = 5
"""A look at a large run may take so much of the time: one part of so many."""
_active: list[RunDisplay] = []
"""Runs that were active when they were shown last."""
_shown: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""The cell in which a run was shown last, by its number."""


class RunDisplay:
    """A run in the output of a cell."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._bundle = self._made()
        self._handle = display(self._bundle, raw=True, display_id=True)
        _shown[run] = _cell()

    def _made(self) -> Mapping[str, str]:
        bundle: Mapping[str, str] = self._run._repr_mimebundle_()
        return bundle

    def update(self) -> None:
        """Show how the run stands now."""
        bundle = self._made()
        if bundle != self._bundle and self._handle is not None:
            self._bundle = bundle
            self._handle.update(bundle, raw=True)

    def follow(self) -> None:
        """Update until the run has ended."""
        while True:
            ended = self._run.ended
            began = time.monotonic()
            self.update()
            if ended:
                return
            time.sleep(max(_EVERY_S, _SHARE * (time.monotonic() - began)))


def wait(run: BlockingRun) -> None:
    """Show a run in this cell until it has ended. An interrupt leaves it active, unless it is of this process."""
    shown = RunDisplay(run)
    try:
        shown.follow()
    except KeyboardInterrupt:
        _background(shown)
        print(f"Detached. The run {run.id} continues: gridcwl.last() shows it, and its cancel() stops it.")
        raise


def show(run: Any) -> None:
    """Show a run where a cell displays it, unless that cell has shown it already."""
    if _shown.get(run) == _cell():
        return
    shown = RunDisplay(run)
    if not getattr(run, "ended", True):
        _background(shown)


def _background(shown: RunDisplay) -> None:
    def follow() -> None:
        try:
            shown.follow()
        except (GridCWLError, OSError):  # its record was removed: it stays as it was shown last
            return
        finally:
            with suppress(ValueError):
                _active.remove(shown)

    _active.append(shown)

    threading.Thread(target=follow, daemon=True, name="gridcwl-shown").start()


def after_cell(*_: object) -> None:
    """Show how active runs stand when a cell has ended: what executes notebooks takes changes only within cells."""
    for shown in _active[:_MOST]:
        with suppress(GridCWLError, OSError):
            shown.update()


def _cell() -> int:
    shell = get_ipython()
    return -1 if shell is None else int(shell.execution_count)


def install(shell: Any) -> None:
    """Have IPython show runs by this module."""
    for kind in (Run, BlockingRun):
        shell.display_formatter.ipython_display_formatter.for_type(kind, show)
    shell.events.register("post_run_cell", after_cell)


def uninstall(shell: Any) -> None:
    """Have IPython show runs as their own methods do, once."""
    for kind in (Run, BlockingRun):
        shell.display_formatter.ipython_display_formatter.pop(kind, None)
    shell.events.unregister("post_run_cell", after_cell)
