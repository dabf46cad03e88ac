"""What says which bytes an input has."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from gridcwl.model import StagedFile
from gridcwl.runs.reuse import checksums
from gridcwl.runs.reuse.checksums import ChecksumCache

SHA1_OF_A = hashlib.sha1(b"a").hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def staged(path: Path) -> StagedFile:
    return StagedFile("/in/x", "directory" if path.is_dir() else "file", (path.as_uri(),))


def identity(path: Path, *, memo: Path | None = None, by_content: bool = True) -> str:
    made = ChecksumCache(memo, by_content=by_content)
    try:
        return made.identify([staged(path)])[path.as_uri()]
    finally:
        made.close()


def test_a_file_is_known_by_its_bytes_wherever_it_lies(place):
    (place / "one").write_bytes(b"a")
    (place / "two").write_bytes(b"a")
    assert identity(place / "one") == identity(place / "two") == f"sha1${SHA1_OF_A} 1"


def test_a_folder_is_known_by_names_and_bytes_of_all_in_it(place):
    (place / "one" / "deep").mkdir(parents=True)
    (place / "one" / "deep" / "file").write_bytes(b"a")
    shutil.copytree(place / "one", place / "two")
    same = identity(place / "one")
    assert identity(place / "two") == same
    (place / "two" / "deep" / "file").write_bytes(b"b")
    assert identity(place / "two") != same
    (place / "two" / "deep" / "file").write_bytes(b"a")
    assert identity(place / "two") == same
    (place / "two" / "empty").mkdir()
    assert identity(place / "two") != same


def test_a_large_file_is_read_once_and_again_when_it_looks_different(place, tmp_path, monkeypatch):
    read: list[str] = []
    honest = checksums.sha1_of
    monkeypatch.setattr(checksums, "sha1_of", lambda path: (read.append(path), honest(path))[1])
    large = place / "large"
    large.write_bytes(b"a" * (checksums.QUICK + 1))
    memo = tmp_path / "cache" / "sums.db"
    first = identity(large, memo=memo)
    assert identity(large, memo=memo) == first
    assert len(read) == 1
    large.write_bytes(b"b" * (checksums.QUICK + 1))
    assert identity(large, memo=memo) != first
    assert len(read) == 2


def test_a_very_large_file_is_not_read_unless_other_runs_are_to_know_it(place, monkeypatch):
    monkeypatch.setattr(checksums, "LARGE", 10)
    file = place / "file"
    file.write_bytes(b"a" * 11)
    os.utime(file, ns=(1, 1))
    unread = identity(file, by_content=False)
    assert "11 bytes" in unread
    os.utime(file, ns=(2, 2))
    assert identity(file, by_content=False) != unread
    assert identity(file).startswith("sha1$")


def test_pipes_are_not_read_and_what_is_not_there_is_known_by_its_place(place):
    os.mkfifo(place / "pipe")
    assert str(place / "pipe") in identity(place / "pipe")
    assert identity(place / "nothing") == (place / "nothing").as_uri()


def test_a_memory_that_cannot_be_kept_costs_only_time(place, tmp_path):
    (tmp_path / "file").write_text("")
    large = place / "large"
    large.write_bytes(b"a" * (checksums.QUICK + 1))
    assert identity(large, memo=tmp_path / "file" / "sums.db").startswith("sha1$")


def test_much_to_read_takes_long_and_little_does_not(place):
    (place / "small").write_bytes(b"a")
    (place / "large").write_bytes(b"a" * (checksums.QUICK + 1))
    made = ChecksumCache(None, by_content=True)
    assert not made.takes_long([staged(place / "small")])
    assert made.takes_long([staged(place / "large")])
    assert made.takes_long([staged(place)])
    assert not made.takes_long([StagedFile("/in/x", "file", ("http://example.org/x",))])
