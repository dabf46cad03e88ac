"""A tool document from a command line: which words are files, numbers and options. Pure but for looking at files."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gridcwl.errors import ConfigError

Kind = Literal["File", "Directory", "int", "float", "string", "boolean"]

RUN_IT = "# Run it: gridcwl "
"""How an input object made here begins."""
_INTERPRETERS = re.compile(r"(python|pypy|perl|ruby|node|Rscript|julia|bash|sh|dash|zsh|ksh|lua|php|tclsh)[\d.]*$")
_FLAGS = {
    "verbose",
    "v",
    "quiet",
    "q",
    "debug",
    "force",
    "overwrite",
    "recursive",
    "help",
    "version",
    "dry-run",
    "no-header",
    "progress",
}
_OUTPUTS = re.compile(r"(o|out|output|outfile|out-?file|output-?file|outdir|out-?dir|output-?dir|save|dest|target)$")
_DIRECTORIES = re.compile(r"(dir|directory|folder)$")
_FILE_NAME = re.compile(r"[^:*?$]+\.[A-Za-z]\w{0,7}$")
_SUBCOMMAND = re.compile(r"[a-z][a-z0-9_-]*$")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
_PLAIN = re.compile(r"[A-Za-z_./][\w./+@%-]*(?: [\w./+@%-]+)*$")
_WORDS_OF_YAML = {"true", "false", "yes", "no", "on", "off", "null", "y", "n", ".inf", ".nan"}


@dataclass(frozen=True, slots=True)
class ToolInput:
    """An input of the tool.

    Attributes:
        name: its id.
        kind: its type.
        value: what the command line has; a path for files.
        prefix: the option; empty for a word without one.
        separate: there is a blank between option and value.
        position: in the command.
        default: the document has the value itself: a script that lies next to it.
    """

    name: str
    kind: Kind
    value: str
    prefix: str = ""
    separate: bool = True
    position: int = 0
    default: bool = False


@dataclass(frozen=True, slots=True)
class ScaffoldOutput:
    """An output of the tool: a file or folder that it leaves, by name or as an input names it."""

    name: str
    glob: str
    kind: Literal["File", "Directory"] = "File"


@dataclass(slots=True)
class Scaffold:
    """A command line as a tool."""

    name: str = ""
    base: list[str] = field(default_factory=list)
    inputs: list[ToolInput] = field(default_factory=list)
    outputs: list[ScaffoldOutput] = field(default_factory=list)
    stdin: str = ""
    """The input whose file is read from stdin."""
    stdout: str = ""
    stderr: str = ""

    def unique(self, wanted: str) -> str:
        """A name that no input has."""
        name = identifier(wanted)
        taken = {entry.name for entry in self.inputs}
        return next(each for each in (name, *(f"{name}_{n}" for n in range(2, 1000))) if each not in taken)

    def add(
        self, wanted: str, value: str, *, prefix: str = "", separate: bool = True, kind: Kind | None = None
    ) -> ToolInput:
        """One more input, at the end of the command."""
        made = ToolInput(self.unique(wanted), kind or kind_of(value), value, prefix, separate, len(self.inputs) + 1)
        self.inputs.append(made)
        return made

    def add_output(self, made: ToolInput, *, folder: bool) -> None:
        """The file or folder that an input names is an output."""
        taken = {entry.name for entry in self.outputs}
        name = next(each for each in (made.name, f"{made.name}_file", *map(str, range(99))) if each not in taken)
        self.outputs.append(
            ScaffoldOutput(f"{name}_result", f"$(inputs.{made.name})", "Directory" if folder else "File")
        )


def scaffold(
    words: Sequence[str], *, name: str = "", stdout: str = "", outputs: Sequence[str] = (), folder: Path
) -> Scaffold:
    """The tool that a command line is.

    Args:
        words: the command.
        name: of the tool; from the command if empty.
        stdout: the name of the file for stdout.
        outputs: names or patterns of files that the command leaves.
        folder: where the document will be.

    Raises:
        ConfigError: it is no single command.
    """
    if not words:
        raise ConfigError("init needs a command", remedy="For example: gridcwl init -- sort --reverse names.txt")
    made = Scaffold(stdout=stdout)
    rest = _program(made, list(words), folder)
    made.name = file_stem(name) if name else made.name
    _arguments(made, rest)
    for pattern in outputs:
        folder_like = pattern.endswith("/")
        kind: Literal["File", "Directory"] = "Directory" if folder_like or Path(pattern).is_dir() else "File"
        taken = {entry.name for entry in made.outputs}
        wanted = identifier(Path(pattern.replace("*", "")).stem or "files")
        unique = next(each for each in (wanted, *(f"{wanted}_{n}" for n in range(2, 99))) if each not in taken)
        made.outputs.append(ScaffoldOutput(unique, pattern.rstrip("/"), kind))
    if not made.outputs and not made.stdout:
        made.stdout = f"{made.name}.txt"
    return made


def kind_of(value: str) -> Kind:
    """The type of a word: an existing file or folder, a number, or text."""
    if Path(value).is_dir():
        return "Directory"
    if Path(value).exists():
        return "File"
    if re.fullmatch(r"-?(0|[1-9]\d*)", value):  # 007 would become 7
        return "int"
    if re.fullmatch(r"[-+]?\d+", value):
        return "string"
    return "float" if _NUMBER.fullmatch(value) else "string"


def _program(made: Scaffold, words: list[str], folder: Path) -> list[str]:
    """The beginning of the command: program, interpreter and script, subcommand. Returns the other words."""
    program = words.pop(0)
    path = Path(program)
    made.name = file_stem(path.stem)
    if ("/" in program or not _on_path(program)) and path.is_file():
        made.base = _shebang(path)
        _script(made, program, folder)
        return words
    made.base = [program]
    if _INTERPRETERS.match(path.name):
        while words and words[0].startswith("-"):
            option = words.pop(0)
            made.base.append(option)
            if re.match(r"-\w*[cme]$", option) and words:  # python -m module, sh -c script, perl -e program
                made.base.append(words.pop(0))
                made.name = file_stem(made.base[-1]) if option == "-m" else made.name
                return words
        if words and Path(words[0]).is_file():
            made.name = file_stem(Path(words[0]).stem)
            _script(made, words.pop(0), folder)
        return words
    if len(words) > 1 and _SUBCOMMAND.match(words[0]) and not Path(words[0]).exists():
        made.base.append(words.pop(0))
    return words


def _on_path(program: str) -> bool:
    import shutil

    return shutil.which(program) is not None


def _shebang(path: Path) -> list[str]:
    """The words of the interpreter that a script names; none for a program."""
    with path.open("rb") as file:
        first = file.readline(200)
    if not first.startswith(b"#!"):
        return []
    words = shlex.split(first[2:].decode("utf-8", "replace"))
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if word != "-S"]
    return [os.path.basename(words[0]), *words[1:]] if words else []  # noqa: PTH119


def _script(made: Scaffold, path: str, folder: Path) -> None:
    """A script goes with the document, if it lies there."""
    inside = Path(path).absolute().is_relative_to(folder.absolute())
    place = os.path.relpath(path, folder) if inside else str(Path(path).absolute())
    made.inputs.append(ToolInput("script", "File", place, position=0, default=inside))


def _arguments(made: Scaffold, words: list[str]) -> None:
    while words:
        word = words.pop(0)
        if word in ("<", ">", "2>") and words:
            _redirected(made, word, words.pop(0))
        elif word in ("|", "||", "&&", ";", "&", ">>"):
            raise ConfigError(
                f"{word!r} joins several commands, and a tool is one command",
                remedy="Make one tool for each, or put them into a script: gridcwl init -- sh script.sh FILE",
            )
        elif _is_option(word):
            _option(made, word, words)
        else:
            _positional(made, word, last=not words)


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and word != "--" and not _NUMBER.fullmatch(word)


def _redirected(made: Scaffold, sign: str, value: str) -> None:
    if sign == "<":
        made.stdin = made.add(Path(value).stem, value, kind="File").name
    elif sign == ">":
        made.stdout = Path(value).name
    else:
        made.stderr = Path(value).name


def _option(made: Scaffold, word: str, words: list[str]) -> None:
    option, equals, value = word.partition("=")
    name = option.lstrip("-")
    attached = re.fullmatch(r"(-[A-Za-z])(\d+(?:\.\d+)?)", word)
    if attached:
        made.add(attached[1][1:], attached[2], prefix=attached[1], separate=False)
    elif equals:
        _valued(made, name, value, prefix=f"{option}=", separate=False)
    elif not words or _is_option(words[0]) or words[0] in ("<", ">", "2>", "|") or name in _FLAGS:
        made.add(name, "true", prefix=word, kind="boolean")
    else:
        _valued(made, name, words.pop(0), prefix=word, separate=True)


def _valued(made: Scaffold, name: str, value: str, *, prefix: str, separate: bool) -> None:
    if not _OUTPUTS.match(name):
        made.add(name, value, prefix=prefix, separate=separate)
        return
    folder = bool(_DIRECTORIES.search(name)) or value.endswith("/") or Path(value).is_dir()
    written = Path(value).name or value
    made.add_output(made.add(name, written, prefix=prefix, separate=separate, kind="string"), folder=folder)


def _positional(made: Scaffold, word: str, *, last: bool) -> None:
    kind = kind_of(word)
    if kind == "string" and last and _FILE_NAME.match(word) and "://" not in word:
        made.add_output(made.add("output", Path(word).name, kind="string"), folder=False)
        return
    names = {"File": Path(word).stem, "Directory": Path(word).name or "folder", "int": "number", "float": "number"}
    made.add(names.get(kind, "text"), word)


def identifier(text: str) -> str:
    """A text as the name of an input or output."""
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "value"
    return f"n{name}" if name[0].isdigit() else name


def file_stem(text: str) -> str:
    """A text as the name of a document's file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "tool"


