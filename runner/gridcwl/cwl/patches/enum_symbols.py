"""Symbols of enums as they are written: ``a/b`` and ``edam:format``, of which cwltool takes the last part only.

When a document is resolved each symbol becomes a URI below that of its type, or in a namespace. cwltool's schemas of
inputs and outputs keep what follows the last slash. Here they hold the symbols as written; cwltool's short form is
accepted beside them, since input objects that were made for cwltool have it.

To be dropped when cwltool's schemas hold symbols as they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from cwltool import process
from cwltool.process import shortname
from cwltool.utils import aslist
from schema_salad.avro.schema import make_avsc_object
from schema_salad.schema import avro_field_name, make_valid_avro

from gridcwl.cwl.patches.upstream import Upstream

if TYPE_CHECKING:
    from cwltool.context import LoadingContext

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/process.py#L567",
        "Process.__init__",
        "03315d82434aa03a",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/schema.py#L523",
        "make_valid_avro",
        "be53d26c3eaa6bf4",
    ),
    Upstream(
        "https://github.com/common-workflow-language/schema_salad/blob/8.10.20260825112551/src/schema_salad/schema.py#L505",
        "avro_field_name",
        "78d0bd2bfc5d65b2",
    ),
)

_NOTED = "gridcwl_symbols"
_WRITTEN: ContextVar[dict[str, str] | None] = ContextVar("written_symbols", default=None)
"""The symbols of the document that is loaded, by their URI."""
_URIS = "symbolUris"


class Symbols(list[str]):
    """The symbols of one enum as written; what else means one of them is found in it, too."""

    def __init__(self, written: Iterable[str] = (), also: Iterable[str] = ()) -> None:
        super().__init__(written)
        self.also = frozenset(also)

    def __contains__(self, value: object) -> bool:
        """See ``list.__contains__``."""
        return super().__contains__(value) or value in self.also


def written(uri: str, above: Iterable[str], prefixes: Mapping[str, str]) -> str:
    """A symbol as the document has it.

    Args:
        uri: what schema-salad made of it.
        above: the URIs of what it may be written in: its type, or the parameter or field of that type.
        prefixes: the document's namespaces by their URL: ``edam:``.
    """
    for one in above:
        if uri.startswith(f"{one}/"):
            return uri.removeprefix(f"{one}/")
    for url, prefix in prefixes.items():
        if uri.startswith(url):
            return prefix + uri.removeprefix(url)
    folders = {one.partition("#")[0].rpartition("/")[0] for one in above}
    for folder in folders:
        if folder and uri.startswith(f"{folder}/"):
            return uri.removeprefix(f"{folder}/")
    return shortname(uri) if uri.startswith("file:") else uri


def prefixes(namespaces: Any) -> dict[str, str]:
    """The prefixes of a document's ``$namespaces`` by their URL."""
    return {str(url): f"{name}:" for name, url in dict(namespaces or {}).items()}


def apply() -> None:
    """Have cwltool's schemas hold symbols as they are written."""
    process.make_valid_avro = _valid_avro
    process.make_avsc_object = _schema


@contextmanager
def noted_symbols(document: Any, loading: LoadingContext) -> Iterator[None]:
    """Within, cwltool makes a process of this document or part of it."""
    noted: dict[str, str] | None = getattr(loading, _NOTED, None)
    if noted is None:
        noted = {}
        setattr(loading, _NOTED, noted)  # one for all copies that cwltool makes of the context
    names = prefixes((getattr(loading, "metadata", None) or {}).get("$namespaces"))
    for section in ("inputs", "outputs"):
        for parameter in document.get(section) or ():
            if isinstance(parameter, dict):
                _note(parameter.get("type"), str(parameter.get("id", "")), names, noted)
    for wanted in (*(document.get("requirements") or ()), *(document.get("hints") or ())):
        if isinstance(wanted, dict) and wanted.get("class") == "SchemaDefRequirement":
            _note(wanted.get("types"), "", names, noted)
    token = _WRITTEN.set(noted)
    try:
        yield
    finally:
        _WRITTEN.reset(token)


def _note(kind: Any, where: str, names: Mapping[str, str], noted: dict[str, str]) -> None:
    for one in aslist(kind or []):
        if not isinstance(one, dict):
            continue
        name = str(one.get("name") or where)
        for symbol in aslist(one.get("symbols") or []):
            noted.setdefault(str(symbol), written(str(symbol), (name, where), names))
        for field in aslist(one.get("fields") or []):
            if isinstance(field, dict):
                _note(field.get("type"), str(field.get("name", name)), names, noted)
        for inner in ("items", "type"):
            if not isinstance(one.get(inner), str):
                _note(one.get(inner), where, names, noted)


def _valid_avro(items: Any, *rest: Any, **named: Any) -> Any:
    """``schema_salad.schema.make_valid_avro``; the URIs of symbols stay beside what it makes of them."""
    return make_valid_avro(_with_uris(items), *rest, **named)


def _with_uris(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_uris(one) for one in part]
    if not isinstance(part, dict):
        return part
    inner = {
        key: _with_uris(part[key]) for key in ("type", "items", "fields") if isinstance(part.get(key), dict | list)
    }
    if part.get("type") == "enum" and part.get("symbols"):
        inner[_URIS] = list(part["symbols"])
    if not inner:
        return part
    changed = part.copy()
    changed.update(inner)
    return changed


def _schema(made: Any, names: Any) -> Any:
    """``schema_salad.avro.schema.make_avsc_object``, with the symbols as written."""
    return make_avsc_object(_as_written(made), names)


def _as_written(part: Any) -> Any:
    if isinstance(part, list):
        return [_as_written(one) for one in part]
    if not isinstance(part, dict):
        return part
    changed = {key: _as_written(value) if key in ("type", "items", "fields") else value for key, value in part.items()}
    uris = changed.pop(_URIS, None)
    if uris:
        noted = _WRITTEN.get() or {}
        short = [avro_field_name(uri) for uri in uris]
        shown = [noted.get(uri, last) for uri, last in zip(uris, short, strict=True)]
        changed["symbols"] = Symbols(shown, [*short, *(uri for uri in uris if not uri.startswith("file:"))])
    return changed
