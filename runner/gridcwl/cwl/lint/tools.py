"""Rules for command-line tools, expression tools and operations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from gridcwl.cwl.lint.checking import Linter, LintScope
from gridcwl.cwl.lint.source import Source, entries, texts

_PARAMETER = r"(?:inputs|self|runtime)(?:\.\w+|\['[^']*'\]|\[\"[^\"]*\"\]|\[\d+\])*"
_PARAMETER_REFERENCE = re.compile(rf"\$\({_PARAMETER}\)")
_READS = re.compile(r"\binputs\s*(?:\.\s*(\w+)|\[\s*'([^']+)'\s*\]|\[\s*\"([^\"]+)\"\s*\])")
_READS_ALL = re.compile(r"\binputs\b(?!\s*[.\[])|\binputs\s*\[\s*[^'\"\s]")
_HOST_PATH = re.compile(
    r"(?<![\w$)}./:~-])(/(?:home|Users|root|data|mnt|media|scratch|work|srv|nfs|afs|eos|lustre|gpfs|private)/[^\s'\"]*)"
)
_ABSOLUTE = re.compile(r"(?<![\w$)}./:~-])(/(?!dev/|proc/|bin/|usr/|etc/|tmp\b|gridcwl/)[A-Za-z][^\s'\":]*/[^\s'\":]+)")
_UNEXPANDED = re.compile(r"\$(?:HOME|USER|PWD|TMPDIR|LOGNAME|HOSTNAME|[A-Z][A-Z0-9_]{2,})\b|\$\{[A-Z_][A-Z0-9_]*\}|^~/")
_SHELL_WORDS = {"|", "||", "&&", ";", ">", ">>", "<", "<<", "2>", "2>&1", "&>", "&"}
_GLOBBED = re.compile(r"^[^$(){}\s]*\*\.[\w.]+$")
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "csh")
_DOWNLOADERS = ("curl", "wget", "git", "pip", "pip3", "conda", "aria2c", "scp", "rsync", "ftp")
_TAKE_PATTERNS = (["find"], ["tar"], ["grep"], ["rsync"], ["zip"], ["unzip"], ["git"])
_RUNNERS_OWN = ("HOME", "TMPDIR", "TMP", "TEMP", "PATH", "PWD", "USER", "SHELL", "LD_LIBRARY_PATH", "LD_PRELOAD")
_PRIMITIVE = {"null", "boolean", "int", "long", "float", "double", "string", "File", "Directory", "Any", "stdin"}
_NUMBERS = ("int", "long", "float", "double", "boolean")
_VERSION = re.compile(r":[^/]+$")


def check(linter: Linter, scope: LintScope) -> None:
    """Apply the rules for tools."""
    _defaults(linter, scope)
    _listings(linter, scope)
    _unused_inputs(linter, scope)
    _javascript(linter, scope)
    if scope.node.get("class") != "CommandLineTool":
        return
    _image(linter, scope)
    _resources(linter, scope)
    _words(linter, scope)
    _environment(linter, scope)
    _streams(linter, scope)


# -- where it runs -----------------------------------------------------------------------------------------------------


def _image(linter: Linter, scope: LintScope) -> None:
    docker = scope.given.get("DockerRequirement")
    if docker is None:
        linter.add("GC103", f"{scope.name} names no container image", scope.source, scope.node)
        return
    own = docker.source, docker.node, "dockerPull"
    for field in ("dockerFile", "dockerLoad", "dockerImport"):
        if field in docker.node:
            linter.add("GC104", f"{scope.name} uses {field}", docker.source, docker.node, field)
    pull = docker.node.get("dockerPull")
    if not isinstance(pull, str) or "$(" in pull or "@sha256:" in pull:
        return
    if not _VERSION.search(pull) or pull.endswith(":latest"):
        linter.add("GC101", f"the image {pull} has no fixed version", *own)
    else:
        linter.add("GC102", f"the image {pull} is not pinned by a digest", *own)


def _resources(linter: Linter, scope: LintScope) -> None:
    wanted = scope.given.get("ResourceRequirement")
    fields: Mapping[str, Any] = wanted.node if wanted is not None else {}
    where: tuple[Source, Any, Any] = (
        (wanted.source, wanted.owner, wanted.key) if wanted is not None else (scope.source, scope.node, None)
    )
    for code, name in (("GC140", "ram"), ("GC141", "cores")):
        if f"{name}Min" not in fields and f"{name}Max" not in fields:
            linter.add(code, f"{scope.name} does not say its {name}Min", *where)


def _environment(linter: Linter, scope: LintScope) -> None:
    given = scope.own.get("EnvVarRequirement")
    for name, entry, owner, key in entries((given.node if given else {}).get("envDef"), "envName"):
        assert given is not None
        if name in _RUNNERS_OWN:
            linter.add("GC124", f"{scope.name} sets {name}", given.source, owner, key)
        value = entry.get("envValue") if isinstance(entry, Mapping) else entry
        if isinstance(value, str) and _UNEXPANDED.search(_without_expressions(value)):
            linter.add("GC123", f"{name} is set to {value!r} as it stands", given.source, owner, key)


# -- the command -------------------------------------------------------------------------------------------------------


def command_words(node: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """The literal words of a command: word, its argument if it has one, and what to look its line up with."""
    base = node.get("baseCommand")
    if isinstance(base, str):
        yield base, None, node, "baseCommand"
    elif isinstance(base, Sequence):
        yield from ((str(word), None, base, number) for number, word in enumerate(base))
    arguments = node.get("arguments")
    for number, argument in enumerate(arguments if isinstance(arguments, Sequence) else ()):
        if isinstance(argument, str):
            yield argument, None, arguments, number
        elif isinstance(argument, Mapping):
            for key in ("prefix", "valueFrom"):
                if isinstance(argument.get(key), str):
                    yield argument[key], argument, argument, key
    for _, entry, _, _ in entries(node.get("inputs")):
        binding = entry.get("inputBinding") if isinstance(entry, Mapping) else None
        for key in ("prefix", "valueFrom"):
            if isinstance(binding, Mapping) and isinstance(binding.get(key), str):
                yield binding[key], binding, binding, key


def _words(linter: Linter, scope: LintScope) -> None:
    shell = "ShellCommandRequirement" in scope.given
    words = list(command_words(scope.node))
    leading = [word.rpartition("/")[2] for word, argument, _, _ in words if argument is None]
    script = (
        len(leading) > 1
        and leading[0] in _SHELLS
        and any(word.startswith("-") and "c" in word for word in leading[1:3])
    )
    interpreted = script or (bool(leading) and leading[0] in ("python", "python3", "perl", "node", "Rscript", "awk"))
    unquoted = False
    for word, argument, owner, key in words:
        where = scope.source, owner, key
        plain = _without_expressions(word)
        free = isinstance(argument, Mapping) and argument.get("shellQuote") is False
        unquoted = unquoted or free
        for path in [*_HOST_PATH.findall(plain), *(() if _has_image(scope) else _ABSOLUTE.findall(plain))]:
            linter.add("GC120", f"{scope.name} uses the path {path}", *where)
        in_shell = (shell and free) or interpreted
        if not in_shell and (_UNEXPANDED.search(plain)):
            linter.add("GC123", f"{word!r} reaches the program as it stands", *where)
        pattern = _GLOBBED.match(plain) and leading[:1] not in _TAKE_PATTERNS
        if not in_shell and key != "prefix" and (plain.strip() in _SHELL_WORDS or pattern):
            linter.add("GC304", f"{word!r} reaches the program as a plain word", *where)
        if shell and free and "inputs" in word and "$(" in word:
            linter.add("GC301", f"{word!r} is put into the shell command unquoted", *where)
        if script and not shell and " " in word and re.search(r"\$\(\s*inputs\b", word):
            linter.add("GC303", "the script has the value of an input in it", *where)
    _unquoted_inputs(linter, scope, shell=shell)
    given = scope.own.get("ShellCommandRequirement")
    if given is not None and not unquoted and not _some_unquoted(scope.node):
        linter.add("GC302", f"{scope.name} has no word that is shell syntax", given.source, given.owner, given.key)
    if leading and leading[0] in _DOWNLOADERS and _has_image(scope) and "NetworkAccess" not in scope.given:
        linter.add("GC111", f"{scope.name} runs {leading[0]}", scope.source, scope.node, "baseCommand")


def _unquoted_inputs(linter: Linter, scope: LintScope, *, shell: bool) -> None:
    for name, entry, _, _ in entries(scope.node.get("inputs")):
        binding = entry.get("inputBinding") if isinstance(entry, Mapping) else None
        harmless = isinstance(entry, Mapping) and str(entry.get("type")).rstrip("?") in (
            "int",
            "long",
            "float",
            "double",
        )
        if shell and isinstance(binding, Mapping) and binding.get("shellQuote") is False and not harmless:
            linter.add(
                "GC301", f"the input {name} is put into the command unquoted", scope.source, binding, "shellQuote"
            )


def _some_unquoted(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("shellQuote") is False or any(map(_some_unquoted, value.values()))
    return isinstance(value, Sequence) and not isinstance(value, str) and any(map(_some_unquoted, value))


def _has_image(scope: LintScope) -> bool:
    return "DockerRequirement" in scope.given


def _without_expressions(text: str) -> str:
    """The text without parameter references and JavaScript, whose dollars are not the shell's."""
    text = _PARAMETER_REFERENCE.sub(")", text)
    return re.sub(r"\$\([^)]*\)|\$\{[\s\S]*return[\s\S]*\}", ")", text)


