"""Mapping rules: which items become which inputs of a document. Plain text that a user edits; pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlsplit

from gridcwl.datasets.items import ZOONIVERSE, Item
from gridcwl.datasets.zooniverse import wanted
from gridcwl.errors import ConfigError
from gridcwl.suggest import did_you_mean

_FIELD = re.compile(r"\{([\w.| :-]+)\}")
_URLS = "url|URL|access_url|accessURL|accref|access_reference|download_url|dataURL"
"""Columns of Virtual Observatory results and of ESAP's archives that say where the data are."""
EXPORT = "{export}"
"""The value of a Zooniverse item: the file that holds its classifications or subjects."""
_SCHEMES = ("rucio", "https", "http")
_FILES = ("File", "Directory")


@dataclass(frozen=True, slots=True)
class Port:
    """An input of a document, as far as rules need to know it."""

    name: str
    kind: str
    """``File``, ``Directory``, ``string``, ``int``, ``float`` or ``Any``: of one value."""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Items that fit become values of one input.

    Attributes:
        input: of the document.
        archive: a shell pattern: ``rucio``, ``*``.
        where: patterns that fields of the record match.
        value: a text with fields of the record in braces; ``{url|accref}`` is the first one that there is.
        format: of the File, as an IRI; empty for none.
    """

    input: str
    archive: str = "*"
    where: Mapping[str, str] = field(default_factory=dict)
    value: str = ""
    format: str = ""

    def plain(self) -> dict[str, Any]:
        """For YAML."""
        made: dict[str, Any] = {"input": self.input, "archive": self.archive}
        made |= {"where": dict(self.where)} if self.where else {}
        return made | {"value": self.value} | ({"format": self.format} if self.format else {})


@dataclass(frozen=True, slots=True)
class Mapped:
    """What rules make of items.

    Attributes:
        inputs: an input object.
        used: by input, the items that it holds.
        problems: items that become no input, with the reason.
    """

    inputs: dict[str, Any]
    used: dict[str, list[Item]]
    problems: list[tuple[Item, str]]


def usual_rules(ports: Sequence[Port]) -> list[Rule]:
    """Rules for a document: Rucio's records as DIDs, records with a URL as files, positions as numbers."""
    files = sorted((port for port in ports if port.kind in _FILES), key=lambda port: not port.many)
    rules: list[Rule] = []
    for port in files[:1]:
        rules.append(Rule(port.name, "rucio", {}, "rucio://{scope}/{name}"))
        if port.kind == "File":
            rules += [Rule(port.name, ZOONIVERSE, {}, EXPORT), Rule(port.name, "*", {}, f"{{{_URLS}}}")]
    rules += [
        Rule(port.name, "*", {}, f"{{{port.name}}}") for port in ports if port.name.lower() in ("ra", "dec", "fov")
    ]
    return rules


def read_rules(written: Any, ports: Sequence[Port]) -> list[Rule]:
    """Rules as a user wrote them: a list, or a table with the list ``rules``.

    Raises:
        ConfigError: one of them means nothing.
    """
    listed = written.get("rules") if isinstance(written, Mapping) else written
    if not isinstance(listed, list):
        raise ConfigError(
            "The mapping rules are not a list", remedy="Write 'rules:' with one '- input: NAME' for each."
        )
    return [_rule(one, number, ports) for number, one in enumerate(listed, 1)]


def _rule(written: Any, number: int, ports: Sequence[Port]) -> Rule:
    known = ("input", "archive", "where", "value", "format")
    if not isinstance(written, Mapping) or "input" not in written or "value" not in written:
        raise ConfigError(f"Rule {number} needs an input and a value", remedy="As in: input: events, value: '{url}'.")
    for name in written:
        if name not in known:
            raise ConfigError(f"Rule {number} has no field {name!r}", remedy=f"It has: {', '.join(known)}.")
    names = [port.name for port in ports]
    if written["input"] not in names:
        raise ConfigError(
            f"Rule {number} is for the input {written['input']!r}, which the document does not have",
            remedy=f"{did_you_mean(str(written['input']), names)} It has: {', '.join(names) or 'none'}.".lstrip(),
        )
    where = written.get("where") or {}
    if not isinstance(where, Mapping):
        raise ConfigError(f"where of rule {number} is not a table of fields and patterns")
    return Rule(
        str(written["input"]),
        str(written.get("archive", "*")),
        {str(name): str(pattern) for name, pattern in where.items()},
        str(written["value"]),
        str(written.get("format") or ""),
    )


