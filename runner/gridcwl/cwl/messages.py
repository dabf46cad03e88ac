"""Messages of cwltool and schema-salad, in sentences for people. Nothing here reads a document."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gridcwl.cwl.sources import SPACE, with_paths
from gridcwl.cwl.yaml_messages import POSITION as _POSITION
from gridcwl.cwl.yaml_messages import YAML_RULES, Explanation
from gridcwl.suggest import did_you_mean, near

REQUIREMENTS = (
    "DockerRequirement",
    "EnvVarRequirement",
    "InitialWorkDirRequirement",
    "InlineJavascriptRequirement",
    "InplaceUpdateRequirement",
    "LoadListingRequirement",
    "MultipleInputFeatureRequirement",
    "NetworkAccess",
    "ResourceRequirement",
    "ScatterFeatureRequirement",
    "SchemaDefRequirement",
    "ShellCommandRequirement",
    "SoftwareRequirement",
    "StepInputExpressionRequirement",
    "SubworkflowFeatureRequirement",
    "ToolTimeLimit",
    "WorkReuse",
)
CLASSES = ("CommandLineTool", "ExpressionTool", "Operation", "Workflow")


_LISTED = 12
_REQUIREMENT = re.compile(r"(?:Feature)?_?Req\w*$")
_FILE_URI = re.compile(r"file://(?=/)")
_NOISE = re.compile(r"\(\d{6,}\) |\[Errno \d+\] ")
_WRAPPING = re.compile(r"^\s*\(/.*\) Validation error in (?:field|position) \S+:$")
_PYTHON = (
    (re.compile(r"is a NoneType\b"), "is empty"),
    (re.compile(r"\bvalue None\b"), "empty value"),
    (re.compile(r"\b(?:a |an )?(?:CommentedMap|dict)\b"), "a mapping"),
    (re.compile(r"\b(?:a |an )?CommentedSeq\b"), "a list"),
    (re.compile(r"\b(?:a |an )?(?:DoubleQuoted|SingleQuoted|Literal|Folded)ScalarString\b"), "a text"),
    (re.compile(r"\b(?:Command)?(?:Input|Output)(Record|Enum|Array)Schema\b( object)?"), r"\1 type"),
    (re.compile(r"org\.w3id\.cwl\.cwl\.(\w+)"), r"\1"),
)
"""Names of Python's and schema-salad's types, and what they mean to whoever wrote the document."""
_PLACE = re.compile(r"\S+:\d+:\d+: ?")
_FILE_OBJECT = r"(?P<file>\{[\s\S]*\})"
_LOCATION = re.compile(r'"(?:location|path)": "([^"]+)"')


def tidy(error: BaseException | str) -> str:
    """The message without empty lines, a position once and not on each line, and paths instead of ``file://`` URLs."""
    return for_people(for_patterns(error))


def for_people(text: str) -> str:
    """A text of :func:`for_patterns`, or a part of it, as it is shown."""
    return text.replace(SPACE, " ")


def for_patterns(error: BaseException | str) -> str:
    """As :func:`tidy`, with paths that have no white space in them, to be matched against patterns."""
    text = _NOISE.sub("", _FILE_URI.sub("", with_paths(str(error), SPACE)))
    lines: list[str] = []
    last = None
    for line in text.splitlines():
        place = _PLACE.match(line)
        if place and place[0].rstrip() == last:
            line = " " * 4 + line[place.end() :]  # noqa: PLW2901
        last = place[0].rstrip() if place else last
        if line.strip() and not _WRAPPING.match(line):
            lines.append(line.rstrip())
    return "\n".join(lines).lstrip() or type(error).__name__  # SourceLine leaves a blank where there is no file


def without_types(text: str) -> str:
    """A message that nobody explains, without the names of Python's and schema-salad's types."""
    for pattern, words in _PYTHON:
        text = pattern.sub(words, text)
    return text


