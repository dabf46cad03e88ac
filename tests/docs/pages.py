"""What is in a page of the documentation: files, commands with their output, headings and links.

Fenced blocks mean something:

    ```yaml title="tool.cwl"     a file of that name, in any language
    ```console                   commands after ``$ `` (continued after ``> ``), each with the output it has to give

A comment in the line before a ``console`` block says what becomes of it: ``<!-- needs docker -->``, or
``<!-- not run: why -->``. All blocks of a page share one folder, which the page calls /home/me/work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
SHOWN_FOLDER = "/home/me/work"

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_COMMENT = re.compile(r"^ *<!-- (.*) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    title: str | None
    comment: str
    """What the comment before it says."""
    text: str

    @property
    def runs(self) -> bool:
        return self.language == "console" and not self.comment.startswith("not run: ")

    @property
    def needs_docker(self) -> bool:
        return self.comment == "needs docker"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block."""

    line: int
    text: str
    output: str


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    at = 0
    comment = ""
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            found = _COMMENT.match(lines[at])
            comment = found.group(1) if found else comment if not lines[at].strip() else ""
            at += 1
            continue
        indent, ticks = len(fence["indent"]), fence["ticks"]
        end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == ticks)
        info = fence["info"].strip()
        title = _TITLE.search(info)
        text = "".join(line[indent:] + "\n" for line in lines[at + 1 : end])
        yield Block(page, at + 1, info.split(" ")[0], title and title.group(1), comment, text)
        comment = ""
        at = end + 1


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    current: tuple[int, list[str], list[str]] | None = None
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if current:
                yield Command(current[0], "\n".join(current[1]), "\n".join(current[2]))
            current = (number, [line[2:]], [])
        elif current is None:
            raise AssertionError(f"{block.page}:{number}: a console block begins with '$ '")
        elif line.startswith("> ") and not current[2]:
            current[1].append(line[2:])
        else:
            current[2].append(line)
    if current:
        yield Command(current[0], "\n".join(current[1]), "\n".join(current[2]))


def prose(page: Path) -> str:
    """The page without its fenced blocks and comments."""
    text = page.read_text("utf-8")
    text = re.sub(r"^( *)(```+)[^\n]*\n.*?^ *\2$", "", text, flags=re.M | re.S)
    return re.sub(r"<!--.*?-->", "", text, flags=re.S)


def anchors(page: Path) -> set[str]:
    """What can stand behind ``#`` in a link to this page."""
    return {slug(match) for match in re.findall(r"^#+ +(.+)$", prose(page), flags=re.M)}


def slug(heading: str) -> str:
    """A heading as Markdown's table of contents names it."""
    text = re.sub(r"[^\w\s-]", "", heading.strip().lower())
    return re.sub(r"[-\s]+", "-", text)


def links(page: Path) -> list[str]:
    """The targets of all links and pictures of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))
