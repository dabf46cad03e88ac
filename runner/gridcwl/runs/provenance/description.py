"""Prospective provenance: the packed document as entities of a Provenance Run Crate. Pure functions.

Ids are those that ``runcrate convert`` gives: ``packed.cwl#main/align`` for a step, ``packed.cwl#align.cwl`` for its
tool, ``packed.cwl#align.cwl/reads`` for an input of that. https://w3id.org/ro/wfrun/provenance/0.5
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

Entity = dict[str, Any]

PACKED = "packed.cwl"
"""The packed document in a crate; the id of its main workflow."""
CWL = "https://w3id.org/workflowhub/workflow-ro-crate#cwl"
_TYPES = {
    "string": "Text",
    "int": "Integer",
    "long": "Integer",
    "float": "Float",
    "double": "Float",
    "Any": "DataType",
    "boolean": "Boolean",
    "File": "File",
    "Directory": "Dataset",
    "stdout": "File",
    "stderr": "File",
    "stdin": "File",
}
_COMPOUND = {"enum": "Text", "record": "PropertyValue"}


@dataclass(frozen=True, slots=True)
class DescribedStep:
    """A step of a workflow, and the tool or workflow that it runs."""

    id: str
    name: str
    tool: str
    position: int
    written: Mapping[str, Any]
    connections: tuple[tuple[str, str], ...] = ()
    """Source and target parameters."""


@dataclass(frozen=True, slots=True)
class DescribedTool:
    """A tool, an expression or a workflow."""

    id: str
    kind: str
    """The CWL class."""
    written: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Ids of the parameters by their short names."""
    outputs: Mapping[str, str]
    steps: Mapping[str, DescribedStep] = field(default_factory=dict)
    connections: tuple[tuple[str, str], ...] = ()
    """Of its own outputs."""

    @property
    def is_workflow(self) -> bool:
        """Whether it has steps."""
        return self.kind == "Workflow"


