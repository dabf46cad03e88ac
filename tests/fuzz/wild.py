"""Generated tools with what people write, and what went wrong: odd names, odd forms, odd JavaScript."""

from __future__ import annotations

from typing import Any

from . import values as v
from .tools import PLAIN, SHOW, Process, requirements
from .values import World

ODD_NAMES = (
    ("help", "version", "outdir"),
    ("a-b", "a_b"),
    ("h", "debug", "class_"),
    ("x.y", "x_y", "x-y"),
    ("no-on", "on"),
    ("self", "inputs", "runtime"),
    ("é", "日本"),
    ("1st", "2"),
    ("length", "constructor"),
    ("null", "true"),
    ("name", "id", "type"),
)
"""Names of inputs that go together: of options, of words of the language, twins."""
SCRIPTS = (
    ("int", "${ // don't\n return 1; }"),
    ("int", "${ /* it's } ) */ return 2; }"),
    ("string", "${ return 'a)b'.replace(/\\)/g, '}'); }"),
    ("string", "${ return 'a}b'.replace(/[}]/, '('); }"),
    ("string", '${ return "}" + "\'" + \'"\'; }'),
    ("string", "$(')' + \"(\")"),
    ("string", "$('\\'' + '\\\\')"),
    ("string", "${ var q = '{'; return q + \"${\"; }"),
    ("int", "$([1, [2, 3]][1][0])"),
    ("string", "$({'a b': {'c)': 'x'}}['a b']['c)'])"),
    ("int", "${ var x = 8; return x / 2 / 2; }"),
    ("string", "${ return `t${1 + 1}`; }"),
    ("string", "${ return `}`; }"),
    ("string", "${ return `a\"'${ {b: '}'}.b }`; }"),
    ("string", "${ return String(/[/\\]}]+/.exec('a]/b')); }"),
    ("int", "${\n  function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2); }\n  return f(7);\n}"),
    ("string", "${ return ['x', 'y'].map(function (s) { return s + s; }).join('-'); }"),
    ("string", "$( 'spaces' )"),
    ("string", "${ return 'é' + '\\u00e9'.length + '\\n'.length; }"),
    ("boolean", "$(1 < 2 && 3 > 2)"),
    ("double", "$(7 / 2)"),
    ("Any", "$({a: [1, {b: null}], 'c': 'd'})"),
    (["null", "string"], "${ if (false) { return 'x'; } return null; }"),
)
"""Expressions and what they give; cwltool's scanner does not understand comments, regular expressions and templates."""
BROKEN = (
    "${ return 1",
    "$(inputs.x",
    "$(1 +)",
    "${ return nothing_of_that_name; }",
    "$(inputs.nothing)",
    "${ throw 'no'; }",
    "${ return undefined; }",
)


def named(world: World) -> Process:
    """Inputs with names that mean something elsewhere; shows them on the command line and in expressions."""
    names = world.pick(*ODD_NAMES)
    kinds = {name: v.types(world, 2, files=False) for name in names}
    inputs: dict[str, Any] = {}
    for position, (name, kind) in enumerate(kinds.items()):
        inputs[name] = {"type": kind, "inputBinding": {"position": position, "prefix": f"--{name}"}}
        if world.chance(4):
            inputs[name]["default"] = v.values(world, kind)
    shown = world.pick(*names)
    outputs: dict[str, Any] = {"shown": "stdout"}
    reference = f'inputs["{shown}"]'
    outputs["again"] = {"type": kinds[shown], "outputBinding": {"outputEval": f"$({reference})"}}
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", PLAIN, "show"],
        "requirements": requirements(world),
        "inputs": inputs,
        "outputs": outputs,
    }
    return Process(document, kinds, {"shown": "File", "again": kinds[shown]})


