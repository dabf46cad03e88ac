"""Workflows to be disturbed: a frame with all that a workflow may have, and in it one of ``tests/fuzz``'s generator.

Each tool appends to the witness when it starts and when it ends. What identifies a job there is which tool of the
document it is and what is on its command line, without folders, which differ from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fuzz import workflows
from fuzz.values import World

IMAGE = "debian:trixie-slim"
_APPEND = """
me=%(tool)s-$(printf '%%s\\n' "$@" | sed 's#/[^ ,;]*/##g' | cksum | cut -d' ' -f1)
nonce=$(cat /proc/sys/kernel/random/uuid)
%(note)s
%(witness)s
witness start
trap 'code=$?; witness end $code' EXIT
"""
_TO_FILE = """witness() { echo "$1 $me $nonce $2" >> '%s'; }"""
_TO_PORT = """
witness() {
  bash -c 'exec 3<>/dev/tcp/%s/%s && echo "$*" >&3 && read -r answer <&3' - "$1" "$me" "$nonce" "$2"
}
"""


@dataclass(frozen=True)
class Witness:
    """Where tools leave their marks: a file, or a port whose server appends to it, for those in containers."""

    file: Path
    host: str = ""
    port: int = 0

    def function(self) -> str:
        """The shell function that does it."""
        return _TO_PORT % (self.host, self.port) if self.port else _TO_FILE % self.file


@dataclass(frozen=True)
class Case:
    """A generated document, its inputs and the files that they name."""

    seed: int
    document: dict[str, Any]
    inputs: dict[str, Any]
    files: dict[str, str]

    def write(self, folder: Path, witness: Witness, *, containers: bool) -> None:
        """Into a folder, with the witness in each tool."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        document = json.loads(json.dumps(self.document))
        for number, tool in enumerate(tools_of(document)):
            _witnessed(tool, number, witness, containers=containers)
        (folder / "main.cwl").write_text(json.dumps(document, indent=1), "utf-8")
        (folder / "inputs.json").write_text(json.dumps(self.inputs, indent=1), "utf-8")


def tools_of(value: Any) -> Iterator[dict[str, Any]]:
    """The CommandLineTools of a document, in its order."""
    if isinstance(value, dict):
        if value.get("class") == "CommandLineTool":
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from tools_of(item)


def _witnessed(tool: dict[str, Any], number: int, witness: Witness, *, containers: bool) -> None:
    command = tool["baseCommand"]
    streams = "stderr" in tool or any(port.get("type") == "stderr" for port in _ports(tool["outputs"]))
    words = {
        "tool": f"t{number}",
        "note": "" if streams else 'echo "nonce $nonce" >&2',
        "witness": witness.function(),
    }
    command[2] = _APPEND % words + command[2]
    if containers:
        requirements = tool.setdefault("requirements", {})
        requirements["DockerRequirement"] = {"dockerPull": IMAGE}
        requirements["NetworkAccess"] = {"networkAccess": True}


