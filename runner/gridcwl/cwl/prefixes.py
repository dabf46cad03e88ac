"""Prefixes that a document uses without declaring them under ``$namespaces``.

schema-salad takes the name behind such a prefix for a part of the document; its own warning has no place, and cannot
tell a prefix from a file's name with a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cwltool.utils import aslist
from schema_salad.ref_resolver import uri_file_path

from gridcwl.cwl.sources import place

_PREFIXED = re.compile(r"([A-Za-z][\w.-]*):(?!//)([^\s\"',\[\]{}#]+)")
_FIELD = re.compile(r"([A-Za-z][\w.-]*):(?!//)\S+")
_KNOWN = {
    "edam": "http://edamontology.org/",
    "iana": "https://www.iana.org/assignments/media-types/",
    "s": "https://schema.org/",
    "cwltool": "http://commonwl.org/cwltool#",
}


def undeclared(document: Any) -> Iterator[str]:
    """A sentence for each prefix of formats and of a process's own fields that is not declared, with its first place.

    Args:
        document: a process, resolved.
    """
    met: set[str] = set()
    for at, prefix, written in (*_of_fields(document), *_of_formats(document)):
        if prefix not in met:
            met.add(prefix)
            yield (
                f"{at} the prefix of '{written}' is not declared. "
                f"Add it to the document: '$namespaces: {{{prefix}: {_KNOWN.get(prefix, 'URL')}}}'."
            ).lstrip()


def _of_fields(document: Any) -> Iterator[tuple[str, str, str]]:
    """Fields of other vocabularies: declared ones have become URLs."""
    for key in document:
        if found := _FIELD.fullmatch(str(key)):
            yield place(document, key), found[1], str(key)


def _of_formats(document: Any) -> Iterator[tuple[str, str, str]]:
    file = str(document.get("id", "")).partition("#")[0]
    for section in ("inputs", "outputs"):
        for parameter in document.get(section) or ():
            if isinstance(parameter, dict):
                yield from _of_parameter(parameter, file)


def _of_parameter(parameter: Any, file: str) -> Iterator[tuple[str, str, str]]:
    written = parameter.get("format")
    for number, one in enumerate(aslist(written or [])):
        if isinstance(one, str) and file and one.startswith(f"{file}#"):
            at = place(written, number) if isinstance(written, list) else place(parameter, "format")
            for prefix, name in _PREFIXED.findall(_line(at, file)):
                if one.endswith(name) and prefix != "format":
                    yield at, prefix, f"{prefix}:{name}"
    for kind in aslist(parameter.get("type") or []):
        while isinstance(kind, dict):
            for field in kind.get("fields") or ():
                if isinstance(field, dict):
                    yield from _of_parameter(field, file)
            kind = kind.get("items")  # noqa: PLW2901


def _line(at: str, file: str) -> str:
    """The text from a place to the end of its line."""
    parts = at.rstrip(":").rsplit(":", 2)
    if len(parts) != 3 or not file.startswith("file://"):
        return ""
    try:
        lines = Path(uri_file_path(file)).read_text("utf-8").splitlines()
        return lines[int(parts[1]) - 1][int(parts[2]) - 1 :]
    except (OSError, ValueError, IndexError):
        return ""
