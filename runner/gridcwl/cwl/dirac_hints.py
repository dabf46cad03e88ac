"""DIRAC's own hints, those of dirac-cwl and of DiracX's design: what each of them means here, and what it does not.

    $namespaces: {dirac: "https://diracgrid.org/cwl#"}
    hints:
      dirac:Job: {schema_version: "1.0", priority: 5, sites: [LCG.Lyon.fr]}
      dirac:Transformation: {group_size: 10, input_query: {scope: cta, datatype: dl1}}

Other runners ignore hints, so that what is not known here is no error: ``gridcwl plan`` lists it. Whatever a prefix
stands for, a class is known by its last part, however it is spelled: ``dirac:Scheduling``, ``SchedulingHint``,
``execution-hooks``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from cwltool.process import shortname

from gridcwl.errors import DocumentError
from gridcwl.model import paths
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

JOB, SCHEDULING, HOOKS = "dirac:Job", "dirac:Scheduling", "dirac:ExecutionHooks"
TRANSFORMATION, PRODUCTION = "dirac:Transformation", "dirac:Production"
GROUPING = "gridcwl:Grouping"
"""Ours: ``{input: events, size: 10}`` or ``{input: events, chunks: 4, balance: size}``."""
_KINDS = {
    "job": JOB,
    "scheduling": SCHEDULING,
    "executionhooks": HOOKS,
    "transformation": TRANSFORMATION,
    "transformationexecutionhooks": TRANSFORMATION,
    "production": PRODUCTION,
}
_OWN = {"placement": "gridcwl:Placement", "grouping": GROUPING}
_OF_SITES = ("priority", "cpu_work", "platform", "sites", "banned_sites", "tags")
_GROUPING = ("group_size", "input_query")
HONOURED: Mapping[str, frozenset[str]] = {
    JOB: frozenset(
        (
            *("schema_version", "priority", "cpu_work", "platform", "sites", "banned_sites", "tags", "type"),
            *("input_sandbox", "input_data", "output_sandbox", "output_data"),
        )
    ),
    SCHEDULING: frozenset(("platform", "priority", "sites")),
    HOOKS: frozenset(("output_paths", "output_se", "output_sandbox", *_GROUPING)),
    TRANSFORMATION: frozenset(("output_paths", "output_se", "output_sandbox", *_GROUPING)),
    PRODUCTION: frozenset(("input_dataset_plugin", "input_dataset_config")),
}
_WHY_NOT = {
    (JOB, "group"): "job groups are gridcwl's own: it finds the jobs of a run by them",
    (JOB, "log_level"): "the worker writes one log",
    (HOOKS, "hook_plugin"): "plug-ins of dirac-cwl run in its own job wrapper only",
    (HOOKS, "configuration"): "it configures a plug-in of dirac-cwl",
    (TRANSFORMATION, "hook_plugin"): "plug-ins of dirac-cwl run in its own job wrapper only",
    (TRANSFORMATION, "configuration"): "it configures a plug-in of dirac-cwl",
    (TRANSFORMATION, "packer"): "packers are plug-ins of DiracX; group_size is honoured",
}


@dataclass(frozen=True, slots=True)
class Route:
    """Where an output is to go: what ``output_paths`` or ``output_data`` say of it."""

    path: str = ""
    """A folder of logical file names: a dataset of this name."""
    elements: tuple[str, ...] = ()
    """Storage elements, the preferred one first."""


@dataclass(frozen=True, slots=True)
class GroupingHint:
    """Files per job, or the number of jobs."""

    input: str = ""
    """Empty: ``input-data``, or the only input that is a list."""
    size: int | None = None
    chunks: int | None = None
    balance: str = ""


@dataclass(frozen=True, slots=True)
class DocumentHints:
    """What a document's own hints say of the whole of it."""

    grouping: GroupingHint | None = None
    query: str = ""
    """A location that finds the input files."""
    plugin: str = ""
    """The dataset plug-in that gives the inputs."""
    plugin_config: Mapping[str, Any] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    """By output."""
    elements: tuple[str, ...] = ()
    """Storage elements of all outputs."""


@functools.cache
def kind_of(name: str) -> str | None:
    """Which of the hints that we know a class name means, however its prefix was resolved; None for any other."""
    *before, last = re.split(r"[#/:]", name)
    word = last.lower().replace("-", "").replace("_", "").removesuffix("hint")
    if any("gridcwl" in part for part in before):
        return _OWN.get(word) if last in ("Placement", "Grouping") else None
    if any("dirac" in part.lower() for part in before):
        return _KINDS.get(word)
    return None


