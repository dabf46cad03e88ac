"""The inputs of a tool as job templates know them: values that cwltool takes as they are, and their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cwltool.builder import Builder

from gridcwl.cwl.patches.object_walks import PLAIN_URL

if TYPE_CHECKING:
    from cwltool.process import Process

CwlObject = dict[str, Any]

FILE = "org.w3id.cwl.cwl.File"
_INT, _LONG = 1 << 31, 1 << 63
_FILE_FIELDS = frozenset(("class", "location", "basename", "size", "checksum", "nameroot", "nameext", "format"))
_NOT_FAST = ("secondaryFiles", "format", "loadContents", "loadListing")


class NotFast(Exception):
    """A tool, or a value, that no template knows: cwltool resolves the job."""


def is_expression(value: Any) -> bool:
    """Whether a text, or one in a list or mapping, may hold an expression."""
    if isinstance(value, str):
        return "$(" in value or "${" in value
    if isinstance(value, list):
        return any(map(is_expression, value))
    if isinstance(value, Mapping):
        return any(map(is_expression, value.values()))
    return False


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "int": lambda value: type(value) is int and -_INT <= value < _INT,
    "long": lambda value: type(value) is int and -_LONG <= value < _LONG,
    "float": lambda value: type(value) is float or type(value) is int,
    "double": lambda value: type(value) is float or type(value) is int,
}
_CLASSES: Mapping[str, Any] = {"string": str, "boolean": bool, "int": int, "long": int, "float": float, "double": float}


class Kind:
    """A type without alternatives, but perhaps with null."""

    __slots__ = ("check", "is_array", "item", "optional", "word")

    def __init__(self, item: str, check: Callable[[Any], bool], *, is_array: bool, optional: bool) -> None:
        self.item = item
        """``string``, ``boolean``, ``int`` ..., FILE, or ``enum``."""
        self.check = check
        self.is_array = is_array
        self.optional = optional
        self.word: Callable[[Any], str] = _path if item == FILE else _text


class InputField:
    """One input."""

    __slots__ = ("_default", "_has_default", "binding", "kind", "name")

    def __init__(self, name: str, kind: Kind, binding: Mapping[str, Any] | None, written: Mapping[str, Any]) -> None:
        self.name = name
        self.kind = kind
        self.binding = binding
        self._default = written.get("default")
        self._has_default = self._default is not None

    def value(self, given: Any) -> Any:
        """The value with the default filled in; of Files and arrays of them a look at the outside only.

        Raises:
            NotFast: it is none of the type, or its default is more than a scalar.
        """
        kind = self.kind
        if given is None:
            if self._has_default:
                return self._checked_default()
            if kind.optional:
                return None
            raise NotFast
        if kind.is_array:
            if type(given) is not list or (kind.item != FILE and not all(map(kind.check, given))):
                raise NotFast
            return list(given)
        if kind.item != FILE and not kind.check(given):
            raise NotFast
        return given

    def _checked_default(self) -> Any:
        """Of a default, which may be one of ruamel's numbers or strings."""
        default, item = self._default, self.kind.item
        if (
            self.kind.is_array
            or not isinstance(default, _CLASSES.get(item, ()))
            or isinstance(default, bool) != (item == "boolean")
        ):
            raise NotFast
        return default


def fields_of(tool: Process) -> dict[str, InputField]:
    """The inputs of a tool, in the order in which cwltool binds them.

    Raises:
        NotFast: one of them is of a type, or has something, that templates do not know.
    """
    from cwltool.process import shortname

    schema = tool.names.get_name("input_record_schema", None)
    written = {shortname(one["id"]): one for one in tool.tool["inputs"]}
    symbols = {field.name: field.type for field in schema.fields}
    made: dict[str, InputField] = {}
    for field in tool.inputs_record_schema["fields"]:
        name = str(field["name"])
        if any(part in field or part in written[name] for part in _NOT_FAST):
            raise NotFast
        kind = _kind(field["type"], symbols[name])
        if kind.optional != ("null" in _alternatives(written[name]["type"])) and "default" not in written[name]:
            raise NotFast
        binding = field.get("inputBinding")
        if binding is not None and not isinstance(binding, Mapping):
            raise NotFast
        made[name] = InputField(name, kind, binding, written[name])
    if len(made) != len(written):
        raise NotFast
    return made


def _alternatives(kind: Any) -> Any:
    return kind if isinstance(kind, list) else [kind]


def _kind(written: Any, schema: Any) -> Kind:
    optional = False
    if isinstance(written, list):
        others = [one for one in written if one != "null"]
        if len(others) != 1 or len(written) != 2:
            raise NotFast
        optional, written = True, others[0]
        schema = next(one for one in schema.schemas if one.type != "null")
    if isinstance(written, Mapping) and written.get("type") == "array":
        if any(part in written for part in ("inputBinding", *_NOT_FAST)):
            raise NotFast
        item = written["items"]
        if not isinstance(item, str) or (item != FILE and item not in _CHECKS):
            raise NotFast
        return Kind(item, _CHECKS.get(item, _never), is_array=True, optional=optional)
    if isinstance(written, Mapping) and written.get("type") == "enum" and "inputBinding" not in written:
        known = schema.symbols
        return Kind("enum", lambda value: type(value) is str and value in known, is_array=False, optional=optional)
    if not isinstance(written, str) or (written != FILE and written not in _CHECKS):
        raise NotFast
    return Kind(str(written), _CHECKS.get(written, _never), is_array=False, optional=optional)


def _never(_value: Any) -> bool:
    return False


def _text(value: Any) -> str:
    return value if type(value) is str else str(Builder.tostr(None, value))


def _path(value: CwlObject) -> str:
    return str(value["path"])


def file_of(value: Any, accepts: Callable[[str], Any]) -> CwlObject:
    """A copy of a File that has its names and its size, and nothing beside it.

    Args:
        value: what an input is.
        accepts: gives something true for an acceptable base name.

    Raises:
        NotFast: it is no such File.
    """
    if type(value) is not dict or not value.keys() <= _FILE_FIELDS or value.get("class") != "File":
        raise NotFast
    for key, part in value.items():
        if type(part) is not (int if key == "size" else str):
            raise NotFast
    location, name = value.get("location", ""), value.get("basename", "")
    if "size" not in value or not -_LONG <= value["size"] < _LONG:
        raise NotFast
    if "/" in name or not accepts(name) or location[:2] == "_:" or PLAIN_URL.fullmatch(location) is None:
        raise NotFast
    return dict(value)
