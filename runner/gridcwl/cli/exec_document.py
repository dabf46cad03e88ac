"""A document from a command, its input files and the files that it leaves. Pure but for looking at files."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from gridcwl import plugins
from gridcwl.cli.scaffold import file_stem, identifier
from gridcwl.errors import UsageError
from gridcwl.suggest import near_files
from gridcwl.worker.paths import dotted, file_url

_FIELD = re.compile(r"\{([A-Za-z]\w*)\}")
_NAMED = re.compile(r"([A-Za-z]\w*)=(.+)", re.DOTALL)
_PATTERN = re.compile(r"[*?\[]")
_SHELL = re.compile(r"[\s|&;<>()$`]")


@dataclass(frozen=True, slots=True)
class ExecInput:
    """An input of the command.

    Attributes:
        name: by which the command may name it: ``{name}``.
        written: the words that the user gave.
        kind: its CWL type.
        value: for the input object.
    """

    name: str
    written: tuple[str, ...]
    kind: Literal["File", "File[]", "Directory"]
    value: Any


@dataclass(frozen=True, slots=True)
class ExecOutput:
    """What the command leaves: a file, files by a pattern, or a folder."""

    name: str
    pattern: str
    kind: Literal["File", "File[]", "Directory"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What the command needs of a machine; None and empty: nothing."""

    image: str = ""
    cores: float | None = None
    ram_mib: int | None = None
    gpus: int | None = None
    time_s: int | None = None
    network: bool = False
    environment: Mapping[str, str] | None = None


def inputs_of(given: Sequence[Sequence[str]]) -> list[ExecInput]:
    """The inputs that options ``-i`` mean, one for each option.

    Raises:
        UsageError: there is no such file, or two have the same name.
    """
    made: list[ExecInput] = []
    for words in given:
        named = _NAMED.fullmatch(words[0])
        first = words[0]
        name = f"input_{len(made) + 1}" if made else "input"
        if named and not os.path.lexists(first):
            name, first = named[1], named[2]
        if name in (one.name for one in made):
            raise UsageError(f"Two inputs are called {name}", remedy="Give them names: -i NAME=FILE.")
        made.append(_input(name, (first, *words[1:])))
    return made


def _input(name: str, words: tuple[str, ...]) -> ExecInput:
    if len(words) == 1:
        word = words[0]
        if _is_of_store(word):
            return ExecInput(name, words, "File[]", [{"class": "File", "location": word}])
        if "://" in word:
            return ExecInput(name, words, "File", {"class": "File", "location": word})
        if Path(word).is_dir():
            return ExecInput(name, words, "Directory", {"class": "Directory", "location": _url(word)})
        if Path(word).exists():
            return ExecInput(name, words, "File", _file(word))
    found: list[Any] = []
    for word in words:
        matched = sorted(glob.glob(word)) if _PATTERN.search(word) and not Path(word).exists() else [word]  # noqa: PTH207
        if not matched:
            raise UsageError(f"No file matches {word}", remedy="Check the pattern that was given as -i.")
        found += [_file(one) for one in matched]
    return ExecInput(name, words, "File[]", found)


def _is_of_store(word: str) -> bool:
    if plugins.store_of_location(word):
        return True
    return not Path(word).exists() and bool(plugins.store_of_name(word))


def _file(word: str) -> dict[str, Any]:
    if _is_of_store(word) or "://" in word:
        return {"class": "File", "location": word}
    if not Path(word).is_file():
        what = "is a folder; give it alone: -i FOLDER" if Path(word).is_dir() else "does not exist"
        raise UsageError(f"The input {word} {what}", remedy=near_files(word) or "Check the path that was given as -i.")
    return {"class": "File", "location": _url(word)}


def _url(word: str) -> str:
    return file_url(str(Path(word).absolute()))


def outputs_of(patterns: Sequence[str], taken: Sequence[str]) -> list[ExecOutput]:
    """The outputs that options ``-o`` mean.

    Args:
        patterns: as written: ``out.root``, ``'out*.root'``, ``results/``, or with a name: ``maps=*.fits``.
        taken: names that are not free.

    Raises:
        UsageError: a pattern leads out of the command's folder, or two have the same name.
    """
    made: list[ExecOutput] = []
    used = set(taken)
    for word in patterns:
        named = _NAMED.fullmatch(word)
        pattern = named[2] if named else word
        if pattern.startswith("/") or dotted(Path(pattern).parts) or not pattern.strip("./"):
            raise UsageError(
                f"The output {pattern} is not in the command's own folder",
                remedy="Let the command write into its current folder, and name the file there.",
            )
        wanted = named[1] if named else identifier(re.sub(r"[^\w]+", "_", pattern).strip("_") or "output")
        if named and wanted in used:
            raise UsageError(f"Two inputs or outputs are called {wanted}", remedy="Choose another name.")
        name = next(one for one in (wanted, *(f"{wanted}_{n}" for n in range(2, 1000))) if one not in used)
        used.add(name)
        kind: Any = "Directory" if pattern.endswith("/") else "File[]" if _PATTERN.search(pattern) else "File"
        made.append(ExecOutput(name, pattern.rstrip("/"), kind))
    return made


