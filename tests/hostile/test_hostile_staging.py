"""Links, names and words by which a job would have its worker write, read or run something else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_engines import CommandLineEngine
from gridcwl.worker.cli_vectors import Cli, command_environment, vector
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Call, EngineError
from gridcwl.worker.job import run_job


class Container(BareEngine):
    """Stages as for a container, and runs the tool without one."""

    containers = True

    def prepare(self, _image):
        return "image"

    def digest(self, _prepared):
        return ""

    def start(self, call):
        return super().start(dataclasses.replace(call, workdir="/", environment=dict(os.environ)))


def run(folder: Path, engine=None, **job) -> dict:
    job = {"id": "j", "run": "r", "name": "step", "command": ["echo", "pwned"], **job}
    return run_job({"image": {"id": "i"}, **job}, str(folder / "job"), engine or Container(), Control())


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A directory that a hostile tool or document had made: its links lead to the user's own files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/rc").write_text("mine")
    given = tmp_path / "given"
    given.mkdir()
    (given / "folder").symlink_to("../home")
    (given / "file").symlink_to("../home/rc")
    (given / "own").mkdir()
    (given / "own/old").write_text("old")
    return given


def staged(given: Path, *, writable: bool) -> dict:
    return {"target": "/gridcwl/out/d", "kind": "directory", "sources": [str(given)], "writable": writable}


def is_untouched(folder: Path) -> bool:
    home = folder / "home"
    return [entry.name for entry in home.iterdir()] == ["rc"] and (home / "rc").read_text() == "mine"


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("name", ["d/file", "d/folder/new", "d/folder/a/b/new", "d/own/../folder/rc"])
def test_a_stream_is_not_written_through_a_link_of_an_input(tmp_path, given, writable, stream, name):
    result = run(tmp_path, staged=[staged(given, writable=writable)], **{stream: name})

    assert result["outcome"] == "permanent-failure"
    assert result["reason"].startswith(f"The tool's output stream cannot be {name}, ")
    assert is_untouched(tmp_path)


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("name", ["file", "folder", "folder/new", "folder/a/b/new"])
@pytest.mark.parametrize("kind", ["literal", "file", "directory", "empty directory"])
def test_an_input_is_not_staged_through_a_link_of_another(tmp_path, given, writable, name, kind):
    other = {"target": f"/gridcwl/out/d/{name}", "kind": kind.split()[-1], "writable": True}
    other |= {"contents": "pwned"} if kind == "literal" else {}
    other |= {"sources": [str(given / "own")]} if kind == "directory" else {}
    other |= {"sources": [str(given / "own/old")]} if kind == "file" else {}

    result = run(tmp_path, staged=[staged(given, writable=writable), other])

    assert is_untouched(tmp_path)
    in_place_of_the_link = name in ("file", "folder") and not writable
    assert result["outcome"] == ("success" if in_place_of_the_link else "permanent-failure")


def test_what_lies_behind_a_link_of_an_input_is_not_shown_where_something_is_put_into_it(tmp_path, given):
    new = {"target": "/gridcwl/out/d/folder/new", "kind": "literal", "contents": ""}
    result = run(tmp_path, staged=[staged(given, writable=False), new])
    assert "is a symbolic link that leads out of its folder" in result["reason"]


@pytest.mark.parametrize("writable", [True, False])
def test_into_an_input_s_own_folders_files_are_put_as_ever(tmp_path, given, writable):
    new = {"target": "/gridcwl/out/d/own/new", "kind": "literal", "contents": "new", "writable": True}

    result = run(tmp_path, staged=[staged(given, writable=writable), new], stdout="d/own/words" if writable else None)

    assert result["outcome"] == "success"
    assert (tmp_path / "job/out/d/own/new").read_text() == "new"
    assert is_untouched(tmp_path)
    assert [entry.name for entry in (given / "own").iterdir()] == ["old"]


@pytest.mark.parametrize("instead", ["ln -s {secret} {log}", "mkfifo {log}", "mkdir {log}", ":"])
@pytest.mark.parametrize("code", [0, 1])
def test_what_a_tool_puts_in_place_of_its_log_is_not_read(tmp_path, instead, code):
    (tmp_path / "secret").write_text("secret")
    script = "rm words; " + instead.format(secret=tmp_path / "secret", log="words") + f"; exit {code}"

    result = run(tmp_path, BareEngine(), command=["sh", "-c", script], stderr="words", image=None)

    assert result["exit_code"] == code
    assert (result["stderr_log"], result["stderr_tail"]) == (None, "")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"environment": {"A=B": "c"}}, "No environment variable can have the name 'A=B'."),
        ({"environment": {"": "c"}}, "No environment variable can have the name ''."),
        ({"environment": {"A": "b\0c"}}, "The value of the environment variable A contains a NUL character."),
        ({"command": ["echo", "a\0b"]}, "An argument of the command contains a NUL character."),
    ],
)
@pytest.mark.parametrize("engine", [BareEngine, Container])
def test_what_no_program_can_be_given_is_refused_with_the_reason(tmp_path, engine, asked, words):
    result = run(tmp_path, engine(), **asked)
    assert (result["outcome"], result["reason"]) == ("permanent-failure", words)


@pytest.mark.parametrize("kind", ["docker", "podman"])
@pytest.mark.parametrize(
    "name", ["*", "A*", "BASH_ENV", "ENV", "_CONTAINERS_USERNS_CONFIGURED", "BASH_FUNC_ls%%", "a b", "A\nB", "LD_X\n"]
)
def test_a_variable_that_the_engine_would_read_itself_is_given_by_its_value(kind, name):
    cli = Cli(kind, kind, 1000, 1000)
    call = Call("c", ("true",), {name: "value"}, "/", "out", "err", image="i", mounts=())

    assert f"--env={name}=value" in vector(cli, call)
    assert command_environment(cli, call) == {}


@pytest.mark.parametrize("kind", ["docker", "podman", "apptainer", "singularity", "udocker"])
@pytest.mark.parametrize("field", ["id", "pull", "load", "rootfs"])
@pytest.mark.parametrize(
    "word", ["--privileged", "-v=/:/host", "-", "--docker-login=x://y", "../../..", "a/../../b", "/", "//"]
)
def test_an_image_is_neither_an_option_nor_a_way_out_of_a_folder(tmp_path, kind, field, word):
    if field in ("load", "rootfs") and "-" not in word:
        pytest.skip("an archive may lie anywhere")
    ran = tmp_path / "ran"
    program = tmp_path / kind
    program.write_text(f'#!/bin/sh\necho "$*" >> {ran}\n')
    program.chmod(0o755)
    engine = CommandLineEngine(kind, str(program), str(tmp_path / "cache"))

    with pytest.raises(EngineError, match="An image cannot be called "):
        engine.prepare({"id": "i", field: word})
    assert not engine.has({"id": "i", field: word})
    assert not ran.exists() or word not in ran.read_text().split()