def scripted(world: World) -> Process:
    """JavaScript with comments, quotes, brackets and templates, wherever an expression may be."""
    chosen = [world.pick(*SCRIPTS) for _ in range(world.number(1, 3))]
    outputs: dict[str, Any] = {
        f"o{number}": {"type": kind, "outputBinding": {"outputEval": text}}
        for number, (kind, text) in enumerate(chosen)
    }
    if world.chance(12):
        outputs["o0"]["outputBinding"]["outputEval"] = world.pick(*BROKEN)
    arguments: list[Any] = [{"valueFrom": text} for kind, text in chosen if kind in ("int", "string")]
    arguments += [world.pick("a$(1 + 1)b", "$('x')$('y')", "\\$(x)", "\\${x}", "$", "$$(2)", "x)", "{y}", "$((1))")]
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", PLAIN, "show"],
        "requirements": {"InlineJavascriptRequirement": library(world)},
        "inputs": {"a": {"type": "string"}},
        "arguments": arguments,
        "outputs": {"shown": "stdout", **outputs},
    }
    kinds = {name: port["type"] for name, port in outputs.items()}
    return Process(document, {"a": "string"}, {"shown": "File", **kinds})


def library(world: World) -> dict[str, Any]:
    """An ``expressionLib``, perhaps with what a scanner may stumble over."""
    if not world.chance():
        return {}
    return {"expressionLib": [world.pick("// it's\nvar one = 1;", "var re = /[)}]/;", "function f() { return '}'; }")]}


def beside(world: World) -> Any:
    """``secondaryFiles`` in all forms, for files whose name is followed by ``.idx``."""
    forms: list[Any] = [[".idx"], ["^.dat"], [".idx", "^.dat"], [".none?"] if world.newer else []]
    if world.newer:
        forms += [
            ".idx",
            ".idx?",
            "^.dat",
            {"pattern": ".idx"},
            {"pattern": ".none", "required": False},
            [{"pattern": ".idx", "required": True}, ".none?"],
            [{"pattern": ".none?"}],
            [{"pattern": "^.dat", "required": "$(true)"}] if world.js else [".idx"],
            [{"pattern": ".none", "required": "$(1 > 2)"}] if world.js else [".idx"],
        ]
    if world.js:
        forms += [
            ["$(self.basename + '.idx')"],
            ["${ return [self.basename + '.idx', self.nameroot + '.dat']; }"],
            ["${ return {class: 'File', location: self.location + '.idx', basename: 'other.idx'}; }"]
            if world.chance(3)
            else ["$(self.basename).idx"],
            ["$([])"],
            ["$(null)"],
        ]
    return world.pick(*forms)


def accompanied(world: World) -> Process:
    """A File with others beside it, whose patterns are written in any form; on inputs, outputs and fields."""
    many = world.chance(3)
    kind: Any = v.array_of("File") if many else world.pick("File", ["null", "File"])
    port: dict[str, Any] = {"type": kind, "secondaryFiles": beside(world), "inputBinding": {"position": 1}}
    document: dict[str, Any] = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", SHOW + "echo m > made.txt; echo i > made.txt.idx; echo d > made.dat", "show"],
        "requirements": requirements(world),
        "inputs": {"r": port},
        "outputs": {
            "shown": {"type": "stdout"},
            "back": {"type": kind, "outputBinding": {"outputEval": "$(inputs.r)"}},
            "made": {"type": "File", "outputBinding": {"glob": "made.txt"}, "secondaryFiles": beside(world)},
        },
    }
    if world.chance(3):
        document["outputs"]["back"]["secondaryFiles"] = beside(world)
    given = ("secondary", (".idx", "^.dat"), v.array_of("File") if many else "File")
    return Process(document, {"r": given}, {"shown": "File", "back": kind, "made": "File"})


def recorder(world: World) -> Process:
    """A record of outputs, each field with a binding of its own."""
    fields: list[dict[str, Any]] = [
        {"name": "f", "type": "File", "outputBinding": {"glob": world.pick("a.log", "*.log")}},
        {"name": "n", "type": "int", "outputBinding": {"outputEval": world.pick("$(inputs.n)", "$(runtime.cores)")}},
        {"name": "o", "type": ["null", "File"], "outputBinding": {"glob": world.pick("none", "a.log.idx")}},
        {"name": "fs", "type": v.array_of("File"), "outputBinding": {"glob": world.pick("*.idx", "none*", "*")}},
        {"name": "d", "type": "Directory", "outputBinding": {"glob": world.pick("d", "d/")}},
    ]
    if world.newer and world.chance():
        fields[0]["secondaryFiles"] = beside(world)
    chosen = fields[: world.number(1, len(fields))]
    kind = {"type": "record", "fields": chosen}
    plain = {"type": "record", "fields": [{"name": one["name"], "type": one["type"]} for one in chosen]}
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", "echo a > a.log; echo i > a.log.idx; echo d > a.dat; mkdir d; echo x > d/x"],
        "requirements": requirements(world),
        "inputs": {"n": {"type": "int"}},
        "outputs": {"r": {"type": kind}},
    }
    return Process(document, {"n": "int"}, {"r": plain})


