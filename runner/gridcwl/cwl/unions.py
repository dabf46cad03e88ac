"""Types that cwltool stumbles over: a named type within an unnamed one within a union.

To find out which member of a union a value is of, cwltool makes an Avro schema of every member that has no name, and
with it another of the enums and records in it, whose names "are already in use" (``Builder.bind_input``). Here such
members get names, and the schemas that were made of them when the document was loaded are found by those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cwltool.process import Process


def name_members(process: Process) -> None:
    """Give every unnamed member of a union among the process' inputs a name that its schema is known by."""
    schema = process.names.get_name("input_record_schema", None)
    if schema is not None:
        _name_fields(process.inputs_record_schema, schema, process.names)


def _name_fields(written: Any, schema: Any, names: Any) -> None:
    fields = getattr(schema, "fields", ())
    for field, parsed in zip(written.get("fields", ()), fields, strict=False):
        _name(field.get("type"), parsed.type, names)


def _name(written: Any, schema: Any, names: Any) -> None:
    """Walk what is written and the schema that was made of it side by side."""
    if isinstance(written, list):
        for member, parsed in zip(written, getattr(schema, "schemas", ()), strict=False):
            if isinstance(member, dict) and member.get("type") == "array" and "name" not in member:
                member["name"] = f"array_{len(names.names)}"
                names.names[member["name"]] = parsed
            _name(member, parsed, names)
    elif isinstance(written, dict):
        if written.get("type") == "array":
            _name(written.get("items"), getattr(schema, "items", None), names)
        elif written.get("type") == "record":
            _name_fields(written, schema, names)
        elif isinstance(written.get("type"), dict | list):
            _name(written["type"], schema, names)
