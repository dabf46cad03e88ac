"""Fields of a form that is made from a document's inputs, and the input object that was filled in. Pure functions.

Each field is one control, or a group for a record. What no control fits (unions, arrays of arrays, Any) is written as
YAML or JSON. An empty field is an input that was not given: it has its default, or is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

from gridcwl.cwl.described import DescribedInput
from gridcwl.cwl.option_values import Misfit, ValueKind

_PLACES = ("File", "Directory")
_SIMPLE = ("boolean", "int", "long", "float", "double", "string", "enum", "File", "Directory")
UPLOAD = ":upload"
"""What is added to the name of a field's text for that of its files."""
_Uploaded: TypeAlias = Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of the form, without a value."""

    path: tuple[str, ...]
    id: str
    kind: ValueKind
    control: str
    """``text``, ``choice``, ``choices``, ``truth``, ``place``, ``lines``, ``written`` or ``group``."""
    label: str
    help: str = ""
    type: str = ""
    required: bool = False
    default: str = ""
    symbols: tuple[str, ...] = ()
    place: str = ""
    """``File`` or ``Directory``, if it takes any."""
    many: bool = False
    secondary: tuple[str, ...] = ()
    fields: tuple[FormField, ...] = ()

    @property
    def name(self) -> str:
        """Of the control."""
        return f"input:{'.'.join(self.path)}"

    @property
    def upload(self) -> str:
        """The name of the control for files."""
        return f"{self.name}{UPLOAD}"

    @property
    def several_files(self) -> bool:
        """Whether more than one file may be chosen."""
        return self.many or self.place == "Directory" or bool(self.secondary)


@dataclass(frozen=True, slots=True)
class Filled:
    """What a form was filled with."""

    params: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """By the names of controls."""


def fields_of(inputs: Sequence[DescribedInput]) -> list[FormField]:
    """The fields for a document's inputs, in their order."""
    made = []
    for number, one in enumerate(inputs):
        text = "\n".join(part for part in (one.label, one.doc) if part and part != one.name)
        label = one.label if one.label and "\n" not in one.label else one.name
        shown = text if label == one.name else one.doc
        default = None if one.default is None else one.default
        field_ = _field((one.name,), f"f{number}", one.kind, label, shown, default, one.required, one.secondary)
        made.append(field_)
    return made


def _field(
    path: tuple[str, ...],
    id_: str,
    kind: ValueKind,
    label: str,
    shown: str,
    default: Any,
    required: bool,
    secondary: tuple[str, ...] = (),
) -> FormField:
    members = kind.members
    only = members[0] if len(members) == 1 else None
    type_ = str(kind) + ("?" if kind.optional and members else "")
    symbols: tuple[str, ...] = ()
    place, many, fields = "", False, ()
    control = "written"
    if only is not None and only.name == "record" and only.fields:
        control = "group"
        given = default if isinstance(default, dict) else {}
        fields = tuple(  # type: ignore[assignment]
            _field(
                (*path, name), f"{id_}-{number}", inner, name, about, given.get(name),
                required and not inner.optional and given.get(name) is None,
            )
            for number, (name, (inner, about)) in enumerate(only.fields.items())
        )  # fmt: skip
    elif only is not None and only.name in _SIMPLE:
        control = {"boolean": "truth", "enum": "choice", "File": "place", "Directory": "place"}.get(only.name, "text")
        symbols = only.symbols
        place = only.name if only.name in _PLACES else ""
    elif item := _item(kind):
        many = True
        control = {"enum": "choices"}.get(item.name, "lines")
        symbols = item.symbols
        place = item.name if item.name in _PLACES else ""
    text = as_text(default, control) if default is not None else ""
    return FormField(
        path, id_, kind, control, label, shown.strip(), type_, required, text, symbols, place, many, secondary, fields
    )  # fmt: skip


def _item(kind: ValueKind) -> Any:
    """What an array holds, if that is one simple type; a union with that type itself is one, too."""
    arrays = [member for member in kind.members if member.name == "array"]
    if len(arrays) != 1 or arrays[0].item is None or len(arrays[0].item.members) != 1 or arrays[0].item.optional:
        return None
    item = arrays[0].item.members[0]
    others = [member for member in kind.members if member is not arrays[0]]
    return item if item.name in _SIMPLE and all(member.name == item.name for member in others) else None


# -- from values to texts ----------------------------------------------------------------------------------------------


