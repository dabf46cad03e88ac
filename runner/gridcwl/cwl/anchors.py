"""YAML's anchors and aliases in documents: each alias becomes a value of its own, and each merge (``<<``) plain keys.

YAML gives all aliases of an anchor one object. schema-salad writes identifiers into objects, so that of two steps that
share one only the first would have its own: links are then reported as undefined, and a packed document is wrong.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq, merge_attrib


def expand(document: Any) -> None:
    """Expand all aliases and merges of a file as ruamel.yaml has read it, in place."""
    _own(document, {})


def _own(value: Any, met: dict[int, Any]) -> Any:
    """The value, or a copy where it was met before; what it holds is then its own.

    ``met`` has values by their identity, and holds them, so that no other value gets it.
    """
    if not isinstance(value, CommentedMap | CommentedSeq):
        return value
    if id(value) in met:
        value = _copy(value)
    met[id(value)] = value
    if isinstance(value, CommentedMap):
        _merge(value)
    for key, part in value.items() if isinstance(value, CommentedMap) else enumerate(value):
        mine = _own(part, met)
        if mine is not part:
            value[key] = mine
    return value


def _copy(value: Any) -> Any:
    """A mapping or sequence with the same parts, from the same line."""
    copy = type(value)()
    if isinstance(value, CommentedMap):
        for key, part in value.items():
            copy[key] = part
    else:
        copy.extend(value)
    copy.lc.line, copy.lc.col = value.lc.line, value.lc.col
    copy.lc.data, copy.lc.filename = dict(value.lc.data or {}), getattr(value.lc, "filename", None)
    return copy


def _merge(value: CommentedMap) -> None:
    """Make what a mapping has by ``<<`` its own, with the lines where that is written."""
    merged = getattr(value, merge_attrib, None)
    if not merged:
        return
    items = list(value.items())
    lines = dict(value.lc.data or {})
    for source in merged:
        _merge(source)
        for key, line in (source.lc.data or {}).items():
            lines.setdefault(key, line)
    delattr(value, merge_attrib)
    value.clear()
    for key, part in items:
        value[key] = part
    value.lc.data = lines
