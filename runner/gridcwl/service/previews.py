"""Previews of outputs, by the endings of their names."""

from __future__ import annotations

from pathlib import PurePath

_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def kind_of(name: str) -> str:
    """The kind of preview of a file, by its name; empty if there is none."""
    return _KINDS.get(PurePath(name).suffix.lower(), "")
