"""Input objects to fill in (``--make-template``): cwltool's, of types that are spelled out first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.utils import aslist

from gridcwl.cwl.patches import enum_symbols
from gridcwl.cwl.problems import problems
from gridcwl.errors import DocumentError

if TYPE_CHECKING:
    from cwltool.process import Process


def template(process: Process) -> str:
    """An input object to fill in, as YAML."""
    from cwltool.main import make_template

    requirement, _ = process.get_requirement("SchemaDefRequirement")
    named = {str(one["name"]): one for one in (requirement or {}).get("types", ()) if "name" in one}
    types = _Types(named, enum_symbols.prefixes(process.metadata.get("$namespaces")))
    inputs = [{**one, "type": types.spelled(one["type"], str(one["id"]), ())} for one in process.tool["inputs"]]
    text = io.StringIO()
    with problems(DocumentError, "No template can be made"):
        try:
            make_template(SimpleNamespace(tool={"inputs": inputs}, schemaDefs={}), text)
        except IndexError as error:
            raise DocumentError(
                "No template can be made: an input can hold nothing but null",
                remedy="Give the items of its array another type than 'null'.",
            ) from error
    return text.getvalue()


@dataclass(frozen=True, slots=True)
class _Types:
    named: dict[str, Any]
    """The document's own types by their URI."""
    prefixes: dict[str, str]
    """Namespaces by their URL."""

    def spelled(self, kind: Any, where: str, above: tuple[str, ...]) -> Any:
        """The type with names as people write them, and without references to other types."""
        if isinstance(kind, list):
            return [self.spelled(one, where, above) for one in kind]
        if isinstance(kind, str):
            return self._named(kind, where, above)
        name = {"name": shortname(kind["name"])} if "name" in kind else {}
        if kind["type"] == "enum":
            uri = str(kind.get("name") or where)
            shown = [enum_symbols.written(one, (uri, where), self.prefixes) for one in kind["symbols"]]
            return {**name, "type": "enum", "symbols": shown, "default": shown[0]}
        if kind["type"] == "record":
            fields = [
                {"name": shortname(one["name"]), "type": self.spelled(one["type"], str(one["name"]), above)}
                for one in kind.get("fields") or ()
            ]
            return {**name, "type": "record", "fields": fields}
        if kind["type"] == "array":
            return self._array(kind, name, where, above)
        return self.spelled(kind["type"], where, above)

    def _named(self, kind: str, where: str, above: tuple[str, ...]) -> Any:
        if kind in above:  # a type that holds itself
            return "Any"
        known = self.named.get(kind)
        return shortname(kind) if known is None else self.spelled(known, where, (*above, kind))

    def _array(self, kind: Any, name: Any, where: str, above: tuple[str, ...]) -> Any:
        items = aslist(self.spelled(kind["items"], where, above))
        if len(items) == 1 and isinstance(items[0], dict):
            items = [{"name": shortname(where), **items[0]}]  # cwltool calls the array by it
        return {**name, "type": "array", "items": items}
