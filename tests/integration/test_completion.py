"""Completion in the shells themselves, and the manual page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk

from gridcwl.cli import commands, main, manpage
from gridcwl.cli.completing import FILES, candidates, subparsers

ECHO = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "inputs": [],
    "outputs": [],
    "steps": {
        step: {
            "in": [],
            "out": [],
            "run": {"class": "CommandLineTool", "baseCommand": "true", "inputs": [], "outputs": []},
        }
        for step in ("align", "sort")
    },
}


def values(*words: str) -> list[str]:
    return [line.partition("\t")[0] for line in candidates(words)]


def test_the_first_word_is_a_command_or_a_document() -> None:
    found = values("")
    assert set(main.COMMANDS) <= set(found)
    assert {"plan", "testbed", FILES} <= set(found)
    assert values("stat") == ["status", FILES]


def test_options_are_those_of_the_command() -> None:
    assert {"--outdir", "--backend", "--dry-run"} <= set(values("--"))
    assert values("status", "--js") == ["--json"]
    assert "--outdir" not in values("status", "--")
    assert "--backend" in values("plan", "--b")
    assert values("testbed", "up", "--light") == ["--light-pilots"]


def test_words_of_an_option_are_its_choices_or_files() -> None:
    assert values("--on-error", "") == ["stop", "continue"]
    assert values("lint", "--format", "s") == ["sarif"]
    assert values("--outdir", "") == [FILES]
    assert values("completion", "") == ["bash", "zsh", "fish"]
    assert values("doc.cwl", "") == [FILES]


def test_runs_and_their_steps_are_completed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(desk.folder / "runs-here"))
    assert gridcwl("--quiet", "--no-container", desk.write("two.cwl", ECHO)).code == 0
    last, run = values("status", "")
    assert last == "last"
    assert run in gridcwl("runs").stdout
    assert values("status", run[:6]) == [run]
    assert values("explain", "last", "") == ["align", "sort"]
    assert values("logs", run, "so") == ["sort"]
    assert values("explain", "no-such-run", "") == []


def environment(folder: Path) -> dict[str, str]:
    """A shell that finds this gridcwl."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder), "ZDOTDIR": str(folder), "TERM": "dumb"}


def test_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "document.cwl").touch()
    script = """
    source <(gridcwl completion bash)
    try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gridcwl; echo "${COMPREPLY[*]}"; }
    try gridcwl expl; try gridcwl status --js; try gridcwl lint docu
    complete -p gridcwl
    """
    result = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == ["explain", "--json", "document.cwl", "complete -F _gridcwl gridcwl"]
    assert result.stderr == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    script = "gridcwl completion fish | source; complete -C 'gridcwl expl'; complete -C 'gridcwl status --js'"
    result = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.partition("\t")[0] for line in result.stdout.splitlines()] == ["explain", "--json"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(tmp_path: Path) -> None:
    """compadd, which takes the candidates, is replaced by one that prints them."""
    script = """
    autoload -Uz compinit; compinit -u -D
    source <(gridcwl completion zsh)
    [[ ${_comps[gridcwl]} == _gridcwl ]] && echo registered
    _describe() { print -l -- "${(@P)2}"; }
    _files() { echo files; }
    words=(gridcwl expl); CURRENT=2; _gridcwl
    words=(gridcwl lint ''); CURRENT=3; _gridcwl
    """
    result = subprocess.run(
        ["zsh", "-f", "-c", script], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["registered", "files", "explain", "files"], result.stderr


def test_the_manual_page_has_every_command_and_option() -> None:
    page = manpage.page().replace(r"\-", "-")
    for name, parser in subparsers(commands._parser()).items():
        assert rf"\fB{name}\fR" in page
        for action in parser._actions:
            assert action.help == "==SUPPRESS==" or all(rf"\fB{option}\fR" in page for option in action.option_strings)
    assert gridcwl("man").stdout == manpage.page()


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_the_manual_page_is_right_for_mandoc() -> None:
    result = subprocess.run(["mandoc", "-Tlint"], input=manpage.page(), capture_output=True, text=True, check=False)
    assert [line for line in result.stdout.splitlines() if "STYLE" not in line] == []
