"""What the reference pages repeat of the code is still what the code says."""

from __future__ import annotations

import re

from ruamel.yaml import YAML

from gridcwl import config, errors

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
    assert {name for name, _ in rows} | set(tables) == set(config.Config.__dataclass_fields__)
    assert all(variable == f"GRIDCWL_{name.upper()}" for name, variable in rows)


def test_the_readme_counts_the_cases_that_cannot_pass_without_containers() -> None:
    entries = YAML(typ="safe").load((ROOT / "tests/conformance/expected.yaml").read_text("utf-8"))
    told = re.search(r"(\d+) cases are in use.*?(\d+) do, and the other (\d+)", (ROOT / "README.md").read_text(), re.S)
    assert told
    every, passing, others = map(int, told.groups())
    assert others == sum("no-container" in entry["ways"] for entry in entries)
    assert every == passing + others
    assert all(entry["ways"] in (["no-container"], ["rucio"]) for entry in entries)