def explained(text: str) -> Explanation | None:
    """One of the messages that are common and hard to read, put plainly; None for all others.

    Args:
        text: as :func:`for_patterns` gives it.
    """
    for pattern, explain in _rules():
        found = pattern.search(text)
        if found:
            message, remedy, unsupported = explain(found)
            return Explanation(for_people(message), for_people(remedy), unsupported)
    return None


def leading_place(text: str) -> str:
    """The ``file:line:column:`` that the text begins with, or nothing."""
    place = _PLACE.match(text)
    return place[0] if place else ""


def suggestion(word: str, known: Iterable[str], what: str = "Known are") -> str:
    """``Did you mean X?``; where no word is close, the words that are known, after ``what``."""
    words = list(dict.fromkeys(known))
    listed = f"{', '.join(words[:_LISTED])}{f' and {len(words) - _LISTED} more' if len(words) > _LISTED else ''}"
    return did_you_mean(word, words) or (f"{what} {listed}." if words else "")


def known_requirement(name: str) -> str:
    """``Did you mean XRequirement?``, or nothing; what all names have in common makes none of them closer."""
    stems = {_REQUIREMENT.sub("", one): one for one in REQUIREMENTS}
    close = near(_REQUIREMENT.sub("", name), stems, most=1)
    return f"Did you mean {stems[close[0]]}?" if close and stems[close[0]] != name else ""


def bare_name(reference: str) -> str:
    """The name in a reference that schema-salad took for a file or a URL beside the document."""
    return reference.rpartition("/")[2].rpartition("#")[2] if reference.startswith("/") else reference


def _requirement(found: re.Match[str]) -> Explanation:
    name = bare_name(found["name"])
    remedy = known_requirement(name) or "Put it under 'hints' if the document can do without it."
    return Explanation(f"{found['place']} the requirement {name} is not supported", remedy, unsupported=True)


def _class(found: re.Match[str]) -> Explanation:
    name = bare_name(found["name"])
    remedy = suggestion(name, CLASSES)
    return Explanation(f"{found['place']} there is no class {name}", remedy)


def _source(found: re.Match[str]) -> Explanation:
    port = found["object"].rpartition("#")[2]
    return Explanation(
        f"{found['place']} {port} is linked to '{found['name']}', which does not exist",
        "A source is an input of the workflow, or STEP/OUTPUT.",
    )


def _run(found: re.Match[str]) -> Explanation:
    return Explanation(f"{found['place']} the step runs {found['name']}, which does not exist", "Check its path.")


def _version(found: re.Match[str]) -> Explanation:
    versions = re.findall(r"^ ?(v[\d.]+)$", found["versions"], re.M)
    return Explanation(
        f"its cwlVersion is not one of {', '.join(versions)}",
        "Change cwlVersion; documents older than v1.0 are brought up to date by cwl-upgrader.",
        unsupported=True,
    )


def _no_version(_found: re.Match[str]) -> Explanation:
    return Explanation("it has no cwlVersion", "If it is CWL, begin it with 'cwlVersion: v1.2'.")


def _version_number(found: re.Match[str]) -> Explanation:
    return Explanation(f"{found['place']} its cwlVersion is not a text", "Write 'cwlVersion: v1.2'.")


def _cycle(found: re.Match[str]) -> Explanation:
    steps = sorted(name.rpartition("#")[2] for name in re.findall(r"'([^']+)'", found["steps"]))  # cwltool shuffles
    return Explanation(
        f"the steps {', '.join(steps)} wait for each other", "Take one of the links between them out of the circle."
    )


def _secondary(found: re.Match[str]) -> Explanation:
    main = _located(found["file"])
    remedy = "Put it beside that file, or name it in the input object's secondaryFiles."
    if main.startswith("/") and Path(main).with_name(found["name"]).exists():  # then nobody asked for it to come along
        remedy = (
            "It is there, but did not come along: declare the secondaryFiles also at the workflow's input, "
            "or at the output of the step that made the file."
        )
    return Explanation(
        f"{found['place'] or ''} the secondary file {found['name']} of {main} is missing".lstrip(), remedy
    )


