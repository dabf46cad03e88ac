"""The worker's listing of an output directory, as the file system that cwltool collects outputs from."""

from __future__ import annotations

import base64
import fnmatch
import io
import posixpath
import re
import sys
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import IO, Any

from cwltool.stdfsaccess import StdFsAccess
from schema_salad.ref_resolver import file_uri, uri_file_path

from gridcwl.cwl.output_objects import read_output_object
from gridcwl.cwl.remote import Remote
from gridcwl.errors import OutputError, ResultError
from gridcwl.model import JobResult, ProducedFile
from gridcwl.model.limits import CONTENTS_BYTES
from gridcwl.model.objects import entries
from gridcwl.model.paths import quoted
from gridcwl.worker.limits import OUTPUT_OBJECT

_ALIASES = {0xDC00 + byte: 0xF700 + byte for byte in range(0x80, 0x100)}
"""Bytes of names that are not UTF-8, and characters of Unicode's private area that stand for them while cwltool, which
cannot put them into URLs, has them in its hands."""
_REAL = {alias: byte for byte, alias in _ALIASES.items()}


_ROUNDABOUT = re.compile(r"/\.{0,2}/|/\.{1,2}$")
"""In a path that is equivalent to a shorter one: ``a/../b``, ``./b``, ``a//b``."""


