"""Outputs of a run for clients: locations of this machine become URLs of the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.errors import UnsafePath
from gridcwl.model import paths
from gridcwl.model.objects import changed
from gridcwl.service.folders import SubmittedFolder


def public(outputs: Any, folder: SubmittedFolder, engine: str, base: str, *, local: bool) -> dict[str, Any]:
    """The output object with URLs below ``base``; an empty one if there is none.

    Args:
        outputs: as gridcwl has published them.
        folder: of the run.
        engine: whose outputs they are.
        base: of the URLs of outputs.
        local: clients are on this machine: Files and Directories have their paths, too.
    """
    if not isinstance(outputs, dict):
        return {}
    root = os.path.realpath(folder.outputs)

    def link(entry: dict[str, Any]) -> None:
        path = entry.pop("path", None)
        location = str(entry.get("location") or "")
        if not location.startswith(("file://", "/")):
            if not location and path:
                location = str(path)
            else:
                return
        try:
            place = paths.file_path(location, "The location of an output") if location.startswith("file:") else location
        except UnsafePath:
            place = ""
        below = place[len(root) + 1 :] if place.startswith(f"{root}/") else place_in_outputs(place, engine)
        if below:
            entry["location"] = f"{base}/{quote(below)}"
            if local and os.path.lexists(place):
                entry["path"] = place
        else:  # of no use to a client, and nobody's business
            entry.pop("location", None)

    made: dict[str, Any] = changed(outputs, link)
    return made


def place_in_outputs(location: str, engine: str) -> str:
    """Where an output is below the outputs of its run, on whichever machine; empty if it is elsewhere."""
    return location.partition(f"/runs/{engine}/outputs/")[2]


def file_of(folder: SubmittedFolder, path: str) -> Path | None:
    """An output by its path below the run's output directory; None if there is no such file.

    Raises:
        UnsafePath: the path leads elsewhere.
    """
    found = folder.output(path)
    return found if found.is_file() else None