def alike(world: World) -> Process:
    """Outputs whose names collide when it runs several times, or that are in each other's way."""
    name = world.pick("out.log", "out", "a.tar.gz", ".hid", "out_2.log", "é x.log")
    script = f"echo \"$1\" > '{name}'; echo i > '{name}.idx'; mkdir d; echo \"$1\" > d/'{name}'; echo \"$1\" > d/two"
    outputs: dict[str, Any] = {"f": {"type": "File", "outputBinding": {"glob": name}}}
    if world.chance():
        outputs["f"]["secondaryFiles"] = [".idx"]
    if world.chance():
        outputs["d"] = {"type": "Directory", "outputBinding": {"glob": "d"}}
    if world.chance(3):
        outputs["g"] = {"type": "File", "outputBinding": {"glob": f"d/{name}"}}
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script, "make"],
        "requirements": requirements(world),
        "inputs": {"a": {"type": "string", "inputBinding": {}}},
        "outputs": outputs,
    }
    return Process(document, {"a": "string"}, {one: port["type"] for one, port in outputs.items()})


def object_writer(world: World) -> Process:
    """Writes a ``cwl.output.json`` that leaves something out, or has more; all outputs may be missing."""
    text = world.pick(
        "{}",
        '{"n": 1}',
        '{"n": null, "f": null}',
        '{"f": {"class": "File", "path": "x.txt"}}',
        '{"f": {"class": "File", "path": "./x.txt"}}',
        '{"f": {"class": "File", "path": "sub/../x.txt"}}',
        '{"f": {"class": "File", "location": "x.txt", "basename": "renamed"}}',
        '{"fs": [{"class": "File", "path": "x.txt"}, {"class": "File", "path": "sub/y.txt"}]}',
        '{"fs": []}',
        '{"f": {"class": "Directory", "path": "sub"}}',
        '{"n": [1]}',
        "[]",
        "null",
    )
    kinds: dict[str, Any] = {
        "n": ["null", "int"],
        "f": ["null", "File", "Directory"],
        "fs": ["null", v.array_of("File")],
    }
    script = f"mkdir sub; echo x > x.txt; echo y > sub/y.txt; printf '%s' '{text}' > cwl.output.json"
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script],
        "requirements": requirements(world),
        "inputs": {},
        "outputs": {name: {"type": kind} for name, kind in kinds.items()},
    }
    return Process(document, {}, kinds)


def limited(world: World) -> Process:
    """What a tool asks for, as requirement or as hint; shows what it gets."""
    amounts: dict[str, Any] = world.pick(
        {"coresMin": 1},
        {"coresMax": 2},
        {"coresMin": 1, "coresMax": 2},
        {"coresMin": 2, "coresMax": 1},
        {"coresMin": -1},
        {"coresMin": 0},
        {"ramMin": 256, "ramMax": 512},
        {"ramMax": 128},
        {"ramMin": 100, "outdirMin": 10, "tmpdirMin": 20},
        *(
            [{"coresMin": "$(1 + 1)"}, {"coresMin": '$("two")'}, {"ramMin": "${ return inputs.n * 100; }"}]
            if world.js
            else [{"coresMin": "$(inputs.n)"}]
        ),
    )
    shown = ["$(runtime.cores)", "$(runtime.ram)", "$(runtime.outdirSize)", "$(runtime.tmpdirSize)"]
    asked = {"ResourceRequirement": amounts}
    document: dict[str, Any] = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", PLAIN, "show", *shown[: world.pick(1, 2, 4)]],
        "requirements": {"InlineJavascriptRequirement": {}} if world.js else {},
        "inputs": {"n": {"type": "int", "default": 1}},
        "outputs": {"shown": "stdout"},
    }
    where = world.pick("requirements", "hints")
    document[where] = {**document.get(where, {}), **asked}
    if world.chance(4):
        document["hints"] = {**document.get("hints", {}), "ex:Unknown": {"x": 1}}
        document["$namespaces"] = {"ex": "http://example.org/"}
    document["arguments"] = document["baseCommand"][4:]
    document["baseCommand"] = document["baseCommand"][:4]
    return Process(document, {}, {"shown": "File"})