class ListingFs(StdFsAccess):  # type: ignore[misc]
    """Answers from a listing where the path lies in the job's output directory, from this machine elsewhere.

    Bytes are read only where cwltool asks for contents: first from what came with the result, then from the location.
    """

    def __init__(self, outdir: str, result: JobResult, remote: Remote | None = None) -> None:
        super().__init__("")
        self._remote = remote
        self.outdir = outdir
        self.entries: dict[str, ProducedFile] = {entry.path.translate(_ALIASES): entry for entry in result.files}
        self.root = result.outdir
        self.escaped = result.escaped
        self.strangers: list[str] = []
        """Locations of a settled output object that are neither in the output directory nor on this machine."""
        self._places: dict[str, str] | None = None
        self._relative: dict[str, str | None] = {}
        """What :meth:`relative` has found: it is asked for each path many times."""
        self._tool_outdirs = result.tool_outdirs
        self._children: dict[str, list[str]] = {"": []}
        for path in self.entries:
            self._note(path)

    def _note(self, path: str) -> None:
        """Enter a path below its parent, and its parents below theirs."""
        parent, _, name = path.rpartition("/")
        if parent not in self._children:
            self._children[parent] = []
            self._note(parent)
        siblings = self._children[parent]
        if not siblings or siblings[-1] != name:
            siblings.append(name)

    def relative(self, path: str) -> str | None:
        """The path below the output directory, ``""`` for the directory itself, None for what lies elsewhere."""
        if path not in self._relative:
            self._relative[path] = self._below_outdir(path)
        return self._relative[path]

    def _below_outdir(self, path: str) -> str | None:
        if path.startswith("file://"):
            path = uri_file_path(path)
        if _ROUNDABOUT.search(path):
            path = posixpath.normpath(path)
        if path == self.outdir:
            return ""
        return path[len(self.outdir) + 1 :].rstrip("/") if path.startswith(self.outdir + "/") else None

    def as_seen(self, place: str) -> str:
        """A path or file URL below the real output directory, as the tool was promised it; any other unchanged."""
        if not self._tool_outdirs:
            return place
        path = uri_file_path(place) if place.startswith("file:///") else place
        if not path.startswith("/") or self.relative(path) is not None:
            return place
        for root in self._tool_outdirs:
            if path == root or path.startswith(f"{root}/"):
                seen = self.outdir + path[len(root) :]
                return seen if path is place else file_uri(seen)
        return place

    def entry(self, path: str) -> ProducedFile | None:
        """The worker's entry for this path, if it is in the output directory and exists."""
        relative = self.relative(path)
        return None if relative is None else self.entries.get(relative)

    def glob(self, pattern: str) -> list[str]:
        """As Python's ``glob.glob``, with URIs as cwltool wants them."""
        relative = self.relative(pattern)
        if relative is None:
            return []
        if not relative:
            return [file_uri(self.outdir)]
        found = [""]
        for part in relative.split("/"):
            if part in ("", "."):
                continue
            found = [path for parent in found for path in self._match(parent, part)]
        return [file_uri(f"{self.outdir}/{path}") for path in dict.fromkeys(found)]

    def _match(self, parent: str, part: str) -> list[str]:
        prefix = f"{parent}/" if parent else ""
        if not _has_magic(part):
            path = prefix + part
            return [path] if path in self.entries or path in self._children else []
        matches = _pattern(part)
        hidden_too = part.startswith(".")
        return [
            prefix + name
            for name in self._children.get(parent, ())
            if matches(name) and (hidden_too or not name.startswith("."))
        ]

    def exists(self, path: str) -> bool:
        """Whether the path is there."""
        relative = self.relative(path)
        if relative is None:
            return bool(super().exists(path))
        return relative in self.entries or relative in self._children

    def isfile(self, path: str) -> bool:
        """Whether the path is a file. What lies outside was checked when it became an input."""
        if self.relative(path) is None:
            return not path.startswith("file://") or bool(super().isfile(path))
        entry = self.entry(path)
        return entry is not None and entry.kind == "file"

    def isdir(self, path: str) -> bool:
        """Whether the path is a directory."""
        relative = self.relative(path)
        if relative is None:
            return not path.startswith("file://") or bool(super().isdir(path))
        entry = self.entries.get(relative)
        return entry.kind == "directory" if entry else relative in self._children

    def size(self, path: str) -> int:
        """Bytes of a file."""
        entry = self.entry(path)
        return entry.size if entry else int(super().size(path))

    def listdir(self, path: str) -> list[str]:
        """URIs of what a directory holds."""
        relative = self.relative(path)
        if relative is None:
            return list(super().listdir(path))
        prefix = f"{relative}/" if relative else ""
        return [file_uri(f"{self.outdir}/{prefix}{name}") for name in sorted(self._children.get(relative, ()))]

    def path_of(self, location: str) -> str | None:
        """The path of the directory that has this location; None if none has."""
        if location == self.root:
            return ""
        if self._places is None:
            self._places = {entry.location: entry.path for entry in self.entries.values() if entry.kind == "directory"}
        return self._places.get(location)

    def objects(self, path: str) -> list[dict[str, Any]]:
        """What is in a directory, as File and Directory objects, those with all that is in them."""
        prefix = f"{path}/" if path else ""
        found: list[dict[str, Any]] = []
        for name in sorted(self._children.get(path, ())):
            entry = self.entries.get(prefix + name)
            if entry is not None and entry.kind == "file":
                file: dict[str, Any] = {"class": "File", "basename": name, "location": entry.location}
                file["size"] = entry.size
                if entry.sha1:
                    file["checksum"] = f"sha1${entry.sha1}"
                found.append(file)
            else:
                location = entry.location if entry is not None else f"{self.root}/{prefix}{name}"
                listing = self.objects(prefix + name)
                found.append({"class": "Directory", "basename": name, "location": location, "listing": listing})
        return found

    def join(self, path: str, *paths: str) -> str:
        """As usual, but a URL stays a URL, and a literal's name its name: inputs may be passed through."""
        return (
            paths[-1]
            if paths and ("://" in paths[-1] or paths[-1].startswith("_:"))
            else str(super().join(path, *paths))
        )

    def realpath(self, path: str) -> str:
        """The path itself: links were resolved by the worker."""
        return path

    def open(self, path: str, mode: str) -> IO[Any]:
        """The bytes that came with the result, or those at the location."""
        entry = self.entry(path)
        if entry is None:
            return self._open(path, mode)
        if entry.contents is not None:
            held = _decoded(entry)
            if entry.path == OUTPUT_OBJECT:
                read_output_object(held, "The tool's cwl.output.json")
            elif len(held) == CONTENTS_BYTES < entry.size:  # the worker sends so much, and CWL demands an error
                raise OutputError(
                    f"The output file {entry.path} is larger than 64 KiB, the most that loadContents reads",
                    remedy="Take loadContents away, or let the tool write less.",
                )
            return io.BytesIO(held) if "b" in mode else io.StringIO(held.decode("utf-8"))
        return self._open(entry.location, mode)

    def _open(self, location: str, mode: str) -> IO[Any]:
        if self._remote is not None and self._remote.knows(location):
            return self._remote.open(location, mode)
        stream: IO[Any] = super().open(location, mode)
        return stream