def _format(found: re.Match[str]) -> Explanation:
    written = re.search(r'"format": "([^"]+)"', found["file"])
    has = f"the format '{written[1]}'" if "incompatible" in found["how"] and written else "none"
    return Explanation(
        f"the input {found['name']} has to be a file of the format {_as_written(found['format'].strip())}; "
        f"{_located(found['file'])} has {has}",
        "Give the File the right format, in the input object or in the output of the step that makes it.",
    )


def _as_written(format_: str) -> str:
    """A format without the path of the document, which one of an undeclared prefix has."""
    return re.sub(r"'(?:file://)?/[^'#]*#", "'", format_)


def _located(file_object: str) -> str:
    found = _LOCATION.search(file_object)
    return found[1] if found else "the file"


def _not_file(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} the input {found['name']} has to be a File or Directory object",
        f"Write '{found['name']}: {{class: File, path: ...}}'.",
    )


def _mismatch(found: re.Match[str]) -> Explanation:
    """One or more links whose types do not fit, in the order of their lines."""
    links = sorted(
        (_Link(**match.groupdict()) for match in _LINK.finditer(found.string)), key=lambda link: _line_of(link.at)
    )
    sinks = list(dict.fromkeys((link.at, link.sink) for link in links))
    lines = []
    for at, sink in sinks:
        lines.append(_mismatched(at, sink, [link for link in links if (link.at, link.sink) == (at, sink)]))
    if len(lines) == 1:
        return Explanation(*lines[0])
    return Explanation("\n".join([f"{len(lines)} links do not fit:", *(f"{text}. {hint}" for text, hint in lines)]), "")


def _mismatched(at: str, sink: str, links: list[_Link]) -> tuple[str, str]:
    wanted, given = type_in_words(links[0].sink_type), type_in_words(links[0].type)
    if links[0].merge and len(links) > 1:
        names = " and ".join(f"'{link.source}'" for link in links)
        return (
            f"{at} '{sink}' takes {wanted}, but it has several sources, {names}, which are put into an array",
            "Let the step scatter over it or take an array, choose one source with pickValue, "
            "or join arrays with 'linkMerge: merge_flattened'.",
        )
    sources = " and ".join(f"'{link.source}' ({link.source_at.rstrip(':').rsplit(':', 2)[1]})" for link in links)
    text = f"{at} '{sink}' takes {wanted}, but its source {sources.replace('(', '(line ')} is {given}"
    if given == f"{wanted}[]":
        return text, f"Scatter the step over '{sink}', or take one element with valueFrom: $(self[0])."
    if wanted == f"{given}[]":
        return (
            text,
            f"Write 'source: [{links[0].source}]' to make it a list, or do not scatter over it.",
        )
    if given == f"{wanted}?":
        return text, "Give it a default, or choose a value with pickValue."
    return text, "Correct one of the types, or convert the value with valueFrom."


def type_in_words(written: str) -> str:
    """A type as JSON, as it is written in a document: ``string[]``, ``File?``."""
    try:
        return _type_in_words(json.loads(written))
    except ValueError:
        return written.strip()


def _type_in_words(kind: object) -> str:
    if isinstance(kind, str):
        return kind.rpartition("#")[2].rpartition("/")[2] if "://" in kind else kind
    if isinstance(kind, list):
        return _union([_type_in_words(one) for one in kind if one != "null"], optional="null" in kind)
    if not isinstance(kind, dict):
        return "another type"
    if kind.get("type") == "array":
        inner = _type_in_words(kind.get("items"))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    return "an enum" if kind.get("type") == "enum" else str(kind.get("type", "another type"))


def _union(kinds: list[str], *, optional: bool) -> str:
    if len(kinds) == 1:
        return f"{kinds[0]}?" if optional else kinds[0]
    return " or ".join([*kinds, *(["nothing"] if optional else [])])


class _Link(NamedTuple):
    source_at: str
    source: str
    type: str
    at: str
    sink: str
    sink_type: str
    merge: str | None


