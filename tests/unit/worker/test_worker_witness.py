"""A witness: an attempt of a job that has ended is not made again."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from gridcwl.worker.control import Control
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.witness import own_folder, remove_old, run_once


class Made:
    """Counts how often an answer is made."""

    def __init__(self, kept: bool = True) -> None:
        self.times, self._kept = 0, kept

    def __call__(self) -> tuple[bytes, bool]:
        self.times += 1
        return f"answer {self.times}\n".encode(), self._kept


def once(folder: Path, made: Made, control: Control | None = None) -> bytes:
    return run_once(f"{folder}/job.result", f"{folder}/job", control or Control(), made)


def test_the_answer_of_an_attempt_that_has_ended_is_given_again(tmp_path: Path) -> None:
    made = Made()
    assert [once(tmp_path, made), once(tmp_path, made)] == [b"answer 1\n", b"answer 1\n"]
    assert made.times == 1


def test_what_was_stopped_is_started_again(tmp_path: Path) -> None:
    made = Made(kept=False)
    assert [once(tmp_path, made), once(tmp_path, made)] == [b"answer 1\n", b"answer 2\n"]


def test_what_an_attempt_without_an_answer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "job" / "out").mkdir(parents=True)
    (tmp_path / "job.result").write_bytes(b"half an ans")
    assert once(tmp_path, Made()) == b"answer 1\n"
    assert not (tmp_path / "job").exists()


def test_a_job_that_another_process_runs_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / "job.result.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        answers: list[bytes] = []
        made = Made()
        waiting = threading.Thread(target=lambda: answers.append(once(tmp_path, made)))
        waiting.start()
        (tmp_path / "job.result").write_bytes(b"the other's\n")
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.join()
    assert (answers, made.times) == ([b"the other's\n"], 0)


def test_the_wait_for_another_process_can_be_stopped(tmp_path: Path) -> None:
    control = Control()
    control.stop("not wanted any more")
    with (tmp_path / "job.result.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WorkerFailure, match="not wanted any more"):
            once(tmp_path, Made(), control)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    assert own_folder(f"{tmp_path}/own") == f"{tmp_path}/own"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError, match="others may write to it"):
        own_folder(f"{tmp_path}/open")
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.raises(PermissionError):
        own_folder(f"{tmp_path}/link")


def test_what_is_left_of_old_jobs_is_removed_but_not_of_those_that_run(tmp_path: Path) -> None:
    for name in ("old", "new", "long"):
        (tmp_path / name).mkdir()
        for end in ("result", "result.lock"):
            (tmp_path / f"{name}.{end}").write_bytes(b"answer\n")
            if name != "new":
                os.utime(tmp_path / f"{name}.{end}", (0, 0))
    with (tmp_path / "long.result.lock").open("rb") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        remove_old(str(tmp_path), 3600)
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"new", "long"}
