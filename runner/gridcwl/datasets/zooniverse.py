"""Zooniverse's exports as files: classifications and subjects of a project or a workflow. By panoptes-client."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gridcwl.errors import ConfigError, StoreError
from gridcwl.worker.paths import file_url

CATEGORIES = ("classifications", "subjects")
_CHUNK = 1 << 20
_MOST_BYTES = 20 << 30


def with_exports(value: Any, folder: Path, fetch: Callable[[Mapping[str, Any], Path], Path]) -> Any:
    """An input object with files in place of the Zooniverse items that rules left in it.

    Args:
        value: the input object, or a part of it.
        folder: where exports are written.
        fetch: writes one export, as :func:`export`.
    """
    if isinstance(value, list):
        return [with_exports(item, folder, fetch) for item in value]
    if not isinstance(value, dict):
        return value
    if "zooniverse" in value:
        path = fetch(value["zooniverse"], folder)
        return {**{key: item for key, item in value.items() if key != "zooniverse"}, "location": file_url(str(path))}
    return {key: with_exports(item, folder, fetch) for key, item in value.items()}


def export(record: Mapping[str, Any], folder: Path) -> Path:
    """Write an export as Zooniverse has it now; returns the file.

    Args:
        record: ``catalog`` (project or workflow), ``project_id``, ``workflow_id``, ``category``.
        folder: for the file.

    Raises:
        ConfigError: panoptes-client is not installed, or the record names nothing.
        StoreError: Zooniverse gives no export.
    """
    from gridcwl import imports

    if not imports.installed("panoptes_client"):
        raise imports.missing("panoptes_client")
    from panoptes_client import Panoptes, Project, Workflow

    catalog, category = str(record.get("catalog", "project")), str(record.get("category", "classifications"))
    if catalog not in ("project", "workflow") or category not in CATEGORIES:
        raise ConfigError(f"Zooniverse has no {category} of a {catalog}", remedy="Use classifications or subjects.")
    number = record.get(f"{catalog}_id")
    name = f"{catalog}-{int(str(number))}-{category}.csv"
    user, password = os.environ.get("PANOPTES_USERNAME"), os.environ.get("PANOPTES_PASSWORD")
    try:
        if user and password:
            Panoptes.connect(username=user, password=password)
        found = (Project if catalog == "project" else Workflow).find(number)
        response = found.get_export(category)
        return _written(response, folder / name)
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no reason is given"]
        raise StoreError(
            f"Zooniverse gives no {category} of {catalog} {number}: {lines[0]}",
            remedy="Exports need a member of the project: set PANOPTES_USERNAME and PANOPTES_PASSWORD.",
        ) from error


def _written(response: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    size = 0
    with part.open("wb") as stream:
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > _MOST_BYTES:
                raise StoreError(f"The export has more than {_MOST_BYTES >> 30} GiB")
            stream.write(chunk)
    part.replace(path)
    return path
