"""Copies of inputs that a tool may change."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Optional, Tuple

from gridcwl.worker.control import Control
from gridcwl.worker.paths import LEADS_NOWHERE, below


def copy_writable(source: str, target: str, control: Control, *, contained: bool = False) -> None:
    """Copy a file or a whole folder; what is read-only there can be written here.

    Links are followed, as the original's place will not exist for the tool, but a link to a folder around it, which
    would never end, is left out. With ``contained``, a link that leads out of the folder stays a link, as in a folder
    that is mounted into a container: a tool may have made it, to get at a file that it may not read.

    Raises:
        OSError: no room, or something cannot be read.
        Failure: the job was stopped meanwhile.
    """
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        root = os.path.realpath(source) if contained else None
        _copy_folder(source, target, control, ((status.st_dev, status.st_ino),), root)
    else:
        _copy_file(source, target, status.st_mode)


def _copy_folder(
    source: str, target: str, control: Control, around: Tuple[Tuple[int, int], ...], root: Optional[str]
) -> None:
    os.makedirs(target, exist_ok=True)
    for name in os.listdir(source):
        control.check()
        if root is not None and not below(os.path.realpath(f"{source}/{name}"), root):
            os.symlink(os.readlink(f"{source}/{name}"), f"{target}/{name}")
            continue
        try:
            status = os.stat(f"{source}/{name}")
        except OSError as error:
            if error.errno in LEADS_NOWHERE:
                continue
            raise
        if stat.S_ISREG(status.st_mode):
            _copy_file(f"{source}/{name}", f"{target}/{name}", status.st_mode)
        elif stat.S_ISDIR(status.st_mode):
            here = (status.st_dev, status.st_ino)
            if here not in around:
                _copy_folder(f"{source}/{name}", f"{target}/{name}", control, (*around, here), root)


def _copy_file(source: str, target: str, mode: int) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, stat.S_IMODE(mode) & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
