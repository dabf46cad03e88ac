"""What is shown has no control characters, whoever wrote it: a tool, a document, a file's name, a server."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, shell, step, workflow
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.cli import tables
from gridcwl.cli.display import StderrHandler, places_of
from gridcwl.cli.live_table import Counted, table_of
from gridcwl.cli.pace import Paces
from gridcwl.cli.terminal import Escaping, escaped, escaped_json
from gridcwl.engine.progress import StepProgress

TITLE, CLIPBOARD, CSI_8BIT, BIDI = "\x1b]0;pwned\x07", "\x1b]52;c;cm0gLXJm\x07", "\x9b2J", "\u202e"
NASTY = f"{TITLE}{CLIPBOARD}{CSI_8BIT}{BIDI}\r\x7f"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_clean(result: CommandResult) -> bool:
    return FORBIDDEN.search(result.stdout) is None and FORBIDDEN.search(result.stderr) is None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


SAYS = r"printf '\033]0;pwned\007\033]52;c;cm0gLXJm\007\302\2332J\342\200\256\r\177\377\n'"


@pytest.mark.parametrize("loudness", [(), ("--quiet",), ("--verbose",), ("--debug",)])
@pytest.mark.parametrize("stream", ["", " >&2"])
def test_what_a_failing_tool_reports_is_escaped(desk: Desk, loudness: tuple[str, ...], stream: str):
    desk.write("doc.cwl", shell(f"{SAYS}{stream}; exit 1"))
    result = gridcwl(*loudness, "--no-container", "doc.cwl")
    assert result.code == 1
    assert r"\x1b]0;pwned\x07" in result.stderr
    assert is_clean(result)


def test_logs_and_status_of_a_run_are_escaped(desk: Desk):
    desk.write("doc.cwl", shell(f"{SAYS}; {SAYS} >&2; exit 1"))
    assert gridcwl("--quiet", "--no-container", "doc.cwl").code == 1
    logs = gridcwl("logs", "last")
    assert logs.stdout.count(r"\x1b]52;c;cm0gLXJm\x07\x9b2J\u202e\x0d\x7f\xff") == 2
    assert all(is_clean(text) for text in (logs, gridcwl("status", "last"), gridcwl("runs")))


def test_names_of_steps_files_and_arguments_are_escaped(desk: Desk):
    tool = shell(f"exit 1 '{TITLE}'", inputs={"x": "string?"}, outputs={"o": "stdout"}, stdout=f"o{BIDI}")
    desk.write("doc.cwl", workflow({}, {}, **{f"s{CSI_8BIT}{BIDI}": step(tool, "o")}))
    for words in (("--verbose", "--no-container", "doc.cwl"), ("--validate", "doc.cwl"), ("status", "last")):
        assert is_clean(gridcwl(*words))


@pytest.mark.parametrize(
    "words", [("gone\x1b]0;x\x07.cwl",), ("logs", "\x1b]0;x\x07"), ("--\x1b[2J",), ("--outdir", "\x9b2J", "x")]
)
@pytest.mark.usefixtures("desk")
def test_what_the_user_typed_is_escaped_too(words: tuple[str, ...]):
    assert is_clean(gridcwl(*words))


def test_a_name_with_control_characters_is_whole_in_the_output_object(desk: Desk):
    desk.write(
        "doc.cwl",
        shell(f"echo > 'a{CSI_8BIT}{BIDI}\x7f'", outputs={"o": {"type": "File", "outputBinding": {"glob": "a*"}}}),
    )
    result = gridcwl("--quiet", "--no-container", "--outdir", str(desk.outdir), "doc.cwl")
    assert result.code == 0, result.stderr
    assert is_clean(result)
    assert result.outputs["o"]["basename"] == f"a{CSI_8BIT}{BIDI}\x7f"


def test_a_log_record_is_escaped_also_while_a_live_table_is_drawn(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    StderrHandler().emit(logging.LogRecord("x", logging.ERROR, "", 0, "DIRAC says %s", (NASTY,), None))
    assert r"\x1b]0;pwned" in shown.getvalue()
    assert FORBIDDEN.search(shown.getvalue()) is None


def test_the_live_table_draws_no_sequence_and_no_markup_of_a_name():
    from rich.console import Console

    name = f"[bold]s{NASTY}"
    counts = dict.fromkeys(("done", "failed", "skipped", "blocked"), 0)
    progress = StepProgress(path=(name,), total=1, taken=1, is_workflow=False, **counts)
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(table_of([progress], Counted(), Paces(), 10, 200), places_of([(NASTY, "[red]", 1)]))
    drawn = console.file.getvalue()
    assert "[bold]s\\x1b]0;pwned" in drawn
    assert "[red]" in drawn
    assert FORBIDDEN.search(drawn) is None


def test_a_table_draws_no_sequence(monkeypatch):
    for tty in (False, True):
        shown = io.StringIO()
        monkeypatch.setattr(shown, "isatty", lambda tty=tty: tty)
        monkeypatch.setattr(sys, "stdout", Escaping(shown))
        monkeypatch.setenv("TERM", "dumb")
        tables.show(("run",), [(f"{NASTY}\n",)])
        assert "pwned" in shown.getvalue()
        assert FORBIDDEN.search(re.sub("\x1b\\[[0-9;]*m", "", shown.getvalue())) is None


@given(st.text())
def test_whatever_is_shown_can_be_written_and_holds_no_control_character(text: str):
    shown = escaped(text)
    assert FORBIDDEN.search(shown) is None
    shown.encode()


@given(st.dictionaries(st.text(), st.text()))
def test_json_means_the_same_as_before(value: dict[str, str]):
    shown = escaped_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert FORBIDDEN.search(shown.replace("\n", "")) is None
