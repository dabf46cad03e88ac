"""``Process._init_job``: the copies of the input object and of the bindings of every job.

``copy.deepcopy`` asks of every value whether it has seen it before. An input object is plain JSON, which is copied in a
third of the time; what is something else is left to ``deepcopy``.

To be dropped when ``_init_job`` copies an input object once, and its bindings not at all.
"""

from __future__ import annotations

import copy
from types import NoneType, SimpleNamespace
from typing import Any

from cwltool import process
from ruamel.yaml.comments import CommentedSeq

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L769",
        "Process._init_job",
        "8349a28f69ac5b20",
    ),
)
_PLAIN = frozenset({str, int, float, bool, NoneType})


def apply() -> None:
    """Replace the module ``copy`` that ``cwltool.process`` uses, and the class of the bindings."""
    process.CommentedSeq = _Bindings
    process.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied)


class _Bindings(CommentedSeq):
    """The bindings of one job, before they are sorted."""


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list or kind is _Bindings:
        return [_copied(item) for item in value]
    return copy.deepcopy(value)
