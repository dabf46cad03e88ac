"""Nodes as processes of this machine, which outlive the process that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from gridcwl.backends.nodes import NodeRequest

_LOG = "std.out"


class LocalNodes:
    """Implements ``gridcwl.backends.nodes.NodeHost``: a node's id is the number and the start of its process."""

    def start(self, request: NodeRequest) -> str:
        """See ``NodeHost.start``. The node works in the folder of its files."""
        folder = request.files[0].parent
        with (folder / _LOG).open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", request.files[0].name, "1"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return f"{process.pid}-{_began(process.pid)}-{folder}"

    def ended(self, node: str) -> str | None:
        """See ``NodeHost.ended``."""
        pid, began, folder = node.split("-", 2)
        if _began(int(pid)) == began:
            return None
        try:
            lines = (Path(folder) / _LOG).read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        ours = [line.removeprefix("gridcwl: ") for line in lines if line.startswith("gridcwl: ")]
        return f"The node on this machine has ended{': ' + ours[-1] if ours else ''}"

    def end(self, node: str) -> None:
        """See ``NodeHost.end``."""
        pid, began, _ = node.split("-", 2)
        if _began(int(pid)) == began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)


def _began(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in ("Z", "X") else words[19]


__all__ = ["LocalNodes"]
