"""Values of inputs as they are written on the command line: one ValueKind for each CWL type."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from cwltool.process import shortname
from ruamel.yaml.error import YAMLError
from schema_salad.utils import yaml_no_ts

from gridcwl.cwl.patches import enum_symbols
from gridcwl.cwl.text_limits import check_text
from gridcwl.plugins import store_of_location, store_of_name
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

_TRUTH = {"true": True, "false": False, "yes": True, "no": False}
_WHOLE = ("int", "long")
_BROKEN = ("float", "double")
_PLACES = ("File", "Directory")
_ORDER = ("null", "boolean", *_WHOLE, *_BROKEN, "enum", *_PLACES, "record", "array", "Any", "string")
"""In which order the members of a union are tried: what takes any text comes last."""


class Misfit(Exception):
    """A text is not a value of the type."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class ValueKind(msgspec.Struct, frozen=True):
    """A type, as far as it matters for options."""

    members: tuple[Member, ...]
    """More than one for a union; without null."""
    optional: bool = False

    @property
    def boolean(self) -> bool:
        """Whether the option may stand without a value."""
        return any(member.name == "boolean" for member in self.members)

    @property
    def many(self) -> bool:
        """Whether the option takes several values."""
        return any(member.name == "array" for member in self.members)

    @property
    def fields(self) -> dict[str, tuple[ValueKind, str]]:
        """The fields with their documentation, if it is a record and nothing else."""
        return self.members[0].fields if len(self.members) == 1 else {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, if it is an enum or several of them."""
        if not all(member.name == "enum" or (member.name == "array" and member.item) for member in self.members):
            return ()
        return tuple(
            symbol
            for member in self.members
            for symbol in (member.item.symbols if member.item is not None else member.symbols)
        )

    def value(self, text: str) -> Any:
        """The value that a text means.

        Raises:
            Misfit: it means none.
        """
        failed: Misfit | None = None
        for member in self.members:
            try:
                return member.value(text)
            except Misfit as error:
                failed = failed or error
        if len(self.members) == 1 and failed is not None:
            raise failed
        raise Misfit(f"{text} is not {self}")

    def items(self, texts: Sequence[str]) -> list[Any]:
        """The values that texts mean, if it is an array.

        Raises:
            Misfit: one of them means none.
        """
        (item,) = [member.item for member in self.members if member.item is not None][:1]
        return [item.value(text) for text in texts]

    def few(self, values: list[Any]) -> Any:
        """The values, or the only one of them where a single one may stand for itself."""
        return values[0] if len(values) == 1 and len(self.members) > 1 else values

    def fits(self, text: str) -> bool:
        """Whether a text can be one of several values."""
        try:
            self.items([text])
        except Misfit:
            return False
        return True

    def takes(self, text: str) -> bool:
        """Whether a word behind an option that may stand alone belongs to it."""
        if all(member.name == "boolean" for member in self.members):
            return text.lower() in _TRUTH
        return not text.startswith("-")

    def __str__(self) -> str:
        return " or ".join(str(member) for member in self.members) or "null"


class Member(msgspec.Struct, frozen=True):
    """One type that is not a union."""

    name: str
    symbols: tuple[str, ...] = ()
    fields: dict[str, tuple[ValueKind, str]] = msgspec.field(default_factory=dict)
    item: ValueKind | None = None

    def value(self, text: str) -> Any:  # noqa: PLR0911  one for each type
        """See ``ValueKind.value``."""
        if self.name == "boolean":
            return _truth(text)
        if self.name in _WHOLE:
            return _number(text, int, "a whole number")
        if self.name in _BROKEN:
            return _number(text, float, "a number")
        if self.name in _PLACES:
            return _place(self.name, text)
        if self.name == "enum":
            return _symbol(text, self.symbols)
        if self.name == "array":
            return _written(text, list, "a list")
        if self.name == "record":
            return _written(text, dict, "a record")
        return _written(text, object, "a value") if self.name == "Any" else text

    def __str__(self) -> str:
        if self.name == "array":
            return f"{self.item}[]" if self.item is None or len(self.item.members) == 1 else f"({self.item})[]"
        return self.name


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise Misfit(
            f"{text} is not true or false", "Write true or false (yes and no will do), or the option alone for true."
        )
    return _TRUTH[text.lower()]


def _number(text: str, kind: type[int] | type[float], what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise Misfit(f"{text} is not {what}") from None


def _symbol(text: str, symbols: tuple[str, ...]) -> str:
    if text in symbols or text in [re.split("[/:#]", symbol)[-1] for symbol in symbols]:
        return text
    close = did_you_mean(text, symbols)
    raise Misfit(f"{text} is not one of {', '.join(symbols)}", close)


def _written(text: str, kind: type, what: str) -> Any:
    """A value written as in an input object: YAML or JSON."""
    try:
        check_text(text, "the value")
        value = yaml_no_ts().load(io.StringIO(text))
    except YAMLError:
        if kind is object:
            return text
        raise Misfit(f"{text} is not readable YAML or JSON", f"Write {what} as in an input object.") from None
    if not isinstance(value, kind):
        raise Misfit(f"{text} is not {what}", f"Write {what} as in an input object, in quotes.")
    return value


def _place(kind: str, text: str) -> dict[str, Any]:
    """A path means its characters as they are, but a quoted one is understood, as with cwltool."""
    if "://" in text or text.startswith("file:") or store_of_location(text):
        return {"class": kind, "location": text}
    return {"class": kind, "path": text}


def absolute(values: Any, base: str) -> Any:
    """The values with the paths of Files and Directories counted from a folder, in place."""
    if isinstance(values, list):
        for item in values:
            absolute(item, base)
    elif isinstance(values, dict):
        path = values.get("path")
        if values.get("class") in _PLACES and isinstance(path, str) and "://" not in path:
            plain = Path(base, path)
            quoted = Path(base, unquote(path))
            if plain.exists() or not store_of_name(path):
                values["path"] = str(quoted if not plain.exists() and quoted.exists() else plain)
        for item in values.values():
            if isinstance(item, dict | list):
                absolute(item, base)
    return values


def kind_of_input(process: Process, parameter: Any) -> ValueKind:
    """The type of an input of a loaded document."""
    requirement, _ = process.get_requirement("SchemaDefRequirement")
    named = {str(one["name"]): one for one in (requirement or {}).get("types", ()) if "name" in one}
    return _Types(named, enum_symbols.prefixes(process.metadata.get("$namespaces"))).kind(
        parameter["type"], str(parameter["id"]), ()
    )


class _Types(msgspec.Struct, frozen=True):
    named: dict[str, Any]
    """The document's own types by their URI."""
    prefixes: dict[str, str]
    """Namespaces by their URL."""

    def kind(self, written: Any, where: str, above: tuple[str, ...]) -> ValueKind:
        """The type as a ``ValueKind``; ``where`` is the URI that symbols without a type's name are below."""
        each = written if isinstance(written, list) else [written]
        members = [self._member(one, where, above) for one in each if one != "null"]
        members.sort(key=lambda member: _ORDER.index(member.name) if member.name in _ORDER else len(_ORDER))
        optional = "null" in each or any(member.name == "Any" for member in members)
        return ValueKind(tuple(members), optional)

    def _member(self, written: Any, where: str, above: tuple[str, ...]) -> Member:
        if isinstance(written, str):
            return self._named(written, where, above)
        name = str(written.get("name") or where)
        kind = written.get("type")
        if kind == "enum":
            shown = (enum_symbols.written(one, (name, where), self.prefixes) for one in written["symbols"])
            return Member("enum", symbols=tuple(shown))
        if kind == "array":
            return Member("array", item=self.kind(written["items"], where, above))
        if kind == "record":
            fields = {
                shortname(one["name"]): (self.kind(one["type"], str(one["name"]), above), _doc(one))
                for one in written.get("fields") or ()
            }
            return Member("record", fields=fields)
        return self._member(kind, where, above) if isinstance(kind, str | dict) else Member("Any")

    def _named(self, written: str, where: str, above: tuple[str, ...]) -> Member:
        if written in above:  # a type that holds itself
            return Member("Any")
        known = self.named.get(written)
        if known is not None:
            return self._member(known, where, (*above, written))
        return Member("File" if written == "stdin" else shortname(written))


def _doc(written: Any) -> str:
    doc = written.get("doc") or written.get("label") or ""
    return "\n".join(str(line) for line in doc) if isinstance(doc, list) else str(doc)
