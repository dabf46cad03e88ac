"""CWL files as they were written: values with their lines, references to other files, comments that silence rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

Node: TypeAlias = Mapping[str, Any]

_SILENCE = re.compile(r"#\s*gridcwl:\s*ignore(-file)?\b((?:[\s,]+GC\d{3})*)")
_CODES = re.compile(r"GC\d{3}")


@dataclass(slots=True)
class Source:
    """One file.

    Attributes:
        path: of the file.
        root: what it holds.
        silenced: codes by line, empty for all codes; line 0 is for the whole file.
    """

    path: Path
    root: Any
    silenced: dict[int, set[str]] = field(default_factory=dict)

    def is_silenced(self, code: str, line: int) -> bool:
        """Whether a comment takes this finding back: on its line, on the line before it, or for the file."""
        return any(not (codes := self.silenced[at]) or code in codes for at in (0, line, -line) if at in self.silenced)


class SourceFiles:
    """Reads each file once."""

    def __init__(self) -> None:
        self._known: dict[Path, Source | None] = {}

    def read(self, path: Path) -> Source | None:
        """The file; None if it cannot be read, which the validation reports."""
        path = path.resolve()
        if path not in self._known:
            self._known[path] = _read(path)
        return self._known[path]

    def follow(self, source: Source, reference: str) -> tuple[Source, Node] | None:
        """The process that ``run:`` or ``$import`` names; None if it is remote or cannot be read."""
        parts = urlsplit(reference)
        if parts.scheme not in ("", "file"):
            return None
        name = unquote(parts.path)
        target = source if not name else self.read(source.path.parent / name)
        if target is None:
            return None
        found = process_in(target.root, unquote(parts.fragment))
        return None if found is None else (target, found)


def _read(path: Path) -> Source | None:
    try:
        text = path.read_text("utf-8")
        root = YAML(typ="rt").load(text)
    except (OSError, UnicodeDecodeError, YAMLError, ValueError):
        return None
    return Source(path, root, _silenced(text))


def _silenced(text: str) -> dict[int, set[str]]:
    """A comment of its own is for the next line, which is noted by its negative number: there it is alone."""
    found: dict[int, set[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if (match := _SILENCE.search(line)) is None:
            continue
        codes = set(_CODES.findall(match[2]))
        at = 0 if match[1] else -(number + 1) if line.lstrip().startswith("#") else number
        found[at] = found.get(at, set()) | codes
    return found


def process_in(root: Any, fragment: str) -> Node | None:
    """The process with this id; without an id the document itself, or ``main`` of several."""
    if not isinstance(root, Mapping):
        return None
    if "$graph" not in root:
        return root
    wanted = fragment or "main"
    for node in root["$graph"]:
        if isinstance(node, Mapping) and str(node.get("id", "")).rpartition("#")[2] == wanted:
            return node
    return None


def processes(source: Source) -> list[Node]:
    """What a document holds: itself, or all processes of its ``$graph``."""
    root = source.root
    if isinstance(root, Mapping) and isinstance(root.get("$graph"), Sequence):
        return [node for node in root["$graph"] if isinstance(node, Mapping)]
    return [root] if isinstance(root, Mapping) else []


def line_of(node: Any, key: Any = None) -> tuple[int, int]:
    """Line and column, from 1, of an entry of a mapping or list, or of the whole."""
    place = getattr(node, "lc", None)
    if place is None:
        return 1, 1
    try:
        if key is None:
            line, column = place.line, place.col
        elif isinstance(node, CommentedMap):
            line, column = place.key(key)
        elif isinstance(node, CommentedSeq):
            line, column = place.item(key)
        else:
            line, column = place.line, place.col
    except (KeyError, TypeError, AttributeError):
        line, column = place.line, place.col
    return int(line or 0) + 1, int(column or 0) + 1


def entries(value: Any, key: str = "id") -> Iterator[tuple[str, Any, Any, Any]]:
    """The entries of a map or list of things with names: name, entry, and what to look its line up with."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield str(name), entry, value, name
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, entry in enumerate(value):
            if isinstance(entry, Mapping) and key in entry:
                yield str(entry[key]).rpartition("#")[2].rpartition("/")[2], entry, value, number
            elif isinstance(entry, str):
                yield entry.rpartition("#")[2].rpartition("/")[2], entry, value, number


def texts(value: Any, source: Source) -> Iterator[tuple[str, Any, Any]]:
    """All strings below a value, included files too: text, and what to look its line up with."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        if key in ("$include", "$import") and isinstance(item, str):
            try:
                yield (source.path.parent / item).read_text("utf-8"), value, key
            except (OSError, UnicodeDecodeError):
                continue
        elif isinstance(item, str):
            yield item, value, key
        elif isinstance(item, Mapping | Sequence):
            yield from texts(item, source)
