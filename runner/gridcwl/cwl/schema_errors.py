"""What schema-salad finds wrong with the shape of a document or an input object, one sentence each.

schema-salad reports a tree: at each level what it was looking at, and every alternative that it tried. Here each leaf
becomes a finding with its place; of alternatives only the one that was probably meant is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from schema_salad.exceptions import SchemaSaladException

from gridcwl.cwl.link_targets import Names
from gridcwl.cwl.messages import CLASSES, bare_name, suggestion
from gridcwl.cwl.sources import shown_path
from gridcwl.suggest import did_you_mean, near


class Mistake(NamedTuple):
    """One mistake."""

    place: str
    """``file:line:column:``, or nothing."""
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.place} {self.text}".strip()


class _Path(NamedTuple):
    """What was being looked at: fields and the class of the nearest object."""

    fields: tuple[str, ...] = ()
    owner: str = ""

    @property
    def field(self) -> str:
        return self.fields[-1] if self.fields else ""


_MOST = 12
_BITS = {"int": 32, "long": 64}
_TYPES = (
    "null boolean int long float double string File Directory Any stdin stdout stderr record enum array".split()  # noqa: SIM905
)
_SAME_TYPE = {
    "str": "string",
    "text": "string",
    "char": "string",
    "integer": "int",
    "number": "double",
    "bool": "boolean",
    "path": "File",
    "dir": "Directory",
    "folder": "Directory",
    "list": "string[]",
    "dict": "record",
    "none": "null",
}
_SINCE = {
    "when": "v1.2",
    "pickValue": "v1.2",
    "intent": "v1.2",
    "loadListing": "v1.1",
    "NetworkAccess": "v1.1",
    "WorkReuse": "v1.1",
    "ToolTimeLimit": "v1.1",
    "InplaceUpdateRequirement": "v1.1",
    "LoadListingRequirement": "v1.1",
}
"""Fields that older versions of CWL lack."""
_MISSING = {
    "inputs": "Write 'inputs: []' if there are none.",
    "outputs": "Write 'outputs: []' if there are none.",
    "in": "Write 'in: []' if the step takes no inputs.",
    "out": "Write 'out: []' if none of the step's outputs is used.",
    "steps": "Write 'steps: []' if there are none.",
    "run": "Write 'run: tool.cwl', the tool or workflow that the step runs.",
    "type": "Write 'type: string', File, int ...",
    "items": "Write 'items: string', the type of the array's elements.",
    "symbols": "Write 'symbols: [a, b]', the values that are allowed.",
    "fields": "Write 'fields: {name: type}'.",
    "class": "",
}
_CONTAINER = re.compile(
    r"the '(?P<field>[^']+)' field is not valid because$|tried '?(?P<tried>[^' ]+)'? but$|"
    r"checking field '(?P<checked>[^']+)'$|checking object '(?P<object>[^']+)'$|(?P<item>item is invalid because)$|"
    r"checking item$|Object '(?P<whole>[^']+)' is not valid because$|tried array of"
)
_EMPTY = re.compile(r"value is a NoneType\b|the value None is not a list")
_LIST = re.compile(r"array of <(?P<array>[^<>]*)>|list of (?P<list>.*)")
_PLACES = ("File", "Directory")
_OBJECT = re.compile(r"\{'class': '(File|Directory)'[,}]")
_PLURALS = {
    "string": "texts",
    "int": "whole numbers",
    "long": "whole numbers",
    "float": "numbers",
    "double": "numbers",
    "File": "Files",
    "Directory": "Directories",
}
_LEAD = re.compile(r"(\S+:\d+:\d+:)\s*")
_KINDS = {
    "CommentedMap": "a mapping",
    "dict": "a mapping",
    "CommentedSeq": "a list",
    "list": "a list",
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "NoneType": "empty",
}


def findings(error: SchemaSaladException, names: Names | None = None) -> list[Mistake] | None:
    """The mistakes in a tree of errors; None if one of them is of an unknown kind, which then is shown as it is.

    Args:
        error: what schema-salad raised.
        names: what its parts may be linked to.
    """
    try:
        found = list(dict.fromkeys(_findings(error, _Path(), names or Names())))
    except _Unknown:
        return None
    return found or None


def message_of_mistakes(found: Sequence[Mistake]) -> tuple[str, str]:
    """Message and remedy of findings: of a single one as they are, else a line for each."""
    if len(found) == 1:
        return str(found[0]), found[0].remedy
    lines = [f"{one}. {one.remedy}".strip() for one in found[:_MOST]]
    lines += [f"... and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return "\n".join([f"it has {len(found)} mistakes:", *lines]), ""


class _Unknown(Exception):
    """A leaf that is not known."""


def of_output(name: str, why: str, value: str) -> str:
    """What is wrong with a value that a tool gave for an output, of schema-salad's words about it."""
    path = _Path((name,))
    if value == "null":
        return f"the output '{name}' has no value"
    for pattern, explain in _leaves():
        match = pattern.search(why)
        if match and explain is not _not_file:
            text = explain(match, path, Names())[0]
            return f"the output {text}" if text.startswith("'") else f"the output '{name}': {text}"
    return f"the output '{name}' is {_shown(value)}, which is not of its type"


