"""A tool that exits 0 but leaves no output has failed: it is reported, never kept as finished, and runs again."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, workflow

from gridcwl.model import JobResult
from gridcwl.runs.record.folder import find
from gridcwl.runs.reuse.cache import Cache

COPY = shell(
    'echo ran >> "$1"; cp "$0" out.txt; true',
    inputs={"wanted": on_command_line("string", position=1), "marks": on_command_line("string", position=2)},
    outputs={"out": glob("out.txt")},
)
COPIES = workflow(
    {"wanted": "string[]", "marks": "string"},
    {"outs": {"type": "File[]", "outputSource": "copy/out"}},
    copy=step(COPY, "out", scatter="wanted", wanted="wanted", marks="marks"),
)


class Copying:
    """A workflow that copies files, of which one is not there yet."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.marks = desk.folder / "marks"
        self.missing = desk.folder / "b.txt"
        there = desk.write("a.txt", "a\n")
        inputs = {"wanted": [there, str(self.missing)], "marks": str(self.marks)}
        self.words = [
            "--no-container", "--quiet", "--on-error=continue", "--outdir=outputs",
            desk.write("copies.cwl", COPIES), desk.write("in.json", json.dumps(inputs)),
        ]  # fmt: skip

    def run(self, *options: str):
        return gridcwl(*options, *self.words)

    def create(self) -> None:
        self.missing.write_text("b\n")

    @property
    def starts(self) -> int:
        return len(self.marks.read_text().splitlines())


@pytest.fixture
def copying(desk: Desk) -> Copying:
    return Copying(desk)


def test_the_job_is_a_failure_with_its_reason_in_status_logs_and_json(copying: Copying) -> None:
    assert copying.run().code == 1
    about = json.loads(gridcwl("status", "--json", "last").stdout)
    (counts,) = about["steps"]
    assert (counts["done"], counts["failed"]) == (1, 1)
    (failure,) = about["failures"]
    assert "out.txt" in failure["reason"]
    assert "out.txt" in gridcwl("status", "last").stdout
    text = gridcwl("logs", "last", "copy[1]").stdout
    assert "success" not in text
    assert "out.txt" in text


def test_a_resumed_run_runs_it_again_and_nothing_else(copying: Copying) -> None:
    copying.run()
    copying.create()
    resumed = gridcwl("resume", "--quiet", "last")
    assert resumed.code == 0, resumed.stderr
    assert [Path(file["path"]).read_text() for file in resumed.outputs["outs"]] == ["a\n", "b\n"]
    assert copying.starts == 3


def test_it_fails_again_as_long_as_the_cause_is_there(copying: Copying) -> None:
    copying.run()
    assert gridcwl("resume", "--quiet", "last").code == 1
    assert copying.starts == 3
    copying.create()
    assert gridcwl("resume", "--quiet", "last").code == 0


def test_other_runs_do_not_take_it_from_the_cache(copying: Copying) -> None:
    assert copying.run("--cachedir=kept").code == 1
    copying.create()
    again = copying.run("--cachedir=kept")
    assert again.code == 0, again.stderr
    assert copying.starts == 3
    assert copying.run("--cachedir=kept").code == 0
    assert copying.starts == 3


def test_a_success_that_an_earlier_version_recorded_without_its_outputs_runs_again(copying: Copying) -> None:
    copying.run()
    folder = find(Path(os.environ["GRIDCWL_STATE_DIR"]), "last").folder
    with closing(sqlite3.connect(folder.journal)) as journal:
        journal.execute("UPDATE jobs SET outcome='success' WHERE outcome='permanent-failure'")
        journal.execute(
            "UPDATE attempts SET outcome='success', "
            "result=CAST(replace(result, '\"permanent-failure\"', '\"success\"') AS BLOB) WHERE outcome<>'success'"
        )
        journal.commit()
    copying.create()
    resumed = gridcwl("resume", "--quiet", "last")
    assert resumed.code == 0, resumed.stderr
    assert copying.starts == 3


def test_a_cached_result_without_its_outputs_is_dropped_and_the_job_runs(copying: Copying, monkeypatch) -> None:
    kept = Cache.put
    copying.create()
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "put", lambda self, key, job, result: kept(self, key, job, without_files(result)))
        assert copying.run("--cachedir=kept").code == 0
    again = copying.run("--cachedir=kept")
    assert again.code == 0, again.stderr
    assert copying.starts == 4
    assert copying.run("--cachedir=kept").code == 0
    assert copying.starts == 4


def without_files(result: JobResult) -> JobResult:
    return replace(result, files=())
