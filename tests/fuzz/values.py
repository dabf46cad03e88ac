"""CWL types, values of them and bindings for them: what hypothesis draws tools and inputs from."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

NAMES = ("a", "b_2", "c-d", "E", "f.g", "name", "type_", "h")
TEXTS = (
    *(
        "",
        " ",
        "a",
        "a b",
        "é",
        "日本 語",
        "$HOME",
        "`id`",
        "'q'",
        '"',
        "\\",
        "\\\\",
        "\\n",
        "a\nb",
        "\t",
        "-n",
        "--",
        "*",
    ),
    *("~", "%41", "#h", "a,b", "null", "true", "1", "01", "1e3", "1_000", "2001-01-01", "{}", "[x]", "$", "$$", "\x7f"),
)
DOCUMENT_TEXTS = ("", "a", "-x", "--long", "a b", "é", "'", '"', ",", ":", "\\", "1", "=", "--k=")
"""What may be written into a document without being an expression."""
SYMBOLS = (
    ("one", "two", "x-y"),
    ("a/b", "c/d"),
    ("edam:format", "x:y"),
    ("1", "2.5", "true"),
    ("é", "a b", "*"),
    ("fr", "FR", "f.r", "null"),
)
"""Of enums."""
INTS = (0, 1, -1, 7, 10, 2**31 - 1, -(2**31))
LONGS = (*INTS, 2**31, 2**53 + 1, 10**18, -(2**63))
FLOATS = (0.0, 1.0, -1.5, 0.1, 1e-10, 1e10, 1e16, 1e21, 1e22, 1e30, 123456789.125, 3.0000001, -2.5e-7)
FILE_NAMES = (
    "plain.txt",
    "sp ace.txt",
    "per%41cent.txt",
    "ha#sh.dat",
    "é.txt",
    "a.b.c",
    "noext",
    "[x].txt",
    "q?&=.txt",
)
EASY_NAMES = ("plain.txt", "sp ace.txt", "é.txt", "a.b.c", "noext")
"""Of files with others beside them: cwltool looks for these by URI, without quoting."""
CONTENTS = ("", "x", "hello\n", "no newline", "é\n", "1", " 42\n", '{"a": 1}', "a\nb\nc\n")


@dataclass(slots=True)
class World:
    """What is drawn so far of one case."""

    random: Random
    version: str
    js: bool
    files: dict[str, str] = field(default_factory=dict)
    """Input files and what is in them."""
    wild: bool = False
    """Whether it may have what people write beside what is in tutorials."""

    def pick(self, *choices: Any) -> Any:
        """One of the choices; the first is the simplest."""
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, of: int = 2) -> bool:
        """True once in so many times."""
        return self.number(0, of - 1) == of - 1

    def number(self, low: int, high: int) -> int:
        """A number between the two, both included."""
        return self.random.randint(low, high)

    @property
    def newer(self) -> bool:
        """What v1.1 brought may be used."""
        return self.version != "v1.0"


def scalars(world: World) -> Any:
    """A type without parts."""
    kind = world.pick("string", "int", "long", "float", "double", "boolean", "enum", "string")
    return (
        {"type": "enum", "symbols": [*(world.pick(*SYMBOLS) if world.wild else SYMBOLS[0])]} if kind == "enum" else kind
    )


def types(world: World, depth: int = 2, *, files: bool = True) -> Any:
    """A type; arrays and records up to this depth."""
    kind = world.pick(
        *["scalar"] * 4, *(["array", "array", "record", "optional", "union"] if depth else []), *["file"] * 2
    )
    if kind == "file" and files:
        return world.pick("File", "File", "Directory")
    if kind == "array":
        return {"type": "array", "items": types(world, depth - 1, files=files)}
    if kind == "record":
        names = world.pick(("p",), ("p", "q"), ("p", "q", "r"))
        fields = [{"name": name, "type": types(world, depth - 1, files=files)} for name in names]
        return {"type": "record", "fields": fields}
    if kind == "optional":
        return ["null", types(world, depth - 1, files=files)]
    if kind == "union":
        return unions(world, depth)
    return scalars(world)


def unions(world: World, depth: int) -> list[Any]:
    """A type with alternatives."""
    plain: list[Any] = world.pick(["string", "int"], ["null", "boolean", "string"], ["double", "string"])
    if not (world.wild and depth > 1 and world.chance(3)):
        return plain
    record = {"type": "record", "fields": [{"name": "p", "type": scalars(world)}]}
    choices: tuple[list[Any], ...] = (
        [*plain, array_of("string")],
        ["null", record],
        [array_of(array_of("int")), "null"],
        [array_of(record), record],
    )
    return list(world.pick(*choices))


def is_array(kind: Any) -> bool:
    """An array type."""
    return isinstance(kind, dict) and kind["type"] == "array"


def array_of(kind: Any) -> dict[str, Any]:
    """The array type with these items."""
    return {"type": "array", "items": kind}


def optional(kind: Any) -> Any:
    """The type, or null."""
    if isinstance(kind, list):
        return kind if "null" in kind else ["null", *kind]
    return ["null", kind]


def holds(kind: Any, *wanted: str) -> bool:
    """Whether one of the named types is anywhere in this one."""
    if isinstance(kind, list):
        return any(holds(one, *wanted) for one in kind)
    if isinstance(kind, dict):
        inner = [kind.get("items", []), *(entry["type"] for entry in kind.get("fields", []))]
        return kind["type"] in wanted or any(holds(one, *wanted) for one in inner)
    return kind in wanted


def accepts(sink: Any, source: Any) -> bool:
    """Whether a link between the two is surely right."""
    if sink == source:
        return True
    if isinstance(sink, list):
        return all(accepts_one(sink, one) for one in source) if isinstance(source, list) else accepts_one(sink, source)
    return False


def accepts_one(sink: list[Any], source: Any) -> bool:
    """Whether one of the sink's types is the source's."""
    return any(one == source for one in sink)


def values(world: World, kind: Any) -> Any:
    """A value of the type, as it stands in an input object."""
    if isinstance(kind, list):
        return values(world, world.pick(*kind))
    if isinstance(kind, dict):
        return compound(world, kind)
    if kind == "File":
        return file_value(world)
    if kind == "Directory":
        return directory_value(world)
    simple: dict[str, tuple[Any, ...]] = {
        "null": (None,),
        "string": TEXTS,
        "boolean": (True, False),
        "int": INTS,
        "long": LONGS,
        "float": (*FLOATS, 1, 0),
        "double": (*FLOATS, 2),
    }
    return world.pick(*simple[kind])


def compound(world: World, kind: dict[str, Any]) -> Any:
    """A value of an enum, an array or a record."""
    if kind["type"] == "enum":
        return world.pick(*kind["symbols"])
    if kind["type"] == "array":
        return [values(world, kind["items"]) for _ in range(world.pick(2, 1, 0, 3))]
    return {entry["name"]: values(world, entry["type"]) for entry in kind["fields"]}


def place_file(world: World, name: str, text: str) -> str:
    """Put a file with this name into the case, in a folder of its own; returns its relative URI."""
    path = f"in{len(world.files)}/{name}"
    world.files[path] = text
    return quote(path)


def file_value(world: World, secondary: tuple[str, ...] = ()) -> dict[str, Any]:
    """A File: one that is there, perhaps with others beside it, or a literal."""
    if not secondary and world.chance(8):
        return {"class": "File", "basename": world.pick("lit.txt", "li t.txt"), "contents": world.pick(*CONTENTS)}
    name = world.pick(*(FILE_NAMES if not secondary else EASY_NAMES))
    location = place_file(world, name, world.pick(*CONTENTS))
    value: dict[str, Any] = {"class": "File", "location": location}
    folder = location.rpartition("/")[0]
    if not secondary and world.chance(6):
        value["basename"] = "renamed.txt"
    if not secondary and world.chance(8):
        other = place_file(world, "extra.idx", "index")
        value["secondaryFiles"] = [{"class": "File", "location": other}]
    for pattern in secondary:
        world.files[f"{next(reversed(world.files)).partition('/')[0]}/{secondary_name(name, pattern)}"] = (
            f"beside {name}"
        )
    if secondary and world.chance(3):
        value["secondaryFiles"] = [
            {"class": "File", "location": f"{folder}/{quote(secondary_name(name, one))}"} for one in secondary
        ]
    return value


def secondary_name(name: str, pattern: str) -> str:
    """https://www.commonwl.org/v1.2/CommandLineTool.html#SecondaryFileSchema"""
    pattern = pattern.removesuffix("?")
    while pattern.startswith("^"):
        pattern = pattern[1:]
        stem, dot, _ = name.rpartition(".")
        name = stem if dot and stem else name
    return name + pattern


