"""Final outputs into the output directory: all of them or none, nothing half-written, nothing overwritten by chance.

What goes where is decided here; ``stores.local`` moves the bytes.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.errors import OutputConflict, OutputError, StoreError
from gridcwl.model import paths
from gridcwl.model.objects import outermost
from gridcwl.runs.output_names import numbered
from gridcwl.stores.local import AtomicPublication, explained, path_of, sums_of, uri

if TYPE_CHECKING:
    from gridcwl.runs.outdir import OutputFolder

CwlObject = dict[str, Any]

log = logging.getLogger("gridcwl.runs")

RUN_AGAIN = "Run the document again with this --outdir."

_NOT_PUBLISHED = ("path", "nameroot", "nameext", "dirname", "contents", "writable")
"""Fields that speak of where a tool saw a file; they mean nothing to whoever reads the output object."""


@dataclass(slots=True)
class _Publication:
    outdir: Path
    placement: AtomicPublication
    scratch: Path
    """Below this folder the run owns the files: they may be linked instead of copied."""
    targets: dict[str, Path] = field(default_factory=dict)
    """Where each location went, relative to the output directory."""
    placed: dict[Path, str] = field(default_factory=dict)
    """What each name in the output directory was given to."""
    reserved: dict[int, Path] = field(default_factory=dict)
    """Names of secondary files, by the identity of their entries, that were chosen with the name of their file."""
    copies: dict[Path, int] = field(default_factory=dict)
    """The last number that was given to a name, so that ten thousand of one name do not try each other's."""
    digests: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Checksum and size of each published file."""
    staged: dict[str, str] = field(default_factory=dict)
    """SHA-1 of each file that has to be moved; one that is an input and in its place already is not."""
    listings: dict[Path, list[CwlObject]] = field(default_factory=dict)
    """What is in each published Directory."""
    copy: bool = False
    """The run's files may not be linked."""
    recorded: bool = False
    """The output object was recorded: files have to be as it says, and Directories have what their listings say."""
    inputs: frozenset[str] = frozenset()
    """Paths of the run's inputs: a tool may leave symbolic links to them in a directory."""

    def may_have(self, name: Path, key: str) -> bool:
        """Whether the file of this key may have the name: nothing has it, or the same file."""
        return name not in self.placed or (bool(key) and self.placed[name] == key)


def publish(
    outputs: Any,
    outdir: Path,
    scratch: Path,
    run: str,
    inputs: Any = None,
    *,
    folder: OutputFolder | None = None,
    copy: bool = False,
    recorded: bool = False,
) -> Any:
    """Put every File and Directory of an output object into ``outdir``.

    Args:
        outputs: the output object; not changed.
        outdir: made if it is not there.
        scratch: the run's own folder, whose files may be linked.
        run: for the name of the hidden folder.
        inputs: the input object; links to its files are followed, links to anything else outside are an error.
        folder: says what may be replaced; None for a folder of the run's own, where nobody else writes.
        copy: leave the run's files as they are, and give copies of them.
        recorded: the files were published before: only those that are listed go, and their checksums have to agree.

    Returns:
        The output object with locations, paths, sizes and checksums of the published files.

    Raises:
        OutputConflict: something is in the way, or would be replaced that may not be.
        OutputError: a Directory has a link that leads out of it.
        StoreError: no room, no permission, or a file that should be there is not, or was changed since.
    """
    if not has_files(outputs):
        return outputs
    sources = local_paths(inputs)
    check = folder.check_stop if folder is not None else None
    with explained(outdir), AtomicPublication(outdir, run, check) as placement:
        publication = _Publication(
            outdir.resolve(), placement, scratch.resolve(), copy=copy, recorded=recorded, inputs=sources
        )
        # Directories first, as cwltool has it: what is an output and lies in one is published in it, once.
        local = [entry for entry in outermost(outputs) if _is_local(entry)]
        for entry in _outermost_first([entry for entry in outermost(outputs) if _is_directory_here(entry)]):
            _place(entry, Path(), publication)
        # Then those with secondary files: these get names that fit, also where they are outputs of their own, too.
        for entry in local:
            if entry["class"] == "File" and entry.get("secondaryFiles"):
                _target(entry, Path(), publication, inside=False)
        published = _published(outputs, publication)
        _spare_inputs(publication)
        if folder is None:
            placement.commit(durable=False)
        else:
            _commit(publication, folder)
    return published


def _commit(publication: _Publication, folder: OutputFolder) -> None:
    """Move everything into place if nothing is replaced that may not be."""
    staged, placement = publication.staged, publication.placement
    with folder.locked():
        for name in folder.replaceable(staged, staged.__getitem__):
            placement.leave_out(name)
        tops = [str(name) for name in publication.listings if len(name.parts) == 1]
        placement.commit(
            folder.stale(tops, publication.digests), record=lambda moved: folder.record(moved, staged.__getitem__)
        )


def local_paths(inputs: Any) -> frozenset[str]:
    """Where the Files and Directories of an input object are, with their secondary files."""
    found: set[str] = set()
    for entry in outermost(inputs):
        for one in (entry, *(entry.get("secondaryFiles") or ())):
            if _is_local(one):
                found.add(str(path_of(one["location"])))
    return frozenset(found)