def _line_of(place: str) -> tuple[int, ...]:
    return tuple(int(number) for number in place.rstrip(":").rsplit(":", 2)[1:] if number.isdigit())


_LINK = re.compile(
    r"(?P<source_at>\S+:\d+:\d+:)\s+Source '(?P<source>[^']+)' of type (?P<type>.+?) is incompatible\s+"
    r"(?P<at>\S+:\d+:\d+:)\s+with sink '(?P<sink>[^']+)' of type "
    r"(?P<sink_type>(?:\"[^\"]*\"|[\[{][\s\S]*?[\]}](?=\n|$)))"
    r"(?:\s+source has linkMerge method (?P<merge>\w+))?"
)


def _several(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} the output '{found['name']}' is a single file, but its glob matches several",
        "Make the glob match one, or the type an array: File[].",
    )


def _not_there(found: re.Match[str]) -> Explanation:
    globs = ", ".join(re.findall(r"'([^']*)'", found["globs"])) or found["globs"]
    return Explanation(
        f"{found['place']} {NOT_THERE} '{found['name']}' matches its glob {globs}",
        "",
    )


NOT_THERE = "no file of the output"
SEVERAL = "its glob matches several"


def _loaded(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} {found['name']} is larger than the 64 KiB that loadContents reads",
        "Read the file in the tool instead, or give a smaller one.",
    )


def _no_output_object(_found: re.Match[str]) -> Explanation:
    return Explanation(
        "its cwl.output.json holds no object", 'Let the tool write one value for each output: {"OUTPUT": VALUE}.'
    )


def _named_output_missing(found: re.Match[str]) -> Explanation:
    missing = f"the {found['class']} {found['path'].removeprefix('/gridcwl/out/')}"
    return Explanation(
        f"its output object (cwl.output.json, or an outputEval) names {missing}, which the tool did not make",
        "Let the tool write it into its output directory, and its path relative to that directory.",
    )


def _property(found: re.Match[str]) -> Explanation:
    return Explanation(f"$({found['reference']}): there is no '{found['key']}' in it", "Check the name.")


def _env(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} the value of an environment variable is {found['value']}, which is not a text",
        "Make it one: $(String(...)), or a text around the expression.",
    )


def _source_missing(found: re.Match[str]) -> Explanation:
    name = found["name"].rpartition("#")[2]
    return Explanation(
        f"{found['place']} the source '{name}' does not exist",
        f"A source is an input of the workflow, or STEP/OUTPUT; of a step write '{name}/OUTPUT'.",
    )


def _import(found: re.Match[str]) -> Explanation:
    return Explanation(f"{found['name']} does not exist", "Check the path of the $import or $include.")


def _graph(found: re.Match[str]) -> Explanation:
    names = re.findall(r"#([^,\s]+)", found["names"])
    return Explanation(
        f"its $graph holds several processes, {', '.join(names)}, and none is called main",
        f"Name one of them: FILE#{names[0]}." if names else "",
    )


def _no_mapping(found: re.Match[str]) -> Explanation:
    name = found["name"]
    remedy = f"Write '{name}: {{}}'." if _REQUIREMENT_CLASS.search(name) else "Give it a type."
    return Explanation(f"{found['place'] or ''} '{name}' has no value".lstrip(), remedy)


def _list_of_old_version(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} the 'entry' in InitialWorkDirRequirement gives a list, which it may not before CWL v1.2",
        "Change cwlVersion to v1.2.",
    )


_REQUIREMENT_CLASS = re.compile(r"^[A-Z]\w*(?:Requirement|Access|Reuse|Limit|Update)$")


def _dirent(found: re.Match[str]) -> Explanation:
    value = found["value"]
    with contextlib.suppress(ValueError, SyntaxError):
        value = json.dumps(ast.literal_eval(value))
    return Explanation(
        f"{found['place']} the 'entry' {found['entry']} in InitialWorkDirRequirement gives {value}, "
        "which is not a text, and has to be one before CWL v1.2",
        "Give a text, JSON.stringify(...) for example, or change cwlVersion to v1.2.",
    )


