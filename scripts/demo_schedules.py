"""What the demo's schedules wait for: runs of CORSIKA's layout, and a fake of Zooniverse's API.

scripts/demo_schedules.py corsika FOLDER NAME: writes a whole run and one that was cut off.
scripts/demo_schedules.py zooniverse: prints its URL, and serves until it is stopped.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from gridcwl.testbed.fakes.zooniverse import FakeZooniverse

_WORDS = 273
"""Of one block of CORSIKA's output."""


def _block(tag: bytes, words: Sequence[float]) -> bytes:
    return tag + struct.pack(f"<{_WORDS - 1}f", *words, *[0.0] * (_WORDS - 1 - len(words)))


def write_run(path: Path, number: int, *, whole: bool) -> None:
    """Write a run with two protons of 500 GeV, made up; without its end if it is not whole."""
    about = [float(number), 261130.0, 7.75]
    blocks = [_block(b"RUNH", about)]
    for event in (1.0, 2.0):
        blocks.append(_block(b"EVTH", [event, 14.0, 500.0, *[0.0] * 39, *about]))
        blocks.append(_block(struct.pack("<f", 5001.0), [0.1, 0.2, 9.0, 100.0, 200.0, 5.0]))
        blocks.append(_block(b"EVTE", [event]))
    blocks += [_block(b"RUNE", [float(number), 2.0])] if whole else []
    record = b"".join([*blocks, *[bytes(4 * _WORDS)] * (21 - len(blocks))])
    marker = struct.pack("<i", len(record))
    path.write_bytes(marker + record + marker)


def main(what: str, *words: str) -> None:
    """See the module."""
    if what == "corsika":
        folder = Path(words[0])
        folder.mkdir(parents=True, exist_ok=True)
        write_run(folder / f"{words[1]}.DAT000001", 1, whole=True)
        write_run(folder / f"{words[1]}.DAT000002", 2, whole=False)
        return
    with FakeZooniverse({"demo": "demo"}) as zooniverse:
        zooniverse.add("workflow", 2, "Shapes of galaxies")
        for choice in ("spiral", "elliptical", "spiral", "spiral"):
            zooniverse.classify("workflow", 2, choice=choice)
        print(zooniverse.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