def directory_value(world: World) -> dict[str, Any]:
    """A Directory: one that is there, or a literal."""
    if world.chance(4):
        listing = [file_value(world) for _ in range(world.number(0, 2))]
        names = {entry.get("basename", entry.get("location", "").rpartition("/")[2]) for entry in listing}
        listing = listing if len(names) == len(listing) else listing[:1]
        return {"class": "Directory", "basename": "litdir", "listing": listing}
    folder = f"in{len(world.files)}/d{world.pick('', ' x', '%41')}"
    for name in ("one.txt", "sub/two.txt")[: world.pick(1, 2)]:
        world.files[f"{folder}/{name}"] = world.pick(*CONTENTS)
    return {"class": "Directory", "location": quote(folder)}


def reference(name: str) -> str:
    """How an expression names an input."""
    return f"inputs.{name}" if name.replace("_", "").isalnum() else f'inputs["{name}"]'


def expressions(world: World, kind: Any, names: list[str]) -> str:
    """A ``valueFrom`` that makes something of ``self``, of an input, or of nothing.

    Never of a whole File: where the tool will see it is random in cwltool.
    """
    other = reference(world.pick(*names)) if names else "runtime.cores"
    plain = [f"$({other})", f"x$({other})y", "lit", "$(runtime.cores)", "\\$(self)", "a\\\\b"]
    script = [
        f"$([{other}, 'k'])",
        f"${{return {other} === null ? null : 'v';}}",
        "$(1e-7)",
        "$([1e21, 0.1])",
        "$(1.0)",
    ]
    script += ["$({}.x === undefined)", "$(self === null ? 'no' : 'yes')", "$(typeof self)"]
    if kind == "File":
        plain += ["$(self.basename)", "$(self.path)", "$(self.nameroot)$(self.nameext)"]
        script += ["$(self.size)", "$(self.basename.split('.'))"]
    elif not holds(kind, "File", "Directory"):
        plain += ["$(self)", "$(self) $(self)"] + (["$(null)"] if world.version == "v1.2" else [])
        script += ["${return JSON.stringify(self);}", "$(self === null ? 'no' : self)"]
    return world.pick(*plain, *(script if world.js else []))