_RULES: tuple[tuple[str, Callable[[re.Match[str]], Explanation]], ...] = (
    (
        rf"checking field 'requirements'\s+{_POSITION}\s+checking item\s+"
        r"(?:\S+:\d+:\d+:\s+)?Field 'class' contains undefined reference to\s+'(?P<name>[^']+)'",
        _requirement,
    ),
    (rf"{_POSITION} Unsupported requirement (?P<name>\S+?)\.?$", _requirement),
    (rf"{_POSITION}\s+Field 'class' contains undefined reference to\s+'(?P<name>[^']+)'", _class),
    (
        rf"{_POSITION}\s+checking object '(?P<object>[^']+)'\s+(?:\S+:\d+:\d+:\s+)?"
        r"Field '(?:source|outputSource)' references unknown identifier\s+'(?P<name>[^']+)'",
        _source,
    ),
    (rf"{_POSITION}\s+Field 'run' contains undefined reference to\s+'(?P<name>[^']+)'", _run),
    (r"no longer supports pre CWL v1.0 documents\. Supported versions are:(?P<versions>[\s\S]*)", _version),
    (r"^No cwlVersion found\.", _no_version),
    (rf"{_POSITION} 'cwlVersion' must be a string", _version_number),
    (rf"{_POSITION}\s+Source '[^']+' of type .+ is incompatible", _mismatch),
    (
        r"Error collecting output for parameter '(?P<name>[^']+)':\s*"
        rf"{_POSITION} Multiple matches for output item that is a single file",
        _several,
    ),
    (
        r"Error collecting output for parameter '(?P<name>[^']+)':\s*"
        rf"{_POSITION} Did not find output file with glob pattern: (?P<globs>\[[\s\S]*?\])",
        _not_there,
    ),
    (r"Error validating output record\. is not a dict\. Expected a outputs_record_schema", _no_output_object),
    (
        r"Error validating output record\. Does not exist or is not a (?P<class>File|Directory): '(?P<path>[^']*)'",
        _named_output_missing,
    ),
    (rf"{_POSITION}\s+Reading (?P<name>[^\n]+)\s+file is too large, loadContents limited", _loaded),
    (rf"{_POSITION} 'envValue expression must evaluate to a str\. Got (?P<value>.+?) for expression", _env),
    (rf"{_POSITION} source not found:\s*(?P<name>\S+)", _source_missing),
    (r"No such file or directory: '(?P<name>[^']+)'", _import),
    (rf"(?:{_POSITION} )?mapSubject '(?P<name>[^']+)' value None is not a dict", _no_mapping),
    (
        rf"{_POSITION} 'entry' expression resulted in something other[\s\S]*"
        r"Result of '(?P<entry>[\s\S]*?)' was (?P<value>[\s\S]*?)\.$",
        _dirent,
    ),
    (rf"{_POSITION} 'entry' expressions are not allowed to evaluate to an array of Files", _list_of_old_version),
    (r"contains graph of multiple objects, must specify one of (?P<names>[^\n]+)", _graph),
    (r"steps have circular dependency:\s*\[(?P<steps>[\s\S]*)\]", _cycle),
    (
        rf"(?:{_POSITION} )?Missing required secondary file '(?P<name>[^']+)' from file object: {_FILE_OBJECT}",
        _secondary,
    ),
    (
        r"Expected value of '(?P<name>[^']+)' to have format (?P<format>[\s\S]*?) but\s+"
        rf"File has (?P<how>an incompatible format|no 'format' defined): {_FILE_OBJECT}",
        _format,
    ),
    (
        rf"{_POSITION}\s+the '(?P<name>[^']+)' field is not valid because\s+"
        r"(?:\S+\s+)?is not a dict\. Expected a (?:File|Directory) object",
        _not_file,
    ),
    *YAML_RULES,
)


@cache
def _rules() -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Explanation]], ...]:
    """The messages that are explained; compiled with the first error."""
    return tuple((re.compile(pattern), explain) for pattern, explain in _RULES)