def document(
    command: Sequence[str],
    inputs: Sequence[ExecInput],
    outputs: Sequence[ExecOutput],
    needs: Needs,
    *,
    stdout: str = "",
    stderr: str = "",
) -> dict[str, Any]:
    """The tool as CWL.

    Raises:
        UsageError: the command names an input that there is not.
    """
    words = ["sh", "-c", command[0]] if len(command) == 1 and _SHELL.search(command[0]) else list(command)
    known = {one.name: one for one in inputs}
    base: list[str] = []
    arguments: list[Any] = []
    bound: dict[str, int] = {}
    for position, word in enumerate(words, 1):
        one = next((one for one in inputs if (word,) == one.written or word == f"{{{one.name}}}"), None)
        if one is not None and one.kind == "File[]" and one.name not in bound:
            bound[one.name] = position
        elif one is None and not any(field in known for field in _FIELD.findall(word)):
            if not arguments and not bound:
                base.append(word)
            else:
                arguments.append({"position": position, "valueFrom": _escaped(word)})
        else:
            text = _with_paths(f"{{{one.name}}}" if one is not None else word, known)
            arguments.append({"position": position, "valueFrom": text})
    made: dict[str, Any] = {"cwlVersion": "v1.2", "class": "CommandLineTool", "label": shlex.join(command)}
    made["requirements"] = _requirements(inputs, needs)
    if needs.gpus:
        made["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
        made["hints"] = {"cwltool:CUDARequirement": _cuda(needs.gpus)}
    made["inputs"] = {one.name: _port(one, bound.get(one.name)) for one in inputs}
    made["baseCommand"] = base
    if arguments:
        made["arguments"] = arguments
    made["outputs"] = {one.name: {"type": one.kind, "outputBinding": {"glob": one.pattern}} for one in outputs}
    for stream, name in (("stdout", stdout), ("stderr", stderr)):
        if name:
            made[stream] = name
            made["outputs"][stream] = {"type": stream}
    return {key: value for key, value in made.items() if value != {} or key in ("inputs", "outputs")}


def _cuda(gpus: int) -> dict[str, Any]:
    return {
        "cudaVersionMin": "11.0",
        "cudaComputeCapability": "3.0",
        "cudaDeviceCountMin": gpus,
        "cudaDeviceCountMax": gpus,
    }


def _with_paths(word: str, known: Mapping[str, ExecInput]) -> str:
    parts = []
    end = 0
    for found in _FIELD.finditer(word):
        if found[1] not in known:
            continue
        if known[found[1]].kind == "File[]":
            raise UsageError(
                f"The input {found[1]} holds several files, and stands in {word}",
                remedy=f"Write it as a word of its own, once: ... {{{found[1]}}} ...; the files are also in the folder "
                "where the command runs.",
            )
        parts += [_escaped(word[end : found.start()]), f"$(inputs.{found[1]}.basename)"]
        end = found.end()
    return "".join([*parts, _escaped(word[end:])])


def _escaped(word: str) -> str:
    """A word that CWL does not take for an expression (v1.2, Expressions)."""
    if "$(" not in word and "${" not in word:
        return word
    return re.sub(r"\$(?=[({])", r"\\$", word.replace("\\", "\\\\"))


def _requirements(inputs: Sequence[ExecInput], needs: Needs) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if needs.image:
        made["DockerRequirement"] = {"dockerPull": needs.image}
    if inputs:
        made["InitialWorkDirRequirement"] = {"listing": [f"$(inputs.{one.name})" for one in inputs]}
    resources = {"coresMin": needs.cores, "ramMin": needs.ram_mib}
    if any(value is not None for value in resources.values()):
        made["ResourceRequirement"] = {key: value for key, value in resources.items() if value is not None}
    if needs.time_s:
        made["ToolTimeLimit"] = {"timelimit": needs.time_s}
    if needs.network:
        made["NetworkAccess"] = {"networkAccess": True}
    if needs.environment:
        made["EnvVarRequirement"] = {"envDef": {name: _escaped(value) for name, value in needs.environment.items()}}
    return made


def _port(one: ExecInput, position: int | None) -> dict[str, Any]:
    return {"type": one.kind} | ({} if position is None else {"inputBinding": {"position": position}})


def name_of(command: Sequence[str]) -> str:
    """What the document is called, by the program that it runs."""
    words = command[0].split() or ["command"] if len(command) == 1 else command
    scripts = [word for word in words[1:2] if re.search(r"\.(py|sh|R|pl|jl|C|rb)$", word)]
    return file_stem(Path((scripts or words)[0]).name.partition(".")[0])


def as_yaml(value: Any) -> str:
    """A document or an input object as YAML."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096  # a path is not cut
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def commented(text: str) -> Iterator[str]:
    """Lines as comments."""
    return (f"# {line}" for line in text.splitlines())
