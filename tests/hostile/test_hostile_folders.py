"""Folders that a tool leaves are removed, whatever it made of them; those of the user are private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gridcwl.config import private_folder
from gridcwl.model import JobId, JobResult, Outcome
from gridcwl.runs.record import cleanup
from gridcwl.runs.record.cleanup import mask_secrets
from gridcwl.runs.reuse.cache import Cache
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.recycle import Recycler
from gridcwl.worker.removing import remove_tree

DEEP = "import os; [(os.mkdir('d'), os.chdir('d')) for _ in range(3000)]"


def run(folder: Path, script: str, **outputs) -> dict:
    job = {"id": "job-1", "run": "run", "name": "step", "command": ["python3", "-c", script], "outputs": outputs}
    options = WorkerOptions(recycler=Recycler(str(folder / "recycled")))
    return run_job(job, str(folder / "job"), BareEngine(), Control(), options=options)


def test_folders_nested_beyond_pythons_stack_do_no_harm(tmp_path):
    result = run(tmp_path, f"import os; os.chdir(os.environ['TMPDIR']); {DEEP}", globs=["*.txt"])

    assert result["outcome"] == "success"
    assert not (tmp_path / "job").exists()


def test_an_output_that_is_nested_too_deeply_is_a_failure_with_a_readable_reason(tmp_path):
    result = run(tmp_path, DEEP, globs=["d"])

    assert (result["outcome"], result["reason"][-20:]) == ("permanent-failure", " File name too long.")
    assert len(result["reason"]) < 400
    remove_tree(tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_folders_without_permissions_are_removed_and_no_file_changes_its_mode(tmp_path):
    original = tmp_path / "original"
    original.touch(0o400)
    inner = tmp_path / "left/closed/inner"
    inner.mkdir(parents=True)
    (inner / "link").hardlink_to(original)
    inner.chmod(0)
    inner.parent.chmod(0)

    remove_tree(tmp_path / "left")

    assert not (tmp_path / "left").exists()
    assert stat.S_IMODE(original.stat().st_mode) == 0o400


def test_the_user_s_own_folders_are_private(tmp_path):
    private_folder(tmp_path / "cache" / "gridcwl")
    Cache(tmp_path / "results" / "of all", tmp_path)

    for name in ("cache", "cache/gridcwl", "results", "results/of all"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    private_folder(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o2775


@pytest.mark.parametrize("last", ["", "\nand secret\n"])
def test_a_line_without_end_is_not_searched_for_secrets_in_memory(tmp_path, monkeypatch, last):
    monkeypatch.setattr(cleanup, "_LONGEST_LINE", 100)
    log = tmp_path / "stderr.log"
    log.write_text("a secret\n" + 1000 * "secret " + last)

    mask_secrets(
        JobResult(JobId("j"), Outcome.SUCCESS, stderr_log=str(log)), lambda text: text.replace("secret", "***")
    )

    assert "secret " not in log.read_text().replace("the run has secrets", "")
    assert log.read_text().startswith("a ***\n[gridcwl: a line of more than 100 characters is left out")
    assert log.read_text().endswith("and ***\n" if last else "secrets]\n")
