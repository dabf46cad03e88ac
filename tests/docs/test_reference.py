"""What the reference pages repeat of the code is still what the code says."""

from __future__ import annotations

import re

from gridcwl import config, errors, plugins
from gridcwl.settings import reference

from .pages import ROOT, blocks


def test_the_tree_of_errors_is_that_of_the_module() -> None:
    shown = next(block.text for block in blocks(ROOT / "docs/reference/errors.md") if block.language == "text")
    assert errors.__doc__ is not None
    tree = [
        line.removeprefix("    ") for line in errors.__doc__.splitlines() if "──" in line or "GridCWLError " in line
    ]
    assert shown.splitlines() == tree


def test_every_setting_is_in_the_table() -> None:
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, flags=re.M)
    tables = re.findall(r"^\| `\[(\w+)\]` \|", text, flags=re.M)
    settings = {name for name, _ in rows if name in config.Config.__struct_fields__}
    own = {"software", *plugins.declared().tables}
    assert settings | set(tables) == {*config.Config.__struct_fields__, *own} - {"tables"}
    assert all(variable == f"GRIDCWL_{name.upper()}" for name, variable in rows if name in settings)


def test_the_tables_of_plugins_are_those_of_their_settings_classes() -> None:
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    for table, settings in plugins.declared().tables.items():
        assert f"## `[{table}]`\n\n{reference(table, settings)}\n" in text


def test_the_readme_counts_the_conformance_cases_as_the_page_does() -> None:
    page = (ROOT / "docs/reference/conformance.md").read_text("utf-8")
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    counts = r"v1\.2 conformance cases (\d+ of \d+) pass with docker, and (\d+ of \d+) without containers"
    text = re.search(counts, readme)
    assert text
    rows = dict(re.findall(r"^\| v1\.2 \| ([\w ]+) \| (\d+ of \d+) \|", page, flags=re.M))
    assert text.groups() == (rows["docker"], rows["no container"])


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_the_comparison_shows_numbers_that_a_benchmark_has_printed() -> None:
    page, printed = (ROOT / name for name in ("docs/explanation/comparison.md", "benchmarks/README.md"))
    benchmarks = printed.read_text("utf-8")
    shown = [line for block in blocks(page) if block.language == "text" for line in block.text.splitlines()]
    figures = re.findall(r"^\| (.*?\d.*?) \| ([^|]*\d[^|]*) \|$", page.read_text("utf-8"), flags=re.M)
    assert len(shown) > 10
    assert len(figures) == 4
    assert all(line in benchmarks for line in shown)
    assert all(f"| {what} | {figure} |" in benchmarks for what, figure in figures)
