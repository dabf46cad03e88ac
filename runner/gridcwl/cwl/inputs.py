"""Input objects: read from YAML, JSON or command-line options, checked against the document before anything runs."""

from __future__ import annotations

import copy
import logging
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwltool import CWL_CONTENT_TYPES as CONTENT_TYPES
from cwltool.process import add_sizes, shortname
from cwltool.stdfsaccess import StdFsAccess
from cwltool.utils import adjustDirObjs, normalizeFilesDirs, trim_listing
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarfloat import ScalarFloat
from schema_salad.exceptions import SchemaSaladException
from schema_salad.ref_resolver import file_uri, uri_file_path
from schema_salad.sourceline import SourceLine, cmap
from schema_salad.utils import yaml_no_ts
from schema_salad.validate import validate_ex

from gridcwl.cwl.access import name_directories
from gridcwl.cwl.input_files import find_files, refuse_dids
from gridcwl.cwl.large_inputs import read_quickly
from gridcwl.cwl.messages import explained, for_patterns, for_people, tidy, without_types
from gridcwl.cwl.patches.loader import loader
from gridcwl.cwl.problems import colons_in_names, problems
from gridcwl.cwl.remote import Remote
from gridcwl.cwl.remote_inputs import put_in_place
from gridcwl.cwl.schema_errors import findings, message_of_mistakes
from gridcwl.cwl.text_limits import check_text
from gridcwl.errors import InputError
from gridcwl.model import paths
from gridcwl.model.objects import make_lean
from gridcwl.suggest import did_you_mean, near_files

if TYPE_CHECKING:
    from cwltool.process import Process
    from cwltool.secrets import SecretStore

CwlObject = dict[str, Any]

log = logging.getLogger("gridcwl.cwl")

_OVERRIDES = "http://commonwl.org/cwltool#overrides"
_REQUIREMENTS = "https://w3id.org/cwl/cwl#requirements"
_SECRETS = "http://commonwl.org/cwltool#Secrets"
TEXTS = ("", "-")
"""Words that stand for an input object that is given as a text: by a program, and on standard input."""
_ID = "__id"
"""Where schema-salad leaves the input object's own name (cwltool.load_tool.jobloader_id_name)."""


@dataclass(slots=True)
class WrittenInputs:
    """An input object as the user wrote it, before the document is known.

    Attributes:
        values: with positions in the file, so that mistakes can be shown; None when there is no file.
        base: the folder that relative paths count from.
        options: values from the command line, which go before those of the file; their paths are absolute.
        overrides: ``cwltool:overrides`` for the document.
        requirements: ``cwl:requirements``: what the input object asks for beyond the document.
    """

    values: CommentedMap | None
    base: str
    options: CommentedMap = field(default_factory=CommentedMap)
    overrides: list[Any] = field(default_factory=list)
    requirements: list[Any] = field(default_factory=list)
    hurried: str | None = None
    """The file that was read without positions, to be read again if something is wrong in it."""
    text: str | None = None
    """What was read in place of the file."""


def read_input_object(
    name: str | None, basedir: str | None, document_uri: str, folder: Path | None = None, text: str | None = None
) -> WrittenInputs:
    """Read the input object.

    Args:
        name: of a file, ``-`` for the text or standard input, empty for the text, or None if missing.
        basedir: where relative paths count from, instead of the file's folder.
        document_uri: the document's.
        folder: where a text's relative paths count from; None for the current folder.
        text: what ``-`` stands for; None reads standard input.

    Raises:
        InputError: the file is not there, is not YAML or JSON, or does not hold an object.
    """
    here = str(folder or Path.cwd())
    if name is None:
        return WrittenInputs(None, basedir or here)
    base = basedir or (here if name in TEXTS else str(Path(name).absolute().parent))
    quick = read_quickly(name, base if text is not None else str(Path(name).absolute().parent), text)
    if quick is not None:
        return WrittenInputs(quick, base, hurried=name, text=text)
    values = _load(name, base, text)
    if not isinstance(values, CommentedMap):
        what = "is empty" if values is None else f"holds {'a list' if isinstance(values, list) else 'a single value'}"
        raise InputError(
            f"The input object {_shown(name)} {what}, not a mapping of input names to values",
            remedy="Write one 'name: value' line for each input, or {} where the document takes none.",
        )
    written = WrittenInputs(values, base)
    if _OVERRIDES in values:
        written.overrides = _resolve_overrides(values, name, base, document_uri)
        del values[_OVERRIDES]
    if _REQUIREMENTS in values:
        written.requirements = _resolve_requirements(values.pop(_REQUIREMENTS), name, base, document_uri)
    return written


def _load(name: str, base: str, text: str | None = None) -> Any:
    from cwltool.load_tool import jobloaderctx

    with problems(InputError, f"Cannot read the input object {_shown(name)}"), colons_in_names(Path(base)):
        loading = loader(jobloaderctx.copy())
        if name in TEXTS:
            text = sys.stdin.read() if text is None else text
            check_text(text, "standard input")
            return loading.resolve_all(yaml_no_ts().load(text), file_uri(base) + "/", checklinks=False)[0]
        if not Path(name).is_file() and "://" not in name:
            what = "is not a file" if Path(name).exists() else "does not exist"
            raise InputError(f"The input object {name} {what}", remedy=near_files(name) or "Check its path.")
        try:
            return loading.resolve_ref(_reference(name), checklinks=False, content_types=CONTENT_TYPES)[0]
        except StopIteration:
            return None