def _ports(outputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for port in outputs.values():
        yield port if isinstance(port, dict) else {"type": port}


def generate(seed: int, *, fuzz: bool = True) -> Case:
    """The case of a seed; ``fuzz`` as False without the part that the generator may have made wrong."""
    random = Random(seed)
    loops = random.random() < 0.3
    world = World(random, "v1.2", js=random.random() < 0.3)
    frame = _Frame(world)
    frame.shards()
    if random.random() < 0.6:
        frame.folder()
    if random.random() < 0.6:
        frame.inner()
    if random.random() < 0.6:
        frame.conditional()
    if loops:
        frame.loop()
    if fuzz and random.random() < 0.7:
        frame.generated()
    frame.join()
    version = "v1.3.0-dev1" if loops else "v1.2"
    names = ("Scatter", "MultipleInput", "Subworkflow")
    required: dict[str, Any] = {f"{name}FeatureRequirement": {} for name in names}
    required |= {"StepInputExpressionRequirement": {}}
    if loops or world.js:
        required["InlineJavascriptRequirement"] = {}
    document = {
        "cwlVersion": version,
        "class": "Workflow",
        "requirements": required,
        "inputs": frame.inputs,
        "outputs": frame.outputs,
        "steps": frame.steps,
    }
    return Case(seed, document, frame.values, {**frame.files, **world.files})


class _Frame:
    """The workflow in the making."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        count = self._random.randint(2, 7)
        self.inputs: dict[str, Any] = {
            "numbers": "string[]",
            "words": {"type": "File", "secondaryFiles": [".idx"]},
            "go": "boolean",
        }
        self.values: dict[str, Any] = {
            "numbers": [str(number) for number in range(count)],
            "words": {
                "class": "File",
                "location": "words.txt",
                "secondaryFiles": [{"class": "File", "location": "words.txt.idx"}],
            },
            "go": self._random.random() < 0.7,
        }
        self.files = {"words.txt": "one\ntwo\n", "words.txt.idx": "3\n7\n"}
        self.steps: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self._gathered: list[str] = []

    def _pause(self) -> str:
        return f"sleep {self._random.choice((0, 0.02, 0.05, 0.1, 0.3))}"

    def _out(self, source: str, kind: Any) -> None:
        self.outputs[source.replace("/", "_")] = {"type": kind, "outputSource": source}

    def shards(self) -> None:
        """A scatter whose shards make a file with another one beside it."""
        script = (
            f'{self._pause()}; p="part-$1.txt"; cat "$2" "$2.idx" > "$p"; echo "$1" >> "$p"; wc -l < "$p" > "$p.idx"'
        )
        tool = _tool(
            script,
            {"number": _word("string", 1), "words": {**_word("File", 2), "secondaryFiles": [".idx"]}},
            {"part": {"type": "File", "outputBinding": {"glob": "part-*.txt"}, "secondaryFiles": [".idx"]}},
        )
        self.steps["shard"] = {
            "run": tool, "in": {"number": "numbers", "words": "words"}, "out": ["part"], "scatter": "number",
        }  # fmt: skip
        self._out("shard/part", "File[]")
        self._gathered.append("shard/part")

    def folder(self) -> None:
        """A directory of what the shards made, and a tool that reads it."""
        script = f'{self._pause()}; mkdir -p all/deep; cp "$@" all/; echo inside > all/deep/file; : > all/empty'
        tool = _tool(
            script,
            {"parts": _word("File[]", 1)},
            {"all": {"type": "Directory", "outputBinding": {"glob": "all"}}},
        )
        self.steps["folder"] = {"run": tool, "in": {"parts": "shard/part"}, "out": ["all"]}
        reading = _tool(
            '(cd "$1" && find -L . -type f | LC_ALL=C sort | xargs cat)',
            {"all": _word("Directory", 1)},
            {"listed": "stdout"},
            stdout="listed.txt",
        )
        self.steps["reading"] = {"run": reading, "in": {"all": "folder/all"}, "out": ["listed"]}
        self._out("folder/all", "Directory")
        self._gathered.append("reading/listed")

    def inner(self) -> None:
        """A workflow in the workflow, which is scattered and scatters."""
        shout = _tool(
            f'{self._pause()}; tr a-z A-Z < "$1" | sed "s/^/$2 /"',
            {"text": _word("File", 1), "number": _word("string", 2)},
            {"loud": "stdout"},
            stdout="loud.txt",
        )
        count = _tool(f'{self._pause()}; cat "$@" | wc -c', {"texts": _word("File[]", 1)}, {"n": "stdout"}, stdout="n")
        inner = {
            "class": "Workflow",
            "inputs": {"text": "File", "numbers": "string[]"},
            "outputs": {"n": {"type": "File", "outputSource": "count/n"}},
            "steps": {
                "shout": {
                    "run": shout, "in": {"text": "text", "number": "numbers"}, "out": ["loud"], "scatter": "number",
                },
                "count": {"run": count, "in": {"texts": "shout/loud"}, "out": ["n"]},
            },
        }  # fmt: skip
        if self._random.random() < 0.5:
            links = {"text": "shard/part", "numbers": {"default": ["x", "y"]}}
            self.steps["inner"] = {"run": inner, "in": links, "out": ["n"], "scatter": "text"}
            self._out("inner/n", "File[]")
        else:
            self.steps["inner"] = {"run": inner, "in": {"text": "words", "numbers": "numbers"}, "out": ["n"]}
            self._out("inner/n", "File")
        self._gathered.append("inner/n")

    def conditional(self) -> None:
        """A step that may be left out."""
        tool = _tool(f'{self._pause()}; rev "$1"', {"text": _word("File", 1)}, {"back": "stdout"}, stdout="back.txt")
        self.steps["maybe"] = {
            "run": tool, "in": {"text": "words", "go": "go"}, "out": ["back"], "when": "$(inputs.go)",
        }  # fmt: skip
        self._out("maybe/back", "File?")

    def loop(self) -> None:
        """A tool that gets what it made, three times over."""
        tool = _tool(
            f'{self._pause()}; cat "$1"; echo "round $2"',
            {"text": _word("File", 1), "n": _word("int", 2)},
            {
                "longer": "stdout",
                "next": {"type": "int", "outputBinding": {"outputEval": "$(inputs.n + 1)"}},
            },
            stdout="longer.txt",
            requirements={"InlineJavascriptRequirement": {}},
        )
        self.steps["loop"] = {
            "run": tool,
            "in": {"text": "words", "n": {"default": 0}},
            "out": ["longer", "next"],
            "when": "$(inputs.n < 3)",
            "loop": {"text": "longer", "n": "next"},
            "outputMethod": "last_iteration",
        }
        self._out("loop/longer", "File?")

    def generated(self) -> None:
        """A workflow of the generator as a step."""
        process = workflows.workflow(self._world, 1)
        for tool in tools_of(process.document):
            if "echo more >>" in tool["baseCommand"][2]:  # into an input of the run, each time that it is tried
                tool["baseCommand"][2] = tool["baseCommand"][2].replace('echo more >> "$f"', ":")
        links = {}
        for name, kind in process.inputs.items():
            self.inputs[f"g_{name}"] = workflows.workflow_input(kind)
            self.values[f"g_{name}"] = workflows.input_value(self._world, kind)
            links[name] = f"g_{name}"
        self.steps["generated"] = {"run": process.document, "in": links, "out": list(process.outputs)}
        for name, kind in process.outputs.items():
            self._out(f"generated/{name}", kind)

    def join(self) -> None:
        """The last step, which has what all others made."""
        either = ["File", {"type": "array", "items": "File"}]
        inputs = {f"a{number}": _word(either, number) for number in range(len(self._gathered))}
        tool = _tool(f'{self._pause()}; cat "$@"', inputs, {"all": "stdout"}, stdout="all.txt")
        links = dict(zip(inputs, self._gathered, strict=True))
        self.steps["join"] = {"run": tool, "in": links, "out": ["all"]}
        self._out("join/all", "File")


def _word(kind: Any, position: int) -> dict[str, Any]:
    return {"type": kind, "inputBinding": {"position": position}}


def _tool(script: str, inputs: dict[str, Any], outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script, "tool"],
        "inputs": inputs,
        "outputs": outputs,
        **more,
    }
