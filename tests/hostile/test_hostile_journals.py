"""A journal that was edited or damaged leads to no file, folder or process that is not the run's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gridcwl.cli.commands import main
from gridcwl.model import JobId, JobResult, Outcome, RunId
from gridcwl.model.codec import to_json
from gridcwl.runs.record import run_record
from gridcwl.runs.record.cleanup import is_working_folder, remove_failed, remove_unused, working_folder
from gridcwl.runs.record.folder import RunFolder, new_folder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.listing import working_of

JOB = "run-1-1"
RUN = RunId("run")
MARKER = ".gridcwl-run"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    made = tmp_path / "home/victim"
    made.mkdir(parents=True)
    (made / "file").write_text("mine")
    return made


def a_run(state: Path, working: Path | str, job: str = JOB) -> RunFolder:
    """A run whose client was killed while this job ran."""
    folder = new_folder(state, RUN)
    journal = Journal(folder.journal, new=True)
    journal.describe({"working": str(working), "options": {}})
    journal.begin(pid=1, pid_started=0.0, host="h", version="v")
    journal.flush()
    journal._db.execute("INSERT INTO jobs (id, session, step, name, job) VALUES (1, 1, 's', 's', ?)", (job,))
    journal.close()
    return folder


@pytest.mark.parametrize("name", ["../home/victim", "{}", "", ".", "..", "a/../../home/victim", "../home/victim/"])
def test_the_folder_of_a_failed_attempt_is_one_of_the_working_folder(tmp_path: Path, victim: Path, name: str) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (working / "kept").mkdir()
    remove_failed(working, [name.format(victim)], tmp_path / "logs")
    assert (victim / "file").read_text() == "mine"
    assert (working / "kept").is_dir()


def test_only_a_folder_as_mkdtemp_makes_it_can_be_a_working_folder(tmp_path: Path, victim: Path) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (tmp_path / "gridcwl-aaaaaaaa").symlink_to(working)
    (tmp_path / "gridcwl-bbbbbbbb").mkdir(mode=0o755)
    assert is_working_folder(working, RUN)
    others = [
        victim,
        tmp_path / "gridcwl-aaaaaaaa",
        tmp_path / "gridcwl-bbbbbbbb",
        working / "../home",
        Path("gridcwl-x"),
    ]
    assert not any(is_working_folder(other, RUN) for other in others)


def _no_marker(folder: Path) -> None:
    (folder / MARKER).unlink()


def _linked_marker(folder: Path) -> None:
    (folder / MARKER).rename(folder.parent / "marker")
    (folder / MARKER).symlink_to(folder.parent / "marker")


def _piped_marker(folder: Path) -> None:
    (folder / MARKER).unlink()
    os.mkfifo(folder / MARKER)


def _marker_of_another_run(folder: Path) -> None:
    (folder / MARKER).write_text("run-2\n")


def _longer_marker(folder: Path) -> None:
    (folder / MARKER).write_text("run\nrun\n")


def _marker_folder(folder: Path) -> None:
    (folder / MARKER).unlink()
    (folder / MARKER).mkdir()


def _open_to_others(folder: Path) -> None:
    folder.chmod(0o755)


@pytest.mark.parametrize(
    "spoil",
    [
        _no_marker,
        _linked_marker,
        _piped_marker,
        _marker_of_another_run,
        _longer_marker,
        _marker_folder,
        _open_to_others,
    ],
)
def test_a_folder_without_the_marker_of_the_run_is_not_removed(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (working / "file").write_text("mine")
    folder = a_run(tmp_path / "state", working)
    folder.note_working(working)
    spoil(working)
    assert not is_working_folder(working, RUN)
    assert main(["rm", "run", "--state-dir", str(tmp_path / "state")]) == 0
    assert not folder.path.exists()
    assert (working / "file").read_text() == "mine"


def test_the_private_folder_of_another_run_is_not_removed(tmp_path: Path) -> None:
    other = working_folder(str(tmp_path / "gridcwl-"), RunId("run-2"))
    (other / "file").write_text("mine")
    folder = a_run(tmp_path / "state", other)
    folder.note_working(other)
    assert main(["rm", "run", "--state-dir", str(tmp_path / "state")]) == 0
    assert (other / "file").read_text() == "mine"


def _unreadable(journal: Path) -> None:
    journal.write_bytes(b"no journal" * 1000)


def _of_another_folder(journal: Path) -> None:
    opened = Journal(journal)
    opened.describe({"working": str(journal.parents[3] / "home/victim")})
    opened.close()


@pytest.mark.parametrize("damage", [_unreadable, _of_another_folder, Path.unlink])
def test_a_run_whose_journal_is_damaged_is_removed_with_its_working_folder(
    tmp_path: Path, victim: Path, damage: Callable[[Path], None]
) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (working / f"{JOB}-1").mkdir()
    folder = a_run(tmp_path / "state", working)
    folder.note_working(working)
    damage(folder.journal)
    assert main(["rm", "run", "--state-dir", str(tmp_path / "state")]) == 0
    assert not folder.path.exists()
    assert not working.exists()
    assert (victim / "file").read_text() == "mine"


@pytest.mark.parametrize("noted", ["", "no json", "[1]", "null", '"relative"', '"/a\\u0000b"', "[" * 10_000, '"{}"'])
def test_a_note_of_the_working_folder_that_was_edited_leads_nowhere(tmp_path: Path, victim: Path, noted: str) -> None:
    folder = new_folder(tmp_path / "state", RUN)
    (folder.path / "working.json").write_text(noted.replace("{}", str(victim)))
    assert working_of(folder) is None
    assert main(["rm", "run", "--state-dir", str(tmp_path / "state")]) == 0
    assert (victim / "file").read_text() == "mine"


def test_a_working_folder_that_nothing_was_put_into_is_removed_with_its_marker(tmp_path: Path) -> None:
    unused, used = (working_folder(str(tmp_path / "gridcwl-"), RUN) for _ in range(2))
    (used / "job").mkdir()
    remove_unused(unused)
    remove_unused(used)
    assert not unused.exists()
    assert is_working_folder(used, RUN)


def test_a_run_that_names_another_folder_gets_a_new_one_and_leaves_that_alone(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    (victim / f"{JOB}-1").mkdir()
    folder = a_run(tmp_path / "state", victim)
    with run_record.reopen_run(folder) as kept:
        assert kept.working != victim
    assert sorted(path.name for path in victim.iterdir()) == ["file", f"{JOB}-1"]


@pytest.mark.parametrize("job", ["*", "../../home/victim", "run-?-1", "", "/"])
def test_the_id_of_a_lost_job_is_no_pattern_and_no_path(tmp_path: Path, job: str) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (working / f"{JOB}-1").mkdir()
    with run_record.reopen_run(a_run(tmp_path / "state", working, job)):
        assert (working / f"{JOB}-1").is_dir()


@pytest.mark.parametrize(("owner", "kept"), [(JOB, True), ("run-1-2", False)])
def test_a_kept_result_is_taken_only_for_its_own_job(tmp_path: Path, owner: str, kept: bool) -> None:
    working = working_folder(str(tmp_path / "gridcwl-"), RUN)
    (working / f"{JOB}-1").mkdir()
    (working / f"{JOB}-1/result.json").write_text(to_json(JobResult(JobId(owner), Outcome.SUCCESS)))
    folder = a_run(tmp_path / "state", working)
    with run_record.reopen_run(folder), closing(History(folder.journal)) as history:
        assert bool(history.lost()) is not kept


def test_the_run_of_another_user_is_neither_resumed_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_run(tmp_path / "state", working_folder(str(tmp_path / "gridcwl-"), RUN))
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(JournalError, match="belongs to another user"), run_record.reopen_run(folder):
        pass
    with pytest.raises(JournalError, match="belongs to another user"):
        run_record.stop_orphans(folder)
