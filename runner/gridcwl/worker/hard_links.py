"""Hard links to inputs, where a container would need very many mounts; copies where those cannot be made.

The folder that holds them is mounted read-only, so nobody can change an original through its link. Bytes are copied
only where an original is on another file system, or is another user's (``fs.protected_hardlinks``).
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import Iterator, Tuple

from gridcwl.worker.control import Control
from gridcwl.worker.removing import remove_tree

_MOST = 100_000  # entries of one directory: beyond, one mount is quicker than all the links


def link(source: str, target: str, *, directory: bool) -> bool:
    """Make links to a file, or to all files of a directory; False if it cannot be done, and then nothing is left.

    Symbolic links inside a directory stay what they are, as in a mount. Special files are left out.
    """
    if not directory:
        return _linked(source, target)
    for made, (relative, entry) in enumerate(_entries(source)):
        there = f"{target}/{relative}" if relative else target
        if made > _MOST or not _entry_linked(entry, there):
            remove_tree(target)
            return False
    return True


def copy(source: str, target: str, control: Control, *, directory: bool) -> None:
    """The same with copies; on file systems that can, the blocks are shared.

    Raises:
        OSError: there is no room, or something cannot be read.
        Failure: the job was stopped meanwhile.
    """
    if not directory:
        _copied(source, target)
        return
    for relative, entry in _entries(source):
        control.check()
        there = f"{target}/{relative}" if relative else target
        mode = os.lstat(entry).st_mode
        if stat.S_ISREG(mode):
            _copied(entry, there)
        else:
            _made(entry, there, mode)


def _entries(folder: str) -> Iterator[Tuple[str, str]]:
    """The folder and all that is below: relative and absolute paths, folders first."""
    yield "", folder
    ahead = [""]
    while ahead:
        here = ahead.pop()
        with os.scandir(f"{folder}/{here}" if here else folder) as entries:
            for entry in entries:
                relative = f"{here}/{entry.name}" if here else entry.name
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(relative)
                yield relative, entry.path


def _entry_linked(source: str, target: str) -> bool:
    mode = os.lstat(source).st_mode
    if stat.S_ISREG(mode):
        return _linked(source, target)
    try:
        _made(source, target, mode)
    except OSError:
        return False
    return True


def _made(source: str, target: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        os.mkdir(target)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)


def _linked(source: str, target: str) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True


def _copied(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, stat.S_IMODE(os.stat(source).st_mode) & 0o777 | stat.S_IRUSR)