@dataclass(slots=True)
class PackedDocument:
    """A packed document. Made by :func:`described`."""

    root: DescribedTool
    tools: dict[str, DescribedTool]
    schemas: dict[str, Any]
    """Types that are defined by name."""
    version: str
    single: bool = False
    """The document is a tool: it is the only step."""

    def find(self, step: str) -> tuple[DescribedStep, DescribedTool] | None:
        """The step of this path, ``align/sort``, and what it runs."""
        if self.single:
            (only,) = self.root.steps.values()
            return only, self.tools[only.tool]
        found: DescribedStep | None = None
        at = self.root
        for name in step.split("/"):
            found = at.steps.get(name)
            if found is None:
                return None
            at = self.tools[found.tool]
        return None if found is None else (found, at)

    def entities(self, executed: Collection[str]) -> Iterator[Entity]:
        """The workflow, its steps, tools, parameters and connections.

        Args:
            executed: ids of the tools that actions refer to. Only those are parts of a workflow: the profile wants
                an action for each.
        """
        for tool in self.tools.values():
            yield from self._parameters(tool)
        yield from self._parameters(self.root)
        yield self.workflow(self.root, executed)
        yield from self._steps(self.root)
        for tool in self.tools.values():
            if tool.is_workflow:
                yield self.workflow(tool, executed)
                if self.is_whole(tool, executed):
                    yield from self._steps(tool)
            else:
                yield from _application(tool)
        yield {
            "@id": CWL,
            "@type": "ComputerLanguage",
            "name": "Common Workflow Language",
            "alternateName": "CWL",
            "identifier": {"@id": "https://w3id.org/cwl/" + self.version + "/"},
            "url": {"@id": "https://www.commonwl.org/"},
            "version": self.version,
        }

    def is_whole(self, tool: DescribedTool, executed: Collection[str]) -> bool:
        """Whether a workflow can be described as one: the profile wants it to have a tool that ran."""
        return any(step.tool in executed for step in tool.steps.values())

    def workflow(self, tool: DescribedTool, executed: Collection[str]) -> Entity:
        """The entity of a workflow."""
        main = tool is self.root
        whole = self.is_whole(tool, executed)
        kinds = ["SoftwareSourceCode"]
        if whole or main:
            kinds += ["ComputationalWorkflow", "HowTo"]
        made: Entity = {
            "@id": tool.id,
            "@type": ["File", *kinds] if main else kinds if len(kinds) > 1 else kinds[0],
            "name": str(tool.written.get("label") or ("packed.cwl" if main else tool.id.partition("#")[2])),
            **_described(tool.written),
            "input": _refs(tool.inputs.values()),
            "output": _refs(tool.outputs.values()),
            "programmingLanguage": {"@id": CWL},
        }
        if main:
            made["encodingFormat"] = "application/json"
        if whole or main:
            parts = dict.fromkeys(step.tool for step in tool.steps.values() if step.tool in executed)
            made["hasPart"] = _refs(parts)
            made["step"] = _refs(step.id for step in tool.steps.values())
            made["connection"] = _refs(_connection_id(*pair) for pair in tool.connections)
        return made

    def _steps(self, tool: DescribedTool) -> Iterator[Entity]:
        for pair in tool.connections:
            yield _connection(*pair)
        for step in tool.steps.values():
            made: Entity = {
                "@id": step.id,
                "@type": "HowToStep",
                "name": str(step.written.get("label") or step.name),
                **_described(step.written),
                "position": str(step.position),
                "workExample": {"@id": step.tool},
            }
            if step.connections:
                made["connection"] = _refs(_connection_id(*pair) for pair in step.connections)
            yield made
            for pair in step.connections:
                yield _connection(*pair)

    def _parameters(self, tool: DescribedTool) -> Iterator[Entity]:
        for written in (*_listed(tool.written.get("inputs")), *_listed(tool.written.get("outputs"))):
            yield self.parameter(_id(written["id"]), written)

    def parameter(self, id_: str, written: Mapping[str, Any]) -> Entity:
        """The entity of an input or output; the same fields as runcrate's."""
        type_ = written.get("type", "Any")
        kind: Any = "Collection" if written.get("secondaryFiles") else self.kind_of(type_)
        made: Entity = {"@id": id_, "@type": "FormalParameter", "additionalType": kind, "name": _short(id_)}
        if text := written.get("doc") or written.get("label"):
            made["description"] = _joined(text)
        if isinstance(form := written.get("format"), str) and "$(" not in form:
            made["encodingFormat"] = form
        types = type_ if isinstance(type_, list) else [type_]
        if "null" in types:
            made["valueRequired"] = "False"
        if any(isinstance(one, dict) and one.get("type") in ("array", "record") for one in types):
            made["multipleValues"] = "True"
        default = written.get("default")
        if isinstance(default, dict):
            default = default.get("location") or default.get("path")
        if default is not None and not isinstance(default, list):
            made["defaultValue"] = str(default)
        if symbols := next((one["symbols"] for one in types if isinstance(one, dict) and "symbols" in one), None):
            made["valuePattern"] = "|".join(str(symbol).rpartition("/")[2].rpartition("#")[2] for symbol in symbols)
        return made

    def kind_of(self, type_: Any) -> Any:
        """schema.org's name of a CWL type; a list where there are several."""
        if isinstance(type_, list):
            kinds = [self.kind_of(one) for one in type_ if one != "null"]
            flat = {name for kind in kinds for name in (kind if isinstance(kind, list) else [kind])}
            return flat.pop() if len(flat) == 1 else sorted(flat) or "DataType"
        if isinstance(type_, dict):
            inner = type_.get("items", "Any") if type_.get("type") == "array" else None
            return self.kind_of(inner) if inner else _COMPOUND.get(str(type_.get("type")), "DataType")
        plain = str(type_).removesuffix("?").removesuffix("[]")
        known = self.schemas.get(plain)
        return self.kind_of(known) if known is not None else _TYPES.get(plain, "DataType")


