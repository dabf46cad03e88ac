"""The folders of a warm container: a job's own are put in their place while it runs, and back when it has ended.

A container's mounts are made when it is created. So each of its slots has folders of its own, mounted where jobs want
theirs; what a job has in its folders is moved there, which costs a rename for each entry, and a symbolic link stands in
for the job's folder meanwhile.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gridcwl.worker.engine import Call, Mount

SIDE = "/.gridcwl"
"""Where a warm container sees what others made: folders mounted read-only, by number."""
_MOST_ROOTS = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """How a warm container looks from inside: jobs of one shape can share it.

    Attributes:
        targets: where the job sees its own folders, and whether it may write there.
        roots: folders of this machine that are mounted read-only.
    """

    targets: tuple[tuple[str, bool], ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """What one job needs of a warm container."""

    own: tuple[Mount, ...]
    """Folders of the job itself."""
    originals: tuple[Mount, ...]
    """Inputs, to be seen inside one of the read-only ones of these."""

    @property
    def targets(self) -> tuple[tuple[str, bool], ...]:
        """Of the job's own folders."""
        return tuple((mount.target, mount.writable) for mount in self.own)


def needs(call: Call, shared: str) -> Needs | None:
    """What the call needs; None if only a container of its own can give it.

    Args:
        call: with its mounts.
        shared: the folder below which jobs have their own folders.
    """
    own = [mount for mount in call.mounts if mount.source.startswith(f"{shared}/") and Path(mount.source).is_dir()]
    originals = [mount for mount in call.mounts if mount not in own]
    targets = [mount.target for mount in own]
    if any(_holds(outer, inner) for outer in targets for inner in targets if outer != inner):
        own_targets = {mount.target for mount in own if not any(_holds(t, mount.target) for t in targets)}
        originals += [mount for mount in own if mount.target not in own_targets]
        own = [mount for mount in own if mount.target in own_targets]
    closed = [mount.target for mount in own if not mount.writable]
    for mount in originals:
        if mount.writable or not os.path.lexists(mount.source) or not any(_holds(t, mount.target) for t in closed):
            return None
    return Needs(tuple(own), tuple(originals)) if own else None


def roots_for(originals: Sequence[Mount], shared: str, known: tuple[str, ...]) -> tuple[str, ...] | None:
    """The folders that have to be mounted so that all originals can be seen; None if they are too many."""
    roots = list(known or (shared,))
    for mount in originals:
        folder = str(Path(mount.source).parent)
        if not any(_holds(root, mount.source) for root in roots):
            roots.append(folder)
    return tuple(roots) if len(roots) <= _MOST_ROOTS else None


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
        own = [
            Mount(str(self.folder / str(number)), target, writable)
            for number, (target, writable) in enumerate(self.shape.targets)
        ]
        return own + [Mount(root, f"{SIDE}/{number}") for number, root in enumerate(self.shape.roots)]

    def enter(self, needs: Needs) -> None:
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
        for original in needs.originals:
            there = self._inside(needs, original)
            _remove(there)
            there.symlink_to(self._side(original.source))

    def leave(self, needs: Needs) -> None:
        """Give a job its folders back.

        Raises:
            OSError: they cannot be moved.
        """
        for original in needs.originals:
            there = self._inside(needs, original)
            if there.is_symlink():
                there.unlink()
                if Path(original.source).is_dir():
                    there.mkdir()
                else:
                    there.touch()
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
        shutil.rmtree(self.folder, ignore_errors=True)

    def _inside(self, needs: Needs, mount: Mount) -> Path:
        """The path on this machine of an original's target."""
        for number, own in enumerate(needs.own):
            if _holds(own.target, mount.target):
                return self.folder / str(number) / mount.target[len(own.target) + 1 :]
        raise FileNotFoundError(mount.target)

    def _side(self, source: str) -> str:
        """Where the container sees a file or folder of this machine."""
        for number, root in enumerate(self.shape.roots):
            if _holds(root, source):
                return f"{SIDE}/{number}/{source[len(root) + 1 :]}"
        raise FileNotFoundError(source)


def _move(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        os.rename(entry.path, target / entry.name)  # noqa: PTH104  many small ones


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif os.path.lexists(path):
        path.unlink()


def _holds(folder: str, path: str) -> bool:
    return path.startswith(f"{folder}/")
