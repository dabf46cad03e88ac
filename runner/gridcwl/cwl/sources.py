"""Where in a file a part of a document is written."""

from __future__ import annotations

from typing import Any

from schema_salad.ref_resolver import uri_file_path
from schema_salad.sourceline import SourceLine

NOWHERE = "test:"
"""How schema-salad calls the file of a part that no file holds (``sourceline.cmap``)."""


def place(item: Any, key: Any = None) -> str:
    """``file:line:column:`` of a part of a document; nothing of what no file holds."""
    written = str(SourceLine(item, key).makeLead()) if hasattr(item, "lc") else ""
    if written.startswith(NOWHERE):
        return ""
    return uri_file_path(written) if written.startswith("file://") else written
