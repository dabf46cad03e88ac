"""Generated CommandLineTools and ExpressionTools, each cheap to run and with much to get wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import values as v
from .values import World

SHOW = """
for a do
  if [ -f "$a" ]; then printf '{%s|' "`basename "$a"`"; cat "$a"; printf '|'; ls "`dirname "$a"`"; printf '}'
  elif [ -d "$a" ]; then printf '(%s|' "`basename "$a"`"; (cd "$a" && find . | LC_ALL=C sort); printf ')'
  else printf '[%s]' "$a" | sed 's#/[^ ,;]*/##g'; fi
done
"""
"""Prints each argument; of what is a file or a directory, its name, what is in it and what lies beside it."""
STAGED = """
find . | LC_ALL=C sort
for f in *.txt; do [ -f "$f" ] && cat "$f"; done
for f in w*; do [ -f "$f" ] && echo more >> "$f"; done; true
"""
"""Prints what is in the working directory, and adds to what may be writable."""
PLAIN = 'for a do printf "[%s]" "$a"; done'
WRONG = (
    '{"n": "wrong", "f": null}',
    '{"n": 3, "f": {"class": "File", "basename": "l.txt", "contents": "lit"}}',
    '{"n": 1, "f": {"class": "File", "path": "none.txt"}}',
    '{"n": null, "f": null}',
    "{",
)
"""Output objects that are refused."""
PRODUCED = (
    "out.txt",
    "a b.txt",
    "é.txt",
    "x%41.txt",
    "h#h.txt",
    "[b].txt",
    ".hidden.txt",
    "sub/deep.txt",
    "sub/.h",
    "n.idx",
    "out.idx",
    "out.txt.idx",
)
GLOBS = (
    "*.txt",
    "*",
    "out.*",
    "sub",
    "sub/*",
    "*/*.txt",
    ".*.txt",
    "[!a]*.txt",
    "?.txt",
    "none*",
    ".",
    "sub/",
    "*.tx?",
)


@dataclass(frozen=True, slots=True)
class Process:
    """A document without a version, and the types of its ports without their bindings."""

    document: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def ports(world: World, most: int = 4, *, files: bool = True) -> dict[str, Any]:
    """Names and types of inputs."""
    names = v.NAMES[: world.number(1, most)]
    return {name: v.types(world, files=files) for name in names}


def input_ports(world: World, kinds: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a tool, with bindings and defaults."""
    names = simple(kinds)
    made = {}
    for name, kind in kinds.items():
        port: dict[str, Any] = {"type": v.bound(world, kind, names)}
        if not world.chance(4):
            port["inputBinding"] = v.bindings(world, kind, names)
        if kind in ("File", v.array_of("File")) and world.chance(6):
            load = {"loadContents": True}
            port = (
                {**port, **load} if world.newer else {**port, "inputBinding": {**port.get("inputBinding", {}), **load}}
            )
        if kind == "Directory" and world.newer and world.chance():
            port["loadListing"] = world.pick("no_listing", "shallow_listing", "deep_listing")
        if not v.holds(kind, "File", "Directory") and world.chance(4):
            port["default"] = v.values(world, kind)
        made[name] = port
    return made


def simple(kinds: dict[str, Any]) -> list[str]:
    """The inputs that hold no files."""
    return [name for name, kind in kinds.items() if not v.holds(kind, "File", "Directory")]


def requirements(world: World, *more: str) -> dict[str, Any]:
    """What a tool declares; a share with things that should change nothing."""
    found: dict[str, Any] = {name: {} for name in more}
    if world.js:
        found["InlineJavascriptRequirement"] = {"expressionLib": ["function twice(x) { return x + x; }"]}
    if world.chance(6):
        found["EnvVarRequirement"] = {"envDef": {"FUZZ": world.pick("x", "a b", "x$(runtime.cores)", "é")}}
    if world.chance(8):
        found["ResourceRequirement"] = {
            "coresMin": 1,
            "ramMin": world.pick(10, *([20.5] if world.version == "v1.2" else [])),
        }
    return found


def tool(world: World, command: list[str], kinds: dict[str, Any], outputs: dict[str, Any], **more: Any) -> Process:
    """A CommandLineTool; ``outputs`` as in the document."""
    document = {
        "class": "CommandLineTool",
        "baseCommand": command,
        "requirements": requirements(world),
        "inputs": input_ports(world, kinds),
        "outputs": outputs,
        **more,
    }
    return Process(document, kinds, {name: port_type(port["type"]) for name, port in outputs.items()})


