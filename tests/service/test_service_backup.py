"""A backup holds all of a service: restored into an empty folder, its runs continue."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import on_command_line, shell, step, workflow
from waiting import until
from wes import IMAGE, serving

GATED = shell(
    'until [ -e "$1/gate" ]; do sleep 0.1; done; cat "$0"',
    inputs={"at": on_command_line("Directory"), "after": on_command_line("File")},
    outputs={"said": "stdout"},
    stdout="said.txt",
    requirements=IMAGE,
)
FIRST = shell(
    'cat "$0"; date +%N', inputs={"text": on_command_line("File")}, outputs={"said": "stdout"}, stdout="first.txt",
    requirements=IMAGE,
)  # fmt: skip
BOTH = workflow(
    {"at": "Directory", "text": "File"},
    {"said": {"type": "File", "outputSource": "gated/said"}},
    first=step(FIRST, "said", text="text"),
    gated=step(GATED, "said", at="at", after="first/said"),
)


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_runs_continue_after_a_backup_is_restored_into_an_empty_folder(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
):
    before = {"db": str(request.getfixturevalue("postgresql_url"))} if kind == "postgresql" else {}
    site, archive = tmp_path / "site", tmp_path / "backup.tar.gz"
    site.mkdir()
    given = {"at": {"class": "Directory", "location": site.as_uri()}, "text": {"class": "File", "location": "t.txt"}}
    database = ["--db", before["db"]] if before else []
    with serving(tmp_path / "old", file_roots=[str(site)], **before) as wes:
        ended = wes.run(FIRST, {"text": given["text"]}, files={"t.txt": b"ended\n"})
        active = wes.submit(BOTH, given, files={"t.txt": b"active\n"})
        until(lambda: [task.get("exit_code") for task in tasks(wes, active)] == [0, None])
        made = gridcwl("serve", "backup", str(archive), "--dir", str(tmp_path / "old" / "service"), *database)
        assert made.code == 0, made.stderr
        again = gridcwl("serve", "backup", str(archive), "--dir", str(tmp_path / "old" / "service"), *database)
        assert "is there already" in again.stderr
    assert archive.stat().st_mode & 0o077 == 0
    shutil.rmtree(tmp_path / "old")
    site.joinpath("gate").touch()
    restored = gridcwl("serve", "restore", str(archive), "--dir", str(tmp_path / "new" / "service"))  # into SQLite
    assert restored.code == 0, restored.stderr
    with serving(tmp_path / "new", file_roots=[str(site)]) as wes:
        log = wes.ended(active)
        assert log["state"] == "COMPLETE", wes.get(f"/runs/{active}/stderr").text
        assert wes.http.get(log["outputs"]["said"]["location"]).text.startswith("active\n")
        if kind == "sqlite":  # its journal was in the folder, and the first job has ended
            assert [task["name"] for task in tasks(wes, active)].count("first") == 1
        now = wes.get(f"/runs/{ended['run_id']}").json()
        assert now["state"] == "COMPLETE"
        assert wes.http.get(now["outputs"]["said"]["location"]).text.startswith("ended\n")
        later = wes.run(FIRST, {"text": given["text"]}, files={"t.txt": b"later\n"})
        assert later["state"] == "COMPLETE"
    refused = gridcwl("serve", "restore", str(archive), "--dir", str(tmp_path / "new" / "service"))
    assert "holds runs already" in refused.stderr


def tasks(wes, run):
    return wes.get(f"/runs/{run}/tasks").json()["task_logs"]


@pytest.mark.parametrize("data", [b"", b"no archive", os.urandom(1000)])
def test_what_is_no_backup_is_refused(tmp_path: Path, data: bytes):
    archive = tmp_path / "backup.tar.gz"
    archive.write_bytes(data)
    refused = gridcwl("serve", "restore", str(archive), "--dir", str(tmp_path / "new"))
    assert refused.code == 1
    assert "is no backup of gridcwl" in refused.stderr
    assert "Traceback" not in refused.stderr
