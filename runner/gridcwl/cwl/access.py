"""The files of this machine as cwltool looks at them while it resolves a job: with literals, and under any name.

cwltool finds a secondary file by putting its name, as it is, behind the location of its File's folder. Where the name
holds ``#``, ``%`` or ``?`` that is no URL of any file; here it is found all the same, and gets the URL that it has.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote
from uuid import uuid4

from cwltool.stdfsaccess import StdFsAccess
from schema_salad.ref_resolver import file_uri, uri_file_path

from gridcwl.cwl.remote import Remote
from gridcwl.model import confinement
from gridcwl.model.objects import entries

_MISLEADING = frozenset("#%?")
"""What means something else in a URL than in a file name, and is not taken for itself where it stands unquoted."""


class InputFs(StdFsAccess):  # type: ignore[misc]
    """What lies on this machine, and what the inputs hold themselves."""

    def __init__(self, basedir: str, inputs: Any = None, remote: Remote | None = None) -> None:
        super().__init__(basedir)
        self._inputs = inputs
        self._remote = remote

    def open(self, path: str, mode: str) -> IO[Any]:
        """The bytes of a file, or those of a literal among the inputs."""
        if path.startswith("_:"):
            for file in entries(self._inputs, "File"):
                if file.get("location") == path and isinstance(file.get("contents"), str):
                    text: str = file["contents"]
                    return io.BytesIO(text.encode()) if "b" in mode else io.StringIO(text)
        if self._remote is not None and self._remote.knows(path):
            return self._remote.open(path, mode)
        confinement.check_file(self._abs(path), "The file")
        stream: IO[Any] = super().open(path, mode)
        return stream

    def realpath(self, path: str) -> str:
        """The path itself: cwltool asks for those of a job's folders, which are the same in every job, and not here."""
        return path

    def isdir(self, path: str) -> bool:
        """Whether the path is a directory."""
        if self._remote is not None and self._remote.knows(path):
            return self._remote.isdir(path)
        return bool(super().isdir(path))

    def listdir(self, path: str) -> list[str]:
        """URLs of what a directory holds."""
        listing = None if self._remote is None else self._remote.listing(path)
        return [entry["location"] for entry in listing] if listing is not None else list(super().listdir(path))

    def exists(self, path: str) -> bool:
        """Whether a file is there: also one whose name was put behind its folder's URL without being quoted."""
        if self._remote is not None and self._remote.knows(path):
            return self._remote.exists(path)
        return as_it_stands(path) is not None or bool(super().exists(path))


def as_it_stands(location: str) -> str | None:
    """The file of this machine that a location means if its last part is taken as it stands; None if there is none."""
    folder, _, name = location.rpartition("/")
    if not folder.startswith("file://") or not name or _MISLEADING.isdisjoint(name):
        return None
    path = f"{uri_file_path(folder + '/').rstrip('/')}/{name}"
    return path if Path(path).exists() else None


def encode_secondary_files(value: Any) -> None:
    """Give the secondary files that cwltool found the URLs that they have, in place."""
    for file in entries(value, "File"):
        _encode_secondary_files(file)


def _encode_secondary_files(file: Any) -> None:
    for other in file.get("secondaryFiles") or ():
        location = str(other.get("location", ""))
        name = location.rpartition("/")[2]
        # Of a proper URL the base name is not the last part itself, if that holds something to be quoted.
        if name == other.get("basename") != quote(name) and (path := as_it_stands(location)) is not None:
            other["location"] = file_uri(path)


def name_directories(value: Any) -> None:
    """Give every Directory literal without a name one, by what is in it: the same in every run. In place."""
    if isinstance(value, list):
        for item in value:
            name_directories(item)
    elif isinstance(value, dict):
        for item in value.values():
            name_directories(item)
        nameless = not value.keys() & {"location", "path", "basename"}
        if nameless and value.get("class") == "Directory" and "listing" in value:
            digest = hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
            value["basename"] = f"directory-{digest[:12]}"


def name_literals(value: Any) -> None:
    """Give every File and Directory literal a location and a name as cwltool does, in place."""
    for entry in entries(value):
        holds = {"File": "contents", "Directory": "listing"}[entry["class"]]
        if holds in entry and "location" not in entry and "path" not in entry:
            entry["location"] = f"_:{uuid4()}"
            entry.setdefault("basename", entry["location"][2:])
