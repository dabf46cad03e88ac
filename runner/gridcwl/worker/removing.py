"""Removing folders that tools have filled: as deep as they like, and closed to everybody."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess


def remove_tree(path: "str | os.PathLike[str]") -> None:
    """Remove a folder with all that is in it, as far as that can be done. Nothing is raised; it may not be there.

    ``shutil.rmtree`` cannot remove what is nested deeper than Python's stack, and nobody but root what is in a folder
    without permissions. Then programs do it that can. Modes of files stay as they are: they may be links to inputs.
    """
    with contextlib.suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if not os.path.lexists(path):
        return
    place = os.path.abspath(path)
    for words in (
        ["find", place, "-type", "d", "!", "-perm", "-700", "-exec", "chmod", "u+rwx", "{}", ";"],
        ["rm", "-rf", "--", place],
    ):
        try:
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError:
            return
