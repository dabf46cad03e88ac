"""The outputs of a tool as job templates know them: Files with constant names, found in the worker's listing."""

from __future__ import annotations

import os.path
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cwltool.process import shortname

from gridcwl.errors import GridCWLError
from gridcwl.model import JobResult, Outcome, paths
from gridcwl.model.objects import make_lean
from gridcwl.worker.limits import OUTPUT_OBJECT

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.tool import ResolvedJob

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""A pattern that matches itself only, and is the same as a URL."""


class _Port(NamedTuple):
    name: str
    path: str
    basename: str
    nameroot: str
    nameext: str


class OutputTemplate:
    """What a tool promises."""

    def __init__(self, ports: list[_Port]) -> None:
        self._ports = ports

    @classmethod
    def of(cls, tool: Process) -> OutputTemplate | None:
        """Of a tool whose outputs are Files with constant names; None for others."""
        ports = []
        for port in tool.tool["outputs"]:
            binding = port.get("outputBinding") or {}
            glob = binding.get("glob")
            kind = port["type"]
            is_file = kind == "File" or (isinstance(kind, list) and sorted(map(str, kind)) == ["File", "null"])
            if not is_file or binding.keys() != {"glob"} or not port.keys().isdisjoint(("secondaryFiles", "format")):
                return None
            if not isinstance(glob, str) or _PLAIN_PATH.fullmatch(glob) is None:
                return None
            basename = sys.intern(str(glob).rpartition("/")[2])
            root, extension = os.path.splitext(basename)  # noqa: PTH122  called for each file of a run
            ports.append(_Port(shortname(port["id"]), str(glob), basename, sys.intern(root), sys.intern(extension)))
        return cls(ports)

    def collect(self, resolved: ResolvedJob, result: JobResult) -> dict[str, Any] | None:
        """The output object of a job; None if cwltool has to collect it, or to say what is wrong."""
        if result.outcome is not Outcome.SUCCESS or result.escaped:
            return None
        found = {file.path: file for file in result.files}
        if any(path.startswith(OUTPUT_OBJECT) for path in found):
            return None
        outputs: dict[str, Any] = {}
        for name, path, basename, nameroot, nameext in self._ports:
            file = found.get(path)
            if file is None or file.kind != "file":
                return None
            try:
                paths.location(file.location, "An output")
            except GridCWLError:
                return None
            outputs[name] = made = {
                "location": file.location,
                "basename": basename,
                "nameroot": nameroot,
                "nameext": nameext,
                "class": "File",
                "size": file.size,
            }
            if file.sha1:
                made["checksum"] = f"sha1${file.sha1}"
        if resolved.remote is not None:
            resolved.remote.settle(outputs)
        make_lean(outputs)
        return outputs