def _reference(name: str) -> str:
    """A file's URI: a colon in its name is not that of a URL's scheme, nor ``#`` the beginning of a fragment."""
    return name if "://" in name else str(file_uri(str(Path(name).absolute())))


def _shown(name: str) -> str:
    return {"": "that was given", "-": "on standard input"}.get(name, name)


def _resolve_overrides(
    values: CommentedMap, name: str, base: str, document_uri: str, *, what: str = "cwltool:overrides"
) -> list[Any]:
    from cwltool.load_tool import resolve_overrides

    with problems(InputError, f"The {what} in {_shown(name)} are not valid"):
        return list(resolve_overrides(values, file_uri(base if name in TEXTS else name), document_uri))


def _resolve_requirements(written: Any, name: str, base: str, document_uri: str) -> list[Any]:
    """``cwl:requirements`` as a list, whether written as one or as a map by class; as overrides are."""
    if not isinstance(written, dict | list) or (
        isinstance(written, list) and not all(isinstance(one, dict) for one in written)
    ):
        raise InputError(
            f"The cwl:requirements in {_shown(name)} are not requirements",
            remedy="Write them as in a document: a list of {class: ..., ...}, or a map by class.",
        )
    wrapped = cmap({_OVERRIDES: {document_uri: {"requirements": written}}})
    (resolved,) = _resolve_overrides(wrapped, name, base, document_uri, what="cwl:requirements")
    return list(resolved["requirements"])


def load_overrides(path: str, document_uri: str) -> list[Any]:
    """The overrides in a file of their own (``--overrides``).

    Raises:
        InputError: it cannot be read or is not valid.
    """
    from cwltool.load_tool import load_overrides as resolve

    what = f"The overrides in {path} are not valid"
    remedy = "Write 'cwltool:overrides: {STEP: {requirements: {CLASS: {...}}}}', with the names of steps or documents."
    if "://" not in path and not Path(path).is_file():
        raise InputError(f"The overrides file {path} does not exist", remedy=near_files(path) or "Check its path.")
    with problems(InputError, what, remedy=remedy):
        try:
            overrides = list(resolve(file_uri(str(Path(path).absolute())), document_uri))
        except KeyError:
            raise InputError(f"{what}: they have no 'cwltool:overrides'", remedy=remedy) from None
        if not all(isinstance(one, dict) and "overrideTarget" in one for one in overrides):
            raise InputError(f"{what}: one of them does not say what it is for", remedy=remedy)
        return overrides


def complete(
    process: Process,
    written: WrittenInputs,
    secrets: SecretStore,
    remote: Remote | None = None,
    *,
    use_up: bool = False,
) -> CwlObject:
    """The input object, whole: options over the file, defaults filled in, files found, everything checked.

    Args:
        process: the document.
        written: what the user wrote.
        secrets: gets those of the inputs.
        remote: knows files elsewhere.
        use_up: nobody else needs the values as they were written.

    Returns:
        Plain dicts and lists: cwltool deep-copies its inputs for every job, and ruamel's objects make that slow.

    Raises:
        InputError: something is missing, of the wrong type, or a file that is not there.
    """
    values = CommentedMap() if written.values is None else written.values
    use_up = use_up and written.hurried is not None
    try:
        return _completed(process, with_options(values, written), written.base, secrets, remote, use_up=use_up)
    except InputError:
        if written.hurried is None:
            raise
        again = with_options(_load(written.hurried, written.base, written.text), written)
        return _completed(process, again, written.base, secrets, remote)


def with_options(values: CommentedMap, written: WrittenInputs) -> CommentedMap:
    """The values with those of the options put over them, in place; of a record field by field."""
    _put_over(values, copy.deepcopy(written.options))
    return values


def _put_over(values: Any, options: Any) -> None:
    for name, value in options.items():
        if isinstance(value, CommentedMap) and isinstance(values.get(name), dict):
            _put_over(values[name], value)
        else:
            values[name] = value


def _completed(
    process: Process,
    values: CommentedMap,
    base: str,
    secrets: SecretStore,
    remote: Remote | None,
    *,
    use_up: bool = False,
) -> CwlObject:
    for name in ("cwl:tool", "$namespaces", "$schemas", _ID):
        values.pop(name, None)
    _warn_of_strangers(process, values)
    given = set(values) if use_up else set()
    for parameter in process.tool["inputs"]:
        name = shortname(parameter["id"])
        if "default" in parameter and values.get(name) is None:
            values[name] = parameter["default"]
            given.discard(name)
    with problems(InputError, "The input object is not valid"):
        name_directories(values)
        find_files(values, base)
        if remote is not None:
            put_in_place(process, values, remote)
        refuse_dids(values, remote)
        _expand_formats(values, process)
        _check_types(process, values)
        whole = {str(name): _used_up(value) if name in given else plain(value) for name, value in values.items()}
        _each_file(whole, _measure)  # before literals are given a location
        adjustDirObjs(whole, trim_listing)
        make_lean(whole, normalizeFilesDirs)
        secret, _ = process.get_requirement(_SECRETS)
        if secret:
            secrets.store([shortname(name) for name in secret["secrets"]], whole)
    return whole