def port_type(kind: Any) -> Any:
    """The type that others see of an output."""
    return "File" if kind in ("stdout", "stderr") else bare(kind)


def bare(kind: Any) -> Any:
    """A type without bindings."""
    if isinstance(kind, list):
        return [bare(one) for one in kind]
    if not isinstance(kind, dict):
        return kind
    if kind["type"] == "array":
        return v.array_of(bare(kind["items"]))
    if kind["type"] == "record":
        fields = [{"name": entry["name"], "type": bare(entry["type"])} for entry in kind["fields"]]
        return {"type": "record", "fields": fields}
    return kind


def passed(world: World, kinds: dict[str, Any]) -> dict[str, Any]:
    """Outputs that give an input back, or what an expression makes."""
    outputs: dict[str, Any] = {}
    if world.chance(3):
        name = world.pick(*kinds)
        outputs["back"] = {"type": kinds[name], "outputBinding": {"outputEval": f"$({v.reference(name)})"}}
    if world.chance(5):
        outputs["cores"] = {"type": "int", "outputBinding": {"outputEval": "$(runtime.cores)"}}
    if world.js and world.chance(6):
        number = world.pick("$(1e-10)", "$(1e21)", "$(0.1 + 0.2)", "$(3.0)", "$(-0.0)", "$(123456789012345680000)")
        outputs["number"] = {"type": "double", "outputBinding": {"outputEval": number}}
    return outputs


def shower(world: World) -> Process:
    """Shows its command line: every kind of binding."""
    kinds = ports(world)
    outputs: dict[str, Any] = {"shown": {"type": "stdout"}, **passed(world, kinds)}
    more: dict[str, Any] = (
        {"stdout": world.pick("out.txt", "a b.txt", "$(runtime.cores).txt")} if world.chance() else {}
    )
    if "stdout" in more and world.chance(3):
        binding = {"glob": more["stdout"], "loadContents": True, "outputEval": "$(self[0].contents)"}
        outputs["text"] = {"type": "string", "outputBinding": binding}
    if world.chance(4):
        words = [
            {"valueFrom": v.expressions(world, "string", simple(kinds)), **v.bindings(world, "string", simple(kinds))}
        ]
        more["arguments"] = [*words, *([world.pick("lit", "-x", "$(runtime.cores)")] if world.chance() else [])]
    with_files = any(v.holds(kind, "File", "Directory") for kind in kinds.values())
    made = tool(world, ["sh", "-c", SHOW if with_files else PLAIN, "show"], kinds, outputs, **more)
    if world.chance(5):
        made.document["requirements"]["ShellCommandRequirement"] = {}
        for port in made.document["inputs"].values():
            if "inputBinding" in port and world.chance() and port["inputBinding"].get("prefix") not in ("'", '"', "\\"):
                port["inputBinding"]["shellQuote"] = world.pick(True, False)
        made.document["arguments"] = [
            *more.get("arguments", []),
            {"valueFrom": world.pick("&& echo", "; echo 'a  b'  c", "| cat"), "shellQuote": False, "position": 99},
        ]
    return made


def producer(world: World) -> Process:
    """Leaves files behind, with odd names, and collects some by globs."""
    names = ["out.txt", *(name for name in PRODUCED[1:] if world.chance())]
    lines = ["mkdir sub", *(f"printf '%s' '{name} '\"$1\" > '{name}'" for name in names)]
    if world.chance(5):
        lines.append("mkdir -p e/m && ln -s ../out.txt e/link.txt")
    lines.append("echo told >&2")
    outputs: dict[str, Any] = {}
    for number in range(world.number(1, 3)):
        outputs[f"o{number}"] = collected(world)
    if world.chance(4):
        outputs["err"] = {"type": "stderr"}
    kinds = {"a": world.pick("string", "int", "double")}
    return tool(world, ["sh", "-c", "\n".join(lines), "make"], kinds, {**outputs, **passed(world, kinds)})


