"""Bindings: the values of inputs and outputs, as the journal keeps them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, expression, on_command_line, shell, step, tool, workflow

from gridcwl.runs.record.bindings import SHARED, BindingEncoder, unshared
from gridcwl.runs.record.folder import all_folders
from gridcwl.runs.record.history import History


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    return Desk(tmp_path)


def encoder() -> tuple[BindingEncoder, dict[int, bytes]]:
    shared: dict[int, bytes] = {}
    shared: dict[int, bytes] = {}

    def share(number: int, size: int, pieces: Iterator[bytes]) -> None:
        shared[number] = b"".join(pieces)
        assert len(shared[number]) == size

    return BindingEncoder(lambda text: text, share), shared


def test_of_a_file_what_identifies_it_is_kept_and_the_contents_of_a_literal():
    encode, _ = encoder()
    file = {"class": "File", "location": "file:///a", "basename": "a", "nameroot": "a", "contents": "x" * 9}
    literal = {"class": "File", "basename": "b", "contents": "b"}
    assert json.loads(encode.encode({"f": [file], "l": literal})) == {
        "f": [{"class": "File", "location": "file:///a", "basename": "a"}],
        "l": literal,
    }


def test_a_large_value_that_many_shards_share_is_written_once():
    encode, shared = encoder()
    numbers = list(range(1000))
    first, second = (encode.encode({"all": numbers, "n": n}) for n in range(2))
    assert len(shared) == 1
    assert len(first) < 60
    assert unshared(json.loads(second), lambda number: json.loads(shared[number])) == {"all": numbers, "n": 1}
    assert json.loads(first)["all"].keys() == {SHARED}


def test_passwords_in_urls_are_not_kept():
    encode, _ = encoder()
    assert b"hunter2" not in encode.encode({"f": {"class": "File", "location": "https://me:hunter2@there/x"}})


def test_the_journal_has_the_values_of_jobs_expressions_and_workflows_by_parameter(desk: Desk):
    echo = tool("echo", inputs={"text": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt")
    inner = workflow({"text": "string"}, {"said": {"type": "File", "outputSource": "echo/said"}},
                     echo=step(echo, "said", text="text"))  # fmt: skip
    louder = expression("${ return {'text': inputs.text + '!'}; }", {"text": "string"}, {"text": "string"})
    outer = workflow(
        {"texts": "string[]"},
        {"said": {"type": "File[]", "outputSource": "say/said"}},
        loud=step(louder, "text", scatter="text", text="texts"),
        say=step(inner, "said", scatter="text", text="loud/text"),
    )
    desk.write("wf.cwl", outer)
    desk.write("in.json", '{"texts": ["a", "b"]}')
    assert gridcwl("--quiet", "--no-container", "--outdir", "out", "wf.cwl", "in.json").code == 0
    with closing(History(all_folders(desk.folder / "state")[0].journal)) as history:
        jobs = [history.binding(row) for row in history.jobs()]
        assert sorted((one.name, one.inputs["text"]) for one in jobs if one) == [
            ("say[0]/echo", "a!"),
            ("say[1]/echo", "b!"),
        ]
        assert all(one and one.outputs and one.outputs["said"]["basename"] == "said.txt" for one in jobs)
        others = {one.name: one for one in history.evaluations()}
    assert others.keys() == {"loud[0]", "loud[1]", "say[0]", "say[1]", ""}
    assert others["loud[1]"].outputs == {"text": "b!"}
    assert others["say[1]"].inputs == {"text": "b!"}
    assert others[""].inputs == {"texts": ["a", "b"]}


def test_secrets_are_not_among_the_values(desk: Desk):
    script = shell('cat "$0" > /dev/null', inputs={"key": on_command_line("string")}, outputs={})
    script["requirements"] = {"InlineJavascriptRequirement": {}}
    script["hints"] = {"cwltool:Secrets": {"secrets": ["key"]}}
    script["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
    script["arguments"] = [{"valueFrom": "/dev/null"}]
    desk.write("tool.cwl", script)
    desk.write("in.json", '{"key": "swordfish"}')
    assert gridcwl("--quiet", "--no-container", "--outdir", "out", "tool.cwl", "in.json").code == 0
    journal = all_folders(desk.folder / "state")[0].journal
    with closing(History(journal)) as history:
        (row,) = history.jobs()
        binding = history.binding(row)
    assert binding is not None
    assert "(secret" in json.dumps(binding.inputs)
    assert b"swordfish" not in journal.read_bytes()


def test_damaged_values_are_a_damaged_journal(desk: Desk):
    echo = tool("echo", inputs={"text": on_command_line("string")}, outputs={"said": "stdout"}, stdout="said.txt")
    desk.write("wf.cwl", echo)
    assert gridcwl("--quiet", "--no-container", "--outdir", "out", "wf.cwl", "--text", "x").code == 0
    for damage in ('{"text"', "[]", '{"text": {"gridcwl:shared": 5}}'):
        with closing(sqlite3.connect(all_folders(desk.folder / "state")[0].journal)) as db, db:
            db.execute("UPDATE bindings SET inputs=?", (damage,))
        ended = gridcwl("export", "last", "crate")
        assert ended.code == 1
        assert "is damaged" in ended.stderr


def test_names_that_are_not_utf8_do_not_keep_a_run_from_being_exported(desk: Desk):
    made = {"type": "File", "outputBinding": {"glob": "caf*"}}
    script = shell("printf x > \"$(printf 'caf\\351')\"", outputs={"made": made})
    desk.write("wf.cwl", script)
    assert gridcwl("--quiet", "--no-container", "--outdir", "out", "wf.cwl").code == 0
    ended = gridcwl("export", "last", "crate")
    assert ended.code == 0, ended.stderr
    text = (desk.folder / "crate/ro-crate-metadata.json").read_text()
    assert "data/wf.cwl/caf%E9" in text
    assert gridcwl("verify", "crate").code == 0