def described(packed: Mapping[str, Any], process: str = "") -> PackedDocument:
    """What a packed document describes.

    Args:
        packed: as ``gridcwl --pack`` prints it.
        process: the step whose tool or workflow ran, if that was not the whole document.
    """
    parts = list(packed.get("$graph") or [packed])
    schemas: dict[str, Any] = {}
    written: dict[str, DescribedTool] = {}
    main = next((part for part in parts if str(part.get("id", "#main")).lstrip("#") == "main"), parts[-1])
    for part in parts:
        _collect(part, _id(str(part.get("id", "#main"))), written, schemas)
    known = {id_ for tool in written.values() for id_ in (*tool.inputs.values(), *tool.outputs.values())}
    tools = {id_: _linked(tool, known) for id_, tool in written.items()}
    version = str(packed.get("cwlVersion") or main.get("cwlVersion") or "v1.2")
    whole = PackedDocument(tools[_id(str(main.get("id", "#main")))], tools, schemas, version)
    if process and (found := whole.find(process)) is not None:
        whole.root = found[1]
    root = whole.root
    if root.is_workflow:
        del tools[root.id]
        whole.root = replace(root, id=PACKED)
    else:
        only = DescribedStep(f"{root.id}/run", _short(root.id), root.id, 0, {})
        whole.root = DescribedTool(PACKED, "Workflow", root.written, root.inputs, root.outputs, {only.name: only})
        whole.single = True
    return whole


def _linked(tool: DescribedTool, known: Collection[str]) -> DescribedTool:
    """Without connections to inputs that a step's tool does not have: only the step's expressions see those."""
    steps = {
        name: replace(step, connections=tuple(pair for pair in step.connections if set(pair) <= set(known)))
        for name, step in tool.steps.items()
    }
    return replace(tool, steps=steps, connections=tuple(pair for pair in tool.connections if set(pair) <= set(known)))


def _collect(written: Mapping[str, Any], id_: str, tools: dict[str, DescribedTool], schemas: dict[str, Any]) -> None:
    for requirement in (*_listed(written.get("requirements")), *_listed(written.get("hints"))):
        if requirement.get("class") == "SchemaDefRequirement":
            schemas.update({str(one.get("name")): one for one in requirement.get("types", ())})
    inputs, outputs = ({_short(_id(one["id"])): _id(one["id"]) for one in _listed(written.get(key))}
                       for key in ("inputs", "outputs"))  # fmt: skip
    kind = str(written.get("class"))
    tools[id_] = DescribedTool(id_, kind, written, inputs, outputs)
    if kind != "Workflow":
        return
    runs: dict[str, str] = {}
    for step in _listed(written.get("steps")):
        run = step["run"]
        if isinstance(run, dict):
            own = str(run.get("id") or "_:")
            runs[step["id"]] = _id(f"{step['id']}/run" if own.startswith("_:") else own)
            _collect(run, runs[step["id"]], tools, schemas)
        else:
            runs[step["id"]] = _id(run)
    steps = {_short(step["id"]): step for step in _listed(written.get("steps"))}
    positions = _positions(list(steps.values()))
    tools[id_] = DescribedTool(
        id_, kind, written, inputs, outputs,
        {name: _step(step, runs, positions) for name, step in steps.items()},
        tuple(_sources(_listed(written.get("outputs")), "outputSource", runs, outputs)),
    )  # fmt: skip


def _step(step: Mapping[str, Any], runs: Mapping[str, str], positions: Mapping[str, int]) -> DescribedStep:
    tool = runs[step["id"]]
    targets = {_short(sink["id"]): f"{tool}/{_short(sink['id'])}" for sink in _listed(step.get("in"))}
    links = tuple(_sources(_listed(step.get("in")), "source", runs, targets))
    return DescribedStep(_id(step["id"]), _short(step["id"]), tool, positions[step["id"]], step, links)