def collected(world: World) -> dict[str, Any]:
    """One output with a glob."""
    glob: Any = world.pick(*GLOBS)
    if world.chance(4):
        glob = [glob, world.pick(*GLOBS)]
    binding: dict[str, Any] = {"glob": glob}
    kind: Any = world.pick(v.array_of("File"), v.array_of(["File", "Directory"]), "File?", "Directory?", "string")
    if kind == "File?":
        glob = binding["glob"] = world.pick("out.t*t", "none*", "n*.idx", "out.txt", "sub/*.txt", ["none", "out.txt"])
    elif kind == "Directory?":
        glob = binding["glob"] = world.pick("sub", "sub/", "none*", "s*b", ".")
    elif kind == v.array_of("File") and not world.chance(10):
        glob = binding["glob"] = world.pick(
            "*.txt", "out.*", "sub/*", "*/*.txt", ".*.txt", "[!a]*.txt", "?.txt", "*.tx?"
        )
    elif glob in ("sub", "sub/", ".") and not world.chance(3):
        kind = world.pick("Directory", v.array_of("Directory"))
    if kind == "string":
        binding["glob"] = world.pick("out.*", "*.txt")
        binding["loadContents"] = True
        texts = ["$(self.length)x"] if world.version == "v1.2" else []
        binding["outputEval"] = world.pick(
            "$(self[0].contents)",
            "$(self[0].basename)",
            *texts,
            *(["$(self.map(function (f) { return f.basename + f.contents; }).join())"] if world.js else []),
        )
        return {"type": "string", "outputBinding": binding}
    if kind in ("File?", "Directory?"):
        kind = ["null", kind[:-1]]
    if world.js and world.chance(6):
        binding["outputEval"] = world.pick("$(self)", "$(self.slice(0, 1))", "$(self.reverse())")
    port: dict[str, Any] = {"type": kind, "outputBinding": binding}
    if v.holds(kind, "File") and not v.holds(kind, "Directory") and world.chance(3):
        port["secondaryFiles"] = secondary(world)
    return port


def secondary(world: World) -> Any:
    """Patterns for files beside an output."""
    patterns = [".idx", "^.idx", ".none"]
    if world.newer:
        patterns += [".idx?", "^.idx?"]
    if world.newer and not world.chance(3):
        patterns = [".idx?", "^.idx?"]
    chosen: Any = world.pick(*patterns)
    if world.newer and world.chance():
        required: Any = world.pick(False, True)
        chosen = {"pattern": chosen.removesuffix("?"), "required": required}
    if world.js and world.chance(4):
        chosen = world.pick(
            '$(self.nameroot + ".idx")', "${return self.basename + '.idx';}", "${return [];}", "$(null)"
        )
    return [chosen]


def reader(world: World) -> Process:
    """Takes a file with others beside it, and reads it on standard input."""
    patterns = tuple(world.pick((".idx",), ("^.dat",), (".idx", "^^.z"), ()))
    written: list[Any] = [*patterns]
    if world.newer and patterns and world.chance():
        written = [{"pattern": one, "required": world.pick(True, False)} for one in patterns]
    kind: Any = world.pick("File", v.array_of("File")) if patterns else "File"
    port: dict[str, Any] = {"type": kind, "inputBinding": v.bindings(world, kind, [])}
    if patterns:
        port["secondaryFiles"] = written
    if patterns and world.js and world.chance(4):
        port["secondaryFiles"] = ["$(self.basename + '.idx')"]
    document: dict[str, Any] = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", SHOW + "\n[ -t 0 ] || cat", "read"],
        "requirements": requirements(world),
        "inputs": {"r": port},
        "outputs": {
            "shown": {"type": "stdout"},
            "back": {"type": kind, "outputBinding": {"outputEval": "$(inputs.r)"}},
        },
    }
    if kind == "File" and world.chance():
        document["stdin"] = "$(inputs.r.path)"
    if world.chance(3):
        document["outputs"]["name"] = {
            "type": "string",
            "outputBinding": {
                "outputEval": world.pick("$(inputs.r.basename)", "$(inputs.r.nameroot)|$(inputs.r.nameext)")
            },
        }
        if kind != "File":
            document["outputs"]["name"]["outputBinding"]["outputEval"] = "$(inputs.r[0].basename)"
    return Process(
        document,
        {"r": ("secondary", patterns, kind)},
        {n: port_type(p["type"]) for n, p in document["outputs"].items()},
    )


def stager(world: World) -> Process:
    """Finds files in its working directory: InitialWorkDirRequirement."""
    kinds: dict[str, Any] = {"a": "string", "f": "File", "d": "Directory", "fs": v.array_of("File")}
    listing: Any = [entry(world) for _ in range(world.number(1, 3))]
    if world.js and world.chance(5):
        listing = world.pick(
            "$([inputs.f])",
            "${return [{class: 'File', basename: 'js.txt', contents: 'js'}, inputs.d];}",
            "${return [{entryname: 'js.txt', entry: 'from js'}];}",
        )
    outputs: dict[str, Any] = {"shown": {"type": "stdout"}}
    if world.chance():
        outputs["all"] = {
            "type": v.array_of(["File", "Directory"]),
            "outputBinding": {"glob": world.pick("*", "w*", "*.txt", "d*")},
        }
    made = tool(world, ["sh", "-c", STAGED], kinds, outputs, stdout="listed")
    for port in made.document["inputs"].values():
        port.pop("inputBinding", None)
    made.document["requirements"]["InitialWorkDirRequirement"] = {"listing": listing}
    return made