def mapped(items: Sequence[Item], rules: Sequence[Rule], ports: Sequence[Port]) -> Mapped:
    """The inputs that items become. A file goes to the first rule that fits; numbers and texts go to all that do."""
    kinds = {port.name: port for port in ports}
    made = Mapped({}, {}, [])
    for item in items:
        reasons: list[str] = []
        taken = False
        for rule in rules:
            port = kinds[rule.input]
            if taken and port.kind in _FILES:
                continue
            value, reason = _value(item, rule, port)
            if reason:
                reasons.append(reason)
            elif rule.input in made.inputs and not port.many:
                reasons.append(
                    f"the input '{rule.input}' takes one value, and has it from {made.used[rule.input][0].name}"
                )
            else:
                _put(made, port, item, value)
                taken = taken or port.kind in _FILES
        of_files = any(kinds[rule.input].kind in _FILES for rule in rules)
        if not taken and (of_files or not any(item in held for held in made.used.values())):
            made.problems.append((item, _nearest(reasons) or "no rule fits it"))
    return made


def _put(made: Mapped, port: Port, item: Item, value: Any) -> None:
    if port.many:
        made.inputs.setdefault(port.name, []).append(value)
    else:
        made.inputs[port.name] = value
    made.used.setdefault(port.name, []).append(item)


def _nearest(reasons: Sequence[str]) -> str:
    """The reason of the rule that came nearest: one for another archive says least."""
    own = [reason for reason in reasons if not reason.startswith("no rule is for the archive")]
    return next(iter(own or reasons), "")


def _value(item: Item, rule: Rule, port: Port) -> tuple[Any, str]:
    if not fnmatchcase(item.archive, rule.archive):
        return None, f"no rule is for the archive {item.archive}"
    for name, pattern in rule.where.items():
        found = _looked_up(item.record, name)
        if found is None or not fnmatchcase(str(found), pattern):
            shown = "is missing" if found is None else f"is {found}"
            return None, f"its field {name} {shown}, and the rule wants {pattern}"
    if rule.value == EXPORT:
        return _export(item)
    location = port.kind in _FILES
    parts, end = [], 0
    for field_ in _FIELD.finditer(rule.value):
        found = next((one for name in field_[1].split("|") if (one := _looked_up(item.record, name)) is not None), None)
        if found is None:
            names = field_[1].split("|")
            return None, f"its record has no field {names[0]}" + (" or the like" if len(names) > 1 else "")
        whole = field_[0] == rule.value
        parts += [
            rule.value[end : field_.start()],
            quote(str(found), safe="/") if location and not whole else str(found),
        ]
        end = field_.end()
    text = "".join([*parts, rule.value[end:]])
    return _file(text, item, rule, port) if location else _scalar(text, port)


def _looked_up(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name.strip())
    return None if value in ("", None) or isinstance(value, Mapping | list) else value


def _export(item: Item) -> tuple[Any, str]:
    if item.archive != ZOONIVERSE:
        return None, "it has no export: only Zooniverse's items do"
    try:
        wanted(item.record)
    except ConfigError as error:
        return None, f"it names no export: {error.message}"
    return {"class": "File", "zooniverse": dict(item.record)}, ""


def _file(text: str, item: Item, rule: Rule, port: Port) -> tuple[Any, str]:
    parts = urlsplit(text.strip())
    if parts.scheme.lower() not in _SCHEMES or not parts.netloc:
        return None, f"{text!r} is not a DID or a URL that a job could read (rucio, https, http)"
    if parts.username or parts.password:
        return None, "its URL holds a password"
    if item.archive == "rucio" and str(item.record.get("type", "FILE")).upper() not in ("FILE", "F") and not port.many:
        if port.kind == "File":
            return None, f"it is a {str(item.record['type']).lower()}, and the input '{port.name}' takes one File"
    elif parts.scheme != "rucio" and port.kind == "Directory":
        return None, f"it is one file, and the input '{port.name}' takes a Directory"
    made = {"class": port.kind, "location": text.strip()}
    return made | ({"format": rule.format} if rule.format and port.kind == "File" else {}), ""


def _scalar(text: str, port: Port) -> tuple[Any, str]:
    try:
        if port.kind in ("int", "long"):
            return int(text), ""
        if port.kind in ("float", "double"):
            number = float(text)
            if math.isfinite(number):
                return number, ""
            return None, f"{text!r} is not a finite number"
    except ValueError:
        return None, f"{text!r} is not a number, as the input '{port.name}' takes"
    return text, ""


def described(found: Mapped) -> Iterator[str]:
    """What was mapped, a line for each input and each problem."""
    for name, items in found.used.items():
        listed = ", ".join(item.name for item in items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
        yield f"{name}: {listed}"
    for item, reason in found.problems:
        yield f"not used: {item.name} ({item.archive}, item {item.number}): {reason}"
