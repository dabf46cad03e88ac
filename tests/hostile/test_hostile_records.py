"""What gridcwl wrote for itself is believed only if it is its own; a tool or another user can write such files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gridcwl.errors import UnsafePath
from gridcwl.runs.publish import publish
from gridcwl.stores import transaction
from gridcwl.stores.local import AtomicPublication

EMPTY: dict[str, Any] = {"folders": [], "replaced": [], "made": [], "removed": []}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    (tmp_path / "victim").write_text("mine")
    return tmp_path / "victim"


def left_open(target: Path, **record: Any) -> Path:
    """What an unfinished publication looks like."""
    work = target / ".gridcwl-evil"
    (work / "old").mkdir(parents=True)
    (work / "old/0").write_text("pwned")
    (work / "moves").write_text(json.dumps(EMPTY | record))
    return work


@pytest.mark.parametrize("name", [".gridcwl-evil", "d/.gridcwl-evil"])
def test_an_output_cannot_pass_for_an_unfinished_publication(tmp_path: Path, name: str) -> None:
    made = tmp_path / "scratch" / name
    left_open(made.parent, replaced=["../../victim"])
    folder = tmp_path / "scratch" / name.partition("/")[0]
    output = {"class": "Directory", "location": f"file://{folder}", "basename": folder.name}
    with pytest.raises(UnsafePath, match=r"begins with \.gridcwl-, which is reserved"):
        publish({"o": output}, tmp_path / "out", tmp_path / "scratch", "run")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../victim", "{}/victim", "d/../../../victim", ""])
@pytest.mark.parametrize("field", ["replaced", "removed", "folders", "made"])
def test_a_record_does_not_lead_out_of_its_folder(tmp_path: Path, victim: Path, name: str, field: str) -> None:
    about, name = victim.stat(), name.format(tmp_path)
    entry = [name, about.st_size, about.st_ino, about.st_mtime_ns] if field == "made" else name
    left_open(tmp_path / "deep/out", **{field: [entry]})
    assert transaction.recover(tmp_path / "deep/out") == []
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", "[" * 100_000, '{"made": [[1, 2]]}', '{"made": 7}', "\x00"])
def test_a_damaged_record_is_no_record(tmp_path: Path, text: str) -> None:
    (left_open(tmp_path) / "moves").write_text(text)
    assert transaction.recover(tmp_path) == []


def test_the_record_of_another_user_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_text("mine")
    left_open(tmp_path, replaced=["kept"])
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert transaction.recover(tmp_path) == []
    assert (tmp_path / "kept").read_text() == "mine"


@pytest.mark.parametrize("planted", ["folder", "record", "pipe"])
def test_a_link_or_a_pipe_in_place_of_a_record_is_not_followed(tmp_path: Path, planted: str) -> None:
    target = tmp_path / "out"
    work = left_open(tmp_path / "elsewhere", replaced=["kept"])
    target.mkdir()
    (target / "kept").write_text("mine")
    if planted == "folder":
        (target / work.name).symlink_to(work)
    else:
        (target / work.name).mkdir()
        if planted == "record":
            (target / work.name / "moves").symlink_to(work / "moves")
        else:
            os.mkfifo(target / work.name / "moves")
    assert transaction.recover(target) == []
    assert (target / "kept").read_text() == "mine"


def test_a_link_in_place_of_the_working_folder_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.gridcwl-run").symlink_to(elsewhere)
    with AtomicPublication(tmp_path / "out", "run") as placement:
        placement.write(b"x", Path("a"))
        placement.commit()
    assert [path.name for path in elsewhere.iterdir()] == ["file"]
    assert (tmp_path / "out/a").read_bytes() == b"x"
