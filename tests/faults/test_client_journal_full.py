"""The disk that holds the journal is full."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kept_runs import Desk

from gridcwl.runs.record.journal_file import make


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", [f"{number}" for number in range(40)])
    made.open("all")
    made.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(made.state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root's rights")
    try:
        yield made
    finally:
        made.leave()
        subprocess.run(["umount", "--lazy", str(made.state)], check=True)


def test_the_run_stops_with_the_reason_and_continues_when_there_is_room(desk):
    stopped = desk.run()
    assert stopped.code == 1
    assert "journal.db cannot be written" in stopped.stderr
    assert "gridcwl resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    recorded = desk.recorded()
    before = desk.starts()
    subprocess.run(["mount", "-o", "remount,size=50m", str(desk.state)], check=True)
    ended = desk.gridcwl("resume", "last")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert {shard: desk.starts()[shard] for shard in recorded} == {shard: before[shard] for shard in recorded}


def test_a_journal_is_made_whole_or_not_at_all_however_little_room_there_is(tmp_path):
    made = set()
    for kib in range(4, 200, 12):
        disk = tmp_path / f"{kib}"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small disk takes root's rights")
        try:
            path = disk / "journal.db"
            try:
                make(path)
            except sqlite3.Error:
                assert not path.exists()
            else:
                with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
                    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    assert db.execute("SELECT value FROM meta WHERE name='format'").fetchall()
            made.add(path.exists())
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert made == {False, True}
