"""Directories in datasets, which are flat: a file's place is in its name, and the rest is in the dataset's metadata.

The rest are folders without files, and the places of files whose names do not tell them: those of a literal Directory,
or with a name that was too long. Pure functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridcwl.model import limits, paths
from gridcwl.stores.rucio.names import Did, did_of
from gridcwl.worker.naming import MARK, path_in

CwlObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DirectoryTree:
    """What is in a Directory: paths relative to it."""

    basename: str
    files: Mapping[str, Did]
    folders: tuple[str, ...] = ()
    """Those without files and folders in them."""


@dataclass(frozen=True, slots=True)
class TreeMetadata:
    """The tree of a dataset, as its metadata describe it."""

    basename: str = ""
    folders: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    """``scope:name`` to path, where names do not tell it."""


def tree_of(directory: CwlObject) -> DirectoryTree:
    """The tree of a Directory object with its listing; what is not in Rucio is left out."""
    files: dict[str, Did] = {}
    folders: list[str] = []
    for path, entry in _walk(directory, ""):
        if entry["class"] == "Directory":
            if not entry.get("listing"):
                folders.append(path)
        elif str(entry.get("location", "")).startswith("rucio://"):
            files[path] = did_of(str(entry["location"]))
    return DirectoryTree(str(directory.get("basename", "")), files, tuple(folders))


def written(tree: DirectoryTree, dataset: Did) -> str:
    """The tree of a dataset as JSON, for its metadata."""
    places = {str(did): path for path, did in tree.files.items() if place_of(did, dataset) != path}
    meta = {"basename": tree.basename, "folders": list(tree.folders), "places": places}
    return json.dumps({name: value for name, value in meta.items() if value}, sort_keys=True)


def read(text: object, dataset: str = "a dataset") -> TreeMetadata:
    """Read the JSON that :func:`written` made; empty for anything else.

    Raises:
        UnsafePath: a name or a path in it would lead out of the Directory.
        LimitExceeded: it is larger than gridcwl reads.
    """
    what = f"A path in the Rucio metadata of {dataset}"
    try:
        meta = limits.read_json(str(text), limits.METADATA_BYTES, f"The Rucio metadata of {dataset}")
        basename, folders, places = (
            str(meta.get("basename", "")),
            tuple(meta.get("folders", ())),
            meta.get("places", {}),
        )
        found = TreeMetadata(basename, folders, dict(places))
    except (ValueError, AttributeError, TypeError):
        return TreeMetadata()
    if found.basename:
        paths.basename(found.basename, what)
    for path in (*found.folders, *found.places.values()):
        paths.relative(path, what)
    return found


def place_of(did: Did, dataset: Did) -> str:
    """Where in its Directory a file is by its name: what comes after the dataset's own path, else its last part."""
    path = path_in(did.name)
    above = path_in(dataset.name) + "/" if MARK.search(dataset.name) else ""
    return path.removeprefix(above) if above and path.startswith(above) else path.rpartition("/")[2]


def _walk(directory: CwlObject, above: str) -> Iterator[tuple[str, CwlObject]]:
    entries: Iterable[CwlObject] = directory.get("listing") or ()
    for entry in entries:
        path = above + str(entry["basename"])
        yield path, entry
        if entry["class"] == "Directory":
            yield from _walk(entry, path + "/")
