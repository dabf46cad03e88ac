"""Final outputs into the output directory: all of them or none, nothing half-written, nothing overwritten by chance.

Everything is put together in a hidden folder inside the output directory and moved into place by renaming at the end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from gridcwl.errors import OutputConflict, StoreError

CwlObject = dict[str, Any]

log = logging.getLogger("gridcwl.runs")

_CHUNK = 1 << 20
_NOT_PUBLISHED = ("path", "nameroot", "nameext", "dirname", "contents", "writable")
"""Fields that speak of where a tool saw a file; they mean nothing to whoever reads the output object."""


@dataclass(slots=True)
class _Publication:
    outdir: Path
    staging: Path
    scratch: Path
    """Below this folder the run owns the files: they may be linked instead of copied."""
    targets: dict[str, Path] = field(default_factory=dict)
    """Where each location went, relative to the output directory."""
    taken: set[Path] = field(default_factory=set)
    copies: dict[Path, int] = field(default_factory=dict)
    """The last number that was given to a name, so that ten thousand of one name do not try each other's."""
    digests: dict[str, tuple[str, int]] = field(default_factory=dict)
    inputs: frozenset[str] = frozenset()
    """Paths of the run's inputs: a tool may leave symbolic links to them in a directory."""


def publish(outputs: Any, outdir: Path, scratch: Path, run: str, inputs: Any = None) -> Any:
    """Put every File and Directory of an output object into ``outdir``.

    Args:
        outputs: the output object; not changed.
        outdir: made if it is not there.
        scratch: the run's own folder, whose files may be linked.
        run: for the name of the hidden folder.
        inputs: the input object; links to its files are followed, links to anything else outside are left out.

    Returns:
        The output object with locations, paths, sizes and checksums of the published files.

    Raises:
        OutputConflict: something is in the way.
        StoreError: no room, no permission, or a file that should be there is not.
    """
    if not any(True for _ in _entries(outputs)):
        return outputs
    staging = outdir / f".gridcwl-{run}"
    was_there = outdir.exists()
    try:
        staging.mkdir(parents=True)
        sources = frozenset(str(_path(e["location"])) for e in _entries(inputs) if _is_local(e))
        publication = _Publication(outdir.resolve(), staging, scratch.resolve(), inputs=sources)
        published = _published(outputs, publication)
        _move_into_place(publication)
    except OSError as error:
        raise _explained(error, outdir) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):
                outdir.rmdir()  # goes only if it is empty: then nothing was put there
    return published


def _explained(error: OSError, outdir: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"There is no room left in {outdir}", remedy="Free some space, or choose another --outdir.")
    where = error.filename or outdir
    return StoreError(f"Cannot publish to {outdir}: {error.strerror} ({where})", remedy="Choose another --outdir.")


def _entries(value: Any) -> Iterator[CwlObject]:
    """The outermost Files and Directories."""
    if isinstance(value, list):
        for item in value:
            yield from _entries(item)
    elif isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            yield value
        else:
            for item in value.values():
                yield from _entries(item)


def _published(value: Any, publication: _Publication) -> Any:
    if isinstance(value, list):
        return [_published(item, publication) for item in value]
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            return _place(value, Path(), publication)
        return {key: _published(item, publication) for key, item in value.items()}
    return value


def _place(entry: CwlObject, folder: Path, publication: _Publication) -> CwlObject:
    """Stage one entry below ``folder`` and say where it will be."""
    location: str = entry.get("location", "")
    if location and not location.startswith(("_:", "file://")):
        return entry  # it lives elsewhere and stays there
    known = publication.targets.get(location)
    target = known or _free_name(folder / _basename(entry), location, publication)
    described = {key: item for key, item in entry.items() if key not in _NOT_PUBLISHED}
    described |= {"location": _uri(publication.outdir / target), "path": str(publication.outdir / target)}
    described["basename"] = target.name
    if entry["class"] == "File":
        if known is None:
            _stage_file(entry, target, publication)
        checksum, size = publication.digests[str(target)]
        described |= {"checksum": checksum, "size": size}
        if entry.get("secondaryFiles"):
            described["secondaryFiles"] = [_place(f, target.parent, publication) for f in entry["secondaryFiles"]]
    else:
        described["listing"] = _stage_directory(entry, target, publication)
    return described


