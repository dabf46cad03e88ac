#!/usr/bin/env python3
"""Writes docs/workflows.md and its pictures from cwl/workflows/: scripts/workflow_docs.py [--pictures]

The page has, for each workflow, what it does, its inputs and its outputs. Pictures are of `gridcwl --print-dot`,
where graphviz is there; a test holds the page to the documents.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / "cwl" / "workflows"
PAGE = ROOT / "docs" / "workflows.md"
PICTURES = ROOT / "docs" / "workflows"
HEAD = """\
# Workflows

Reusable workflows of `cwl/workflows/`, on the tools of `cwl/tools/`. Each is plain CWL v1.2 and runs with cwltool too;
an input object to begin with lies next to each, in `cwl/workflows/tests/`. `make packed` makes one file of each, with
all that it refers to, in `dist/cwl/`.

CORSIKA and sim_telarray are licensed: workflows that need them use images that you make yourself, see
[licensed programs](howto/licensed-programs.md). The generator `parametrised` stands in for both; what it makes has no
scientific validity, and is marked so.

This page is written by `scripts/workflow_docs.py`.
"""


def type_of(given: Any) -> str:
    """A CWL type as people write it."""
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        others = [type_of(item) for item in given if item != "null"]
        return " or ".join(others) + ("?" if "null" in given else "")
    kind = given["type"]
    if kind == "enum":
        return ", ".join(given["symbols"])
    if kind == "array":
        return f"{type_of(given['items'])}[]"
    return type_of(kind)


def row(name: str, parameter: dict[str, Any]) -> str:
    """One line of a table."""
    default = f"`{json.dumps(parameter['default'])}`" if "default" in parameter else ""
    what = " ".join(str(parameter.get("label", "")).split())
    kind = type_of(parameter["type"]).replace("][", "]\\[")  # or Markdown takes it for a link
    return f"| `{name}` | {kind} | {default} | {what} |"


def section(path: Path) -> Iterator[str]:
    """All that the page says of a workflow."""
    document = YAML(typ="safe").load(path)
    yield f"\n## {path.stem}\n"
    yield f"{document['label']}.\n"
    # the document's own words are Markdown but for names of placeholders
    yield document["doc"].strip() + "\n"
    yield f"![{path.stem}: inputs, steps and outputs](workflows/{path.stem}.svg)\n"
    yield "| input | type | default | |\n|---|---|---|---|"
    yield from (row(name, parameter) for name, parameter in document["inputs"].items())
    yield "\n| output | type | | |\n|---|---|---|---|"
    yield from (row(name, parameter) for name, parameter in document["outputs"].items())


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(line for path in sorted(WORKFLOWS.glob("*.cwl")) for line in section(path)) + "\n"


def draw(path: Path) -> None:
    """A picture of a workflow, without what differs from machine to machine."""
    command = [sys.executable, "-m", "gridcwl", "--quiet", "--print-dot", str(path)]
    dot = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    dot = dot.replace('bgcolor="#eeeeee"', "bgcolor=transparent; rankdir=LR; fontname=sans; node [fontname=sans]")
    # steps by their names, as the page and the messages of a run have them
    dot = re.sub(r'^("([^"]+)" \[.*?label=)(?:"[^"]*"|\w+)', r'\1"\2"', dot, flags=re.M)
    svg = subprocess.run(["dot", "-Tsvg"], input=dot, capture_output=True, text=True, check=True).stdout
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{path.stem}.svg").write_text(re.sub(r"<!--.*?-->\n?", "", svg, flags=re.S), encoding="utf-8")


def main() -> int:
    """Write the page, and the pictures where they are asked for."""
    parser = argparse.ArgumentParser(description="Write docs/workflows.md from cwl/workflows/.")
    parser.add_argument("--pictures", action="store_true", help="draw them too; needs graphviz")
    given = parser.parse_args()
    PAGE.write_text(page(), encoding="utf-8")
    if given.pictures:
        for path in sorted(WORKFLOWS.glob("*.cwl")):
            draw(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
