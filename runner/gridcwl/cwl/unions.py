"""Types that cwltool stumbles over: an enum or record within an unnamed member of a union, as in ``[E, E[]]``.

To find out which member of a union a value is of, cwltool makes an Avro schema of every member that has no name
(``Builder.bind_input``). It makes the named types within anew, too, and those names "are already in use" since the
document was loaded. Here they are taken for what they are: names of types that are known.
"""

from __future__ import annotations

from typing import Any

from cwltool import builder
from schema_salad.avro.schema import make_avsc_object


def accept_known_names() -> None:
    """Let cwltool make schemas of types that hold known ones, for the rest of this process."""
    builder.make_avsc_object = _schema


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
