"""A damaged journal is named, with what is wrong and what to do; the other runs are listed, and it can be removed."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from commandline import gridcwl

from gridcwl.model import Job, JobId, JobResult, Outcome, RunId
from gridcwl.runs.options import Options, to_plain
from gridcwl.runs.record.folder import RunFolder, new_folder
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.reuse.keys import describe

RUN = "20260101-000000-00000a"
OTHER = "20260101-000000-00000b"
COMMANDS = [["status"], ["logs"], ["explain", "say"], ["data"], ["resume"], ["attach"]]

Damage = Callable[[Path], None]


def a_run(state: Path, run: str) -> RunFolder:
    folder = new_folder(state, RunId(run))
    job = Job(JobId(f"{run}-1-1"), RunId(run), "say", ("echo",))
    with closing(Journal(folder.journal, new=True)) as journal:
        journal.begin(pid=1, pid_started=1.0, host="here", version="0")
        journal.describe(
            {
                "document": "wf.cwl",
                "working": str(state / "gone"),
                "cwd": str(state),
                "stdin": None,
                "options": to_plain(Options(str(state / "wf.cwl"))),
                "outputs": {"out": None},
                "partial": None,
                "signals": True,
            }
        )
        journal.add(row_id(1, 1), "say", job, describe(job, {}, {}))
        journal.result(row_id(1, 1), 1, JobResult(job.id, Outcome.PERMANENT_FAILURE, 1, "no"), "f")
        journal.progress([{"step": "say", "total": 1}])
        journal.describe({"summary": {"done": 0, "failed": 1, "shards": 1}})
        journal.end("failed", "1 failure")
    (folder.path / "lock").touch()
    folder.note_origin("mine" if run == RUN else "")
    return folder


def sql(*statements: str) -> Damage:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            for statement in statements:
                db.execute(statement)

    return damage


def entry(name: str, text: str) -> Damage:
    return sql(f"INSERT OR REPLACE INTO meta VALUES ('{name}', {text})")


def as_file(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        for part in path.parent.glob("journal.db*"):
            part.unlink()
        path.write_bytes(content)

    return damage


def overwritten(path: Path) -> None:
    sql("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")(path)
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(64) * ((len(content) - 4096) // 64)
    path.write_bytes(content)


def replaced(old: bytes, new: bytes) -> Damage:
    def damage(path: Path) -> None:
        sql("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")(path)
        path.write_bytes(path.read_bytes().replace(old, new))

    return damage


FOR_ALL: dict[str, tuple[Damage, str]] = {
    "no meta": (sql("DROP TABLE meta"), "the table meta is missing"),
    "no sessions": (sql("DROP TABLE sessions"), "the table sessions is missing"),
    "no jobs": (sql("DROP TABLE jobs"), "the table jobs is missing"),
    "no attempts": (sql("DROP TABLE attempts"), "the table attempts is missing"),
    "no commons": (sql("DROP TABLE commons"), "the table commons is missing"),
    "no events": (sql("DROP TABLE events"), "the table events is missing"),
    "no column": (sql("ALTER TABLE jobs RENAME COLUMN step TO stop"), "the table jobs has no column step"),
    "no format": (sql("DELETE FROM meta WHERE name='format'"), "it has no format number"),
    "format": (entry("format", "'{'"), "its entry format is not JSON"),
    "no file of a database": (as_file(b"this is no database" * 100), "its journal is no database"),
    "empty": (as_file(b""), "its journal is empty"),
    "a name not UTF-8": (
        replaced(b"CREATE TABLE sessions", b"CREATE TABLX se\xc2\xc2ons"),
        "its journal is no database",
    ),
    "overwritten": (overwritten, "its journal is"),
}
FOR_SOME: dict[str, tuple[Damage, str, list[str]]] = {
    "options": (entry("options", "'[1'"), "its entry options is not JSON", ["logs", "resume", "attach"]),
    "options of a list": (entry("options", "'[1]'"), "its entry options has a wrong form", ["logs", "resume"]),
    "options of bytes": (entry("options", "x'ff7b7d'"), "is damaged", ["logs", "resume", "attach"]),
    "options not UTF-8": (entry("options", "CAST(x'22ff22' AS TEXT)"), "not UTF-8", ["logs", "resume"]),
    "paths": (entry("options", """'{"outdir": 5}'"""), "its entry options has a wrong form", ["resume"]),
    "document": (entry("document", "'5'"), "its entry document has a wrong form", ["status"]),
    "cwd": (entry("cwd", "'{}'"), "its entry cwd has a wrong form", ["resume", "attach"]),
    "working": (entry("working", "'[]'"), "its entry working has a wrong form", ["status", "logs", "resume"]),
    "partial": (entry("partial", "'7'"), "its entry partial has a wrong form", ["data"]),
    "outputs": (entry("outputs", "'\"x\"'"), "its entry outputs has a wrong form", ["data"]),
    "summary": (entry("summary", """'{"done": "x"}'"""), "its entry summary has a wrong form", ["status"]),
    "progress": (entry("progress", """'{"session": 1, "steps": [5]}'"""), "its entry progress", ["status", "explain"]),
    "nested": (entry("progress", f"'{'[' * 100_000}'"), "its entry progress is not JSON", ["status", "explain"]),
    "started": (sql("UPDATE sessions SET started='noon'"), "the table sessions", ["status", "attach"]),
    "infinite": (sql("UPDATE sessions SET started=9e999"), "the table sessions", ["status", "attach"]),
    "session": (sql("UPDATE jobs SET session=9e999"), "the column session of the table jobs", ["explain", "resume"]),
    "ended": (sql("UPDATE sessions SET ended=x'00'"), "the table sessions", ["status"]),
    "message": (sql("UPDATE sessions SET message=CAST(x'ff' AS TEXT)"), "not UTF-8", ["status"]),
    "status": (sql("UPDATE sessions SET status=NULL"), "the table sessions", ["status"]),
    "job": (sql("UPDATE jobs SET name=NULL"), "", []),
    "result": (sql("UPDATE attempts SET result=NULL"), "the column result of the table attempts", ["logs"]),
}
"""Damage that only some commands meet: what they say, and which they are. The others do their work or say it, too."""
DAMAGES = {name: damage for name, (damage, _) in FOR_ALL.items()} | {
    name: damage for name, (damage, _, _) in FOR_SOME.items()
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    a_run(tmp_path / "state", RUN)
    return tmp_path / "state"


def journal_of(state: Path) -> Path:
    return RunFolder(state / "runs" / RUN).journal


def is_clear(said: str) -> bool:
    return "internal error" not in said and "Error:" not in said and "Traceback" not in said


@pytest.mark.parametrize("name", FOR_ALL)
def test_each_command_reports_which_run_is_damaged_what_is_wrong_and_what_to_do(state: Path, name: str) -> None:
    damage, what = FOR_ALL[name]
    damage(journal_of(state))
    for command, *step in COMMANDS:
        ended = gridcwl(command, "mine", *step)
        assert ended.code == 1, (command, ended)
        assert f"The record of the run {RUN} is damaged: {what}" in ended.stderr
        assert f"gridcwl rm {RUN} removes it" in ended.stderr
        assert is_clear(ended.stderr), ended.stderr


@pytest.mark.parametrize("name", FOR_SOME)
def test_a_command_that_meets_damage_reports_it_and_no_other_fails_by_itself(state: Path, name: str) -> None:
    damage, what, commands = FOR_SOME[name]
    damage(journal_of(state))
    for command, *step in COMMANDS:
        ended = gridcwl(command, RUN, *step)
        assert is_clear(ended.stderr), (command, ended.stderr)
        if command in commands:
            assert ended.code == 1, (command, ended)
            assert what in ended.stderr, (command, ended.stderr)


@pytest.mark.parametrize("name", DAMAGES)
def test_the_other_runs_are_listed_and_a_damaged_one_is_removed(state: Path, name: str) -> None:
    a_run(state, OTHER)
    DAMAGES[name](journal_of(state))
    listed = gridcwl("runs", "--json")
    assert is_clear(listed.stderr)
    other, one = json.loads(listed.stdout)
    assert (other["run"], other["state"]) == (OTHER, "failed")
    assert (one["run"], one["name"]) == (RUN, "mine")
    if name in FOR_ALL:
        assert one["state"] == "broken"
        assert "is damaged" in one["message"]
        assert "broken" in gridcwl("runs").stdout
    assert gridcwl("explain", OTHER, "say").code == 0
    removed = gridcwl("rm", RUN)
    assert removed.code == 0, removed.stderr
    assert is_clear(removed.stderr)
    assert [one["run"] for one in json.loads(gridcwl("runs", "--json").stdout)] == [OTHER]


def test_what_is_no_folder_of_a_run_is_no_run(state: Path) -> None:
    (state / "runs/file").touch()
    (state / "runs/link").symlink_to(state / "nowhere")
    assert [one["run"] for one in json.loads(gridcwl("runs", "--json").stdout)] == [RUN]
    assert "There is no run file" in gridcwl("status", "file").stderr


@pytest.mark.parametrize("kind", ["pipe", "folder", "text", "list", "large", "not UTF-8"])
def test_an_origin_that_is_no_file_of_gridcwl_costs_only_the_name(state: Path, kind: str) -> None:
    origin = state / "runs" / RUN / "origin.json"
    origin.unlink()
    match kind:
        case "pipe":
            os.mkfifo(origin)
        case "folder":
            origin.mkdir()
        case "text":
            origin.write_text("{")
        case "list":
            origin.write_text("[1]")
        case "large":
            origin.write_text(json.dumps({"name": "x" * (1 << 20)}))
        case _:
            origin.write_bytes(b'{"name": "\xff"}')
    folder = RunFolder(state / "runs" / RUN)
    assert folder.origin == {}
    folder.note_origin("new")
    assert folder.name == ("" if kind == "folder" else "new")
    assert gridcwl("status", RUN).code == 0
    assert gridcwl("runs").code == 0
