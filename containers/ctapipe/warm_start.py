"""Gives Numba the cache that was made when the image was built.

Numba reads a cache only where it may also write, and a container's root is often read-only, its
/tmp fresh, its user unknown: so the cache is copied to /tmp (1.5 MB), once in a container. Run at
each start of Python by a line in warm_start.pth.
"""

import os
import shutil
import tempfile
from pathlib import Path

MADE = Path("/opt/ctapipe/numba")


def seed() -> None:
    """Copy the cache and name it to Numba; where that cannot be, Numba compiles again."""
    if "NUMBA_CACHE_DIR" in os.environ or not MADE.is_dir():
        return
    mine = Path(tempfile.gettempdir()) / f"numba-{os.getuid()}"
    if not mine.is_dir():
        try:
            copying = tempfile.mkdtemp(prefix="numba-", dir=mine.parent)
            shutil.copytree(MADE, copying, dirs_exist_ok=True)
            Path(copying).rename(mine)
        except OSError:  # no room, or another process was first
            return
    os.environ["NUMBA_CACHE_DIR"] = str(mine)


seed()
