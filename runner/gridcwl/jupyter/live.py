"""Runs that show themselves: once if they have ended, else changing until then."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.getipython import get_ipython
from IPython.display import display

from gridcwl import imports
from gridcwl.blocking import BlockingRun, open_run
from gridcwl.client_runs import Run
from gridcwl.errors import GridCWLError
from gridcwl.runs.report.card import bundle, card_html

if TYPE_CHECKING:
    from gridcwl.jupyter.widget import RunWidget

_EVERY_S = 0.5
_MOST = 5
"""Runs that are looked at after each cell."""
_SHARE = 5
"""A look at a large run may take so much of the time: one part of so many."""
_active: list[RunDisplay] = []
"""Runs that were active when they were shown last."""
_shown: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""The cell in which a run was shown last, by its number."""
_answered = threading.Event()
"""A program that shows widgets has answered."""
_probes: list[RunWidget] = []
_recent: deque[RunDisplay] = deque(maxlen=20)
_with_buttons: set[RunDisplay] = set()


class RunDisplay:
    """A run in the output of a cell: HTML, or a widget with buttons where that can be shown."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._loop = _running_loop()
        self._lock = threading.RLock()
        self._widget: RunWidget | None = None
        self._pending = ""
        self._bundle: Mapping[str, Any] = bundle(run._card())
        self._handle = display(self._bundle, raw=True, display_id=True)
        _shown[run] = _cell()
        _recent.append(self)
        if _answered.is_set():
            self.update()

    def update(self) -> None:
        """Show how the run stands now."""
        with self._lock:
            card = self._run._card()
            if not _answered.is_set() or not (card.actions or self._pending):
                self._display(bundle(card))
                self._close()
                return
            began = self._widget is None
            if self._widget is None:
                from gridcwl.jupyter.widget import RunWidget

                self._widget = RunWidget(self._act)
                _with_buttons.add(self)
            ended = card.actions == ("resume",) != tuple(self._widget.actions)
            html = card_html(card, buttons=True)
            self._widget.show(card=html, actions=list(card.actions), pending=self._pending)
            if began or ended:  # the notebook keeps this; more often, the page would draw the widget again
                self._display({**bundle(card), **self._widget.view()})

    def _display(self, made: Mapping[str, Any]) -> None:
        if made != self._bundle and self._handle is not None:
            self._bundle = made
            self._handle.update(made, raw=True)

    def _close(self) -> None:
        if self._widget is not None:
            self._widget.close()
            self._widget = None
            _with_buttons.discard(self)

    def without_buttons(self) -> None:
        """Leave HTML in the notebook, which lasts when the kernel does not."""
        with self._lock:
            if self._widget is not None:
                self._display(bundle(self._run._card()))
                self._close()

    def follow(self) -> None:
        """Update until the run has ended."""
        while True:
            ended = self._run.ended
            began = time.monotonic()
            self.update()
            if ended:
                return
            time.sleep(max(_EVERY_S, _SHARE * (time.monotonic() - began)))

    # -- buttons: each is served by a thread of its own, as messages come while a cell is executed ---------------------

    def _act(self, action: str) -> None:
        if action in ("cancel", "resume"):
            threading.Thread(target=self._do, args=(action,), daemon=True, name="gridcwl-button").start()

    def _do(self, action: str) -> None:
        with self._lock:
            if self._pending or self._widget is None:
                return
            self._pending = action
            self._widget.show(pending=action, message="")
        message = ""
        try:
            if action == "cancel":
                self._cancel()
            else:
                self._resume()
        except (GridCWLError, OSError) as error:
            message = str(error)
        finally:
            with self._lock:
                self._pending = ""
        with suppress(GridCWLError, OSError):
            self.update()
        with self._lock:
            if self._widget is not None:
                self._widget.show(pending="", message=message)

    def _cancel(self) -> None:
        begun = self._run.cancel()
        if not inspect.iscoroutine(begun):
            return
        if self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(begun, self._loop).result()
        else:
            asyncio.run(begun)

    def _resume(self) -> None:
        """In a process of its own, whatever worked on it before."""
        self._run = open_run(self._run.id, self._run.folder.parent.parent).resume()
        _shown[self._run] = _cell()
        _background(self)


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


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def install(shell: Any) -> None:
    """Have IPython show runs by this module, with buttons as soon as a program answers that can show them."""
    for kind in (Run, BlockingRun):
        shell.display_formatter.ipython_display_formatter.for_type(kind, show)
    shell.events.register("post_run_cell", after_cell)
    if imports.installed("anywidget") and getattr(shell, "kernel", None) is not None and not _probes:
        from gridcwl.jupyter.widget import RunWidget

        _probes.append(RunWidget(_answer, answered=False))
        atexit.register(_without_buttons)


def _answer(action: str) -> None:
    if action == "ready" and not _answered.is_set():
        _answered.set()
        for probe in _probes:
            probe.answered = True
        threading.Thread(target=_update_recent, daemon=True, name="gridcwl-buttons").start()


def _update_recent() -> None:
    for shown in list(_recent):
        with suppress(GridCWLError, OSError):
            shown.update()


def _without_buttons() -> None:
    """Leave HTML in the notebook: without its kernel, a program that shows it knows no widgets."""
    for shown in list(_with_buttons):
        with suppress(GridCWLError, OSError):
            shown.without_buttons()


def uninstall(shell: Any) -> None:
    """Have IPython show runs as their own methods do, once."""
    for kind in (Run, BlockingRun):
        shell.display_formatter.ipython_display_formatter.pop(kind, None)
    shell.events.unregister("post_run_cell", after_cell)
    _answered.clear()
    _without_buttons()
    while _probes:
        _probes.pop().close()