def has_files(outputs: Any) -> bool:
    """Whether there is any File or Directory in an output object."""
    return any(True for _ in outermost(outputs))


def _spare_inputs(publication: _Publication) -> None:
    """An output must not take the place of a file that the run has read.

    Raises:
        OutputConflict: one would.
    """
    outdir = str(publication.outdir)
    for target, source in publication.placed.items() if publication.inputs else ():
        final = f"{outdir}/{target}"
        if final in publication.inputs and source != final:
            raise OutputConflict(final, "one of the run's inputs has that name", remedy="Choose another --outdir.")


def _outermost_first(directories: list[CwlObject]) -> list[CwlObject]:
    """Those that are made of a listing, then in their order the others; those that lie in another one at the end."""
    places = {path_of(entry["location"]) for entry in directories if _is_local(entry)}

    def depth(entry: CwlObject) -> int:
        if not _is_local(entry):
            return 0
        return 1 if places.isdisjoint(path_of(entry["location"]).parents) else 2

    return sorted(directories, key=depth)


def _published(value: Any, publication: _Publication) -> Any:
    if isinstance(value, list):
        return [_published(item, publication) for item in value]
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory"):
            return _place(value, Path(), publication)
        return {key: _published(item, publication) for key, item in value.items()}
    return value


def _place(entry: CwlObject, folder: Path, publication: _Publication, *, inside: bool = False) -> CwlObject:
    """Stage one entry below ``folder`` and say where it will be.

    What is an output twice is published once; but what is ``inside`` a Directory is there in any case, or the Directory
    would not be whole.
    """
    if lives_elsewhere(entry):
        return entry
    target = _target(entry, folder, publication, inside=inside)
    final = publication.outdir / target
    described = {key: item for key, item in entry.items() if key not in _NOT_PUBLISHED}
    described |= {"location": uri(final), "path": str(final)}
    described["basename"] = _basename(entry)  # not the numbered name: tools that take the file see this one
    if entry["class"] == "File":
        if str(target) not in publication.digests:
            _stage_file(entry, target, publication)
        checksum, size = publication.digests[str(target)]
        described |= {"checksum": checksum, "size": size}
        if entry.get("secondaryFiles"):
            described["secondaryFiles"] = [
                _place(file, target.parent, publication, inside=inside) for file in entry["secondaryFiles"]
            ]
    else:
        if target not in publication.listings:
            publication.listings[target] = _stage_directory(entry, target, publication)
        described["listing"] = publication.listings[target]
    return described


def _target(entry: CwlObject, folder: Path, publication: _Publication, *, inside: bool) -> Path:
    """Where the entry goes: where it went before, or below the folder by a name of its own."""
    if (reserved := publication.reserved.get(id(entry))) is not None:
        return reserved
    key = _key(entry.get("location", ""))
    wanted = folder / _basename(entry)
    if key and publication.placed.get(wanted) == key:
        return wanted
    if not inside and (known := publication.targets.get(key)) is not None:
        return known
    group = _group(entry) if entry.get("secondaryFiles") else [entry]
    return _reserve(group, wanted, publication)


def _group(entry: CwlObject) -> list[CwlObject]:
    """A File and its secondary files, those that have names of their own and come here."""
    group = {_basename(entry): entry}
    for other in entry.get("secondaryFiles") or ():
        if not lives_elsewhere(other):
            for member in _group(other):
                group.setdefault(_basename(member), member)
    return list(group.values())


def _reserve(group: list[CwlObject], wanted: Path, publication: _Publication) -> Path:
    """Give the names to a file and its secondary files, with the first number with which all of them are free."""
    if len(group) == 1 and wanted not in publication.placed:  # nearly all: called for every file of a run
        key = _key(group[0].get("location", ""))
        publication.placed[wanted] = key
        if key:
            publication.targets.setdefault(key, wanted)
        return wanted
    keys = [_key(entry.get("location", "")) for entry in group]
    basenames = [_basename(entry) for entry in group]
    names = [wanted.with_name(name) for name in basenames]
    while not all(map(publication.may_have, names, keys)):
        publication.copies[wanted] = number = publication.copies.get(wanted, 1) + 1
        names = [wanted.with_name(name) for name in numbered(basenames, number)]
    for entry, key, name in zip(group, keys, names, strict=True):
        publication.placed[name] = key
        if key:
            publication.targets.setdefault(key, name)
        if entry is not group[0]:
            publication.reserved[id(entry)] = name
    return names[0]


def _basename(entry: CwlObject) -> str:
    """The name of an output, which its tool chose.

    Raises:
        UnsafePath: no file can have it.
    """
    if name := entry.get("basename"):
        return str(paths.basename(name, "The base name of an output"))  # not ruamel's, which no path takes
    return paths.name_in(str(entry.get("location", "")), "unnamed")


def _key(location: str) -> str:
    """One name for a file, however its URL is quoted."""
    return str(path_of(location)) if location.startswith("file://") else location