def _measure(file: Any) -> None:
    """The size that a local file really has; what was written may be old, and jobs are checked against it."""
    location = file.get("location", "")
    if location.startswith("file://") and Path(uri_file_path(location)).is_file():
        size = Path(uri_file_path(location)).stat().st_size
        if file.get("size", size) != size:
            log.warning("%s has %d bytes, not %s as the input object says", tidy(location), size, file["size"])
        file["size"] = size
    else:
        add_sizes(StdFsAccess(""), file)


def _warn_of_strangers(process: Process, values: CommentedMap) -> None:
    known = {shortname(parameter["id"]) for parameter in process.tool["inputs"]}
    for name in values:
        if name not in known and ":" not in name:
            close = did_you_mean(name, known)
            where = SourceLine(values, name, str).makeError(f"The document has no input named '{name}'; it is ignored.")
            log.warning("%s", f"{tidy(where)} {close}".rstrip())


def _expand_formats(values: CommentedMap, process: Process) -> None:
    namespaces = dict(process.metadata.get("$namespaces", {}))
    loading = loader(namespaces)

    def expand(file: Any) -> None:
        if "format" in file:
            file["format"] = loading.expand_url(file["format"], "")

    _each_file(values, expand)


def _each_file(values: Any, act: Any) -> None:
    if isinstance(values, list):
        for item in values:
            _each_file(item, act)
    elif isinstance(values, dict):
        if values.get("class") == "File":
            act(values)
        for item in values.values():
            _each_file(item, act)


def _check_types(process: Process, values: CommentedMap) -> None:
    """Say all that is wrong at once, each with its line."""
    from cwltool.builder import INPUT_OBJ_VOCAB

    missing = [
        shortname(parameter["id"])
        for parameter in process.tool["inputs"]
        if values.get(shortname(parameter["id"])) is None and not optional(parameter["type"])
    ]
    if missing:
        listed = ", ".join(f"'{name}'" for name in missing)
        raise InputError(
            f"Missing input{'s' if len(missing) > 1 else ''} {listed} of {tidy(process.tool['id'])}",
            remedy="Give it in the input object or as --NAME VALUE; gridcwl DOCUMENT --help lists all inputs.",
        )
    schema = process.names.get_name("input_record_schema", None)
    filled = CommentedMap(values)
    filled.lc.data = getattr(values.lc, "data", None) or {}
    if hasattr(values.lc, "filename"):
        filled.lc.filename = values.lc.filename
    for parameter in process.tool["inputs"]:
        filled.setdefault(shortname(parameter["id"]), None)
    try:
        validate_ex(schema, filled, strict=False, logger=_QUIET, vocab=INPUT_OBJ_VOCAB)
    except Exception as error:
        found = findings(error) if isinstance(error, SchemaSaladException) else None
        if found is not None:
            message, remedy = message_of_mistakes(found)
            raise InputError(f"The input object does not fit the document: {message}", remedy=remedy) from error
        text = for_patterns(error)
        plainly = explained(text)
        message = plainly.message if plainly else for_people(without_types(text))
        raise InputError(
            f"The input object does not fit the document:\n{message}",
            remedy=plainly.remedy if plainly else "",
        ) from error


_QUIET = logging.getLogger("gridcwl.cwl.validation")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def optional(kind: Any) -> bool:
    """Whether a type admits that there is no value."""
    if isinstance(kind, list):
        return any(optional(one) for one in kind)
    return bool(kind in ("null", "Any"))


def _check_text(text: str) -> None:
    """Bytes of file names that are not UTF-8 are surrogates of their own; half of a character is none of them."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(
            f"A text of the input object is not Unicode (a lone surrogate): {paths.quoted(text)}",
            remedy="Write the character itself.",
        ) from None


def _used_up(value: Any) -> Any:
    """As :func:`plain`, without a copy of what json has read: of a hundred thousand Files there is no room for two."""
    if type(value) is not dict and type(value) is not list:
        return plain(value)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            value[key] = _used_up(item)
        elif isinstance(item, str) and not item.isascii():
            _check_text(item)
    return value


def plain(value: Any) -> Any:
    """Without ruamel's containers; scalars stay as they were written (1e-10 is to be printed as such).

    Raises:
        InputError: a number is larger than any number can be.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and not value.isascii():
        _check_text(value)
    if isinstance(value, ScalarFloat) and math.isinf(value):
        raise InputError(
            "A number is too large to be one: the largest is about 1.8e308",
            remedy="Give it as a string, if the tool understands it; infinity is written .inf.",
        )
    return value