def _basename(entry: CwlObject) -> str:
    name = entry.get("basename") or unquote(entry.get("location", "").rstrip("/").rpartition("/")[2])
    return str(name).replace("/", "_") or "unnamed"


def _free_name(wanted: Path, location: str, publication: _Publication) -> Path:
    """The wanted name, or with ``_2``, ``_3`` ... if another output has it; as cwltool does."""
    target = wanted
    while target in publication.taken:
        publication.copies[wanted] = number = publication.copies.get(wanted, 1) + 1
        target = wanted.with_name(f"{wanted.name}_{number}")
    publication.taken.add(target)
    if location:
        publication.targets[location] = target
    return target


def _stage_file(entry: CwlObject, target: Path, publication: _Publication) -> None:
    staged = publication.staging / target
    staged.parent.mkdir(parents=True, exist_ok=True)
    location: str = entry.get("location", "")
    if location.startswith("file://"):
        source = _path(location)
        checksum = entry.get("checksum")
        if checksum and _link(source, staged, publication):
            publication.digests[str(target)] = (checksum, staged.stat().st_size)
            return
        publication.digests[str(target)] = _copy(source, staged)
    else:
        text = str(entry.get("contents", "")).encode("utf-8", "surrogateescape")
        staged.write_bytes(text)
        publication.digests[str(target)] = (f"sha1${hashlib.sha1(text).hexdigest()}", len(text))


def _stage_directory(entry: CwlObject, target: Path, publication: _Publication) -> list[CwlObject]:
    (publication.staging / target).mkdir(parents=True, exist_ok=True)
    location: str = entry.get("location", "")
    children = entry.get("listing")
    if location.startswith("file://"):
        known = {child.get("basename"): child for child in children or ()}
        paths = [path for path in sorted(_path(location).iterdir()) if _may_be_followed(path, publication)]
        children = [_child(path, known) for path in paths]
    return [_place(child, target, publication) for child in children or ()]


def _may_be_followed(path: Path, publication: _Publication) -> bool:
    """Links out of the run's files and inputs are not followed: a tool must not publish what it was not given."""
    if not path.is_symlink():
        return True
    target = path.resolve()
    allowed = target.is_relative_to(publication.scratch) or any(
        str(parent) in publication.inputs for parent in (target, *target.parents)
    )
    if not allowed or not target.exists():
        log.warning("%s is a symbolic link to %s, outside of the tool's directory; it is left out", path.name, target)
    return allowed and target.exists()


def _is_local(entry: CwlObject) -> bool:
    return str(entry.get("location", "")).startswith("file://")


def _child(path: Path, known: dict[Any, CwlObject]) -> CwlObject:
    if path.name in known and "checksum" in known[path.name]:
        return known[path.name]
    kind = "Directory" if path.is_dir() else "File"
    return {"class": kind, "location": _uri(path), "basename": path.name}


def _link(source: Path, staged: Path, publication: _Publication) -> bool:
    """A second name for a file of the run's own; it costs nothing, and the scratch name goes with the run."""
    if source.is_symlink() or not source.is_relative_to(publication.scratch):
        return False
    try:
        os.link(source, staged)
    except OSError:
        return False
    return True


def _copy(source: Path, staged: Path) -> tuple[str, int]:
    """Copy and take the checksum in the same pass."""
    digest, size = hashlib.sha1(), 0
    with source.open("rb") as reader, staged.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
            size += len(chunk)
    shutil.copystat(source, staged)
    return f"sha1${digest.hexdigest()}", size


def _move_into_place(publication: _Publication) -> None:
    for folder, _, names in os.walk(publication.staging):
        relative = Path(folder).relative_to(publication.staging)
        final = publication.outdir / relative
        if final.exists() and not final.is_dir():
            raise OutputConflict(str(final), "there is a file of that name, and a directory has to go there")
        for name in names:
            if (final / name).is_dir():
                raise OutputConflict(str(final / name), "there is a directory of that name")
    for folder, _, names in os.walk(publication.staging):
        final = publication.outdir / Path(folder).relative_to(publication.staging)
        final.mkdir(exist_ok=True)
        for name in names:
            (Path(folder) / name).replace(final / name)


def _path(location: str) -> Path:
    return Path(os.fsdecode(unquote(urlsplit(location).path, errors="surrogateescape")))


def _uri(path: Path) -> str:
    return "file://" + quote(os.fsencode(path))
