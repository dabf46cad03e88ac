"""A journal that was edited or damaged leads to no file, folder or process that is not the run's."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from gridcwl.model import JobId, JobResult, Outcome
from gridcwl.model.codec import to_json
from gridcwl.runs import keeping
from gridcwl.runs.folder import RunFolder, new_folder
from gridcwl.runs.history import History
from gridcwl.runs.journal import Journal, JournalError
from gridcwl.runs.tidy import drop_failed, is_working_folder

JOB = "run-1-1"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    made = tmp_path / "home/victim"
    made.mkdir(parents=True)
    (made / "file").write_text("mine")
    return made


def a_run(state: Path, working: Path | str, job: str = JOB) -> RunFolder:
    """A run whose client was killed while this job ran."""
    folder = new_folder(state, keeping.RunId("run"))
    journal = Journal(folder.journal, new=True)
    journal.describe({"working": str(working), "options": {}})
    journal.begin(pid=1, pid_started=0.0, host="h", version="v")
    journal.flush()
    journal._db.execute("INSERT INTO jobs (id, session, step, name, job) VALUES (1, 1, 's', 's', ?)", (job,))
    journal.close()
    return folder


@pytest.mark.parametrize("name", ["../home/victim", "{}", "", ".", "..", "a/../../home/victim", "../home/victim/"])
def test_the_folder_of_a_failed_attempt_is_one_of_the_working_folder(tmp_path: Path, victim: Path, name: str) -> None:
    working = keeping.working_folder(str(tmp_path / "gridcwl-"))
    (working / "kept").mkdir()
    drop_failed(working, [name.format(victim)], tmp_path / "logs")
    assert (victim / "file").read_text() == "mine"
    assert (working / "kept").is_dir()


def test_only_a_folder_as_mkdtemp_makes_it_can_be_a_working_folder(tmp_path: Path, victim: Path) -> None:
    working = keeping.working_folder(str(tmp_path / "gridcwl-"))
    (tmp_path / "gridcwl-aaaaaaaa").symlink_to(working)
    (tmp_path / "gridcwl-bbbbbbbb").mkdir(mode=0o755)
    assert is_working_folder(working)
    others = [
        victim,
        tmp_path / "gridcwl-aaaaaaaa",
        tmp_path / "gridcwl-bbbbbbbb",
        working / "../home",
        Path("gridcwl-x"),
    ]
    assert not any(map(is_working_folder, others))


def test_a_run_that_names_another_folder_gets_a_new_one_and_leaves_that_alone(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping.tempfile, "gettempdir", lambda: str(tmp_path))
    (victim / f"{JOB}-1").mkdir()
    folder = a_run(tmp_path / "state", victim)
    with keeping.taken_up(folder) as kept:
        assert kept.working != victim
    assert sorted(path.name for path in victim.iterdir()) == ["file", f"{JOB}-1"]


@pytest.mark.parametrize("job", ["*", "../../home/victim", "run-?-1", "", "/"])
def test_the_id_of_a_lost_job_is_no_pattern_and_no_path(tmp_path: Path, job: str) -> None:
    working = keeping.working_folder(str(tmp_path / "gridcwl-"))
    (working / f"{JOB}-1").mkdir()
    with keeping.taken_up(a_run(tmp_path / "state", working, job)):
        assert (working / f"{JOB}-1").is_dir()


@pytest.mark.parametrize(("owner", "kept"), [(JOB, True), ("run-1-2", False)])
def test_a_kept_result_is_taken_only_for_its_own_job(tmp_path: Path, owner: str, kept: bool) -> None:
    working = keeping.working_folder(str(tmp_path / "gridcwl-"))
    (working / f"{JOB}-1").mkdir()
    (working / f"{JOB}-1/result.json").write_text(to_json(JobResult(JobId(owner), Outcome.SUCCESS)))
    folder = a_run(tmp_path / "state", working)
    with keeping.taken_up(folder), closing(History(folder.journal)) as history:
        assert bool(history.lost()) is not kept


def test_the_run_of_another_user_is_neither_resumed_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_run(tmp_path / "state", keeping.working_folder(str(tmp_path / "gridcwl-")))
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(JournalError, match="belongs to another user"), keeping.taken_up(folder):
        pass
    with pytest.raises(JournalError, match="belongs to another user"):
        keeping.stop_leftovers(folder)
