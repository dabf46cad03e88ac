"""``load_tool`` once for each file that steps run: a thousand steps that run one file share its process.

cwltool resolves, validates and makes an object of the file for each of them.

To be dropped when ``load_tool`` does so itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gridcwl.cwl.patches.upstream import Upstream

if TYPE_CHECKING:
    from cwltool.context import LoadingContext
    from cwltool.process import Process

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/load_tool.py#L606",
        "load_tool",
        "2219d3c52f3b572f",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/workflow.py#L181",
        "WorkflowStep.__init__",
        "7e0c4cf6afe6f180",
    ),
)

_KNOWN = "gridcwl_processes"


def apply() -> None:
    """Have the steps of cwltool's workflows load so."""
    from cwltool import workflow

    workflow.load_tool = load_process


def share_processes(context: LoadingContext) -> None:
    """Let steps that run the same file share its process, if nothing that they inherit differs."""
    setattr(context, _KNOWN, {})  # one for all copies that cwltool makes of the context


def load_process(name: Any, context: LoadingContext | None = None) -> Process:
    """``cwltool.load_tool.load_tool``, once for each process of a document that inherits the same."""
    from cwltool.load_tool import load_tool

    known: dict[Any, Process] | None = getattr(context, _KNOWN, None)
    if known is None or context is None or not isinstance(name, str):
        return load_tool(name, context)
    inherited = [context.requirements, context.hints, context.overrides_list]
    key = name, json.dumps(inherited, default=repr, sort_keys=True)
    process = known.get(key)
    if process is None:
        process = known[key] = load_tool(name, context)
    return process
