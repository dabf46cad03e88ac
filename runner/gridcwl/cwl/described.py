"""A document's inputs as plain values, for forms that are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from cwltool.process import shortname
from cwltool.utils import aslist

from gridcwl.cwl.input_options import plain_value
from gridcwl.cwl.option_values import ValueKind, kind_of_input
from gridcwl.cwl.step_requirements import StepRequirements, step_requirements

if TYPE_CHECKING:
    from cwltool.process import Process


class DescribedInput(msgspec.Struct, frozen=True):
    """One input of a document."""

    name: str
    kind: ValueKind
    label: str = ""
    doc: str = ""
    default: Any = None
    """Files and directories in it are their names only."""
    has_default: bool = False
    secondary: tuple[str, ...] = ()
    """Patterns of files that have to lie beside it; expressions are left out."""

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return not self.kind.optional and not self.has_default


class DescribedDocument(msgspec.Struct, frozen=True):
    """What a document is, and what it takes."""

    label: str
    doc: str
    inputs: tuple[DescribedInput, ...]
    steps: tuple[StepRequirements, ...] = ()
    """What the jobs of each step ask for."""


def described(process: Process) -> DescribedDocument:
    """The description of a loaded document."""
    tool = process.tool
    inputs = sorted(tool["inputs"], key=_place)  # schema-salad sorts them by name
    return DescribedDocument(
        _text(tool.get("label")),
        _text(tool.get("doc")),
        tuple(_input(process, one) for one in inputs),
        step_requirements(process),
    )


def _input(process: Process, parameter: Any) -> DescribedInput:
    default = parameter.get("default")
    patterns = [
        str(one.get("pattern") if isinstance(one, dict) else one) for one in aslist(parameter.get("secondaryFiles", []))
    ]
    return DescribedInput(
        name=shortname(parameter["id"]),
        kind=kind_of_input(process, parameter),
        label=_text(parameter.get("label")),
        doc=_text(parameter.get("doc")),
        default=plain_value(default),
        has_default=default is not None,
        secondary=tuple(one for one in patterns if "$" not in one),
    )


def _place(parameter: Any) -> tuple[int, int]:
    """Where an input is written in its document; the order stays where that is not known."""
    known = getattr(getattr(parameter, "lc", None), "data", None) or {}
    place = known.get("id") or (0, 0)
    return int(place[0]), int(place[1])


def _text(doc: Any) -> str:
    return "\n".join(map(str, doc)) if isinstance(doc, list) else str(doc or "")
