"""Folders and logs of jobs that have ended, for those that come.

On ext4 a new inode costs 0.4 to 0.7 ms of CPU, and a rename 0.03: for jobs of a few milliseconds most of what a runner
costs is making three folders and two logs for each. Where the machine runs many jobs with one after the other, what a
job left empty is renamed to where the next one needs it, and what it left to be kept is renamed onto a shelf.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import List, Optional

from gridcwl.worker.engine import Plain
from gridcwl.worker.layout import Layout
from gridcwl.worker.paths import file_url, quote_path
from gridcwl.worker.removing import remove_tree

_MOST = 128  # of each kind


class Recycler:
    """Keeps empty folders and files, and a shelf for outputs. Every method may be called from any thread."""

    def __init__(self, folder: str) -> None:
        """Keep things in this folder, which is made when it is first needed; it has to be on the jobs' file system."""
        self._empty = folder + "/empty"
        self._shelf = folder + "/outputs"
        self._folders: List[str] = []
        self._workdirs: List[str] = []
        self._files: List[str] = []
        self._numbers = iter(range(1 << 62)).__next__
        self._made = False

    def make_folder(self, path: str) -> None:
        """As ``os.mkdir``, but an empty folder is moved there if one is kept.

        Raises:
            FileExistsError: something is there already.
            OSError: as ``os.mkdir``.
        """
        old = _popped(self._folders)
        if old is None:
            os.mkdir(path)
        elif os.path.lexists(path):
            self._folders.append(old)
            raise FileExistsError(path)
        else:
            os.rename(old, path)

    def make_workdir(self, path: str) -> bool:
        """Move a working directory there that has empty directories for outputs and temporary files.

        Returns:
            Whether it is there: not if none is kept, or there is something already, or no place for it.
        """
        old = _popped(self._workdirs)
        if old is None:
            return False
        if not os.path.lexists(path):
            with contextlib.suppress(OSError):
                os.rename(old, path)
                return True
        self._workdirs.append(old)
        return False

    def make_file(self, path: str) -> None:
        """Put an empty file there, if one is kept; else leave it to whoever opens it."""
        old = _popped(self._files)
        if old is not None:
            os.rename(old, path)

    def take_back(self, result: Plain, layout: Layout, patterns: bool) -> None:
        """Clear away a job that succeeded: what it keeps goes onto the shelf, and what is empty is kept for others.

        Changes the locations in the result. ``patterns``: the job keeps what they match, not its whole directory.

        Raises:
            OSError: the disk refuses it; then everything is where the result says.
        """
        self._make()
        name = f"{self._shelf}/{os.path.basename(layout.workdir)}"
        if patterns:
            self._shelve_each(result, layout, name)
        else:
            os.rename(layout.out, name)
            _moved(result["files"], layout.out, name)
            result["outdir"] = file_url(name)
        for key in ("stdout_log", "stderr_log"):
            self._shelve_log(result, key, layout, name)
        self._keep_folder(layout.inputs)
        if not self._keep_workdir(layout):
            for folder in (layout.out, layout.tmp, layout.workdir):
                self._keep_folder(folder)

    def _make(self) -> None:
        if not self._made:
            os.makedirs(self._empty, exist_ok=True)
            os.makedirs(self._shelf, exist_ok=True)
            self._made = True

    def _shelve_each(self, result: Plain, layout: Layout, name: str) -> None:
        ours = file_url(layout.out) + "/"
        tops = {entry["path"].partition("/")[0] for entry in result["files"] if entry["location"].startswith(ours)}
        for number, top in enumerate(sorted(tops)):
            target = f"{name}.{number}"
            os.rename(f"{layout.out}/{top}", target)
            _moved(result["files"], f"{layout.out}/{top}", target)
        result["outdir"] = ""

    def _shelve_log(self, result: Plain, key: str, layout: Layout, name: str) -> None:
        """A log that says something is kept; an empty one is not, and a stream that is an output has been moved."""
        path: Optional[str] = result[key]
        if path is None or os.path.dirname(path) != layout.workdir:
            result[key] = None
            return
        if os.lstat(path).st_size:
            result[key] = f"{name}.{key}"
            os.rename(path, result[key])
            return
        result[key] = None
        if len(self._files) < _MOST:
            self._files.append(self._kept(path))
        else:
            os.unlink(path)

    def _keep_workdir(self, layout: Layout) -> bool:
        """Keep the working directory whole, if nothing is left in it but its two empty directories."""
        inside = {os.path.basename(layout.out), os.path.basename(layout.tmp)}
        if len(self._workdirs) >= _MOST or not all(map(_usable, (layout.workdir, layout.out, layout.tmp))):
            return False
        if set(os.listdir(layout.workdir)) != inside or os.listdir(layout.out) or os.listdir(layout.tmp):
            return False
        self._workdirs.append(self._kept(layout.workdir))
        return True

    def _keep_folder(self, path: str) -> None:
        try:
            usable = _is_usable(os.lstat(path))
        except FileNotFoundError:
            return
        if not usable or os.listdir(path):
            remove_tree(path)
        elif len(self._folders) >= _MOST:
            os.rmdir(path)
        else:
            self._folders.append(self._kept(path))

    def _kept(self, path: str) -> str:
        kept = f"{self._empty}/{self._numbers()}"
        os.rename(path, kept)
        return kept


def recycled_by(folder: str, process: int) -> str:
    """The folder of the recycler of a worker process: each has its own. Empty if nothing is recycled."""
    return f"{folder}-{process}" if folder else ""


def places_of(workdir: str, recycled: str) -> List[str]:
    """What the paths of a job's own files begin with: in its working directory, and on the shelf of this recycler."""
    whole = os.path.abspath(workdir)
    if not recycled:
        return [whole + "/"]
    shelved = f"{recycled}/outputs/{os.path.basename(whole)}"
    return [whole + "/", shelved + "/", shelved + "."]


def can_be_shelved(result: Plain, layout: Layout) -> bool:
    """Whether every file that is kept lies where its path says, not behind a link that moving would break."""
    url = file_url(layout.out)
    for entry in result["files"]:
        location = entry["location"]
        if location.startswith(url) and location != f"{url}/{quote_path(entry['path'])}":
            return False
    return not result["escaped"]


def _moved(files: List[Plain], old: str, new: str) -> None:
    before, after = file_url(old), file_url(new)
    for entry in files:
        location = entry["location"]
        if location == before or location.startswith(before + "/"):
            entry["location"] = after + location[len(before) :]


def _usable(path: str) -> bool:
    try:
        return _is_usable(os.lstat(path))
    except OSError:
        return False


def _is_usable(state: os.stat_result) -> bool:
    """Whether it is a directory, and no link to one, in which its owner may do everything."""
    return stat.S_ISDIR(state.st_mode) and stat.S_IMODE(state.st_mode) & 0o700 == 0o700


def _popped(kept: List[str]) -> Optional[str]:
    try:
        return kept.pop()
    except IndexError:
        return None