# -- documents ---------------------------------------------------------------------------------------------------------


def tool_document(made: Scaffold, command: str, image: str) -> str:
    """The tool as CWL, with comments that explain it."""
    return "\n".join(_tool_lines(made, command, image)) + "\n"


def _tool_lines(made: Scaffold, command: str, image: str) -> Iterator[str]:
    yield "#!/usr/bin/env cwl-runner"
    yield f"# Made by: gridcwl init -- {command}"
    yield "# Check it with gridcwl lint; the reference is https://www.commonwl.org/v1.2/CommandLineTool.html"
    silence = "" if image else "  # gridcwl: ignore GC103 (no image: it runs where its program is installed)"
    yield f"cwlVersion: v1.2{silence}"
    yield "class: CommandLineTool"
    yield f"label: {quoted(made.name)}"
    yield ""
    yield "# A container image makes the tool run everywhere. Pin it by its digest: NAME@sha256:..."
    yield "hints:"
    if image:
        yield "  DockerRequirement:"
        yield f"    dockerPull: {quoted(image)}  # gridcwl: ignore GC101, GC102 (until it is pinned)"
    else:
        yield "#  DockerRequirement: {dockerPull: 'python:3.13-slim'}"
    yield "  # What one job needs: cores, and memory in MiB. Measure it; a site may kill a job that takes more."
    yield "  ResourceRequirement: {coresMin: 1, ramMin: 1024}"
    yield ""
    if made.base:
        yield "# The words that never vary."
        yield f"baseCommand: [{', '.join(map(quoted, made.base))}]"
        yield ""
    yield "# What varies. inputBinding puts a value into the command: in the order of the positions, behind its prefix."
    yield "# A type with ? is optional, as in int?; without a value its option is left out."
    yield "inputs:" if made.inputs else "inputs: {}"
    for entry in made.inputs:
        yield from _input_lines(entry, stdin=entry.name == made.stdin)
    if made.stdin:
        yield f"stdin: $(inputs.{made.stdin}.path)"
    yield ""
    yield "# What the command leaves in the folder where it runs. Everything else there is removed."
    yield from _output_lines(made)


