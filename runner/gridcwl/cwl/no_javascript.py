"""``--no-javascript``: documents that need JavaScript are refused, with the line where they say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from schema_salad.sourceline import SourceLine

from gridcwl.cwl.javascript import NO_JAVASCRIPT_REMEDY
from gridcwl.cwl.messages import tidy
from gridcwl.errors import UnsupportedError

if TYPE_CHECKING:
    from cwltool.process import Process

_NAME = "InlineJavascriptRequirement"


def refuse_javascript(process: Process) -> None:
    """See that no part of a document requires JavaScript.

    Raises:
        UnsupportedError: one does.
    """
    for part in processes(process):
        for requirement in part.requirements:
            if requirement.get("class") == _NAME:
                where = SourceLine(requirement, "class", str).makeError(f"{_NAME} is declared, and JavaScript is off")
                raise UnsupportedError(tidy(where), remedy=NO_JAVASCRIPT_REMEDY)


def processes(process: Process) -> Iterator[Process]:
    """A process, and those that its steps run, each once."""
    ahead, met = [process], set()
    while ahead:
        one = ahead.pop()
        if id(one) not in met:
            met.add(id(one))
            yield one
            ahead += [step.embedded_tool for step in getattr(one, "steps", ())]