def _findings(error: SchemaSaladException, path: _Path, names: Names) -> Iterator[Mistake]:
    container = _CONTAINER.match(error.message)
    if error.message and not container and not error.children:
        yield _leaf(error, path, names)
        return
    if error.message and not container:
        raise _Unknown
    if container:
        if container["tried"]:
            path = path._replace(owner=container["tried"])
        field = container["field"] or container["checked"]
        if field:
            path = path._replace(fields=(*path.fields, field))
        if container["object"]:
            path = path._replace(owner=container["object"].rpartition("#")[2])
    children = list(error.children)
    alternatives = [child for child in children if child.message.startswith("tried ")]
    if len(alternatives) > 1 and len(alternatives) == len(children):
        yield from _best(error, alternatives, path, names)
        return
    for child in children:
        yield from _findings(child, path, names)


def _best(
    error: SchemaSaladException, alternatives: Sequence[SchemaSaladException], path: _Path, names: Names
) -> Iterator[Mistake]:
    """What is wrong with the alternative that was probably meant; where none is likelier, what is expected."""
    if all(leaf.message == "Missing 'class' field" for child in alternatives for leaf in child.leaves()):
        yield _without_class(error, path)
        return
    if any(_EMPTY.search(leaf.message) for child in alternatives for leaf in child.leaves()):
        yield Mistake(_place(error), f"'{path.field or 'this'}' has no value", _MISSING.get(path.field, ""))
        return
    likely = [child for child in alternatives if not any(map(_is_another_kind, child.leaves()))]
    if len(likely) == 1:
        yield from _findings(likely[0], path, names)
        return
    plain = [_expected(child.leaves()[0].message) for child in alternatives if len(child.leaves()) == 1]
    if len(plain) == len(alternatives) and all(plain):
        value = _value(alternatives[0].leaves()[0].message)
        wanted = " or ".join(dict.fromkeys(plain))
        yield Mistake(_place(error), f"{path.field} is {value}; it has to be {wanted}", _number_remedy(value, wanted))
        return
    fewest = min(likely or alternatives, key=lambda child: len(child.leaves()))
    yield from _findings(fewest, path, names)


def _is_another_kind(leaf: SchemaSaladException) -> bool:
    """The value is of another kind, by its ``type`` or ``class``."""
    return bool(re.search(r"is not a valid \w*enum_\w+, expected |Expected class|class.*expected", leaf.message))


