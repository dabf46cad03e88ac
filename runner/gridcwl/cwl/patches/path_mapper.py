"""``PathMapper`` without the file system: locations stay locations, and folders have numbers.

To be dropped when cwltool's path mapper can be asked not to touch the files; ``visit`` and ``_pathmap`` are replaced.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

from cwltool.pathmapper import MapperEnt, PathMapper
from schema_salad.ref_resolver import uri_file_path

from gridcwl.cwl.patches.upstream import Upstream
from gridcwl.cwl.remote import Remote
from gridcwl.model import JobDirectories, paths

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L77",
        "PathMapper.__init__",
        "46d1b48f9074a89f",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L183",
        "PathMapper.setup",
        "fe67947a614afec2",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L107",
        "PathMapper.visit",
        "7175897e6470ce13",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L90",
        "PathMapper.visitlisting",
        "ef04ccd8b426e5f0",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L204",
        "PathMapper.mapper",
        "34df722ea01517c0",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwltool/blob/3.3.20260925135507/cwltool/pathmapper.py#L235",
        "PathMapper.reversemap",
        "2b3eb663e3a6c043",
    ),
)


def _path_here(location: str) -> str:
    if location[7:8] != "/":  # a file of another machine; or of localhost
        return paths.file_path(location, "The location of an input")
    return str(uri_file_path(location))


class StagePathMapper(PathMapper):  # type: ignore[misc]
    """Where the tool will see each input, without access to the file system.

    cwltool's own mapper follows symbolic links and downloads; here the location stays the location, for the bytes may
    be on another continent. Stage folders are numbered, not random, so that the same inputs give the same job.
    """

    outdir = JobDirectories().out
    """The output directory as the tool sees it, in every job."""

    def __init__(
        self,
        referenced_files: MutableSequence[Any],
        basedir: str,
        stagedir: str,
        separateDirs: bool = True,  # noqa: N803  cwltool's name
        remote: Remote | None = None,
    ) -> None:
        self._remote = remote
        super().__init__(referenced_files, basedir, stagedir, separateDirs)

    @classmethod
    def entry_of(cls, location: str, target: str, remote: Remote | None) -> MapperEnt:
        """The entry of a staged File that is no literal."""
        if location.startswith("file://"):
            resolved = _path_here(location)
        else:
            resolved = location if remote is None else remote.real(location)
        return MapperEnt(resolved, target, "File", True)

    def setup(self, referenced_files: MutableSequence[Any], basedir: str) -> None:
        """Give each file a folder of its own where ``separateDirs`` asks for it."""
        for number, entry in enumerate(referenced_files):
            folder = f"{self.stagedir}/{number}" if self.separateDirs else self.stagedir
            self.visit(entry, folder, basedir, copy=bool(entry.get("writable")), staged=True)

    def visit(self, obj: Any, stagedir: str, basedir: str, copy: bool = False, staged: bool = False) -> None:
        """Map one File or Directory and what belongs to it. As cwltool's ``PathMapper.visit`` does."""
        location: str = obj["location"]
        if location in self._pathmap:
            return
        # A plain path where there is one: cwltool's revmap_file takes it for what an output is passed through from.
        resolved = _path_here(location) if location.startswith("file://") else self._real(location)
        folder = str(obj.get("dirname") or stagedir).rstrip(
            "/"
        )  # cwltool gives literals "/out/": one name for one place
        target = f"{folder}/{obj['basename']}"
        if obj["class"] == "Directory":
            self._pathmap[location] = MapperEnt(resolved, target, "WritableDirectory" if copy else "Directory", staged)
            if (elsewhere := self._elsewhere(location)) is not None:
                self.visitlisting(elsewhere, target, basedir, copy=copy, staged=staged)
                return
            # The children of a real directory come with it; those of a literal one are staged one by one.
            children_staged = staged and location.startswith("_:")
            self.visitlisting(obj.get("listing", []), target, basedir, copy=copy, staged=children_staged)
            return
        if "contents" in obj and location.startswith("_:"):
            kind = "CreateWritableFile" if copy else "CreateFile"
            self._pathmap[location] = MapperEnt(obj["contents"], target, kind, staged)
        else:
            self._pathmap[location] = MapperEnt(resolved, target, "WritableFile" if copy else "File", staged)
        self.visitlisting(obj.get("secondaryFiles", []), folder, basedir, copy=copy, staged=staged)

    def mapper(self, src: str) -> MapperEnt:
        """Where this location is staged. A ``#`` in it is part of its name: cwltool cuts it off as a fragment."""
        found = self._pathmap.get(src)
        return found if found is not None else super().mapper(src)

    def reversemap(self, target: str) -> tuple[str, str] | None:
        """The input at a path. cwltool returns the contents of a literal as its location; here it keeps its own.

        A literal that InitialWorkDirRequirement puts into the output directory is a file like any other there: the
        worker wrote it, and lists it with its location and checksum.
        """
        found: tuple[str, str] | None = super().reversemap(target)
        if found is None or not found[0].startswith("_:"):
            return found
        return None if target.startswith(f"{self.outdir}/") else (found[0], found[0])

    def _real(self, location: str) -> str:
        return location if self._remote is None else self._remote.real(location)

    def _elsewhere(self, location: str) -> list[Any] | None:
        """What is in a directory that is not on this machine: its files are staged one by one."""
        return None if self._remote is None else self._remote.listing(location)
