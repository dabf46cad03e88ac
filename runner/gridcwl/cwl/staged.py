"""The files that a job finds in place when it starts, from what cwltool wants to map where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cwltool.pathmapper import MapperEnt
from schema_salad.ref_resolver import file_uri

from gridcwl.cwl import origins
from gridcwl.cwl.patches.path_mapper import StagePathMapper
from gridcwl.cwl.remote import Remote
from gridcwl.errors import DocumentError
from gridcwl.model import StagedFile, confinement

if TYPE_CHECKING:
    from cwltool.builder import Builder
    from cwltool.process import Process

CwlObject = dict[str, Any]

_PLAIN_FILE = re.compile(r"file://(/[A-Za-z0-9_.~-][A-Za-z0-9_.~/-]*)")
"""The URL of a file whose path is written in it as it is."""


def plain_word(value: str | None) -> str | None:
    """A plain string of what may be one of ruamel's, which no JSON encoder knows; None for an empty one."""
    return str(value) if value else None


def _written(tool: Process) -> Iterator[Any]:
    """What the document itself names: defaults, and what InitialWorkDirRequirement lists."""
    for parameter in tool.tool["inputs"]:
        yield parameter.get("default")
    yield (tool.get_requirement("InitialWorkDirRequirement")[0] or {}).get("listing")


def _is_made_up(location: str, entry: MapperEnt, builder: Builder, remote: Remote | None, *, initial: bool) -> bool:
    """Whether a staged location may have been made by an expression, of a listing or of secondaryFiles."""
    if location.startswith("_:") or entry.type.startswith("Create"):
        return False
    if initial:
        return location not in builder.pathmapper
    return origins.is_remote(location) and not _in_store(location, remote)


def staged_files(
    builder: Builder, initial_listing: Any, name: str, remote: Remote | None, tool: Process, given: CwlObject
) -> Iterator[StagedFile]:
    """What a job finds in place: inputs first, then what InitialWorkDirRequirement puts into the output directory.

    Raises:
        OutputError: an expression names a file that is nobody's input.
        DocumentError: two files want one place.
    """
    known = {entry["location"]: entry for entry in builder.files if "location" in entry}
    inputs = origins.Origins(given, *_written(tool))
    targets: dict[str, MapperEnt] = {}
    confined = confinement.current() is not None
    initial = StagePathMapper(initial_listing, "", builder.outdir, separateDirs=False, remote=remote)
    for mapper in (builder.pathmapper, initial):
        for location, entry in mapper.items():
            if not entry.staged:
                continue
            if _is_made_up(location, entry, builder, remote, initial=mapper is initial) and not inputs.has(location):
                raise origins.refused(location, f"An expression of {name}")
            earlier = targets.setdefault(entry.target, entry)
            if earlier.resolved != entry.resolved and "File" in entry.type and "File" in earlier.type:
                raise DocumentError(
                    f"{name} has two inputs with the same path {entry.target.replace('//', '/')}: "
                    f"{_origin(earlier)} and {_origin(entry)}"
                )
            if confined and not location.startswith("_:") and str(entry.resolved).startswith("/"):
                confinement.check_file(str(entry.resolved), f"An input of {name}")
            about = known.get(location) or (remote.entry(location) if remote is not None else None) or {}
            yield _staged_file(entry, about, remote)


def staged_input(file: CwlObject, target: str, remote: Remote | None, name: str) -> tuple[MapperEnt, StagedFile]:
    """The same for one File that is an input, without secondary files: where it is, and what is staged there.

    Raises:
        UnsafePath: it is not there, or may not be read.
    """
    location = file["location"]
    if (plain := _PLAIN_FILE.fullmatch(location)) is not None:
        entry, url = MapperEnt(plain[1], target, "File", True), location
    else:
        entry = StagePathMapper.entry_of(location, target, remote)
        url = _url(str(entry.resolved))
    if entry.resolved.startswith("/"):
        confinement.check_file(entry.resolved, f"An input of {name}")
    staged = StagedFile(target, "file", (url,), size=file["size"], checksum=plain_word(file.get("checksum")))
    return entry, staged


def _origin(entry: MapperEnt) -> str:
    return "text of the document" if entry.type.startswith("Create") else str(entry.resolved)


def _in_store(location: str, remote: Remote | None) -> bool:
    return remote is not None and remote.files.understands(location)


def _staged_file(entry: MapperEnt, known: CwlObject, remote: Remote | None) -> StagedFile:
    writable = "Writable" in entry.type
    target, resolved = str(entry.target), str(entry.resolved)
    if entry.type.startswith("Create"):
        return StagedFile(target, "literal", contents=resolved, writable=writable)
    if entry.type.endswith("Directory"):
        # One that is elsewhere is put together here, as a literal one is: its files are staged one by one.
        sources = () if resolved.startswith("_:") or _in_store(resolved, remote) else (_url(resolved),)
        return StagedFile(target, "directory", sources, writable=writable)
    return StagedFile(
        target,
        "file",
        (_url(resolved),),
        writable=writable,
        size=known.get("size"),
        checksum=plain_word(known.get("checksum")),
    )


def _url(resolved: str) -> str:
    return file_uri(resolved) if resolved.startswith("/") else resolved