def _without_class(error: SchemaSaladException, path: _Path) -> Mistake:
    if "requirements" in path.fields or "hints" in path.fields:
        remedy = "Write '- class: DockerRequirement', or requirements as a map: 'DockerRequirement: {...}'."
        return Mistake(_place(error), "a requirement has no class", remedy)
    what = "the process that the step runs" if path.field == "run" else "the document"
    return Mistake(
        _place(error), f"{what} has no class", f"Write 'class: CommandLineTool', or another of {', '.join(CLASSES)}."
    )


def _leaf(error: SchemaSaladException, path: _Path, names: Names) -> Mistake:
    lead = _LEAD.match(error.message)
    for pattern, explain in _leaves():
        match = pattern.search(error.message[lead.end() :] if lead else error.message)
        if match:
            text, remedy = explain(match, path, names)
            return Mistake(_place(error) or (shown_path(lead[1]) if lead else ""), text, remedy)
    raise _Unknown


def _place(error: SchemaSaladException) -> str:
    if error.file is None or error.start is None:
        return ""
    return f"{shown_path(error.file)}:{error.start[0]}:{error.start[1]}:"


_Explained = tuple[str, str]


def _invalid_field(match: re.Match[str], _path: _Path, _names: Names) -> _Explained:
    name = match["name"]
    known = [one for one in re.findall(r"'([^']+)'", match["known"]) if one != "id"]
    if name in _SINCE and not near(name, known, most=1):
        return f"'{name}' is not a field here in this version of CWL", f"Change cwlVersion to {_SINCE[name]} or newer."
    return f"there is no field '{name}' here", suggestion(name, known, "The fields are")


