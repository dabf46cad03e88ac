"""A document that runs once for each group of its input: a workflow around it, with one scattered step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from msgspec import structs

from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.graph import build
from gridcwl.cwl.inputs import plain
from gridcwl.cwl.load import load
from gridcwl.engine.graph import Workflow
from gridcwl.errors import InputError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.session import CwlSession

USUAL = ("input-data", "input_data")
"""What dirac-cwl calls the input whose files are grouped."""
_KEPT = ("default", "secondaryFiles", "format", "streamable", "loadContents", "loadListing", "label", "doc")


def input_to_group(process: Process, wanted: str) -> str:
    """The input whose values are grouped.

    Args:
        process: of the document.
        wanted: its name, or empty: ``input-data``, or the only input that is a list of files, or of anything.

    Raises:
        InputError: there is no such input, or several fit.
    """
    names = [shortname(parameter["id"]) for parameter in process.tool["inputs"]]
    if wanted:
        if wanted not in names:
            raise InputError(
                f"The document has no input {wanted!r} that could be grouped",
                remedy=f"{did_you_mean(wanted, names)} It has: {', '.join(names) or 'none'}.".lstrip(),
            )
        return wanted
    usual = next((name for name in USUAL if name in names), "")
    if usual:
        return usual
    lists: dict[str, Any] = {
        shortname(each["id"]): each["type"] for each in process.tool["inputs"] if takes_list(each["type"])
    }
    files = [name for name, kind in lists.items() if "File" in json.dumps(plain(kind))]
    for found in (files, list(lists)):
        if len(found) == 1:
            return str(found[0])
    raise InputError(
        "It is not clear which input is to be grouped",
        remedy=f"Name it, as in --group {(files or list(lists) or names or ['INPUT'])[0]}=N.",
    )


def type_of(process: Process, name: str) -> Any:
    """The type of an input."""
    return next(one["type"] for one in process.tool["inputs"] if shortname(one["id"]) == name)


def takes_list(kind: Any) -> bool:
    """Whether a type is, or may be, an array."""
    if isinstance(kind, list):
        return any(map(takes_list, kind))
    return isinstance(kind, dict) and kind.get("type") == "array"


def with_groups(session: CwlSession, name: str, options: EvaluationOptions, folder: Path) -> CwlSession:
    """The session of a workflow that runs the document for each element of this input, which is an array of them.

    Args:
        session: of the document.
        name: of the input.
        options: how documents are loaded.
        folder: where the workflow is written.

    Raises:
        GridCWLError: the workflow cannot be written or loaded.
    """
    process = session.document.process
    step = _step_name(session)
    text = json.dumps(_around(process, name, step), indent=1, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.cwl"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        path.write_text(text + "\n", "utf-8")
    document = load(path.as_uri(), replace(options, strict=False))
    graph = build(document.process, abstract=True)
    assert isinstance(graph, Workflow)
    steps = (structs.replace(graph.steps[0], run=session.graph),)
    around = structs.replace(graph, id=step, steps=steps)
    kept = replace(session.document, process=document.process)  # its name and files are those of the original
    return replace(session, document=kept, graph=around)


def _step_name(session: CwlSession) -> str:
    file, _, name = str(session.document.uri).partition("#")
    if name in ("", "main"):
        name = Path(file).stem or "main"
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)


def _around(process: Process, grouped: str, step: str) -> dict[str, Any]:
    inputs = {shortname(one["id"]): one for one in process.tool["inputs"]}
    outputs = [shortname(one["id"]) for one in process.tool["outputs"]]
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {"ScatterFeatureRequirement": {}, "SubworkflowFeatureRequirement": {}},
        "inputs": {name: _port(one, many=name == grouped) for name, one in inputs.items()},
        "outputs": {
            name: {"type": {"type": "array", "items": ["null", "Any"]}, "outputSource": f"{step}/{name}"}
            for name in outputs
        },
        "steps": {
            step: {
                "run": {  # the document's own graph is put in its place
                    "class": "Operation",
                    "inputs": dict.fromkeys(inputs, _ANYTHING),
                    "outputs": dict.fromkeys(outputs, _ANYTHING),
                },
                "scatter": grouped,
                "in": {name: name for name in inputs},
                "out": outputs,
            }
        },
    }


_ANYTHING = {"type": ["null", "Any"]}


def _port(parameter: Any, *, many: bool) -> dict[str, Any]:
    kind = _plain_type(plain(parameter["type"]))
    made = {key: plain(parameter[key]) for key in _KEPT if key in parameter}
    if many and made.get("default") is not None and not isinstance(made["default"], list):
        made["default"] = [made["default"]]
    made["type"] = {"type": "array", "items": kind} if many else kind
    return made


def _plain_type(kind: Any) -> Any:
    """A type that needs no definitions of its document: named ones are checked where the document itself runs."""
    if isinstance(kind, list):
        found = [_plain_type(one) for one in kind]
        return ["null", "Any"] if "null" in found and "Any" in found else "Any" if "Any" in found else found
    if isinstance(kind, dict):
        if kind.get("type") == "array":
            return {"type": "array", "items": _plain_type(kind["items"])}
        return "Any"
    return kind if kind in _SIMPLE else "Any"


_SIMPLE = ("null", "boolean", "int", "long", "float", "double", "string", "File", "Directory")


def values_to_group(value: Any, name: str) -> Sequence[Any]:
    """The items of an input's value.

    Raises:
        InputError: it is no list, or an empty one.
    """
    if not isinstance(value, list) or not value:
        what = "is empty" if value == [] else "has no value" if value is None else "is not a list"
        raise InputError(f"The input '{name}' {what}, so that it cannot be grouped", remedy="Give it several values.")
    return value


__all__ = ["USUAL", "input_to_group", "shortname", "takes_list", "type_of", "values_to_group", "with_groups"]
