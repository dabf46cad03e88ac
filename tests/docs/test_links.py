"""Links lead somewhere, and the pages say nothing of anybody's own machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from .pages import PAGES, ROOT, anchors, links

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.relative_to(ROOT)}: {link}"
        if DOCS in page.parents:
            assert DOCS in target.parents, f"{page.relative_to(ROOT)}: {link} leads out of what mkdocs sees"
        if anchor:
            assert anchor in anchors(target), f"{page.relative_to(ROOT)}: {link} has no such heading"


def test_every_page_is_in_the_navigation() -> None:
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text("utf-8"))
    named = set(re.findall(r"[\w/-]+\.md", str(YAML(typ="safe").load(text)["nav"])))
    pages = {
        *DOCS.rglob("*.md"),
        *(one.with_suffix(".md") for one in DOCS.rglob("*.ipynb")),
    }  # see scripts/notebook_pages
    assert named == {str(page.relative_to(DOCS)) for page in pages}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_lines_are_not_too_long(page: Path) -> None:
    inside = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        assert inside or line.startswith(("|", "![")) or len(line) <= 120, f"{page.relative_to(ROOT)}:{number}"
