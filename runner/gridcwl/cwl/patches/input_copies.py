"""``Process._init_job`` and ``CommandLineTool.job``: the copies of inputs, bindings and files.

``copy.deepcopy`` asks of every value whether it has seen it before. An input object is plain JSON, which is copied in a
third of the time; what is something else is left to ``deepcopy``.

To be dropped when ``_init_job`` copies an input object once, and its bindings not at all.
"""

from __future__ import annotations

import copy
from types import NoneType, SimpleNamespace
from typing import Any

from cwltool import command_line_tool, process
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L769",
        "Process._init_job",
        "8349a28f69ac5b20",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/command_line_tool.py#L843",
        "CommandLineTool.job",
        "c7b1791bedb7f88b",
    ),
)
_IMMUTABLE = (str, int, float)
"""Among them those of ruamel's, which know how they were written."""
_PLAIN = frozenset({str, int, float, bool, NoneType})


def apply() -> None:
    """Replace the module ``copy`` that both modules use, and the class of the bindings."""
    process.CommentedSeq = _Bindings
    process.copy = command_line_tool.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied)


class _Bindings(CommentedSeq):
    """The bindings of one job, before they are sorted."""


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or isinstance(value, _IMMUTABLE):
        return value
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list or kind is _Bindings:
        return [_copied(item) for item in value]
    if kind is CommentedMap:
        made = CommentedMap()
        for key in value:
            made[key] = _copied(value[key])
        value.copy_attributes(made)  # where it was written, and its comments: those do not change
        return made
    return copy.deepcopy(value)
