"""The output directory: who may write to it at a time, and what is recorded of it."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from gridcwl.errors import OutputConflict
from gridcwl.model import RunId
from gridcwl.runs import outdir
from gridcwl.runs.outdir import OutputFolder
from gridcwl.runs.record.folder import new_folder
from gridcwl.stores.transaction import Moved


def folder(tmp_path: Path, run: str = "run-1", **fields: bool) -> OutputFolder:
    (tmp_path / "out").mkdir(exist_ok=True)
    return OutputFolder(tmp_path / "out", RunId(run), "file:///doc.cwl", tmp_path / "state", **fields)


def test_names_that_a_run_at_work_has_claimed_are_refused_to_another(tmp_path: Path) -> None:
    with new_folder(tmp_path / "state", RunId("run-1")).held():
        folder(tmp_path).begin(["a", "b"])
        with pytest.raises(OutputConflict, match=r"/out/b cannot be put in place: the run run-1, which is active"):
            folder(tmp_path, "run-2").begin(["b", "c"])
        folder(tmp_path, "run-3").begin(["c"])


def test_overwrite_does_not_let_two_runs_write_the_same_names(tmp_path: Path) -> None:
    with new_folder(tmp_path / "state", RunId("run-1")).held():
        folder(tmp_path).begin(["a"])
        with pytest.raises(OutputConflict, match="which is active"):
            folder(tmp_path, "run-2", overwrite=True).begin(["a"])


def test_claims_of_a_run_that_was_killed_are_void(tmp_path: Path) -> None:
    with new_folder(tmp_path / "state", RunId("run-1")).held():
        folder(tmp_path).begin(["a"])
    folder(tmp_path, "run-2").begin(["a"])


def test_claims_end_with_the_run(tmp_path: Path) -> None:
    with new_folder(tmp_path / "state", RunId("run-1")).held():
        first = folder(tmp_path)
        first.begin(["a"])
        first.close()
        folder(tmp_path, "run-2").begin(["a"])


def test_an_input_of_the_run_is_not_taken_for_something_in_the_way(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made.path / "data").write_text("x")
    made.inputs = frozenset({str(made.path / "data")})
    made.begin(["data"])


def test_files_are_named_when_many_are_in_the_way(tmp_path: Path) -> None:
    made = folder(tmp_path)
    for number in range(8):
        (made.path / f"f{number}").write_text("x")
    with pytest.raises(OutputConflict, match=r"The outputs .*/f0, .*/f4 and 3 more cannot be put in place"):
        made.replaceable([f"f{number}" for number in range(8)], lambda _name: "0")


@pytest.mark.parametrize("locks", [True, False])
def test_only_one_publishes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not locks and os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EBADF, "Bad file descriptor")  # as NFS has it for a folder
        real(descriptor, operation)

    monkeypatch.setattr(outdir.fcntl, "flock", flock)
    (tmp_path / "state").mkdir()
    waiting, inside = threading.Event(), []
    monkeypatch.setattr(outdir.time, "sleep", lambda _seconds: waiting.set())

    def second() -> None:
        with folder(tmp_path, "run-2").locked():
            inside.append("second")

    thread = threading.Thread(target=second)
    with folder(tmp_path).locked():
        thread.start()
        assert waiting.wait(30)
        inside.append("first")
    thread.join(30)
    assert inside == ["first", "second"]


def test_without_its_database_a_run_refuses_and_never_overwrites(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = folder(tmp_path)
    (tmp_path / "state").write_text("not a folder")
    made.record([Moved("a", 1, 2, 3)], lambda _name: "0")
    assert "a later run will not know" in caplog.text
    (made.path / "a").write_text("x")
    with pytest.raises(OutputConflict):
        made.replaceable(["a"], lambda _name: "0")


def test_names_that_are_no_utf_8_are_recorded(tmp_path: Path) -> None:
    made, strange = folder(tmp_path), os.fsdecode(b"caf\xe9")
    (made.path / strange).write_text("x")
    about = (made.path / strange).stat()
    made.record([Moved(strange, about.st_size, about.st_ino, about.st_mtime_ns)], lambda _name: "0")
    assert folder(tmp_path, "run-2").replaceable([strange], lambda _name: "1") == set()