def _input_lines(entry: ToolInput, *, stdin: bool) -> Iterator[str]:
    yield f"  {entry.name}:"
    yield f"    type: {entry.kind}"
    if entry.default:
        yield "    # Your own script: it goes along with this document, wherever a job runs."
        yield f"    default: {{class: File, location: {quoted(_url(entry.value))}}}"
    if stdin:
        return
    fields = [f"position: {entry.position}"]
    fields += [f"prefix: {quoted(entry.prefix)}"] if entry.prefix else []
    fields += [] if entry.separate else ["separate: false"]
    yield f"    inputBinding: {{{', '.join(fields)}}}"


def _output_lines(made: Scaffold) -> Iterator[str]:
    yield "outputs:"
    if made.stdout:
        yield f"  {'printed' if any(entry.name == 'stdout' for entry in made.outputs) else 'stdout'}:"
        yield "    type: stdout"
    for entry in made.outputs:
        yield f"  {entry.name}:"
        several = "*" in entry.glob or "?" in entry.glob
        yield f"    type: {entry.kind}{'[]' if several else ''}"
        yield f"    outputBinding: {{glob: {quoted(entry.glob)}}}"
    if made.stderr:
        yield "  messages:"
        yield "    type: stderr"
    if made.stdout:
        yield "# The name of the file that gets what the command prints."
        yield f"stdout: {quoted(made.stdout)}"
    if made.stderr:
        yield f"stderr: {quoted(made.stderr)}"


