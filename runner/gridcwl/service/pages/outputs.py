"""Outputs of a run for people: their files with links, DIDs with the command that fetches them, and their values."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from gridcwl.model.objects import entries
from gridcwl.runs.previews.reading import kind_of
from gridcwl.service.pages.rendering import shown
from gridcwl.service.wes import PREFIX

_FILES = 100
"""Of one output; more are counted only."""
_PICTURES = 12
"""Of a page: a picture of a FITS file is made by a process."""
_LONGEST = 4000


def shown_outputs(outputs: Mapping[str, Any], run: str) -> Iterator[dict[str, Any]]:
    """Each output: its files, how many more there are, and its value if it has none.

    Args:
        outputs: for clients: files of the run have URLs of the service.
        run: its id.
    """
    pictures = 0
    for name, value in outputs.items():
        files = [entry for entry in entries(value, "File") if entry.get("location")]
        folders = [] if files else [entry for entry in entries(value, "Directory") if entry.get("location")]
        found = [*files, *folders]
        shown_files = [about_file(entry, run) for entry in found[:_FILES]]
        for file in shown_files:
            pictures += bool(file["image"])
            file["image"] = file["image"] if pictures <= _PICTURES else ""
        yield {
            "name": name,
            "files": shown_files,
            "more": max(0, len(found) - _FILES),
            "value": "" if found else shown(json.dumps(value, ensure_ascii=False, indent=1))[:_LONGEST],
        }


def about_file(entry: Mapping[str, Any], run: str) -> dict[str, Any]:
    """What is shown of one file."""
    location = str(entry.get("location", ""))
    prefix = f"{PREFIX}/runs/{run}/outputs/"
    _, ours, path = location.partition(prefix)
    path = path if ours and location.startswith(("http://", "https://")) else ""
    did = did_of(location)
    return {
        "name": unquote(path) or str(entry.get("basename") or location.rpartition("/")[2] or "file"),
        "size": entry.get("size"),
        "checksum": str(entry.get("checksum") or ""),
        "location": location,
        "download": f"{prefix}{path}" if path and entry.get("class") != "Directory" else "",
        "page": f"/runs/{run}/files/{path}" if path and entry.get("class") != "Directory" else "",
        "image": f"/runs/{run}/images/{path}" if path and kind_of(unquote(path)) in ("png", "jpeg", "fits") else "",
        "did": did,
        "command": f"rucio download {shlex.quote(did)}" if did else "",
    }


def did_of(location: str) -> str:
    """``SCOPE:NAME`` of a location in Rucio; empty for any other."""
    if not location.lower().startswith("rucio://"):
        return ""
    scope, slash, name = location[len("rucio://") :].partition("/")
    return f"{unquote(scope)}:{unquote(name)}" if scope and slash and name else ""