def _stage_file(entry: CwlObject, target: Path, publication: _Publication) -> None:
    location: str = entry.get("location", "")
    placement = publication.placement
    if location.startswith("file://"):
        source, checksum = path_of(location), entry.get("checksum")
        if checksum and _is_ours(source, publication) and placement.link(source, target):
            publication.digests[str(target)] = (checksum, source.stat().st_size)
            publication.staged[str(target)] = checksum.removeprefix("sha1$")
            return
        if source == publication.outdir / target:
            sums = sums_of(source)
            _check_recorded(source, checksum, sums.sha1, publication)
            publication.digests[str(target)] = (f"sha1${sums.sha1}", sums.size)
            return
        sums = placement.copy(source, target)
        _check_recorded(source, checksum, sums.sha1, publication)
    else:
        sums = placement.write(str(entry.get("contents", "")).encode("utf-8", "surrogateescape"), target)
    publication.digests[str(target)] = (f"sha1${sums.sha1}", sums.size)
    publication.staged[str(target)] = sums.sha1


def _check_recorded(source: Path, checksum: str | None, sha1: str, publication: _Publication) -> None:
    if publication.recorded and checksum and checksum != f"sha1${sha1}":
        raise StoreError(f"The output {source} was changed since it was published", remedy=RUN_AGAIN)


def _is_ours(source: Path, publication: _Publication) -> bool:
    """A file of the run's own can have a second name: it costs nothing, and the scratch name goes with the run."""
    return not publication.copy and source.is_relative_to(publication.scratch) and not source.is_symlink()


def _stage_directory(entry: CwlObject, target: Path, publication: _Publication) -> list[CwlObject]:
    publication.placement.folder(target)
    location: str = entry.get("location", "")
    children = entry.get("listing")
    if location.startswith("file://") and not (publication.recorded and children is not None):
        known = {child.get("basename"): child for child in children or ()}
        inside = sorted(path_of(location).iterdir())
        found = [path for path in inside if _may_be_followed(path, target / path.name, publication)]
        children = [_child(path, known) for path in found]
    return [_place(child, target, publication, inside=True) for child in children or ()]


def _may_be_followed(path: Path, name: Path, publication: _Publication) -> bool:
    """Links out of the run's files and inputs are an error: a tool must not publish what it was not given.

    Args:
        path: where it is.
        name: what it would be called in the output directory.
        publication: of the run.
    """
    if not path.is_symlink():
        return True
    target = Path(os.path.realpath(path))  # resolve() does not take links in a circle
    allowed = target.is_relative_to(publication.scratch) or any(
        str(parent) in publication.inputs for parent in (*path.parents, target, *target.parents)
    )
    there = target.exists()
    if not allowed and not _is_beside_an_input(target, publication.inputs) and there:
        raise OutputError(
            f"The output Directory {path.parent.name} has a symbolic link out of it: {path.name} leads to {target}",
            remedy="A tool's links may lead to its inputs and outputs only; let it copy the file.",
        )
    if not there:
        text = _as_the_tool_wrote_it(path.readlink(), publication.scratch)
        log.warning("The symbolic link %s leads to %s, where nothing is; it is left out", name, text)
        return False
    if target.is_dir() and any(Path(os.path.realpath(parent)) == target for parent in path.parents):
        log.warning("The symbolic link %s leads to a folder that it is in; it is left out", name)
        return False
    return True


def _as_the_tool_wrote_it(text: Path, scratch: Path) -> Path:
    """A link's text; of a path in the run's own folder, which nobody knows, what is in the job's output directory."""
    if not text.is_relative_to(scratch):
        return text
    parts = text.relative_to(scratch).parts
    return Path(*parts[parts.index("out") + 1 :]) if "out" in parts[:-1] else Path(text.name)


def _is_beside_an_input(target: Path, inputs: frozenset[str]) -> bool:
    """Whether a path may be a secondary file of an input, found by a pattern: a/b.bam.bai and a/b.bai of a/b.bam."""
    name, roots = target.name, _roots(inputs)
    return any(sign == "." and f"{target.parent}/{name[:at]}" in roots for at, sign in enumerate(name) if at)


@lru_cache(maxsize=1)
def _roots(inputs: frozenset[str]) -> frozenset[str]:
    """The paths without what follows the last dot of their names."""
    return frozenset(str(Path(path).with_suffix("")) for path in inputs)


def lives_elsewhere(entry: CwlObject) -> bool:
    """In a store, or at a URL: it stays there."""
    location = str(entry.get("location", ""))
    return bool(location) and not location.startswith(("_:", "file://"))


def _is_local(entry: CwlObject) -> bool:
    return str(entry.get("location", "")).startswith("file://")


def _is_directory_here(entry: CwlObject) -> bool:
    """A Directory of this machine, or one that is made of what its listing names."""
    return entry["class"] == "Directory" and str(entry.get("location", "")).startswith(("_:", "file://"))


def _child(path: Path, known: dict[Any, CwlObject]) -> CwlObject:
    if path.name in known and "checksum" in known[path.name]:
        return known[path.name]
    kind = "Directory" if path.is_dir() else "File"
    return {"class": kind, "location": uri(path), "basename": path.name}
