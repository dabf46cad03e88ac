"""The expressions of a document, found and parsed when it is loaded: what is broken does not wait for its step.

Parameter references are checked here, JavaScript by one node process for the whole document. What a document lacks but
its caller may declare (InlineJavascriptRequirement) is reported, not refused: it depends on how the document is used.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from cwl_utils.sandboxjs import code_fragment_to_js, param_re
from cwltool.process import shortname
from msgspec.structs import replace
from schema_salad.sourceline import SourceLine

from gridcwl.cwl.javascript import identity, node_program, permissions
from gridcwl.cwl.messages import suggestion
from gridcwl.cwl.patches.expression_scanner import scan
from gridcwl.cwl.sources import shown_path
from gridcwl.errors import DocumentError, ExpressionError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

log = logging.getLogger("gridcwl.cwl")

_FIELDS = frozenset(
    "arguments coresMax coresMin cudaDeviceCountMax cudaDeviceCountMin enableReuse entry entryname envValue expression "  # noqa: SIM905
    "format glob listing networkAccess outdirMax outdirMin outputEval pattern position processes ramMax ramMin "
    "required secondaryFiles stderr stdin stdout timelimit tmpdirMax tmpdirMin valueFrom when".split()
)
"""The fields whose values may be expressions, https://www.commonwl.org/v1.2/ and cwltool's extensions."""
_CLOSED = frozenset(("default", "doc", "expressionLib", "hints", "label", "run", "steps"))
"""Fields below which nothing is evaluated, or that are walked on their own."""
_SYMBOLS = ("inputs", "self", "runtime")
_RUNTIME = ("outdir", "tmpdir", "cores", "ram", "outdirSize", "tmpdirSize", "exitCode", "cudaDeviceCount")
_CALLED = re.compile(r"\((inputs|runtime)(?:\.(\w+)|\['([^'\\]+)'\]|\[\"([^\"\\]+)\"\])")
_MOST = 10
_NOWHERE = "test"
"""schema-salad's name of the file that a container comes from which was made by the program (sourceline.cmap)."""
_NODE_TIME_S = 60
_CHECK = r"""
const vm = require("vm"), fs = require("fs");
const found = JSON.parse(fs.readFileSync(0, "utf8")).map(code => {
  try { new vm.Script(code, {filename: "expression"}); return null; }
  catch (error) {
    const at = /^expression:(\d+)\n.*\n( *)\^/.exec(error.stack || "");
    return {reason: String(error.message), line: at ? +at[1] : 0, column: at ? at[2].length : 0};
  }
});
process.stdout.write(JSON.stringify(found));
"""


class Lack(NamedTuple):
    """What a document uses without declaring it, though whoever runs it as a step may."""

    message: str
    remedy: str


class Problem(NamedTuple):
    """A broken expression."""

    place: str
    text: str
    remedy: str


class _Scope(msgspec.Struct, frozen=True):
    """What expressions may refer to."""

    names: tuple[str, ...] | None
    """Of the inputs; None where they are those of whoever inherits the text."""
    language: str | None
    """Where JavaScript is declared: in "requirements" or only in "hints"; None if nowhere."""
    libraries: bool = False
    """An expressionLib may define more names."""


_LIBRARY = _Scope(None, "library")


class _Where(msgspec.Struct, frozen=True):
    """A text that may hold expressions."""

    text: str
    holder: Any
    key: Any
    scope: _Scope

    def place(self, fragment: str = "") -> str:
        return place_of(self.holder, self.key, fragment)


def check_expressions(process: Process) -> tuple[Lack, ...]:
    """Parse all expressions of a document and of all that it runs.

    Returns:
        What it lacks that its caller may declare.

    Raises:
        DocumentError: some of them are broken: all are listed, each with its line.
    """
    return _checked(_all_texts(process, set()))


def check_changes(
    process: Process, overrides: Sequence[Mapping[str, Any]], requirements: Sequence[Any]
) -> tuple[Lack, ...]:
    """Parse all expressions of the overrides and of the input object's requirements, for the processes they change.

    Args:
        process: the document, loaded with them.
        overrides: resolved ``cwltool:overrides``, with the ids of processes and steps.
        requirements: ``cwl:requirements``.

    Returns, Raises:
        As :func:`check_expressions`.
    """
    parts: list[tuple[Process, Any]] = [(process, {"requirements": requirements})]
    for override in overrides:
        parts += [(one, override) for one in _changed(process, override["overrideTarget"], set())]
    return _checked(where for one, part in parts for where in _texts_of_change(one, part))