def entry(world: World) -> Any:
    """One entry of an InitialWorkDirRequirement."""
    kind = world.pick("text", "file", "directory", "bare", "array", "literal")
    name = world.pick("w.txt", "t.txt", "a b.txt", "$(inputs.f.basename).txt", "é.txt")
    if kind == "text":
        text = world.pick(
            "lit", "$(inputs.a)", "x $(inputs.a)\n", "$(inputs.f.basename)\n", "$(inputs.f.size)", "\\$(x)", ""
        )
        if world.js and world.chance(3):
            text = world.pick(
                "${return inputs.a + '\\n';}",
                "$(JSON.stringify({a: inputs.a}))",
                *(["$({a: inputs.a})", "$([1, 2.5])"] if world.version == "v1.2" else []),
            )
        return {"entryname": name, "entry": text, **({"writable": world.pick(True, False)} if world.chance() else {})}
    if kind == "file":
        return {
            "entry": "$(inputs.f)",
            **({"entryname": name} if world.chance() else {}),
            **({"writable": True} if world.chance() else {}),
        }
    if kind == "directory":
        return {
            "entry": "$(inputs.d)",
            **({"entryname": "dd"} if world.chance() else {}),
            **({"writable": True} if world.chance() else {}),
        }
    if kind == "literal":
        return {"class": "File", "basename": "lit.txt", "contents": "literal"} if world.newer else "$(inputs.f)"
    return "$(inputs.fs)" if kind == "array" else "$(inputs.f)"


def teller(world: World) -> Process:
    """Writes its own output object: cwl.output.json."""
    text = world.pick(
        '{"n": 1, "f": {"class": "File", "path": "x.txt"}}',
        '{"n": 1e-10, "f": {"class": "File", "location": "sub/y z.txt"}}',
        '{"n": 12345678901234567890, "f": null}',
        '{"n": 2.50, "f": {"class": "File", "path": "x.txt", '
        '"secondaryFiles": [{"class": "File", "path": "sub/y z.txt"}]}}',
        '{"n": 3, "more": [1], "f": {"class": "Directory", "path": "sub"}}',
        *(WRONG if world.chance(4) else ()),
    )
    script = f"mkdir sub; echo x > x.txt; echo y > 'sub/y z.txt'; printf '%s' '{text}' > cwl.output.json"
    kind = ["null", "File", "Directory"]
    number = world.pick("Any", "double", ["null", "long", "double"])
    return tool(world, ["sh", "-c", script], {"a": "string"}, {"n": {"type": number}, "f": {"type": kind}})


def expression(world: World) -> Process:
    """An ExpressionTool."""
    kinds = ports(world, 3)
    made: list[tuple[Any, str]] = [
        (kinds[name], v.reference(name)) for name in kinds if not v.holds(kinds[name], "Directory")
    ]
    made += [
        (
            "string",
            "JSON.stringify(inputs.a) || ''" if not v.holds(kinds["a"], "File", "Directory") else "typeof inputs.a",
        ),
        ("double", "[1e-10, 1e21, 0.1 + 0.2, 3.0][inputs.a === null ? 0 : 1]"),
        (v.array_of("int"), "[3, 1, 2]"),
        (v.array_of("string"), "Object.keys(inputs).sort()"),
        (["null", "string"], "null"),
        ("File", "{class: 'File', basename: 'l i.txt', contents: 'literal'}"),
        (
            "Directory",
            "{class: 'Directory', basename: 'dir', listing: [{class: 'File', basename: 'l.txt', contents: ''}]}",
        ),
    ]
    chosen = [world.pick(*made) for _ in range(world.number(1, 2))]
    body = ", ".join(f"o{n}: {text}" for n, (_, text) in enumerate(chosen))
    document = {
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {name: {"type": kind} for name, kind in kinds.items()},
        "outputs": {f"o{n}": {"type": kind} for n, (kind, _) in enumerate(chosen)},
        "expression": world.pick(f"${{return {{{body}}};}}", f"$({{{body}}})"),
    }
    return Process(document, kinds, {f"o{n}": kind for n, (kind, _) in enumerate(chosen)})


def processes(world: World) -> Process:
    """Any tool."""
    makers = [shower, producer, reader, stager, teller, shower, shower, producer]
    return world.pick(*makers, *([expression] if world.js else []))(world)
