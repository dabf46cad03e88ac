"""What cwltool and schema-salad say, in sentences for people. Pure functions on text; nothing here reads a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

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


class Explanation(NamedTuple):
    """One message in our words."""

    message: str
    remedy: str
    unsupported: bool = False
    """The document is right, but asks for what gridcwl does not do."""


_LISTED = 12
_REQUIREMENT = re.compile(r"(?:Feature)?_?Req\w*$")
_FILE_URI = re.compile(r"file://(?=/)")
_NOISE = re.compile(r"\(\d{6,}\) |\[Errno \d+\] ")
_WRAPPING = re.compile(r"^\s*\(/.*\) Validation error in (?:field|position) \S+:$")
_PLACE = re.compile(r"\S+:\d+:\d+: ?")
_POSITION = r"(?P<place>\S+:\d+:\d+:)"
_FILE_OBJECT = r"(?P<file>\{[\s\S]*\})"
_LOCATION = re.compile(r'"(?:location|path)": "([^"]+)"')


def tidy(error: BaseException | str) -> str:
    """The message without empty lines, a position once and not on each line, and paths instead of ``file://`` URLs."""
    text = _NOISE.sub("", _FILE_URI.sub("", str(error)))
    lines: list[str] = []
    last = None
    for line in text.splitlines():
        place = _PLACE.match(line)
        if place and place[0].rstrip() == last:
            line = " " * 4 + line[place.end() :]  # noqa: PLW2901
        last = place[0].rstrip() if place else last
        if line.strip() and not _WRAPPING.match(line):
            lines.append(line.rstrip())
    return "\n".join(lines) or type(error).__name__


def explained(text: str) -> Explanation | None:
    """One of the messages that are common and hard to read, put plainly; None for all others."""
    for pattern, explain in _RULES:
        found = pattern.search(text)
        if found:
            return explain(found)
    return None


def place_of(text: str) -> str:
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
    return Explanation(
        f"{found['place'] or ''} the secondary file {found['name']} of {_located(found['file'])} is missing".lstrip(),
        "Put it beside that file, or name it in the input object's secondaryFiles.",
    )


def _format(found: re.Match[str]) -> Explanation:
    has = "another one" if "incompatible" in found["how"] else "none"
    return Explanation(
        f"the input {found['name']} has to be a file of the format {found['format'].strip()}; "
        f"{_located(found['file'])} says that it has {has}",
        "Give the File the right format, in the input object or in the output of the step that makes it.",
    )


def _located(file_object: str) -> str:
    found = _LOCATION.search(file_object)
    return found[1] if found else "the file"


def _not_file(found: re.Match[str]) -> Explanation:
    return Explanation(
        f"{found['place']} the input {found['name']} has to be a File or Directory object",
        f"Write '{found['name']}: {{class: File, path: ...}}'.",
    )


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Explanation]], ...] = tuple(
    (re.compile(pattern), explain)
    for pattern, explain in (
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
    )
)
