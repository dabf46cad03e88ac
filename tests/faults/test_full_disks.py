"""The disk that takes the outputs, or the jobs' folders, is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, glob, shell


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root's rights")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


BIG = shell("echo ran >> $0; head -c 2000000 /dev/zero > big", outputs={"big": glob("big")})


def test_outputs_that_find_no_room_are_kept_until_there_is(place: Desk, small_disk: Path) -> None:
    marks = place.folder / "marks"
    place.write("tool.cwl", BIG | {"arguments": [str(marks)]})
    result = gridcwl("--quiet", "--no-container", "--outdir", str(small_disk), "tool.cwl")
    assert result.code == 1
    assert "No space is left in" in result.stderr
    assert "gridcwl resume" in result.stderr
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    again = gridcwl("--quiet", "resume", "last")
    assert again.code == 0, again.stderr
    assert (small_disk / "big").stat().st_size == 2_000_000
    assert marks.read_text() == "ran\n"


def test_a_tool_that_finds_no_room_for_its_files_is_reported_with_the_disk(place: Desk, small_disk: Path) -> None:
    place.write(
        "tool.cwl", BIG | {"arguments": ["/dev/null"], "baseCommand": ["sh", "-e", "-c", BIG["baseCommand"][2]]}
    )
    result = gridcwl(
        "--quiet", "--no-container", f"--tmpdir-prefix={small_disk}/", f"--outdir={place.outdir}", "tool.cwl"
    )
    assert result.code == 1
    assert "is full" in result.stderr
    assert str(small_disk) in result.stderr
    assert "Traceback" not in result.stderr
