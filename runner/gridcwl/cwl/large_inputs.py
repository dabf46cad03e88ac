"""Large JSON input objects, read without the positions that ruamel keeps of every value.

A list of a hundred thousand files costs ruamel and schema-salad a minute; json a tenth of a second. Where such an
object turns out to be wrong it is read again the long way, so that the mistake is reported with its line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from ruamel.yaml.comments import CommentedMap
from schema_salad.ref_resolver import file_uri

from gridcwl.cwl.text_limits import MOST_LEVELS
from gridcwl.model import limits

_LARGE = 8 * 1024  # bytes
_MEANS_MORE = ('"$', '"cwl:', '"cwltool:', '"@id"')
"""Keys that schema-salad gives a meaning to: ``$import``, ``$namespaces``, ``cwl:requirements`` and the like."""


class _TooDeep(Exception):
    """The slow path reports where."""


def read_quickly(name: str, base: str, text: str | None = None) -> CommentedMap | None:
    """The object in large plain JSON, with URLs for locations; None for whatever needs the long way.

    Args:
        name: of the file.
        base: the folder that relative locations count from.
        text: what to read in place of the file.
    """
    path = Path(name)
    try:
        size = path.stat().st_size if text is None else len(text)
        if not _LARGE <= size <= limits.TEXT_BYTES or (text is None and not path.is_file()):
            return None
        text = path.read_text(encoding="utf-8") if text is None else text
        if not text.lstrip().startswith("{") or any(sign in text for sign in _MEANS_MORE):
            return None
        values = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    try:
        _resolve(values, file_uri(base) + "/")
    except _TooDeep:
        return None
    return CommentedMap(values)


def _resolve(value: Any, base: str) -> None:
    """As schema-salad resolves ``location`` and ``path``: as references that count from the file."""
    ahead = [(value, 0)]
    while ahead:
        item, level = ahead.pop()
        if level > MOST_LEVELS:
            raise _TooDeep
        if isinstance(item, list):
            ahead.extend((child, level + 1) for child in item if isinstance(child, dict | list))
        elif isinstance(item, dict):
            for key in ("location", "path"):
                if isinstance(item.get(key), str) and not item[key].startswith("_:"):
                    item[key] = urljoin(base, item[key])
            ahead.extend((child, level + 1) for child in item.values() if isinstance(child, dict | list))