def outputs_of(made: Scaffold) -> Iterator[tuple[str, str]]:
    """The outputs with their types."""
    if made.stdout:
        yield "printed" if any(entry.name == "stdout" for entry in made.outputs) else "stdout", "File"
    for entry in made.outputs:
        yield entry.name, entry.kind + ("[]" if "*" in entry.glob or "?" in entry.glob else "")
    if made.stderr:
        yield "messages", "File"


def workflow_document(made: Scaffold, tool: str) -> str:
    """A workflow of one step that runs the tool."""
    varying = [entry for entry in made.inputs if not entry.default]
    lines = [
        "#!/usr/bin/env cwl-runner",
        "# A workflow joins tools: an output of one step is an input of the next.",
        "# The reference is https://www.commonwl.org/v1.2/Workflow.html",
        "cwlVersion: v1.2",
        "class: Workflow",
        "",
        "inputs:" if varying else "inputs: {}",
        *(f"  {entry.name}: {entry.kind}" for entry in varying),
        "",
        "steps:",
        f"  {identifier(made.name)}:",
        f"    run: {quoted(_url(tool))}",
        "    # input of the tool: input of the workflow, or STEP/OUTPUT of another step",
        "    in:" if varying else "    in: {}",
        *(f"      {entry.name}: {entry.name}" for entry in varying),
        f"    out: [{', '.join(name for name, _ in outputs_of(made))}]",
        "",
        "outputs:",
    ]
    for name, kind in outputs_of(made):
        lines += [f"  {name}:", f"    type: {kind}", f"    outputSource: {identifier(made.name)}/{name}"]
    return "\n".join(lines) + "\n"


def run_it(document: str, inputs: str) -> str:
    """The first line of an input object."""
    return f"{RUN_IT}{shlex.quote(document)} {shlex.quote(inputs)}"


def input_object(made: Scaffold, document: str, inputs: str) -> str:
    """The values of the command line, as an input object in the file ``inputs``."""
    lines = [run_it(document, inputs)]
    for entry in made.inputs:
        if entry.default:
            continue
        if entry.kind in ("File", "Directory"):
            lines += [f"{entry.name}:", f"  class: {entry.kind}", f"  location: {quoted(_url(entry.value))}"]
        else:
            lines.append(f"{entry.name}: {quoted(entry.value) if entry.kind == 'string' else _number(entry)}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "{}"]) + "\n"


def _number(entry: ToolInput) -> str:
    if entry.kind == "int":
        return str(int(entry.value))
    return repr(float(entry.value)) if entry.kind == "float" else entry.value


def _url(path: str) -> str:
    from urllib.parse import quote

    return f"file://{quote(path)}" if path.startswith("/") else quote(path)


def quoted(text: str) -> str:
    """A string as YAML takes it, also within brackets."""
    if _PLAIN.match(text) and text.lower() not in _WORDS_OF_YAML and not _NUMBER.fullmatch(text):
        return text
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)
