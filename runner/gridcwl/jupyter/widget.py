"""A run as a widget with buttons, by anywidget. Imported only where that is installed.

What it shows is in ``gridcwl.runs.report.card``; ``run_widget.js`` puts it into the page. A program that can show
widgets answers when one is made; where none has answered, as in a notebook that is executed without a browser,
``live`` shows runs as HTML.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import anywidget
import traitlets

VIEW = "application/vnd.jupyter.widget-view+json"
_ACTIONS = ("cancel", "resume", "ready")


@cache
def _file(name: str) -> str:
    return resources.files("gridcwl.jupyter").joinpath(name).read_text("utf-8")


class RunWidget(anywidget.AnyWidget):
    """A run with buttons.

    Args:
        acted: called with ``cancel`` or ``resume`` when the user has asked for it, and with ``ready`` when a program
            that shows widgets has answered; in the thread that receives messages, so it must not block.
    """

    _esm = _file("run_widget.js")
    _css = _file("run_widget.css")
    card = traitlets.Unicode().tag(sync=True)
    """HTML."""
    actions = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """The buttons."""
    pending = traitlets.Unicode().tag(sync=True)
    """The action that is being done."""
    message = traitlets.Unicode().tag(sync=True)
    """What went wrong with it."""
    answered = traitlets.Bool(True).tag(sync=True)
    """No answer of the program that shows it is awaited."""

    def __init__(self, acted: Callable[[str], None], **values: Any) -> None:
        super().__init__(**values)
        self._acted = acted
        if hasattr(self.comm, "_reply_subshell_for"):
            # ipykernel 7.4 has messages wait for the cell that has used the widget last, which may be the cell that
            # waits for the run (ipykernel/comm/comm.py). Ours are received where the page sends them to.
            self.comm._reply_subshell_for = lambda _data, subshell: subshell
        self.on_msg(self._received)

    def _received(self, _widget: Any, content: Any, _buffers: Any) -> None:
        action = content.get("action") if isinstance(content, dict) else None
        if action in _ACTIONS:
            self._acted(str(action))

    def show(self, **values: Any) -> None:
        """Change several values by one message."""
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def view(self) -> dict[str, Any]:
        """What a notebook's output has in order to show it."""
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.model_id}}