def as_text(value: Any, control: str) -> str:
    """A value as it is written in a control."""
    if control in ("lines", "choices"):
        return "\n".join(_word(one) for one in value) if isinstance(value, list) else _word(value)
    if control == "written" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _word(value)


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.get("class") in _PLACES and _is_plain(value):
        location, path = str(value.get("location") or ""), str(value.get("path") or "")
        return (location if ":" in location else unquote(location)) or path
    return json.dumps(value, ensure_ascii=False)


def _is_plain(value: Mapping[str, Any]) -> bool:
    return {name for name in value if value[name] is not None} <= {"class", "location", "path", "basename"} and bool(
        value.get("location") or value.get("path")
    )


def texts_of(fields: Sequence[FormField], params: Mapping[str, Any]) -> dict[str, str]:
    """The texts of all controls for an input object, by their names."""
    texts: dict[str, str] = {}
    for one in fields:
        value = params.get(one.path[-1])
        if value is None:
            continue
        if one.control == "group" and isinstance(value, Mapping):
            texts |= texts_of(one.fields, value)
        else:
            texts[one.name] = as_text(value, one.control)
    return texts


# -- from texts to values ----------------------------------------------------------------------------------------------


def read(fields: Sequence[FormField], texts: Mapping[str, str], uploaded: _Uploaded) -> Filled:
    """The input object that a form says.

    Args:
        fields: of the form.
        texts: of its controls, by their names.
        uploaded: Files and Directories that were uploaded, by the names of the controls.
    """
    filled = Filled()
    for one in fields:
        value = _value(one, texts, uploaded, filled.problems)
        if value is not None:
            filled.params[one.path[-1]] = value
    return filled


def _value(
    one: FormField, texts: Mapping[str, str], uploaded: Mapping[str, list[Any]], problems: dict[str, str]
) -> Any:
    if one.control == "group":
        return _group(one, texts, uploaded, problems)
    text = texts.get(one.name, "").replace("\r\n", "\n")
    files = uploaded.get(one.upload, [])
    if not text.strip() and not files:
        if one.required and not (one.many and not one.place):
            problems[one.name] = "Choose a file, or write its location." if one.place else "Give a value."
        return [] if one.required and one.many and not one.place else None
    try:
        if one.many:
            lines = [line for line in text.split("\n") if line.strip()]
            return one.kind.few([*(_checked(one, line.strip()) for line in lines), *files])
        return files[0] if files else _checked(one, text if one.type.startswith("string") else text.strip())
    except Misfit as error:
        problems[one.name] = f"{error}.{f' {error.remedy}' if error.remedy else ''}"
        return None


def _group(
    one: FormField, texts: Mapping[str, str], uploaded: Mapping[str, list[Any]], problems: dict[str, str]
) -> Any:
    """A record; one that is optional is given if any of its fields is."""
    inside: dict[str, str] = {}
    values = {each.path[-1]: _value(each, texts, uploaded, inside) for each in one.fields}
    given = any(texts.get(name, "").strip() or uploaded.get(f"{name}{UPLOAD}") for name in _names(one))
    if not given and not one.required:
        return None
    for each in one.fields:
        if each.control != "group" and values[each.path[-1]] is None and not each.kind.optional:
            inside.setdefault(each.name, "Give a value: the other fields of the record have one.")
    problems |= inside
    return {name: value for name, value in values.items() if value is not None}


def _names(one: FormField) -> Iterator[str]:
    for each in one.fields:
        if each.control == "group":
            yield from _names(each)
        else:
            yield each.name


def _checked(one: FormField, text: str) -> Any:
    kind = one.kind
    if one.many:
        kind = next(member.item for member in kind.members if member.item is not None)
    value = _entry(text, one.place) if one.place and text.startswith("{") else kind.value(text)
    _check_range(value, [member.name for member in kind.members])
    return value


def _entry(text: str, kind: str) -> Any:
    """A File or Directory with more than a location, as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        raise Misfit(f"{text[:80]} is not readable JSON") from None
    if not isinstance(value, dict) or value.get("class") != kind:
        raise Misfit(f"It is not a {kind}", f"Write a location, or JSON with the class {kind}.")
    return value


def _check_range(value: Any, names: Sequence[str]) -> None:
    """See that JSON and CWL can hold a number."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit(f"{value} is not a finite number")
    if isinstance(value, int) and not isinstance(value, bool):
        bits = 31 if "int" in names and "long" not in names else 63
        if not -(1 << bits) <= value < 1 << bits:
            raise Misfit(f"{value} is too large")
    if isinstance(value, list):
        for item in value:
            _check_range(item, ("Any",))
    if isinstance(value, dict):
        for item in value.values():
            _check_range(item, ("Any",))
