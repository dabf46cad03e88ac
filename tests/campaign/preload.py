"""The library that is loaded into gridcwl's processes (``preload.c``): built once, and the file that controls it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("preload.c")
CONTROL = "CAMPAIGN_CONTROL"


def available() -> bool:
    """Whether it can be built here."""
    return shutil.which("cc") is not None


def library() -> Path:
    """The library, built if it is not there yet."""
    name = f"gridcwl-campaign-{os.getuid()}-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}.so"
    made = Path(tempfile.gettempdir()) / name
    if not made.exists():
        unfinished = made.with_suffix(f".{os.getpid()}")
        words = ["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(unfinished), str(_SOURCE), "-ldl"]
        subprocess.run(words, check=True)
        unfinished.replace(made)
    return made


def set_clock(control: Path, seconds: float) -> None:
    """Set the time of day of all processes of a trial so far from the machine's."""
    if not control.exists():
        control.write_bytes(bytes(8))
    with control.open("r+b", buffering=0) as file:
        file.write(struct.pack("q", int(seconds * 1e9)))


def arm(control: Path, crash_at: int, note: Path) -> None:
    """In the client's process: use the clock of this trial, and end before this call; 0 for never."""
    ctypes.CDLL(None).campaign_arm(os.fsencode(control), ctypes.c_long(crash_at), os.fsencode(note))


def counted() -> int:
    """In the client's process: how many calls were counted since :func:`arm`."""
    call = ctypes.CDLL(None).campaign_counted
    call.restype = ctypes.c_long
    return int(call())
