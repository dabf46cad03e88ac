"""Generated workflows: links of every kind between generated tools, whose types fit."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from . import values as v
from .tools import Process
from .tools import processes as usual
from .values import World
from .wild import wild

VERSIONS = ("v1.2", "v1.2", "v1.2", "v1.1", "v1.0")


@dataclass(frozen=True, slots=True)
class Case:
    """A document, its inputs and the files they speak of. Prints as what can be pasted."""

    document: dict[str, Any]
    inputs: dict[str, Any]
    files: dict[str, str]

    def __repr__(self) -> str:
        parts = (("main.cwl", self.document), ("inputs.json", self.inputs), ("files", self.files))
        return "\n".join(f"--- {name}\n{json.dumps(part, indent=1, ensure_ascii=False)}" for name, part in parts)


@dataclass(slots=True)
class Scope:
    """A workflow in the making."""

    world: World
    inputs: dict[str, Any] = field(default_factory=dict)
    """Types, or what :func:`reader` says of files with others beside them."""
    sources: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)

    def new_input(self, kind: Any) -> str:
        """The name of a new input of the workflow."""
        name = f"w{len(self.inputs)}"
        self.inputs[name] = kind
        self.sources[name] = kind[2] if isinstance(kind, tuple) else kind
        return name

    def source(self, kind: Any) -> str:
        """What gives this type: something that is there, or a new input."""
        if isinstance(kind, tuple):
            return self.new_input(kind)
        fitting = [name for name, one in self.sources.items() if v.accepts(kind, one)]
        if fitting and not self.world.chance(4):
            return str(self.world.pick(*reversed(fitting)))
        return self.new_input(kind)


def processes(world: World) -> Process:
    """Any tool."""
    return wild(world) if world.wild and world.chance() else usual(world)


def link(scope: Scope, kind: Any) -> dict[str, Any]:
    """A step's input of this type: how it gets its value; empty if it gets none."""
    world = scope.world
    if isinstance(kind, tuple):
        return {"source": scope.source(kind)}
    plain = not v.holds(kind, "File", "Directory")
    ways = {
        "default": plain,
        "from": plain,
        "merged": v.is_array(kind),
        "picked": world.version == "v1.2",
        "nothing": isinstance(kind, list) and "null" in kind,
    }
    way = world.pick(*["plain"] * 4, *ways)
    found: dict[str, Any] = {}
    if way == "default" and plain:
        source = {"source": scope.source(v.optional(kind))} if world.chance() else {}
        found = {**source, "default": v.values(world, kind)}
    elif way == "from" and plain:
        found = computed(scope, kind)
    elif way == "merged" and ways[way]:
        found = merged(scope, kind)
    elif way == "picked" and ways[way]:
        two = [scope.source(v.optional(kind)), scope.source(kind)]
        found = {"source": two, "pickValue": "the_only_non_null" if world.chance(12) else "first_non_null"}
    elif way != "nothing" or not ways[way]:
        found = {"source": scope.source(kind)}
    return found


def computed(scope: Scope, kind: Any) -> dict[str, Any]:
    """A ``valueFrom`` of the right type."""
    world = scope.world
    if kind == "string":
        texts = ["$(self)!", "lit", "x$(self)", "$(self)"] + (["${return self + self;}"] if world.js else [])
        return {"source": scope.source("string"), "valueFrom": world.pick(*texts)}
    if kind in ("int", "long", "double", "float") and world.js:
        return {"source": scope.source("int"), "valueFrom": world.pick("$(self + 1)", "$(self)", "${return 2 * self;}")}
    if v.is_array(kind) and world.js:
        source = {"source": [scope.source(kind["items"]), scope.source(kind["items"])]}
        return {**source, "valueFrom": world.pick("$(self)", "$(self.slice(1))", "$(self.concat(self))")}
    return {"source": scope.source(kind), "valueFrom": "$(self)"}


def merged(scope: Scope, kind: Any) -> dict[str, Any]:
    """Several sources for an array."""
    world = scope.world
    items = kind["items"]
    how: dict[str, Any] = world.pick({}, {"linkMerge": "merge_nested"}, {"linkMerge": "merge_flattened"})
    if how.get("linkMerge") == "merge_flattened":
        sources = [
            scope.source(kind if v.is_array(items) else world.pick(kind, items)) for _ in range(world.number(1, 3))
        ]
        return {"source": sources if len(sources) > 1 or world.chance() else sources[0], **how}
    sources = [scope.source(items) for _ in range(world.number(1 if how else 2, 3))]
    if world.version == "v1.2" and world.chance(3):
        how = {**how, "pickValue": "all_non_null"}
        sources.append(scope.source(v.optional(items)))
    return {"source": sources, **how}


def step(scope: Scope, name: str, depth: int) -> dict[str, Any]:
    """A step of the workflow; enters its outputs into the scope."""
    world = scope.world
    process = workflow(world, depth - 1) if depth and world.chance(4) else processes(world)
    keys = [key for key, kind in process.inputs.items() if not isinstance(kind, tuple)]
    scattered = keys[: world.pick(1, 2, 1, 3)] if keys and world.chance(3) else []
    method = world.pick("dotproduct", "flat_crossproduct", "nested_crossproduct")
    links: dict[str, Any] = {}
    for key, kind in process.inputs.items():
        if key in scattered:
            links[key] = array_link(scope, kind, links, scattered, method)
        elif found := link(scope, kind):
            links[key] = found
    made: dict[str, Any] = {"run": process.document, "in": links, "out": list(process.outputs)}
    if world.chance(4):
        made["out"] = [{"id": key} for key in made["out"]]
    wrap = 0
    if scattered:
        made["scatter"] = scattered if len(scattered) > 1 or world.chance() else scattered[0]
        if len(scattered) > 1 or world.chance(4):
            made["scatterMethod"] = method
        wrap = len(scattered) if made.get("scatterMethod") == "nested_crossproduct" else 1
    condition = world.version == "v1.2" and world.chance(4)
    if condition:
        links["go"] = {"source": scope.source("boolean")} if world.chance() else {"default": world.pick(True, False)}
        made["when"] = world.pick("$(inputs.go)", *(["$(!inputs.go)", "$(inputs.go === false)"] if world.js else []))
    if world.chance(6) and world.js and keys:
        links["extra"] = {"valueFrom": f"$({v.reference(keys[0])})"}
    for key, kind in process.outputs.items():
        given = v.optional(kind) if condition else kind
        for _ in range(wrap):
            given = v.array_of(given)
        scope.sources[f"{name}/{key}"] = given
    return made


