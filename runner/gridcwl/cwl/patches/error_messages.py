"""Messages of schema-salad and cwltool whose lines are not broken at the terminal's width.

What a pattern of ours looks for would otherwise be found in documents with short paths only.

To be dropped when ``SchemaSaladException`` can be asked for its message without ``reflow_all``.
"""

from __future__ import annotations

from cwltool import checker, process
from schema_salad.exceptions import SchemaSaladException
from schema_salad.sourceline import strip_duplicated_lineno

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/exceptions.py#L116",
        "SchemaSaladException.pretty_str",
        "424f8ddb940dc450",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/exceptions.py#L112",
        "SchemaSaladException.__str__",
        "47ce4b0c0a2f447e",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/sourceline.py#L125",
        "strip_dup_lineno",
        "17c750cd93f63df5",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/checker.py#L8",
        "strip_dup_lineno",
        "623d6f9159792f5d",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L52",
        "strip_dup_lineno",
        "639bb1b01042b926",
    ),
)


def apply() -> None:
    """Replace the functions that break lines."""
    SchemaSaladException.__str__ = _whole
    checker.strip_dup_lineno = process.strip_dup_lineno = strip_duplicated_lineno


def _whole(error: SchemaSaladException) -> str:
    """``SchemaSaladException.pretty_str`` without ``reflow_all``."""
    return str(strip_duplicated_lineno("\n".join(_summaries(error, 0))))


def _summaries(error: SchemaSaladException, level: int) -> list[str]:
    text = error.message if error.children else error.detailed_message or error.message
    own = [error.summary(level, True)] if text else []
    return own + [line for child in error.children for line in _summaries(child, level + len(own))]
