"""Every command that the documentation shows does what the documentation shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, SHOWN_FOLDER, Block, Command, blocks, commands

# what differs from run to run: elapsed time, durations, dates, ids of runs, how wide columns are, the names of folders
_VARIES = [
    (r"\[\d:\d\d:\d\d\]", r"\[\d:\d\d:\d\d\]"),
    (r"\b\d+\.\d+ s\b", r"\d+\.\d+ s"),
    (r"\b\d{8}-\d{6}-[0-9a-f]{6}\b", r"\d{8}-\d{6}-[0-9a-f]{6}"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    (r"\((?:\d+ (?:s|min|h)|\d+\.\d+ s) ago\)", r"\([\d.]+ (?:s|min|h) ago\)"),
    (r"\bdisk {2,}\d+ [kM]?B\b", r"disk {2,}[\d.]+ [kM]?B"),
    (r"(?<=\S) {2,}", r" {2,}"),
    (r"\.\.\.", r".*?"),
]
_SPLIT = re.compile("|".join(f"({pattern})" for pattern, _ in _VARIES))


def pattern_of(output: str) -> str:
    """The regular expression for a documented output; ``...`` is for anything, as a line for any lines."""
    lines = []
    for line in output.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
            continue
        parts = []
        for part in _SPLIT.split(line):
            if part:
                whole = (r for p, r in _VARIES if re.fullmatch(p.removeprefix(r"(?<=\S)"), part))
                parts.append(next(whole, re.escape(part)))
        lines.append("".join(parts) + r"\n")
    return "".join(lines) + r"\n*"


_PROGRESS = re.compile(r"^\[\d:\d\d:\d\d\] .*\bdone\b.*\n(?=\[\d:\d\d:\d\d\] .*\bdone\b)", re.M)


def last_of_progress(text: str) -> str:
    """Of lines that count what is done the last: where a run takes ten seconds, there are more of them."""
    return _PROGRESS.sub("", text)


def environment(folder: Path) -> dict[str, str]:
    """Nothing of this user's own settings, and the commands of this environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRIDCWL", "XDG_"))}
    home = folder.parent / "home"
    home.mkdir()
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "TERM": "dumb",
        "COLUMNS": "80",
    }


def run(command: Command, folder: Path, variables: dict[str, str], before: int) -> tuple[int, str]:
    """The exit code, and all that was printed; ``before`` is what ``$?`` starts as."""
    done = subprocess.run(
        ["bash", "-c", f"(exit {before})\n{command.text}"],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    text = done.stdout.decode("utf-8", "replace").replace(str(folder), SHOWN_FOLDER)
    return done.returncode, "".join(line.rstrip() + "\n" for line in text.splitlines())


def play(page: Path, folder: Path, *, docker: bool) -> None:
    """Write the page's files and run its commands, in order."""
    folder.mkdir()
    variables = environment(folder)
    for block in blocks(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif block.runs and (docker or not block.needs_docker):
            check(block, folder, variables)


def check(block: Block, folder: Path, variables: dict[str, str]) -> None:
    """A command that is followed by ``echo $?`` may fail; any other may not."""
    todo = list(commands(block))
    code = 0
    for command, following in zip(todo, [*todo[1:], None], strict=True):
        code, text = run(command, folder, variables, code)
        where = f"{block.page.relative_to(ROOT)}:{command.line}: {command.text}"
        right = re.fullmatch(pattern_of(command.output), text) or re.fullmatch(
            pattern_of(last_of_progress(command.output)), last_of_progress(text)
        )
        assert right, f"{where}\nprints\n{text}\nnot\n{command.output}"
        asked = following is not None and following.text == "echo $?"
        assert code == 0 or asked, f"{where}\nends with {code}; if it should, let the next command be echo $?"


def names(*, docker: bool) -> list[str]:
    """The pages with commands: without ones that need docker, or with such."""
    found = []
    for page in PAGES:
        running = [block for block in blocks(page) if block.runs]
        if running and any(block.needs_docker for block in running) == docker:
            found.append(str(page.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("name", names(docker=False))
def test_commands_print_what_the_page_shows(name: str, tmp_path: Path) -> None:
    play(ROOT / name, tmp_path / "work", docker=False)


@pytest.mark.docker
@pytest.mark.parametrize("name", names(docker=True))
def test_commands_with_containers_print_what_the_page_shows(name: str, tmp_path: Path) -> None:
    play(ROOT / name, tmp_path / "work", docker=True)


def test_every_console_block_runs_or_reports_why_not() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                assert block.comment in ("", "needs docker") or re.match(r"not run: \S", block.comment), block
            assert block.language not in ("sh", "bash", "shell"), f"{page}:{block.line}: use console"


@pytest.mark.parametrize(
    ("documented", "printed"),
    [
        ("[0:00:01] a: done", "[0:12:34] a: done\n"),
        ("in 1.2 s", "in 10.25 s\n"),
        ("logs in /tmp/...", "logs in /tmp/gridcwl-x/y\n"),
        ("{\n...\n}", "{\n 1\n 2\n}\n"),
        ("a  2.5 s  b", "a  10.25 s       b\n\n"),
        ("(12 s ago), took", "(3 min ago), took\n"),
        ("disk      126 kB", "disk      99 B\n"),
        ("on 2026-11-23 00:03:50", "on 2027-01-01 12:00:00\n"),
        ("", ""),
    ],
)
def test_what_varies_is_let_vary(documented: str, printed: str) -> None:
    assert re.fullmatch(pattern_of(documented), printed)


@pytest.mark.parametrize(
    ("documented", "printed"),
    [("a: done", "a: failed\n"), ("", "more\n"), ("a...", "b\n"), ("file 126 kB", "file 9 kB\n"), ("    a", "  a\n")],
)
def test_what_does_not_vary_is_compared(documented: str, printed: str) -> None:
    assert not re.fullmatch(pattern_of(documented), printed)


def test_of_the_lines_that_count_what_is_done_the_last_one_counts() -> None:
    shown = "[0:00:10] a: 1 of 2 done, 1 running\n[0:00:12] a: 2 of 2 done\n{}\n"
    assert last_of_progress(shown) == "[0:00:12] a: 2 of 2 done\n{}\n"
    assert last_of_progress("[0:00:00] run x\n[0:00:01] a: done\n") == "[0:00:00] run x\n[0:00:01] a: done\n"
