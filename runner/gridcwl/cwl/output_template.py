"""The outputs of a tool as job templates know them: Files by their whole names, found in the worker's listing."""

from __future__ import annotations

import os.path
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cwltool.process import shortname

from gridcwl.cwl.field_template import is_expression
from gridcwl.errors import GridCWLError
from gridcwl.model import JobResult, Outcome, paths
from gridcwl.model.objects import make_lean
from gridcwl.worker.limits import OUTPUT_OBJECT

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.tool import ResolvedJob

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""A pattern that matches itself only, and is the same as a URL."""


class _Named(NamedTuple):
    """A path and its names."""

    path: str
    basename: str
    nameroot: str
    nameext: str


class _Port(NamedTuple):
    name: str
    constant: _Named | None
    glob: str
    """Where there is no constant, an expression."""


def _named(path: str) -> _Named:
    basename = sys.intern(path.rpartition("/")[2])
    root, extension = os.path.splitext(basename)  # noqa: PTH122  called for each file of a run
    return _Named(path, basename, sys.intern(root), sys.intern(extension))


class OutputTemplate:
    """What a tool promises."""

    def __init__(self, ports: list[_Port]) -> None:
        self._ports = ports

    @classmethod
    def of(cls, tool: Process) -> OutputTemplate | None:
        """Of a tool whose outputs are Files whose names are constant or evaluated; None for others."""
        ports = []
        for port in tool.tool["outputs"]:
            binding = port.get("outputBinding") or {}
            glob = binding.get("glob")
            kind = port["type"]
            is_file = kind == "File" or (isinstance(kind, list) and sorted(map(str, kind)) == ["File", "null"])
            if not is_file or binding.keys() != {"glob"} or not port.keys().isdisjoint(("secondaryFiles", "format")):
                return None
            if not isinstance(glob, str) or (is_expression(glob) and "runtime" in glob):
                return None  # runtime.exitCode is known when outputs are collected
            if not is_expression(glob) and _PLAIN_PATH.fullmatch(glob) is None:
                return None
            constant = None if is_expression(glob) else _named(str(glob))
            ports.append(_Port(shortname(port["id"]), constant, str(glob)))
        return cls(ports)

    def collect(self, resolved: ResolvedJob, result: JobResult) -> dict[str, Any] | None:
        """The output object of a job; None if cwltool has to collect it, or to say what is wrong."""
        if result.outcome is not Outcome.SUCCESS or result.escaped:
            return None
        found = {file.path: file for file in result.files}
        if any(path.startswith(OUTPUT_OBJECT) for path in found):
            return None
        outputs: dict[str, Any] = {}
        for name, constant, glob in self._ports:
            named = constant or _evaluated(resolved, glob)
            file = None if named is None else found.get(named.path)
            if named is None or file is None or file.kind != "file":
                return None
            try:
                paths.location(file.location, "An output")
            except GridCWLError:
                return None
            outputs[name] = made = {
                "location": file.location,
                "basename": named.basename,
                "nameroot": named.nameroot,
                "nameext": named.nameext,
                "class": "File",
                "size": file.size,
            }
            if file.sha1:
                made["checksum"] = f"sha1${file.sha1}"
        if resolved.remote is not None:
            resolved.remote.settle(outputs)
        make_lean(outputs)
        return outputs


def _evaluated(resolved: ResolvedJob, glob: str) -> _Named | None:
    """The name that an expression gives; None if it is a pattern, or cwltool reports what is wrong."""
    try:
        path = resolved.builder.do_eval(glob)
    except Exception:  # noqa: BLE001  cwltool's own way says it in its words
        return None
    return _named(path) if type(path) is str and _PLAIN_PATH.fullmatch(path) is not None else None