# -- inputs and outputs ------------------------------------------------------------------------------------------------


def _defaults(linter: Linter, scope: LintScope) -> None:
    for name, entry, _, _ in entries(scope.node.get("inputs")):
        default = entry.get("default") if isinstance(entry, Mapping) else None
        check_default(linter, scope.source, name, default)


def check_default(linter: Linter, source: Source, name: str, default: Any) -> None:
    """The rules for Files in a default value."""
    if isinstance(default, Sequence) and not isinstance(default, str):
        for item in default:
            check_default(linter, source, name, item)
    if not isinstance(default, Mapping) or default.get("class") not in ("File", "Directory"):
        return
    for key in ("location", "path"):
        place = default.get(key)
        if not isinstance(place, str) or "$(" in place:
            continue
        if place.startswith(("/", "file:")):
            linter.add("GC121", f"the default of {name} is {place}", source, default, key)
        elif "://" not in place and not (source.path.parent / unquote(place)).exists():
            linter.add("GC122", f"the default of {name}, {place}, does not exist", source, default, key)


def _listings(linter: Linter, scope: LintScope) -> None:
    for name, entry, _, _ in entries(scope.node.get("inputs")):
        places = [entry, entry.get("inputBinding")] if isinstance(entry, Mapping) else []
        for place in places:
            if isinstance(place, Mapping) and place.get("loadListing") == "deep_listing":
                linter.add("GC131", f"{name} is listed to its depth", scope.source, place, "loadListing")