def _checked(texts: Iterable[_Where]) -> tuple[Lack, ...]:
    problems: list[Problem] = []
    lacks: dict[str, Lack] = {}
    scripts: list[tuple[_Where, str]] = []
    for where in texts:
        if where.scope is _LIBRARY:
            scripts.append((where, where.text))
        else:
            problems += _check(where, scripts, lacks)
    problems += _check_javascript(scripts)
    if problems:
        raise _error(_in_order(problems))
    return tuple(lacks.values())


def place_of(holder: Any, key: Any, fragment: str = "") -> str:
    """``file:line:column:`` of a value, or, if the file holds it as it is, of a fragment of its text."""
    written = SourceLine(holder, key).makeLead() if hasattr(holder, "lc") else ""
    match = re.fullmatch(r"(.*):(\d+):(\d+):", written)
    if match is None or match[1] == _NOWHERE:
        return ""
    file = shown_path(match[1])
    line, column = int(match[2]), int(match[3])
    if fragment:
        try:
            lines = Path(file).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            lines = []
        for number, text in enumerate(lines[line - 1 :], line):
            if fragment in text:
                line, column = number, text.index(fragment) + 1
                break
    return f"{file}:{line}:{column}:"


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By line; each once, for cwltool copies some texts: of ``stdout`` into a glob."""
    sorted_ = sorted(problems, key=lambda one: (not one.place, _numbers(one.place)))
    return list({one.text: one for one in reversed(sorted_)}.values())[::-1]


def _numbers(place: str) -> tuple[str, int, int]:
    file, line, column = place.rstrip(":").rsplit(":", 2) if place else ("", 0, 0)
    return file, int(line), int(column)


def _error(problems: Sequence[Problem]) -> DocumentError:
    if len(problems) == 1:
        (only,) = problems
        return DocumentError(f"{only.place} {only.text}".strip(), remedy=only.remedy)
    lines = [f"{one.place} {one.text}. {one.remedy}".strip() for one in problems[:_MOST]]
    lines += [f"... and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
    return DocumentError("\n".join([f"it has {len(problems)} broken expressions:", *lines]))


def _all_texts(process: Process, met: set[int]) -> Iterator[_Where]:
    """The texts of a process and of what its steps run; each process once."""
    if id(process) in met:
        return
    met.add(id(process))
    whole = process.tool
    steps = getattr(process, "steps", None)
    scope = _scope(process, tuple(shortname(parameter["id"]) for parameter in whole["inputs"]))
    for part in ("requirements", "hints"):
        for requirement in whole.get(part) or ():
            for number, library in enumerate(_libraries(requirement)):
                yield _Where(library, requirement["expressionLib"], number, _LIBRARY)
    for key, value in whole.items():
        inherited = key == "requirements" and steps is not None
        yield from _texts(value, whole, key, str(key), replace(scope, names=None) if inherited else scope)
    for step in steps or ():
        linked = tuple(shortname(parameter["id"]) for parameter in step.tool.get("in") or ())
        for key in ("in", "when", "loop"):
            names = None if key == "loop" else linked
            yield from _texts(step.tool.get(key), step.tool, key, key, replace(scope, names=names))
        key = "requirements"
        yield from _texts(step.tool.get(key), step.tool, key, key, _scope(step.embedded_tool, None))
        yield from _all_texts(step.embedded_tool, met)


def _changed(process: Process, target: str, met: set[int]) -> Iterator[Process]:
    """The processes that an override is for: by their own id, or by that of the step that runs them."""
    if process.tool.get("id") == target and id(process) not in met:
        met.add(id(process))
        yield process
    for step in getattr(process, "steps", ()):
        if step.id == target:
            yield step.embedded_tool
        elif id(step.embedded_tool) not in met:
            yield from _changed(step.embedded_tool, target, met)


def _texts_of_change(process: Process, part: Any) -> Iterator[_Where]:
    inherited = getattr(process, "steps", None) is not None
    names = None if inherited else tuple(shortname(parameter["id"]) for parameter in process.tool["inputs"])
    for requirement in part.get("requirements") or ():
        for number, library in enumerate(_libraries(requirement)):
            yield _Where(library, requirement["expressionLib"], number, _LIBRARY)
    yield from _texts(part.get("requirements"), part, "requirements", "requirements", _scope(process, names))


def _scope(process: Process, names: tuple[str, ...] | None) -> _Scope:
    for language, declared in (("requirements", process.requirements), ("hints", process.hints)):
        for one in declared:
            if one.get("class") == "InlineJavascriptRequirement":
                return _Scope(names, language, bool(_libraries(one)))
    return _Scope(names, None)


def _libraries(requirement: Any) -> list[str]:
    if not isinstance(requirement, dict) or requirement.get("class") != "InlineJavascriptRequirement":
        return []
    written = requirement.get("expressionLib")
    return [text for text in written if isinstance(text, str)] if isinstance(written, list) else []


def _texts(value: Any, holder: Any, key: Any, field: str, scope: _Scope) -> Iterator[_Where]:
    """The texts within a value that may hold expressions; ``field`` is the nearest name above a list."""
    if field in _CLOSED:
        return
    if isinstance(value, str):
        if field in _FIELDS and ("$(" in value or "${" in value):
            yield _Where(value, holder, key, scope)
    elif isinstance(value, dict):
        for inner, part in value.items():
            yield from _texts(part, value, inner, str(inner), scope)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _texts(part, value, number, field, scope)


def _check(where: _Where, scripts: list[tuple[_Where, str]], lacks: dict[str, Lack]) -> Iterator[Problem]:
    text = where.text
    while True:
        try:
            found = scan(text)
        except ExpressionError as error:
            start = min(index for index in (text.find("$("), text.find("${")) if index >= 0)
            yield Problem(where.place(_first_line(text[start:])), error.message, error.remedy)
            return
        if found is None:
            return
        if text[found[0]] == "$":
            expression = text[found[0] : found[1]]
            yield from _check_one(where, expression, scripts, lacks)
        text = text[found[1] :]


def _check_one(
    where: _Where, expression: str, scripts: list[tuple[_Where, str]], lacks: dict[str, Lack]
) -> Iterator[Problem]:
    reference = param_re.match(expression[1:])
    if reference is not None:
        problem = _wrong_name(where, expression, reference[1])
        if problem is not None:
            yield problem
            return
        if reference[1] in (*_SYMBOLS, "null"):
            return
    if where.scope.language == "requirements":
        if reference is not None and not where.scope.libraries and did_you_mean(reference[1], _SYMBOLS):
            yield _wrong_symbol(where, expression, reference[1])
        else:
            scripts.append((where, expression[1:]))
        return
    if reference is not None:
        yield _wrong_symbol(where, expression, reference[1])
        return
    place = where.place(_first_line(expression))
    remedy = "Add 'InlineJavascriptRequirement: {}' to its requirements."
    if where.scope.language == "hints":
        remedy = "Move InlineJavascriptRequirement from hints to requirements."
    lacks.setdefault(
        place, Lack(f"{place} {_short(expression)} is JavaScript, but InlineJavascriptRequirement is missing", remedy)
    )


def _wrong_symbol(where: _Where, expression: str, symbol: str) -> Problem:
    remedy = suggestion(symbol, _SYMBOLS, "A parameter reference begins with")
    return Problem(
        where.place(_first_line(expression)), f"{_short(expression)} refers to '{symbol}', which does not exist", remedy
    )


def _wrong_name(where: _Where, expression: str, symbol: str) -> Problem | None:
    """A parameter reference to an input or a part of ``runtime`` that does not exist."""
    match = _CALLED.match(expression[1:])
    if match is None or (symbol == "inputs" and where.scope.names is None):
        return None
    name = match[2] or match[3] or match[4]
    known = _RUNTIME if symbol == "runtime" else where.scope.names or ()
    if name in known:
        return None
    what = f"an input '{name}'" if symbol == "inputs" else f"'{name}' in runtime"
    listed = suggestion(name, known, "The inputs are" if symbol == "inputs" else "runtime has")
    return Problem(
        where.place(_first_line(expression)),
        f"{_short(expression)} refers to {what}, which does not exist",
        listed or "There are no inputs here.",
    )


def _check_javascript(scripts: Sequence[tuple[_Where, str]]) -> Iterator[Problem]:
    program = node_program() if scripts else None
    if program is None:
        return
    codes = [
        f'"use strict";\n{text}' if where.scope is _LIBRARY else code_fragment_to_js(text) for where, text in scripts
    ]
    unique = list(dict.fromkeys(codes))
    try:
        done = subprocess.run(
            [program, *permissions(program), "--eval", _CHECK],
            env={},
            cwd="/",
            **identity(),
            input=json.dumps(unique),
            capture_output=True,
            text=True,
            timeout=_NODE_TIME_S,
            check=True,
        )
        answers = dict(zip(unique, json.loads(done.stdout), strict=True))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.debug("node could not check the expressions: %s", error)
        return
    for (where, text), code in zip(scripts, codes, strict=True):
        answer = answers[code]
        if answer is not None:
            yield _javascript_problem(where, text, code, answer)


def _javascript_problem(where: _Where, text: str, code: str, answer: dict[str, Any]) -> Problem:
    lines = code.splitlines()
    number = answer["line"]
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    written = next((one.strip() for one in text.splitlines() if one.strip() and one.strip() in line), "")
    what = "the expressionLib" if where.scope is _LIBRARY else f"the expression ${_short(text)}"
    at = f" (at: {_short(written)})" if "\n" in text.strip() and written else ""
    return Problem(
        where.place(written), f"{what} is not valid JavaScript: {answer['reason']}{at}", "Correct the expression."
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}..."