def bindings(world: World, kind: Any, names: list[str]) -> dict[str, Any]:
    """An ``inputBinding`` for a port, field or item of this type."""
    binding: dict[str, Any] = {}
    if world.chance():
        binding["position"] = world.pick(1, 0, 2, -1, 10)
        if world.newer and world.js and world.chance(5):
            binding["position"] = world.pick("$(1 + 1)", "${return 0;}")
    if world.chance():
        binding["prefix"] = world.pick(*DOCUMENT_TEXTS)
        if world.chance():
            binding["separate"] = world.pick(True, False)
    if is_array(kind) and (kind["items"] == "File" or not holds(kind, "File", "Directory")) and world.chance():
        binding["itemSeparator"] = world.pick(",", " ", "", "; ")
    if world.chance(4):
        binding["valueFrom"] = expressions(world, kind, names)
    return binding


def bound(world: World, kind: Any, names: list[str]) -> Any:
    """The type with bindings in some of its parts."""
    if isinstance(kind, dict) and kind["type"] == "array":
        inner = {"inputBinding": bindings(world, kind["items"], names)} if world.chance(3) else {}
        return {**kind, "items": bound(world, kind["items"], names), **inner}
    if isinstance(kind, dict) and kind["type"] == "record":
        fields = [
            {**entry, "type": bound(world, entry["type"], names)}
            | ({"inputBinding": bindings(world, entry["type"], names)} if world.chance() else {})
            for entry in kind["fields"]
        ]
        return {**kind, "fields": fields}
    if isinstance(kind, dict) and kind["type"] == "enum" and world.chance(4):
        return {**kind, "inputBinding": bindings(world, kind, names)}
    if isinstance(kind, list):
        return [bound(world, one, names) for one in kind]
    return kind