def _decoded(entry: ProducedFile) -> bytes:
    try:
        return base64.b64decode(entry.contents or "", validate=True)
    except ValueError:
        raise ResultError(f"The contents of {quoted(entry.path)} in the job's result are damaged") from None


@lru_cache(maxsize=256)
def _pattern(part: str) -> Any:
    return re.compile(fnmatch.translate(part)).match


def _has_magic(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def note_directories(value: Any, listing: ListingFs, remote: Remote) -> None:
    """Register with ``remote`` the contents of an output object's Directories that are not on this machine."""
    for entry in entries(value, "Directory"):
        location = str(entry.get("location", ""))
        path = listing.path_of(location) if remote.files.understands(location) else None
        if path is not None:
            remote.enter(location, listing.objects(path))


def links_out(outputs: Any, listing: ListingFs, patterns: Collection[str]) -> list[str]:
    """Symbolic links that lead out of the job, of those that are outputs or lie in a Directory that is one."""
    if not listing.escaped:
        return []
    folders = [path for path in map(listing.path_of, _directories(outputs)) if path is not None]
    return [
        path
        for path in listing.escaped
        if any(not folder or path.startswith(f"{folder}/") for folder in folders)
        or any(path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    ]


def _directories(value: Any) -> Iterator[str]:
    """Locations of all Directories."""
    return (str(entry["location"]) for entry in entries(value, "Directory") if entry.get("location"))


def add_checksums(found: Any, listing: ListingFs) -> None:
    """Give the Files that a glob has found the checksums that the worker took, in place."""
    for file in found if isinstance(found, list) else ():
        if isinstance(file, dict) and "checksum" not in file and "location" in file:
            entry = listing.entry(file["location"])
            if entry is not None and entry.sha1:
                file["checksum"] = f"sha1${entry.sha1}"


def name_as_seen(value: Any, listing: ListingFs) -> None:
    """Replace the real path of the job's output directory by the promised one in every File and Directory, in place.

    A tool without a container sees its real directory, and may write that path where an ``outputEval`` reads it.
    """
    for entry in entries(value):
        for key in ("path", "location"):
            if isinstance(entry.get(key), str):
                entry[key] = listing.as_seen(entry[key])


def settle(value: Any, listing: ListingFs) -> None:
    """Give every File and Directory of an output object its real location, size and checksum, in place."""
    for entry in entries(value):
        _settle_one(entry, listing)


def _settle_one(value: dict[str, Any], listing: ListingFs) -> None:
    location: str = value.get("location", "")
    if location.startswith("/"):  # an input passed through, as StagePathMapper resolved it
        value["location"] = file_uri(location)
        listing.strangers.append(value["location"])
        return
    if listing.relative(location) == "":
        value["location"] = listing.root
        return
    entry = listing.entry(location)
    if entry is None:
        if location and not location.startswith("_:") and listing.relative(location) is None:
            listing.strangers.append(location)
        return
    value["location"] = entry.location
    for name in ("basename", "nameroot", "nameext"):
        if name in value:
            value[name] = sys.intern(value[name].translate(_REAL))  # all shards of a step tend to have the same
    if entry.kind == "file":
        value["size"] = entry.size
        if entry.sha1:
            value["checksum"] = f"sha1${entry.sha1}"