def reads(value: Any, source: Source) -> tuple[set[str], bool]:
    """The inputs that expressions below a value read by name, and whether one reads them in another way."""
    names: set[str] = set()
    everything = False
    for text, _, _ in texts(value, source):
        if "inputs" in text:
            names |= {next(filter(None, found)) for found in _READS.findall(text)}
            everything = everything or any(
                _READS_ALL.search(part) for part in re.findall(r"\$\([^)]*\)|\$\{[\s\S]*\}", text)
            )
    return names, everything


def _unused_inputs(linter: Linter, scope: LintScope) -> None:
    names, everything = reads(scope.node, scope.source)
    for given in scope.given.values():  # what is inherited may read inputs, too
        more, all_of_them = reads(given.node, given.source) if isinstance(given.node, Mapping) else (set(), False)
        names, everything = names | more, everything or all_of_them
    if everything or scope.node.get("class") == "Operation":
        return
    for name, entry, owner, key in entries(scope.node.get("inputs")):
        if name not in names and not _is_bound(entry):
            linter.add("GC201", f"{scope.name} does not use its input {name}", scope.source, owner, key)


def _is_bound(entry: Any) -> bool:
    """Whether an input goes to the command line, perhaps by a type that is defined elsewhere."""
    if isinstance(entry, str):
        return not _is_plain(entry) or entry == "stdin"
    if isinstance(entry, Mapping):
        if "inputBinding" in entry or "$import" in entry:
            return True
        return any(_is_bound(entry[key]) for key in ("type", "items", "fields") if key in entry) or _fields(entry)
    if isinstance(entry, Sequence):
        return any(map(_is_bound, entry))
    return False


def _fields(entry: Mapping[str, Any]) -> bool:
    fields = entry.get("fields")
    return isinstance(fields, Mapping) and any(map(_is_bound, fields.values()))


def _is_plain(kind: str) -> bool:
    return kind.rstrip("?[]") in _PRIMITIVE or kind in ("array", "record", "enum")


def constant_name(port: Any, node: Mapping[str, Any]) -> str | None:
    """The one file name that an output always has; None if it varies or there may be several."""
    kind = port if isinstance(port, str) else port.get("type") if isinstance(port, Mapping) else None
    if kind in ("stdout", "stderr"):
        name = node.get(kind)
        return name if isinstance(name, str) and not re.search(r"[$*?\[]", name) else None
    binding = port.get("outputBinding") if isinstance(port, Mapping) else None
    glob = binding.get("glob") if isinstance(binding, Mapping) else None
    if isinstance(glob, list) and len(glob) == 1:
        glob = glob[0]
    return glob if isinstance(glob, str) and not re.search(r"[$*?\[]", glob) and glob not in (".", "") else None


def _streams(linter: Linter, scope: LintScope) -> None:
    node = scope.node
    if node.get("stdout") and node.get("stdout") == node.get("stderr"):
        linter.add("GC412", f"{scope.name} writes both to {node['stdout']}", scope.source, node, "stderr")
    for name, entry, owner, key in entries(node.get("outputs")):
        kind = entry if isinstance(entry, str) else entry.get("type") if isinstance(entry, Mapping) else None
        if kind in ("stdout", "stderr") and kind not in node:
            linter.add("GC413", f"the file of {name} gets a random name", scope.source, owner, key)


def _javascript(linter: Linter, scope: LintScope) -> None:
    given = scope.own.get("InlineJavascriptRequirement")
    if given is None or given.node.get("expressionLib") or scope.node.get("class") == "ExpressionTool":
        return
    if not has_javascript(scope.node, scope.source):
        linter.add("GC404", f"{scope.name} has no JavaScript", given.source, given.owner, given.key)


def has_javascript(value: Any, source: Source) -> bool:
    """Whether an expression below this is more than parameter references."""
    return any("$(" in _PARAMETER_REFERENCE.sub("", text) or "${" in text for text, _, _ in texts(value, source))
