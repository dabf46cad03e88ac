"""What a person sees while a run is active: plain lines, and the table on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, on_command_line, shell, step, tool, workflow

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PICKY = shell('echo "I am $0" >&2; test "$0" != 2', inputs={"n": on_command_line("int")}, outputs={"o": "stdout"})
SHARDS = workflow(
    {"ns": "int[]"}, {"os": {"type": "File[]", "outputSource": "pick/o"}}, pick=step(PICKY, "o", scatter="n", n="ns")
)
HINTS = {"cwltool:Secrets": {"secrets": ["word"]}}
# The word in the document is written backwards, for it has to be found nowhere.
TELLS = shell(
    'cat conf >&2; echo "$0 $WORD" >&2; '
    'test "$0$WORD$(cat conf)" = "$(echo emasesemasesemases | rev)" && exit 9; exit 1',
    inputs={"word": on_command_line("string")},
    requirements={
        "EnvVarRequirement": {"envDef": {"WORD": "$(inputs.word)"}},
        "InitialWorkDirRequirement": {"listing": [{"entryname": "conf", "entry": "$(inputs.word)"}]},
    },
    hints=HINTS,
) | {"$namespaces": {"cwltool": "http://commonwl.org/cwltool#"}}


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run the command on a pseudo-terminal; the exit code, and what the terminal was sent, without its colours."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "gridcwl", *arguments])
    sent = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        sent += chunk
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), _CONTROL.sub("", sent.decode()).replace("\r\n", "\n").replace("\r", "\n")


def test_plain_lines_say_how_each_step_ended(desk: Desk) -> None:
    result = gridcwl(
        "--no-container", "--outdir=outputs", desk.write("w.cwl", SHARDS), desk.write("in.yml", "ns: [1, 3]\n")
    )
    assert result.code == 0
    assert re.fullmatch(r"\[0:00:\d\d\] pick: 2 of 2 done", result.stderr.splitlines()[-1])


def test_quiet_prints_nothing_but_errors(desk: Desk) -> None:
    arguments = ["--no-container", "--quiet", "--outdir=outputs", desk.write("w.cwl", SHARDS)]
    assert gridcwl(*arguments, desk.write("good.yml", "ns: [1]\n")).stderr == ""
    assert "pick[0] failed" in gridcwl(*arguments, desk.write("bad.yml", "ns: [2]\n")).stderr


def test_verbose_shows_each_job_and_its_command(desk: Desk) -> None:
    result = gridcwl("--verbose", "--outdir=outputs", desk.write("t.cwl", tool("echo", "a b", outputs={"o": "stdout"})))
    assert "t.cwl: echo 'a b'" in result.stderr
    assert re.search(r"t\.cwl: success in \d+\.\d s", result.stderr)


def test_failing_shards_do_not_hide_finished_ones(desk: Desk) -> None:
    written = desk.write("in.yml", "ns: [1, 2, 3]\n")
    result = gridcwl("--no-container", "--on-error=continue", "--outdir=outputs", desk.write("w.cwl", SHARDS), written)
    assert result.code == 1
    assert "pick: 2 of 3 done, 1 failed" in result.stderr
    assert [shard is not None and Path(shard["path"]).is_file() for shard in result.outputs["os"]] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("command", "kept"),
    [("exit 3", None), ("echo words; exit 3", "stdout.log"), ("echo words >&2; exit 3", "stderr.log")],
)
def test_the_logs_of_a_failure_are_where_its_message_names_them_or_it_names_none(
    desk: Desk, command: str, kept: str
) -> None:
    result = gridcwl("--no-container", "--outdir=outputs", desk.write("t.cwl", shell(command)))
    named = re.findall(r"^ +logs +(.+)$", result.stderr, re.M)
    assert [Path(path).name for path in named] == ([kept] if kept else [])
    assert [Path(path).read_text() for path in named] == (["words\n"] if kept else [])


@pytest.mark.usefixtures("desk")
def test_a_program_that_is_missing_names_no_logs_that_are_not_there(desk: Desk) -> None:
    result = gridcwl("--no-container", "--outdir=outputs", desk.write("t.cwl", tool("no-such-program")))
    assert "no-such-program" in result.stderr
    assert all(Path(path).exists() for path in re.findall(r"^ +logs +(.+)$", result.stderr, re.M))


@pytest.mark.parametrize("loudness", ["--quiet", "--verbose", "--debug"])
def test_secrets_reach_the_tool_and_are_shown_nowhere(desk: Desk, loudness: str) -> None:
    result = gridcwl("--no-container", loudness, desk.write("t.cwl", TELLS), "--word=sesame")
    assert "exit code  9" in result.stderr  # the tool saw it in its command, its environment and its file
    assert "sesame" not in result.stderr
    assert "(secret) (secret)" in result.stderr


@pytest.mark.usefixtures("desk")
def test_the_table_counts_shards_and_ends_with_all_of_them(desk: Desk) -> None:
    arguments = ["--no-container", "--outdir=outputs", "--write-summary=summary.json"]
    code, shown = on_terminal(*arguments, desk.write("w.cwl", SHARDS), desk.write("in.yml", "ns: [1, 3, 4]\n"))
    assert code == 0, shown
    assert re.search(r"^gridcwl  \d{8}-\d{6}-[0-9a-f]{6}  0:00:\d\d", shown, re.M)
    assert re.search(r"^step +done +running", shown, re.M)
    assert re.findall(r"^pick +━* *(\d of \d)", shown, re.M)[-1] == "3 of 3"
    assert len(json.loads(Path("summary.json").read_text())["os"]) == 3


def test_a_failure_is_reported_above_the_table(desk: Desk) -> None:
    code, shown = on_terminal("--no-container", desk.write("w.cwl", SHARDS), desk.write("in.yml", "ns: [2]\n"))
    assert code == 1
    lines = [line.rstrip() for line in shown.splitlines()]
    at = lines.index("---- stderr of pick[0] (last line)")
    assert lines[at + 1 : at + 4] == ["I am 2", "----", "gridcwl: pick[0] failed: The tool ended with exit code 1."]
    assert re.search(r"^pick +0 of 1 +1$", shown, re.M)
