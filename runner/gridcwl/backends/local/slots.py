"""The folders of a warm container: a job's own are put in their place while it runs, and back when it has ended.

A container's mounts are made when it is created. So each of its slots has folders of its own, mounted where jobs want
theirs; what a job has in its folders is moved there, which costs a rename for each entry, and a symbolic link stands in
for the job's folder meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gridcwl.worker.engine import Call, Mount
from gridcwl.worker.removing import remove_tree


@dataclass(frozen=True, slots=True)
class Shape:
    """How a warm container looks from inside: jobs of one shape can share it.

    Attributes:
        targets: where the job sees its own folders, and whether it may write there.
    """

    targets: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class ContainerNeeds:
    """What one job needs of a warm container."""

    own: tuple[Mount, ...]
    """Folders of the job itself."""

    @property
    def targets(self) -> tuple[tuple[str, bool], ...]:
        """Of the job's own folders."""
        return tuple((mount.target, mount.writable) for mount in self.own)


def needs(call: Call, shared: str) -> ContainerNeeds | None:
    """What the call needs; None if only a container of its own can give it.

    Inputs are hard links in one of the job's own folders. One that had to be mounted needs a container of its own: a
    mount cannot be added, and a folder that holds the input would show its neighbours.

    Args:
        call: with its mounts.
        shared: the folder below which jobs have their own folders.
    """
    home = next((mount.source for mount in call.mounts if mount.target == call.environment.get("HOME")), "")
    own, targets = f"{Path(home).parent}/", [mount.target for mount in call.mounts]
    if not home.startswith(f"{shared}/") or any(_holds(outer, inner) for outer in targets for inner in targets):
        return None
    if not all(mount.source.startswith(own) and Path(mount.source).is_dir() for mount in call.mounts):
        return None
    return ContainerNeeds(call.mounts)


class Slot:
    """The folders of one warm container on this machine."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        """Make them.

        Raises:
            OSError: there is no room.
        """
        self.folder = folder
        self.shape = shape
        for number in range(len(shape.targets)):
            (folder / str(number)).mkdir(parents=True)

    def mounts(self) -> list[Mount]:
        """What the container has to be created with."""
        return [
            Mount(str(self.folder / str(number)), target, writable)
            for number, (target, writable) in enumerate(self.shape.targets)
        ]

    def enter(self, needs: ContainerNeeds) -> None:
        """Put a job's folders into place.

        Raises:
            OSError: they cannot be moved.
        """
        for number, mount in enumerate(needs.own):
            place = self.folder / str(number)
            held = Path(mount.source + ".held")
            Path(mount.source).rename(held)
            _move(held, place)
            Path(mount.source).symlink_to(place)
            place.chmod(held.stat().st_mode & 0o7777)

    def leave(self, needs: ContainerNeeds) -> None:
        """Give a job its folders back.

        Raises:
            OSError: they cannot be moved.
        """
        for number, mount in enumerate(needs.own):
            held = Path(mount.source + ".held")
            if not held.is_dir():
                continue
            _move(self.folder / str(number), held)
            if Path(mount.source).is_symlink():
                Path(mount.source).unlink()
            held.rename(mount.source)

    def remove(self) -> None:
        """Remove the folders, and what is in them."""
        remove_tree(self.folder)


def _move(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        os.rename(entry.path, target / entry.name)  # noqa: PTH104  many small ones


def _holds(folder: str, path: str) -> bool:
    return path.startswith(f"{folder}/")
