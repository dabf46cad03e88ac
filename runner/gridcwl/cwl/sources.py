"""Where in a file a part of a document is written, and how its path is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from schema_salad.ref_resolver import uri_file_path
from schema_salad.sourceline import SourceLine

NOWHERE = "test:"
"""How schema-salad calls the file of a part that no file holds (``sourceline.cmap``)."""
SPACE = "\ue020"
"""A space in a path, in a text that patterns are matched against: they take white space for the end of a path."""
_QUOTED = re.compile(r"(?:file://)?[^\s'\":]*/[^\s'\":]*%[0-9A-Fa-f]{2}[^\s'\":]*")


def place(item: Any, key: Any = None) -> str:
    """``file:line:column:`` of a part of a document; nothing of what no file holds."""
    written = str(SourceLine(item, key).makeLead()) if hasattr(item, "lc") else ""
    return "" if written.startswith(NOWHERE) else shown_path(written)


def shown_path(written: str) -> str:
    """The path of a document as people write it, of a ``file://`` URL or of what schema-salad made of one.

    schema-salad takes the path of a URL as it is, with its ``%20``, and makes it relative to the working directory.
    """
    if written.startswith("file://"):
        return str(uri_file_path(written))
    if "://" in written or "%" not in written:
        return written
    path = unquote(os.path.normpath(os.path.join(os.getcwd(), written)))  # noqa: PTH109, PTH118
    if not Path(path.partition("#")[0]).parent.is_dir():
        return written
    below = f"{os.getcwd()}/"  # noqa: PTH109
    return path.removeprefix(below)


def with_paths(text: str, space: str = " ") -> str:
    """A text with all paths in it as people write them.

    Args:
        text: a message of schema-salad's or cwltool's.
        space: what stands for a space in a path.
    """
    if "%" not in text:
        return text
    return _QUOTED.sub(lambda found: shown_path(found[0]).replace(" ", space), text)
