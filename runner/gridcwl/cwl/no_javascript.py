"""``--no-javascript``: documents that need JavaScript are refused, with the line where they say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cwl_utils.sandboxjs import NodeJSEngine, set_js_engine
from schema_salad.sourceline import SourceLine

from gridcwl.cwl.messages import tidy
from gridcwl.errors import ExpressionError, UnsupportedError

if TYPE_CHECKING:
    from cwltool.process import Process

_NAME = "InlineJavascriptRequirement"
_REMEDY = "Run it without --no-javascript (javascript = false in the configuration), if you trust the document."


class NoEngine(NodeJSEngine):  # type: ignore[misc]
    """Evaluates nothing: for what only hints at JavaScript, as documents may."""

    def eval(self, scan: str, jslib: str = "", **_rest: Any) -> Any:  # noqa: ARG002
        """Refuse.

        Raises:
            ExpressionError: always.
        """
        text = " ".join(scan.split())[:120]
        raise ExpressionError(f"The JavaScript expression {text} is not evaluated: --no-javascript", remedy=_REMEDY)


def use_no_engine() -> None:
    """Evaluate no JavaScript in this process."""
    set_js_engine(NoEngine())


def refuse_javascript(process: Process) -> None:
    """See that no part of a document requires JavaScript.

    Raises:
        UnsupportedError: one does.
    """
    for part in processes(process):
        for requirement in part.requirements:
            if requirement.get("class") == _NAME:
                where = SourceLine(requirement, "class", str).makeError(f"{_NAME} is declared, and JavaScript is off")
                raise UnsupportedError(tidy(where), remedy=_REMEDY)


def processes(process: Process) -> Iterator[Process]:
    """A process, and those that its steps run, each once."""
    ahead, met = [process], set()
    while ahead:
        one = ahead.pop()
        if id(one) not in met:
            met.add(id(one))
            yield one
            ahead += [step.embedded_tool for step in getattr(one, "steps", ())]