def surrounded(world: World) -> Process:
    """EnvVarRequirement in its forms; shows what the tool sees."""
    value = world.pick("x", "", "a b", "$(inputs.a)", "$(inputs.n)", "p$(inputs.a)q", "é", "a\nb", "$HOME", "'")
    name = world.pick("FUZZ", "fuzz_1", "LC_FUZZ")
    form: Any = world.pick({name: value}, [{"envName": name, "envValue": value}], {name: {"envValue": value}})
    where = world.pick("requirements", "requirements", "hints")
    document: dict[str, Any] = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", f'printf "[%s]" "${name}"'],
        where: {"EnvVarRequirement": {"envDef": form}},
        "inputs": {"a": {"type": "string"}, "n": {"type": "int"}},
        "outputs": {"shown": "stdout"},
    }
    return Process(document, {"a": "string", "n": "int"}, {"shown": "File"})


def arranged(world: World) -> Process:
    """InitialWorkDirRequirement in further forms: nulls, nested lists, objects, folders, files with others beside."""
    listing: Any = [placed(world) for _ in range(world.number(1, 2))]
    if world.newer and world.js and world.chance(5):
        listing = world.pick("$([inputs.r, inputs.fs])", "${ return [inputs.r].concat(inputs.fs); }", "$(inputs.fs)")
    outputs: dict[str, Any] = {"shown": "stdout"}
    if world.chance():
        outputs["all"] = {
            "type": v.array_of(["File", "Directory"]),
            "outputBinding": {"glob": world.pick("*", "*.txt", "s*", "./*")},
        }
    if world.chance(3):
        outputs["back"] = {"type": "File", "outputBinding": {"outputEval": "$(inputs.r)"}}
    script = 'find . | LC_ALL=C sort; for f in *.txt; do [ -f "$f" ] && cat "$f"; done; true'
    document = {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script],
        "requirements": {**requirements(world), "InitialWorkDirRequirement": {"listing": listing}},
        "inputs": {
            "a": {"type": "string"},
            "r": {"type": "File", "secondaryFiles": [".idx"]},
            "fs": {"type": v.array_of("File")},
            "n": {"type": ["null", "File"]},
            "o": {"type": ["null", "string"]},
        },
        "outputs": outputs,
        "stdout": "listed",
    }
    kinds: dict[str, Any] = {
        "a": "string",
        "r": ("secondary", (".idx",), "File"),
        "fs": v.array_of("File"),
        "n": ["null", "File"],
        "o": ["null", "string"],
    }
    made = {"shown": "File", **{name: port["type"] for name, port in outputs.items() if name != "shown"}}
    return Process(document, kinds, made)


def placed(world: World) -> Any:
    """One entry of :func:`arranged`."""
    newest = world.version == "v1.2"
    choices: list[Any] = [
        "$(inputs.r)",
        {"entry": "$(inputs.r)", "writable": True},
        {"entry": "$(inputs.r)", "entryname": "renamed.txt"},
        {"entry": "$(inputs.a)", "entryname": "$(inputs.a.length).txt"},
        {"entry": "$(inputs.r.basename)$(inputs.a)", "entryname": "t.txt"},
        "$(inputs.fs)",
    ]
    if world.newer:
        choices += [
            "$(inputs.n)",
            {"entry": "$(inputs.fs)"},
            {"class": "Directory", "basename": "sub", "listing": []},
            {
                "class": "Directory",
                "basename": "sub",
                "listing": [{"class": "File", "basename": "l.txt", "contents": "x"}],
            },
            {"entry": "$(inputs.r)", "entryname": "sub/deep.txt"} if newest else "$(inputs.r)",
            {"entry": "text", "entryname": "sub/deep/t.txt"} if newest else "$(inputs.r)",
        ]
    if world.js:
        choices += [
            {"entryname": "j.txt", "entry": "$(JSON.stringify(inputs.a))"},
            {"entryname": "j.txt", "entry": "${ return '}' + ')'; }"},
            "$({class: 'Directory', basename: 'made', listing: [inputs.r]})",
            "${ return {class: 'File', basename: 'js.txt', contents: 'js'}; }",
        ]
        if newest:
            choices += [{"entryname": "j.txt", "entry": "$([inputs.a, null, 1.5, true])"}, "$(null)"]
    return world.pick(*choices)