def _missing_field(match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    name = match["name"]
    inputs = not path.owner and not _in_document(path)
    where = f" of '{path.field}'" if inputs and path.field else ""
    return f"the field '{name}'{where} is missing", "" if inputs else _MISSING.get(name, "")


def _in_document(path: _Path) -> bool:
    return any(field in ("inputs", "outputs", "steps", "requirements", "hints") for field in path.fields)


def _not_a(match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    wanted = _in_words(match["wanted"])
    found = match.groupdict().get("value")
    if found and match["wanted"] in _BITS and (number := re.fullmatch(r"'(-?\d+)'", found)):
        return _too_large(number[1], match["wanted"], path)
    value = _shown(found) if found else _KINDS.get(match.groupdict().get("kind") or "", "something else")
    what = f"'{path.field}'" if path.field else "the value"
    remedy = _number_remedy(value, wanted) or _shape_remedy(value, match["wanted"], path)
    return f"{what} is {value}; it has to be {wanted}", remedy


def _shape_remedy(value: str, wanted: str, path: _Path) -> str:
    """What to write where a list has to be, or one File; nothing within documents, whose fields have other rules."""
    if not path.field or path.owner or _in_document(path):
        return ""
    wanted = " or ".join(_without_null(wanted))
    of = _LIST.fullmatch(wanted)
    if of is None:
        return f"Write '{path.field}: {{class: {wanted}, path: ...}}'." if wanted in _PLACES else ""
    item = of["array"] or of["list"]
    if item in _PLACES:
        return f"Write a list: '{path.field}: [{{class: {item}, path: ...}}]'."
    plain = re.fullmatch(r"'([^'\n]+)'|(-?[\d.]+)", value)
    return f"Write a list: '{path.field}: [{plain[1] or plain[2]}]'." if plain else "Write a list: '[...]'."


def _too_large(number: str, kind: str, path: _Path) -> _Explained:
    remedy = "If the document can be changed, make its type long." if kind == "int" else "Give a smaller number."
    return f"'{path.field}' is {number}, which is too large for the type {kind} ({_BITS[kind]} bits)", remedy


def _not_text(_match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    return f"'{path.field}' is not a text", f'Put it in quotes: {path.field}: "...".'


def _not_file(_match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    return (
        f"the input {path.field} has to be a File or Directory object",
        f"Write '{path.field}: {{class: File, path: ...}}'.",
    )


def _no_class(_match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    return f"'{path.field}' has no class", f"Write '{path.field}: {{class: File, path: ...}}', or class: Directory."


def _other_class(match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    wanted = match["wanted"].rpartition(".")[2]
    remedy = f"Write a {wanted}: '{{class: {wanted}, path: ...}}'." if wanted in _PLACES else ""
    return f"'{path.field}' is a {match['found']}; it has to be a {wanted}", remedy


def _symbol(match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    symbols = re.findall(r"'([^']*)'", match["known"])
    value = match["value"]
    what = f"'{path.field}' is '{value}'" if path.field else f"the value is '{value}'"
    if len(symbols) == 1:
        return f"{what}; it has to be '{symbols[0]}'", ""
    return f"{what}, which is not one of {', '.join(symbols)}", did_you_mean(value, symbols)


def _unknown_type(match: re.Match[str], _path: _Path, _names: Names) -> _Explained:
    name = match["name"]
    if match["field"] == "items" and name.endswith("?"):
        inner = name.rstrip("?")
        return (
            f"an array of {name} has to be written out",
            f"Write 'type: {{type: array, items: [\"null\", {inner}]}}'; an optional array is '{inner}[]?'.",
        )
    if name.startswith("file://"):
        file, _, local = shown_path(name).rpartition("#")
        return (
            f"there is no type '{local}' in {file.rpartition('/')[2]}",
            "Declare it in the types of SchemaDefRequirement, or $import its file there, and check its name.",
        )
    bare = name.rstrip("?").removesuffix("[]")
    same = _SAME_TYPE.get(bare.lower())
    remedy = f"Did you mean {same}?" if same else suggestion(bare, _TYPES, "The types are")
    return f"there is no type '{name}'", remedy


def _unknown_source(match: re.Match[str], path: _Path, names: Names) -> _Explained:
    name, sources = match["name"], names.sources
    close = near(name, sources, most=1) or [one for one in sources if one == name.replace(".", "/")]
    whole = [one for one in sources if one.startswith(f"{name}/")]
    remedy = "A source is an input of the workflow, or STEP/OUTPUT."
    if close or whole:
        remedy = f"Did you mean {(whole or close)[0]}? {remedy}"
    elif sources:
        remedy = suggestion(name, sources, "There are") + f" {remedy}"
    return f"{path.owner} is linked to '{name}', which does not exist", remedy


def _unknown_scattered(match: re.Match[str], path: _Path, names: Names) -> _Explained:
    name, step = bare_name(match["name"]), path.owner.rpartition("/")[2]
    remedy = suggestion(name, names.inputs.get(step, ()), "The step's inputs are") or "Name one of the step's inputs."
    return f"the step {step} is scattered over '{name}', which is not one of its inputs", remedy


def _undefined(match: re.Match[str], path: _Path, _names: Names) -> _Explained:
    field, name = match["field"], bare_name(shown_path(match["name"]))
    if field == "run":
        return f"the step runs {shown_path(match['name'])}, which does not exist", "Check its path."
    if field == "class" and ("requirements" in path.fields or "hints" in path.fields):
        raise _Unknown
    if field == "class":
        return f"there is no class {name}", suggestion(name, CLASSES, "The classes are")
    known = {
        "scatterMethod": ("dotproduct", "nested_crossproduct", "flat_crossproduct"),
        "linkMerge": ("merge_nested", "merge_flattened"),
        "pickValue": ("first_non_null", "the_only_non_null", "all_non_null"),
        "loadListing": ("no_listing", "shallow_listing", "deep_listing"),
    }.get(field, ())
    return f"{field} is '{name}', which does not exist", suggestion(name, known, "Choose one of")


def _empty_section(match: re.Match[str], _path: _Path, _names: Names) -> _Explained:
    return f"the section '{match['name']}' is missing or empty", _MISSING.get(match["name"], "")


@cache
def _leaves() -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str], _Path, Names], _Explained]], ...]:
    """What may be wrong with one value; compiled with the first error."""
    rules = (
        (r'^"(?P<name>\w+)" section is not valid', _empty_section),
        (r"^invalid field '(?P<name>[^']+)', expected one of: (?P<known>.*)$", _invalid_field),
        (r"^missing required field '(?P<name>[^']+)'", _missing_field),
        (r"^value is a (?P<kind>\w+), expected (?P<wanted>.*)$", _not_a),
        (
            r"^the value ['\"]*(?P<value>.*?)['\"]* is not a valid [\s\S]*?, expected (?:one of )?(?P<known>.*)$",
            _symbol,
        ),
        (r"^the value (?P<value>.+) is not a list, expected (?P<wanted>list of .*)$", _not_a),
        (r"^value (?P<value>.+) does not contain an (?P<wanted>expression) in the form", _not_a),
        (r"^(?:the )?value is not string$", _not_text),
        (r"^(?:the )?(?:value )?(?P<value>['\"\d\[{].*?) is not (?:a |an )?(?P<wanted>.*)$", _not_a),
        (r"^(?:.*)is not a dict\. Expected a (?:File|Directory) object", _not_file),
        (r"^Missing 'class' field", _no_class),
        (r"^Expected class '(?P<wanted>[\w.]+)' but this is '(?P<found>\w+)'", _other_class),
        (r"^Field '(?:source|outputSource)' references unknown identifier '(?P<name>[^']+)'", _unknown_source),
        (r"^Field 'scatter' references unknown identifier '(?P<name>[^']+)'", _unknown_scattered),
        (r"^Field '(?P<field>type|items)' references unknown identifier '(?P<name>[^']+)'", _unknown_type),
        (r"^Field '(?P<field>\w+)' contains undefined reference to '(?P<name>[^']+)'", _undefined),
    )
    return tuple((re.compile(pattern), explain) for pattern, explain in rules)


def _expected(message: str) -> str:
    """What would be right, of the simplest messages; nothing of others."""
    match = re.search(
        r"(?:is not (?:a |an )?(?:valid )?(?P<plain>\w+(?: or \w+)?)|an (?P<text>expression) in the form)", message
    )
    return _in_words(match["plain"] or match["text"]) if match else ""


def _value(message: str) -> str:
    match = re.search(r"value ['\"]*(.+?)['\"]* (?:is not|does not)", message)
    return _shown(match[1]) if match else "of another type"


def _shown(value: str) -> str:
    value = value.strip('"')
    if place := _OBJECT.match(value):
        return f"a {place[1]}"
    return value if len(value) <= 60 else f"{value[:60]}..."


def _in_words(wanted: str) -> str:
    words = {
        "int": "a whole number",
        "long": "a whole number",
        "float": "a number",
        "double": "a number",
        "float or double": "a number",
        "boolean": "true or false",
        "string": "a text",
        "null": "nothing",
        "expression": "an expression, $(...) or ${...}",
        "File": "a File",
        "Directory": "a Directory",
    }
    if wanted in words:
        return words[wanted]
    return " or ".join(words.get(part, _list_in_words(part)) for part in _without_null(wanted))


def _without_null(wanted: str) -> list[str]:
    return [part for part in wanted.split(" or ") if part != "null"]


def _list_in_words(wanted: str) -> str:
    """An array's type; what its elements are is left out where only the schema has a name for it."""
    of = _LIST.fullmatch(wanted)
    if of is None:
        return wanted
    items = _PLURALS.get(of["array"] or of["list"])
    return f"a list of {items}" if items else "a list"


def _number_remedy(value: str, wanted: str) -> str:
    bare = value.strip("'\"")
    if wanted == "a whole number" and re.fullmatch(r"-?\d+\.\d+", bare):
        return "Give a number without a fraction."
    if "number" in wanted and "list" not in wanted and re.fullmatch(r"-?[\d.]+(?:[eE]-?\d+)?", bare):
        return f"Write it without quotes: {bare}."
    if wanted == "a text":
        return f'Put it in quotes: "{bare}".'
    return ""
