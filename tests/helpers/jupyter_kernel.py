"""A real kernel, as a notebook has it, in a folder of its own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE_S = 120
_OF_ANY_CELL = ("comm_msg", "update_display_data")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """What a cell has shown."""

    text: str = ""
    """On stdout and stderr."""
    displays: list[dict[str, Any]] = field(default_factory=list)
    """The data of each output, as it was last."""
    updates: int = 0
    error: str = ""
    traceback: list[str] = field(default_factory=list)
    widgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The values of each widget that was made, as they were last."""
    _by_id: dict[str, int] = field(default_factory=dict)

    @property
    def html(self) -> str:
        """All HTML of the cell."""
        return "".join(str(data.get("text/html", "")) for data in self.displays)

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """A message of the kernel."""
        name = content.get("transient", {}).get("display_id")
        if kind == "stream":
            self.text += content["text"]
        elif kind == "update_display_data" and name in self._by_id:
            self.updates += 1
            self.displays[self._by_id[name]] = content["data"]
        elif kind in ("display_data", "execute_result"):
            if name:
                self._by_id[name] = len(self.displays)
            self.displays.append(content["data"])
        elif kind in ("comm_open", "comm_msg"):
            self.widgets.setdefault(content["comm_id"], {}).update(content["data"].get("state", {}))
        elif kind == "error":
            self.error = content["evalue"]
            self.traceback = [_COLOR.sub("", line) for line in content["traceback"]]


class Kernel:
    """A kernel whose cells are executed one after the other."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.manager = KernelManager()
        self.manager.kernel_spec.argv[0] = sys.executable
        self.manager.start_kernel(cwd=str(folder), env=environment)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def run(
        self,
        code: str,
        when: Callable[[Cell], bool] | None = None,
        then: Callable[[], None] | None = None,
        cell_id: str = "",
    ) -> Cell:
        """Execute a cell. As soon as ``when`` holds for what it has shown, ``then`` is called, once."""
        cell, content = Cell(), {"code": code, "silent": False, "store_history": True, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        sent = message["header"]["msg_id"]
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE_S)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != sent and kind not in _OF_ANY_CELL:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                break
            cell.take(kind, content)
            if when is not None and then is not None and when(cell):
                when = None
                then()
        self.client.get_shell_msg(timeout=PATIENCE_S)
        return cell

    def press(self, widget: str, action: str, *, subshell: bool = False) -> None:
        """Have a widget receive what its script in a page sends; by a subshell also while a cell is executed."""
        data = {"method": "custom", "content": {"action": action}}
        message = self.client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        if subshell:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    @cached_property
    def subshell(self) -> str:
        """A subshell, as JupyterLab makes one for the messages of widgets."""
        request = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(request)
        reply = self.client.get_control_msg(timeout=PATIENCE_S)
        return str(reply["content"]["subshell_id"])

    def value(self, expression: str) -> str:
        """A value, as it is printed."""
        cell = self.run(f"print({expression})")
        assert not cell.error, cell.traceback
        return cell.text.removesuffix("\n")

    def restart(self) -> None:
        """Restart the kernel at once, as JupyterLab does."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def close(self) -> None:
        """Stop it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    top = tmp_path_factory.mktemp("kernel")
    (top / "notebooks").mkdir()
    environment = os.environ | {
        "GRIDCWL_ENGINE": "none", "XDG_STATE_HOME": str(top / "state"), "XDG_CONFIG_HOME": str(top / "config"),
        "XDG_CACHE_HOME": str(top / "cache"), "TMPDIR": str(top), "IPYTHONDIR": str(top / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(top / "runtime"),
    }  # fmt: skip
    started = Kernel(top / "notebooks", environment)
    cell = started.run("%load_ext gridcwl\nimport gridcwl")
    assert not cell.error, cell.traceback
    yield started
    started.close()
