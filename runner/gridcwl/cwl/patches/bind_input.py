"""``Builder.bind_input``: arrays of a hundred thousand Files, and unions with unnamed members that hold known types.

For each item of an array on a command line cwltool copies the binding with its datum, the whole array, which it then
replaces. And to find out which member of a union a value is of, as in ``[E, E[]]``, it makes an Avro schema of each
member that has no name, and of the named types within again, whose names "are already in use" since the document was
loaded. Here a known type is taken by its name.

To be dropped when ``bind_input`` copies bindings without their datum, and accepts such a union.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from cwltool import builder
from schema_salad.avro.schema import make_avsc_object

from gridcwl.cwl.patches.upstream import Upstream

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/builder.py#L172",
        "Builder.bind_input",
        "0dc2ba2cd69f4c07",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/avro/schema.py#L692",
        "make_avsc_object",
        "e7c9580026bc2006",
    ),
)


def apply() -> None:
    """Replace the module ``copy`` and the function that ``bind_input`` uses."""
    builder.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied)
    builder.make_avsc_object = _schema


def _copied(value: Any) -> Any:
    """A deep copy; of a binding without its datum, which ``Builder.bind_input`` replaces in each copy that it makes."""
    if not isinstance(value, dict) or "datum" not in value:
        return copy.deepcopy(value)
    return copy.deepcopy(type(value)((name, part) for name, part in value.items() if name != "datum"))


def _schema(written: Any, names: Any) -> Any:
    return make_avsc_object(_by_name(written, names), names)


def _by_name(written: Any, names: Any) -> Any:
    """The type, with the named types in it that are known replaced by their names."""
    if isinstance(written, list):
        return [_by_name(member, names) for member in written]
    if not isinstance(written, dict):
        return written
    if isinstance(written.get("name"), str) and written.get("type") in ("enum", "record"):
        if names.has_name(written["name"], None):
            return written["name"]
        return written
    return {key: _by_name(value, names) if key in ("type", "items") else value for key, value in written.items()}