def loader(world: World) -> Process:
    """``loadContents`` at the limit of 64 KiB, of inputs and of outputs."""
    size = world.pick(0, 1, 65535, 65536, 65536, 65537, 70000)
    if world.chance():
        binding = {"glob": "big", "loadContents": True, "outputEval": "$(self[0].contents)"}
        outputs: dict[str, Any] = {"t": {"type": "string", "outputBinding": binding}}
        script = f"head -c {size} /dev/zero | tr '\\0' x > big"
        document: dict[str, Any] = {"baseCommand": ["sh", "-c", script], "inputs": {}, "outputs": outputs}
        return Process({"class": "CommandLineTool", **document}, {}, {"t": "string"})
    port: dict[str, Any] = {"type": "File", "default": {"class": "File", "location": ""}}
    port["default"]["location"] = v.place_file(world, "big.txt", world.pick("x", "é") * (size // world.pick(1, 2)))
    port |= {"loadContents": True} if world.newer else {"inputBinding": {"loadContents": True}}
    binding = {"outputEval": "$(inputs.f.contents)"}
    document = {
        "class": "CommandLineTool",
        "baseCommand": "true",
        "inputs": {"f": port},
        "outputs": {"t": {"type": "string", "outputBinding": binding}},
    }
    return Process(document, {}, {"t": "string"})


def literal_maker(world: World) -> Process:
    """An ExpressionTool that makes Directories and Files without a place, some without a name."""
    file = "{class: 'File', basename: 'l.txt', contents: 'x'}"
    directory = f"{{class: 'Directory', basename: 'd', listing: [{file}]}}"
    made: list[tuple[Any, str]] = [
        ("Directory", directory),
        ("Directory", f"{{class: 'Directory', basename: 'outer', listing: [{directory}, {file}]}}"),
        ("Directory", "{class: 'Directory', basename: 'e', listing: []}"),
        ("Directory", "{class: 'Directory', basename: 'in', listing: [inputs.f]}"),
        ("Directory", "{class: 'Directory', basename: 'both', listing: [inputs.f, inputs.d]}"),
        (v.array_of("Directory"), f"[{directory}, {directory}]"),
        (v.array_of("File"), f"[{file}, inputs.f]"),
        ("File", "{class: 'File', basename: 'o', contents: '', secondaryFiles: [inputs.f]}"),
        ("File", "{class: 'File', location: inputs.f.location, basename: 'renamed.txt'}"),
        ("File", "Object.assign({}, inputs.f, {basename: 'other.txt'})"),
        ("Directory", "inputs.d"),
    ]
    chosen = [world.pick(*made) for _ in range(world.number(1, 2))]
    body = ", ".join(f"o{number}: {text}" for number, (_, text) in enumerate(chosen))
    document = {
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"f": {"type": "File"}, "d": {"type": "Directory"}},
        "outputs": {f"o{number}": {"type": kind} for number, (kind, _) in enumerate(chosen)},
        "expression": f"${{ return {{{body}}}; }}",
    }
    kinds = {f"o{number}": kind for number, (kind, _) in enumerate(chosen)}
    return Process(document, {"f": "File", "d": "Directory"}, kinds)


def wild(world: World) -> Process:
    """Any of these."""
    makers = [named, accompanied, recorder, alike, object_writer, limited, surrounded, arranged, loader]
    return world.pick(*makers, *([scripted, literal_maker] if world.js else []))(world)
