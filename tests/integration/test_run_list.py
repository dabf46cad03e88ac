"""Many runs: named, listed, chosen, and removed; and which one a word means."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from commandline import gridcwl
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.runs.record.folder import RunFolder, checked_run_name, find, new_folder
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.listing import age, point

DAY = 86400.0


class Kept:
    """Runs in a folder for them, without having run anything."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._number = 0

    def run(self, status: str = "success", *, name: str = "", document: str = "wf.cwl", days: float = 0) -> RunFolder:
        self._number += 1
        folder = new_folder(self.state, RunId(f"20260101-000000-{self._number:06x}"))
        with closing(Journal(folder.journal, new=True)) as journal:
            journal.begin(pid=1, pid_started=1.0, host="here", version="0")
            journal.describe({"document": document, "working": str(self.state / "gone"), "options": {}})
            if status != "killed":
                journal.end(status)
            journal._put("UPDATE sessions SET started=started-?1, ended=ended-?1", days * DAY)
        (folder.path / "lock").touch()
        folder.note_origin(name)
        return folder

    def call(self, *words: str):
        return gridcwl(*words, "--state-dir", str(self.state))

    def listed(self, *options: str) -> list[str]:
        return [one["run"] for one in json.loads(self.call("runs", "--json", *options).stdout)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_runs_are_chosen_by_state_age_name_document_and_number(kept: Kept) -> None:
    old = kept.run("failed", name="night-1", days=40).run
    new = kept.run("success", name="night-2", document="sub/other.cwl").run
    assert kept.listed() == [new, old]
    assert kept.listed("--status", "failed") == [old]
    assert kept.listed("--status", "failed", "--status", "success") == [new, old]
    assert kept.listed("--since", "30d") == [new]
    assert kept.listed("--name", "night-1") == [old]
    assert kept.listed("--name", "night-*") == [new, old]
    assert kept.listed("--document", "other.cwl") == [new]
    assert kept.listed("--limit", "1") == [new]
    text = kept.call("runs").stdout
    assert "40 d" in text
    assert "kB" in text


def test_a_run_is_known_by_its_name_or_the_beginning_of_it_and_near_misses_are_suggested(kept: Kept) -> None:
    run = kept.run(name="calibration").run
    kept.run(name="simulation")
    assert f"run       {run}  (calibration)" in kept.call("status", "calibration").stdout
    assert run in kept.call("status", "cali").stdout
    refused = kept.call("status", "calibraton")
    assert refused.code == 1
    assert "Did you mean calibration?" in refused.stderr
    assert "Did you mean last?" in kept.call("status", "lst").stderr


def test_the_latest_of_several_runs_of_one_name_is_taken_and_that_is_reported(kept: Kept) -> None:
    kept.run(name="night")
    later = kept.run(name="night").run
    result = kept.call("status", "night")
    assert f"run       {later}" in result.stdout
    assert "the latest of 2 runs of that name" in result.stderr


@pytest.mark.parametrize("name", ["last", "a b", "../x", "", "-x", "20261123-000349-033c51", "x" * 101])
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be called"):
        checked_run_name(name)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,30}", fullmatch=True).filter(lambda name: name != "last"))
def test_any_plain_word_is_a_name(name: str) -> None:
    assert checked_run_name(name) == name


def test_last_is_the_latest_of_this_terminal_then_of_this_folder_then_of_all(kept: Kept) -> None:
    first, second, third = kept.run(), kept.run(), kept.run()

    def came_from(folder: RunFolder, terminal: str, cwd: str) -> None:
        (folder.path / "origin.json").write_text(json.dumps({"name": "", "terminal": terminal, "cwd": cwd}))

    mine = first.origin["terminal"]
    came_from(second, "elsewhere", str(Path.cwd()))
    came_from(third, "elsewhere", "/another/folder")
    found = find(kept.state, "last")
    assert found.folder == first
    assert "of this terminal" in found.why
    came_from(first, "elsewhere", "/another/folder")
    found = find(kept.state, "last")
    assert found.folder == second
    assert "of this folder" in found.why
    came_from(second, "elsewhere", "/another/folder")
    found = find(kept.state, "last")
    assert found.folder == third
    assert "/another/folder" in found.why
    came_from(third, mine, "/another/folder")
    assert find(kept.state, "last").why == ""


def test_old_runs_are_removed_but_no_active_ones(kept: Kept) -> None:
    old, detached, killed = kept.run(days=40), kept.run("detached", days=40), kept.run("killed", days=40)
    alive, new = kept.run("killed", days=40), kept.run()
    with alive.held():
        result = kept.call("rm", "--older-than", "30d", "--dry-run")
        assert old.run in result.stdout
        assert "nothing was removed" in result.stderr
        assert old.path.is_dir()
        unasked = kept.call("rm", "--older-than", "30d")
        assert unasked.code == 1
        assert "--yes" in unasked.stderr
        assert old.path.is_dir()
        assert kept.call("rm", "--older-than", "30d", "--yes").code == 0
    assert not old.path.is_dir()
    assert all(folder.path.is_dir() for folder in (detached, alive, new))
    assert killed.path.is_dir()  # when it last wrote was just now


def test_runs_are_removed_by_state_and_name(kept: Kept) -> None:
    failed, good = kept.run("failed", name="a"), kept.run(name="b")
    kept.call("rm", "--status", "failed", "--yes")
    assert not failed.path.is_dir()
    assert good.path.is_dir()
    kept.call("rm", "--name", "b*", "-y")
    assert kept.listed() == []


def test_a_detached_run_is_not_removed_by_its_name_either(kept: Kept) -> None:
    folder = kept.run("detached", name="away")
    refused = kept.call("rm", "away")
    assert refused.code == 1
    assert f"gridcwl cancel {folder.run}" in refused.stderr


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * DAY), ("12h", 43200), ("90min", 5400), ("2", 2 * DAY)])
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["soon", "d", "3 parsecs"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        age(text)
    with pytest.raises(ConfigError):
        point(text)


def test_a_folder_that_is_gone_is_no_reason_to_fail(kept: Kept, tmp_path: Path, monkeypatch) -> None:
    run = kept.run().run
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find(kept.state, "last").folder.run == run