def _sources(
    sinks: Sequence[Any], key: str, runs: Mapping[str, str], targets: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for sink in sinks:
        for source in _sources_of(sink, key):
            step, _, name = source.rpartition("/")
            yield f"{runs[step]}/{name}" if step in runs else _id(source), targets[_short(sink["id"])]


def _sources_of(sink: Mapping[str, Any], key: str) -> list[str]:
    written = sink.get(key) or []
    return list(dict.fromkeys([written] if isinstance(written, str) else written))


def _positions(steps: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The order of a workflow's steps: each after those that it takes something from."""
    ids = [step["id"] for step in steps]
    before: dict[str, set[str]] = {}
    for step in steps:
        sources = [source for sink in _listed(step.get("in")) for source in _sources_of(sink, "source")]
        before[step["id"]] = {owner for source in sources if (owner := source.rpartition("/")[0]) in ids} - {step["id"]}
    try:
        return {id_: number for number, id_ in enumerate(TopologicalSorter(before).static_order())}
    except CycleError:  # a document that ran has none
        return {id_: number for number, id_ in enumerate(ids)}


def _application(tool: DescribedTool) -> Iterator[Entity]:
    """A tool, and the software that it says it needs."""
    made: Entity = {
        "@id": tool.id,
        "@type": "SoftwareApplication",
        "name": str(tool.written.get("label") or tool.id.partition("#")[2]),
        **_described(tool.written),
        "input": _refs(tool.inputs.values()),
        "output": _refs(tool.outputs.values()),
    }
    if intent := tool.written.get("intent"):
        made["featureList"] = intent
    needed: list[Entity] = []
    for requirement in (*_listed(tool.written.get("hints")), *_listed(tool.written.get("requirements"))):
        if requirement.get("class") == "ResourceRequirement" and isinstance(requirement.get("ramMin"), int | float):
            made["memoryRequirements"] = f"{int(requirement['ramMin'])} MiB"
        if requirement.get("class") == "SoftwareRequirement":
            needed += [_package(one, tool) for one in _listed(requirement.get("packages"))]
    if needed:
        made["softwareRequirements"] = _refs(one["@id"] for one in needed)
    yield made
    yield from needed


def _package(written: Mapping[str, Any], tool: DescribedTool) -> Entity:
    specs, versions = written.get("specs") or [], written.get("version") or []
    name = str(written.get("package") or "package")
    made: Entity = {"@id": str(specs[0]) if specs else f"{tool.id}/package/{name}", "@type": "SoftwareApplication"}
    made["name"] = name
    if versions:
        made["softwareVersion"] = versions[0] if len(versions) == 1 else list(versions)
    return made


def _connection(source: str, target: str) -> Entity:
    return {
        "@id": _connection_id(source, target),
        "@type": "ParameterConnection",
        "sourceParameter": {"@id": source},
        "targetParameter": {"@id": target},
    }


def _connection_id(source: str, target: str) -> str:
    return f"#connection/{source.partition('#')[2]}/to/{target.partition('#')[2]}"


def _refs(ids: Any) -> list[Entity]:
    return [{"@id": id_} for id_ in ids]


def _listed(value: Any) -> list[Any]:
    """A list of objects, also where they were written as a mapping."""
    if isinstance(value, Mapping):
        return [{"class": key, "id": key, **(item if isinstance(item, Mapping) else {})} for key, item in value.items()]
    return list(value or ())


def _described(written: Mapping[str, Any]) -> Entity:
    text = written.get("doc")
    return {"description": _joined(text)} if text else {}


def _joined(text: Any) -> str:
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text)


def _id(written: str) -> str:
    """The id in the crate of what is ``#name`` in the packed document."""
    return PACKED + "#" + written.rpartition("#")[2]


def _short(id_: str) -> str:
    return id_.rpartition("#")[2].rpartition("/")[2]
