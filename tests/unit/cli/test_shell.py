"""``gridcwl shell``: the container of a job with its inputs, and a person's command in it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, glob, new_desk, on_command_line, shell, step, tool, workflow

GREP = tool(
    "sh", "-c", "grep -q good renamed.txt || { echo no good >&2; exit 7; }",
    inputs={"data": "File", "folder": "Directory"}, outputs={"none": glob("none", "File?")},
    requirements={
        "EnvVarRequirement": {"envDef": {"LEVEL": "high"}},
        "InitialWorkDirRequirement": {"listing": [
            {"entryname": "renamed.txt", "entry": "$(inputs.data)"},
            {"entryname": "conf.ini", "entry": "a = 1\n"},
            "$(inputs.folder)",
        ]},
    },
)  # fmt: skip
DOCUMENT = workflow(
    {"files": "File[]", "folder": "Directory"}, {"made": {"type": "File[]?", "outputSource": "make/made"}},
    make=step(shell('cat "$0" > made.txt', inputs={"f": on_command_line("File")}, outputs={"made": glob("made.txt")}),
              "made", scatter="f", f="files"),
    grep=step(GREP, "none", scatter="data", data="make/made", folder="folder"),
)  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return new_desk(tmp_path, monkeypatch)


@pytest.fixture
def failed(desk: Desk) -> Desk:
    """A run whose second shard of ``grep`` failed."""
    files = [desk.write("a b.txt", "good\n"), desk.write("b.txt", "bad\n")]
    desk.write("folder/inside.txt", "inside\n")
    given = {
        "files": [{"class": "File", "path": path} for path in files],
        "folder": {"class": "Directory", "path": "folder"},
    }
    result = gridcwl("--no-container", "--quiet", desk.write("w.cwl", DOCUMENT), desk.write("in.json", given))
    assert result.code == 1
    return desk


def opened(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command, as its own process: what runs in it has the process's streams."""
    return subprocess.run(
        [sys.executable, "-m", "gridcwl", "shell", *words], input=text, capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("failed")
def test_the_failed_shard_of_a_step_is_opened_with_its_inputs_environment_and_folder():
    done = opened("last", "grep", "--", "cat renamed.txt conf.ini folder/inside.txt; echo $LEVEL; exit 5")
    assert done.stdout == "bad\na = 1\ninside\nhigh\n"
    assert done.returncode == 5
    assert "grep[1]" in done.stderr
    assert "exit code 7" in done.stderr
    assert "grep -q good" in done.stderr


@pytest.mark.usefixtures("failed")
def test_a_shard_that_ended_well_is_opened_by_its_name_and_stdin_is_the_command_s():
    assert opened("last", "grep[0]", "--", "cat", "renamed.txt").stdout == "good\n"
    done = opened("last", "make[0]", text='cat "$HOME"/../in/*/*; exit 3\n')
    assert (done.stdout, done.returncode) == ("good\n", 3)


def test_nothing_is_left_and_the_record_is_as_it_was(failed: Desk, monkeypatch: pytest.MonkeyPatch):
    scratch = failed.folder / "shell"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = gridcwl("status", "last", "--json").stdout
    assert opened("last", "grep", "--", "touch", "new").returncode == 0
    assert list(scratch.iterdir()) == []
    assert gridcwl("status", "last", "--json").stdout == before


@pytest.mark.usefixtures("failed")
def test_on_a_terminal_the_command_has_it():
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "gridcwl", "shell", "last", "grep", "--", "test -t 0 && test -t 1 && exit 6"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL) as process:
        assert process.wait() == 6
    os.close(slave)
    os.close(master)


MISTAKES = [
    (("last",), "STEP must be given"),
    ((), "RUN and STEP must be given"),
    (("last", "gerp"), "no jobs of a step gerp"),
    (("last", "grep[17]"), "no job grep[17]"),
    (("nothing", "grep"), "no run nothing"),
    (("last", "grep", "--"), "no command behind --"),
    (("last", "grep", "-i", "a b.txt"), "-i needs --image"),
    (("last", "grep", "--image", "x"), "--image takes no run"),
    (("--image", "x", "-i", "gone.txt"), "gone.txt does not exist"),
    (("last", "grep", "--", "no-such-program"), "no-such-program"),
]


@pytest.mark.usefixtures("failed")
def test_mistakes_are_errors_that_name_them():
    for words, message in MISTAKES:
        result = gridcwl("shell", *words)
        assert result.code != 0, words
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_an_input_that_is_gone_is_named(failed: Desk):
    shutil.rmtree(failed.folder / "folder")
    result = gridcwl("shell", "last", "grep", "--", "true")
    assert result.code != 0
    assert "folder" in result.stderr


def test_a_secret_is_neither_shown_nor_given(desk: Desk):
    document = shell(
        "test -z \"$PASS\"", inputs={"password": "string"}, outputs={},
        requirements={"EnvVarRequirement": {"envDef": {"PASS": "$(inputs.password)"}}},
        hints={"cwltool:Secrets": {"secrets": ["password"]}},
    ) | {"$namespaces": {"cwltool": "http://commonwl.org/cwltool#"}}  # fmt: skip
    path = desk.write("s.cwl", document)
    assert gridcwl("--no-container", "--quiet", path, desk.write("in.json", {"password": "hunter2"})).code == 1
    done = opened("last", Path(path).name, "--", "env")
    assert done.returncode == 0, done.stderr
    assert "PASS=(secret " in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.docker
def test_in_a_container_the_job_s_files_are_at_the_paths_that_the_tool_saw(desk: Desk):
    document = GREP | {"hints": {"DockerRequirement": {"dockerPull": "debian:trixie-slim"}}}
    desk.write("folder/inside.txt", "inside\n")
    given = {
        "data": {"class": "File", "path": desk.write("data.txt", "bad\n")},
        "folder": {"class": "Directory", "path": "folder"},
    }
    path = desk.write("g.cwl", document)
    assert gridcwl("--docker", "--quiet", path, desk.write("in.json", given)).code == 1
    done = opened("last", Path(path).name, "--", "pwd; cat renamed.txt; echo $LEVEL; touch /etc/x; exit 4")
    assert done.stdout, done.stderr
    assert done.stdout == "/gridcwl/out\nbad\nhigh\n"
    assert done.returncode == 4
    assert "Read-only" in done.stderr


@pytest.mark.docker
def test_a_container_of_one_s_choice_has_the_inputs_in_its_folder(desk: Desk):
    names = [Path(desk.write(name, name)).name for name in ("x 1.txt", "x2.txt")]
    desk.write("more/x2.txt", "")
    done = opened("--image", "debian:trixie-slim", "--docker", "-i", "x*.txt", "-i", "more/x2.txt", "--", "ls")
    assert done.stdout.splitlines() == [*names, "x2_2.txt"]
    assert done.returncode == 0
