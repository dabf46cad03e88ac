"""Copies of inputs that a tool may change."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import Tuple

from gridcwl.worker.control import Control


def copy_writable(source: str, target: str, control: Control) -> None:
    """Copy a file or a whole folder; what is read-only there can be written here.

    Links are followed, as the original's place will not exist for the tool, but a link to a folder around it, which
    would never end, is left out.

    Raises:
        OSError: no room, or something cannot be read.
        Failure: the job was stopped meanwhile.
    """
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        _copy_folder(source, target, control, ((status.st_dev, status.st_ino),))
    else:
        _copy_file(source, target, status.st_mode)


def _copy_folder(source: str, target: str, control: Control, around: Tuple[Tuple[int, int], ...]) -> None:
    os.makedirs(target, exist_ok=True)
    for name in os.listdir(source):
        control.check()
        try:
            status = os.stat(f"{source}/{name}")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # a link that leads nowhere
                continue
            raise
        if stat.S_ISREG(status.st_mode):
            _copy_file(f"{source}/{name}", f"{target}/{name}", status.st_mode)
        elif stat.S_ISDIR(status.st_mode):
            here = (status.st_dev, status.st_ino)
            if here not in around:
                _copy_folder(f"{source}/{name}", f"{target}/{name}", control, (*around, here))


def _copy_file(source: str, target: str, mode: int) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, stat.S_IMODE(mode) & 0o777 | stat.S_IRUSR | stat.S_IWUSR)