def hints_in(listed: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those of a list of hints or requirements that we know, with their kind, the nearest first."""
    for hint in reversed(listed or ()):
        kind = kind_of(str(hint.get("class", ""))) if isinstance(hint, Mapping) else None
        if kind is not None:
            yield kind, {str(key): value for key, value in hint.items() if key != "class"}


def own_hints(process: Process) -> dict[str, Mapping[str, Any]]:
    """The hints that a process has itself, by kind."""
    written = [*(process.tool.get("hints") or ()), *(process.tool.get("requirements") or ())]
    file = str(process.tool.get("id", "")).partition("#")[0]
    return {kind: _as_written(hint, file) for kind, hint in hints_in(written)}


def _as_written(value: Any, file: str) -> Any:
    """A value without the document's URI, which schema-salad puts in front of what it takes for names and paths."""
    if isinstance(value, Mapping):
        return {str(key): _as_written(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_written(item, file) for item in value]
    if not isinstance(value, str) or not file:
        return value
    short = value.removeprefix(f"{file}#")
    return short.removeprefix(f"{file.rpartition('/')[0]}/") if short == value else short.removeprefix("main/")


def document_hints(process: Process) -> DocumentHints:
    """What the hints of a document mean for the whole run.

    Raises:
        DocumentError: one holds a value that means nothing.
    """
    known = own_hints(process)
    routes: dict[str, Route] = {}
    elements: tuple[str, ...] = ()
    outputs = [shortname(port["id"]) for port in process.tool["outputs"]]
    for kind in (TRANSFORMATION, HOOKS, JOB):
        hint = known.get(kind, {})
        elements = _names(hint.get("output_se"), kind, "output_se") or elements
        routes |= dict(_routes(hint, kind, outputs))
    grouping, query = None, ""
    for kind in (GROUPING, TRANSFORMATION, HOOKS):
        hint = known.get(kind, {})
        grouping = grouping or grouping_in(hint, kind)
        query = query or query_of(hint.get("input_query"), kind)
    production = known.get(PRODUCTION, {})
    plugin, config = production.get("input_dataset_plugin"), production.get("input_dataset_config") or {}
    if plugin is not None and not isinstance(plugin, str):
        raise _wrong(PRODUCTION, "input_dataset_plugin", plugin, "the name of a plug-in")
    if not isinstance(config, Mapping):
        raise _wrong(PRODUCTION, "input_dataset_config", config, "a mapping")
    return DocumentHints(grouping, query, plugin or "", dict(config), routes, elements)


def query_of(value: Any, kind: str = TRANSFORMATION) -> str:
    """The location that an ``input_query`` means: a DID or pattern as it is; metadata as a search in Rucio.

    Raises:
        DocumentError: it is neither.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not value:
        raise _wrong(kind, "input_query", value, "a DID, or a mapping of metadata")
    scope = value.get("scope")
    if not isinstance(scope, str) or not scope:
        raise DocumentError(
            f"The input_query of the hint {kind} names no scope",
            remedy="Rucio is searched by scope: add 'scope: NAME' to it.",
        )
    nested = [name for name, one in value.items() if isinstance(one, list | dict) or one is None]
    if nested:
        raise _wrong(kind, f"input_query, {nested[0]}", value[nested[0]], "one value")
    terms = {str(name): _term(one) for name, one in value.items() if name not in ("scope", "name")}
    asked = f"?{urlencode(terms)}" if terms else ""
    return f"rucio://{scope}/{quote(str(value.get('name', '*')), safe='*/')}{asked}"


def _term(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else str(value).lower()


def ignored(process: Process, *, rucio: bool, sites: bool = True) -> list[str]:
    """What the hints of a document and of its steps say that has no effect here, a sentence each.

    Args:
        process: of the whole document.
        rucio: outputs go to Rucio.
        sites: jobs go to a place with several sites.
    """
    found: dict[str, None] = {}
    for where, inner in _all(process, ""):
        for kind, hint in own_hints(inner).items():
            found |= dict.fromkeys(_ignored(kind, hint, where, rucio=rucio, sites=sites))
    return list(found)


def _all(process: Process, where: str) -> Iterator[tuple[str, Process]]:
    yield where, process
    for step in getattr(process, "steps", ()):
        name = f"{where}/{shortname(step.id)}".lstrip("/")
        yield name, step
        yield from _all(step.embedded_tool, name)


def _ignored(kind: str, hint: Mapping[str, Any], where: str, *, rucio: bool, sites: bool) -> Iterator[str]:
    if kind not in HONOURED:
        return
    of = f"{kind} of the step {where}" if where else kind
    for name, value in hint.items():
        if value in (None, [], {}, ""):
            continue
        if name not in HONOURED[kind]:
            reason = _WHY_NOT.get((kind, name), "gridcwl does not know this field")
            yield f"{of}: {name} has no effect: {reason}."
        elif name in _OF_SITES and not sites:
            yield f"{of}: {name} has no effect on this machine: there is nothing to choose."
        elif name in ("output_paths", "output_se", "output_data") and not rucio:
            yield f"{of}: {name} has no effect without --store rucio: outputs go to the output directory."
        elif name in ("output_paths", "output_se", "output_data", "input_dataset_plugin", "input_query") and where:
            yield f"{of}: {name} has no effect on a step: gridcwl reads it on the document."
        elif name == "input_sandbox" and any(isinstance(one, Mapping) and one.get("path") for one in _listed(value)):
            yield f"{of}: the path of input_sandbox has no effect: the tool says where its files are (CWL)."


def _routes(hint: Mapping[str, Any], kind: str, outputs: list[str]) -> Iterator[tuple[str, Route]]:
    paths = hint.get("output_paths") or {}
    if not isinstance(paths, Mapping):
        raise _wrong(kind, "output_paths", paths, "a mapping of outputs to folders")
    every = _names(hint.get("output_se"), kind, "output_se")
    for name, path in paths.items():
        yield _output(name, outputs, kind), Route(_folder(path, kind, "output_paths"), every)
    for entry in _listed(hint.get("output_data")):
        if not isinstance(entry, Mapping) or "source" not in entry:
            raise _wrong(kind, "output_data", entry, "a list of {source, output_path, output_se}")
        path = _folder(entry.get("output_path", ""), kind, "output_path")
        yield _output(entry["source"], outputs, kind), Route(path, _names(entry.get("output_se"), kind, "output_se"))


def _output(name: Any, outputs: list[str], kind: str) -> str:
    if str(name) not in outputs:
        raise DocumentError(
            f"The hint {kind} names the output {name!r}, which the document does not have",
            remedy=f"{did_you_mean(str(name), outputs)} It has: {', '.join(outputs) or 'none'}.".lstrip(),
        )
    return str(name)


def _folder(path: Any, kind: str, name: str) -> str:
    text = str(path).removeprefix("LFN:").removeprefix("lfn:") if isinstance(path, str) else ""
    if text and (not re.fullmatch(r"/?[\w.+@%-]+(/[\w.+@%-]+)*/?", text) or paths.dotted(text.split("/"))):
        raise _wrong(kind, name, path, "a folder of logical file names, as /ctao/user/a/alice/results")
    if not text and path not in ("", None):
        raise _wrong(kind, name, path, "a folder of logical file names")
    return text.rstrip("/")


def grouping_in(hint: Mapping[str, Any], kind: str) -> GroupingHint | None:
    """What a hint says about groups; None if nothing.

    Raises:
        DocumentError: it holds a value that means nothing.
    """
    if kind == GROUPING and hint:
        return _own_grouping(hint)
    size = hint.get("group_size")
    if size is None:
        return None
    if isinstance(size, Mapping):  # by input, as older versions of dirac-cwl have it
        if len(size) != 1:
            raise _wrong(kind, "group_size", dict(size), "a number, or one input with a number")
        name, size = next(iter(size.items()))
        return GroupingHint(str(name), _count(size, kind, "group_size"))
    return GroupingHint(size=_count(size, kind, "group_size"))


def _own_grouping(hint: Mapping[str, Any]) -> GroupingHint:
    unknown = sorted(hint.keys() - {"input", "size", "chunks", "balance"})
    if unknown:
        raise DocumentError(
            f"The hint {GROUPING} has no field {unknown[0]!r}", remedy="It has: input, size, chunks, balance."
        )
    size, chunks = hint.get("size"), hint.get("chunks")
    if (size is None) == (chunks is None):
        raise DocumentError(f"The hint {GROUPING} needs either size (files per job) or chunks (the number of jobs)")
    balance = hint.get("balance") or ""
    if balance not in ("", "size", "events"):
        raise _wrong(GROUPING, "balance", balance, "size or events")
    return GroupingHint(
        str(hint.get("input") or ""),
        None if size is None else _count(size, GROUPING, "size"),
        None if chunks is None else _count(chunks, GROUPING, "chunks"),
        balance,
    )


def _count(value: Any, kind: str, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(kind, name, value, "a whole number from 1 on")
    return int(value)


def _names(value: Any, kind: str, name: str) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else _listed(value)
    if not all(isinstance(one, str) and re.fullmatch(r"\s*[\w.-]+\s*", one) for one in listed if one != ""):
        raise _wrong(kind, name, value, "a list of names")
    return tuple(word for one in listed if (word := str(one).strip()))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _wrong(kind: str, name: str, value: Any, takes: str) -> DocumentError:
    return DocumentError(f"{name} of the hint {kind} is {value!r}, but takes {takes}")
