"""A backup holds all of a service: restored into an empty folder, its runs continue."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import on_command_line, shell, step, workflow
from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, Table, insert, select
from waiting import until
from wes import IMAGE, serving

from gridcwl.service.db import Database
from gridcwl.service.schema import metadata

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


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a database, but those of running processes."""
    with closing(Database(url)) as db, db.engine.connect() as connection:
        tables = [table for table in metadata.sorted_tables if table.name != "drivers"]
        return {one.name: sorted(map(tuple, connection.execute(select(one))), key=str) for one in tables}


def example_row(table: Table, number: int) -> dict[str, Any]:
    """A row with a value of its own in each column."""

    made: dict[type, Any] = {
        LargeBinary: bytes([0, 255, number]),
        JSON: {"name": f"Pälma {number} \U0001f52d", "a": [1, None, "x\\u0000"]},
        Boolean: number % 2 == 0,
        Float: 1.8e9 + number / 8,
        Integer: number,
    }

    def value(column: Column[Any]) -> Any:
        fitting = [one for kind, one in made.items() if isinstance(column.type, kind)]
        text = f"{column.name[:8]} é\\ '{number}"[: getattr(column.type, "length", None) or 100]
        return fitting[0] if fitting else text

    return {column.name: value(column) for column in table.columns}


@pytest.mark.postgresql
def test_a_backup_of_sqlite_is_restored_into_postgresql_and_back(tmp_path: Path, postgresql_url: str):
    first = f"sqlite:///{tmp_path / 'first' / 'service.db'}"
    (tmp_path / "first").mkdir(mode=0o700)
    with closing(Database(first)) as db, db.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(insert(table), [example_row(table, number) for number in (3, 4)])
    before = rows_of(first)
    assert all(before.values())

    def done(*words: str) -> None:
        result = gridcwl("serve", *words)
        assert result.code == 0, result.stderr

    done("backup", str(tmp_path / "1.tar.gz"), "--dir", str(tmp_path / "first"))
    done("restore", str(tmp_path / "1.tar.gz"), "--dir", str(tmp_path / "second"), "--db", postgresql_url)
    assert rows_of(postgresql_url) == before
    with closing(Database(postgresql_url)) as db, db.engine.connect() as connection:
        for table in metadata.sorted_tables:  # numbers that the database gives follow those that are there
            column = table.autoincrement_column
            if column is not None and column.autoincrement is True:
                row = example_row(table, 9)
                del row[column.name]
                assert connection.execute(insert(table), row).inserted_primary_key == (5,), table.name
    again = ("--dir", str(tmp_path / "x"), "--db", postgresql_url)
    refused = gridcwl("serve", "restore", str(tmp_path / "1.tar.gz"), *again)
    assert "holds runs already" in refused.stderr
    done("backup", str(tmp_path / "2.tar.gz"), "--dir", str(tmp_path / "second"), "--db", postgresql_url)
    done("restore", str(tmp_path / "2.tar.gz"), "--dir", str(tmp_path / "third"))
    assert rows_of(f"sqlite:///{tmp_path / 'third' / 'service.db'}") == before