def array_link(scope: Scope, kind: Any, links: dict[str, Any], scattered: list[str], method: str) -> dict[str, Any]:
    """A source to scatter over; in a dotproduct mostly one of the right length."""
    world = scope.world
    if method == "dotproduct" and len(scattered) > 1:
        lengths = [len(links[key]["default"]) for key in scattered if "default" in links.get(key, {})]
        number = lengths[0] if lengths and not world.chance(20) else world.pick(2, 0, 1)
        return {"default": [v.values(world, kind) for _ in range(number)]}
    found: dict[str, Any] = {"source": scope.source(v.array_of(kind))}
    if kind == "string" and world.chance(4):
        found["valueFrom"] = world.pick("$(self)-", "$(self)")
    if world.chance(6):
        found = {"source": [scope.source(v.array_of(kind)), scope.source(kind)], "linkMerge": "merge_flattened"}
    return found


def workflow(world: World, depth: int) -> Process:
    """A workflow with up to three steps."""
    scope = Scope(world)
    steps = {f"s{number}": step(scope, f"s{number}", depth) for number in range(world.pick(1, 2, 3, 2))}
    outputs = {
        name.replace("/", "_"): {"type": kind, "outputSource": name}
        for name, kind in scope.sources.items()
        if "/" in name
    }
    if world.chance(3):
        name = world.pick(*scope.sources)
        outputs["through"] = {"type": scope.sources[name], "outputSource": name}
    if world.chance(3):
        outputs |= gathered(scope)
    names = ("Scatter", "MultipleInput", "StepInputExpression", "Subworkflow")
    required: dict[str, Any] = {f"{name}FeatureRequirement": {} for name in names if name != "StepInputExpression"}
    required["StepInputExpressionRequirement"] = {}
    if world.js:
        required["InlineJavascriptRequirement"] = {}
    inputs = {name: workflow_input(kind) for name, kind in scope.inputs.items()}
    document = {"class": "Workflow", "requirements": required, "inputs": inputs, "outputs": outputs, "steps": steps}
    return Process(document, dict(scope.inputs), {name: port["type"] for name, port in outputs.items()})


def workflow_input(kind: Any) -> dict[str, Any]:
    """An input of a workflow."""
    if isinstance(kind, tuple):
        return {"type": kind[2], "secondaryFiles": list(kind[1])} if kind[1] else {"type": kind[2]}
    return {"type": kind}


def gathered(scope: Scope) -> dict[str, Any]:
    """An output with several sources."""
    world = scope.world
    first = world.pick(*scope.sources)
    kind = scope.sources[first]
    alike = [name for name, one in scope.sources.items() if one == kind]
    second = world.pick(*alike)
    if world.version == "v1.2" and world.chance():
        how = world.pick("all_non_null", "first_non_null", *(["the_only_non_null"] if first != second else []))
        inner = [one for one in kind if one != "null"] if isinstance(kind, list) else kind
        inner = inner[0] if isinstance(inner, list) and len(inner) == 1 else inner
        return {
            "picked": {
                "type": v.array_of(inner) if how == "all_non_null" else inner,
                "outputSource": [first, second],
                "pickValue": how,
            }
        }
    if v.is_array(kind) and world.chance():
        return {"flat": {"type": kind, "outputSource": [first, second], "linkMerge": "merge_flattened"}}
    return {"nested": {"type": v.array_of(kind), "outputSource": [first, second]}}


def input_value(world: World, kind: Any) -> Any:
    """The value that the input object gives."""
    if not isinstance(kind, tuple):
        return v.values(world, kind)
    _, patterns, kind = kind
    if v.is_array(kind):
        return [v.file_value(world, patterns) for _ in range(world.number(1, 2))]
    return v.file_value(world, patterns)


@st.composite
def cases(draw: Any, *, with_wild: bool) -> Case:
    """A tool or a workflow, with inputs; with what people write, if that is wanted."""
    # One source of chance: drawn one by one, hypothesis would spend five of six cases on variations of the sixth.
    random = draw(st.randoms(use_true_random=False))
    world = World(random, random.choice(VERSIONS), random.choice((False, True)), wild=with_wild)
    return case_of(world, workflow(world, 2) if not world.chance(2 if with_wild else 4) else processes(world))


def wild_tool(random: Random) -> Case:
    """A tool as people write it, with inputs."""
    world = World(random, random.choice(VERSIONS), random.choice((False, True)), wild=True)
    return case_of(world, wild(world))


def case_of(world: World, process: Process) -> Case:
    """The process with a version and with inputs."""
    document = {"cwlVersion": world.version, **copy.deepcopy(process.document)}
    inputs = {name: input_value(world, kind) for name, kind in process.inputs.items()}
    kinds = process.inputs
    for name in [name for name in inputs if isinstance(kinds[name], list) and "null" in kinds[name]]:
        if inputs[name] is None and world.chance():
            del inputs[name]
    return Case(document, inputs, world.files)
