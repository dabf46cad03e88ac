#!/usr/bin/env python3
"""Draw the packages of gridcwl and who imports whom: python scripts/architecture_picture.py [SVG]

Rows are the layers of the import contract in pyproject.toml, arrows are imports that the code has. An import that
follows from others (cli -> model, by way of runs) is left out, and so are modules that any package may import: they are
named below the rows. Without SVG, writes docs/explanation/architecture.svg.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "architecture.svg"
PACKAGE = "gridcwl"
STYLE = """\
  <style>
    text { font: 14px sans-serif; text-anchor: middle; fill: #123 }
    rect { fill: #eef3f8; stroke: #456 }
    path { fill: none; stroke: #456; stroke-width: 1.4; marker-end: url(#tip) }
    .shared { fill: #f7f3ea }
  </style>
  <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
    <path d="M0 0L10 5L0 10z" style="fill: #456; stroke: none; marker-end: none"/>
  </marker>
"""
WIDTH, BOX, HIGH, STEP, TOP = 760, 150, 36, 80, 20

Imports = Mapping[str, set[str]]


def layers() -> list[list[str]]:
    """The rows, top first: the contract's layers; those in brackets and ``errors`` are shared."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = [[name.strip().removeprefix(f"{PACKAGE}.") for name in row.split(":")] for row in rows]
    return [row for row in named if not row[0].startswith("(") and row[0] not in ("errors", "__main__")]


def imports(modules: grimp.ImportGraph) -> dict[str, set[str]]:
    """Which top-level package or module imports which others."""
    found: dict[str, set[str]] = {}
    for module in modules.modules:
        ours = _part(module)
        found.setdefault(ours, set())
        for target in modules.find_modules_directly_imported_by(module):
            if _part(target) != ours:
                found[ours].add(_part(target))
    return found


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def essential(graph: Imports, shown: set[str]) -> Iterator[tuple[str, str]]:
    """The arrows among what is shown, without those that follow from others."""
    for source in sorted(shown):
        direct = graph.get(source, set()) & shown
        for target in sorted(direct):
            if not any(target in reachable(graph, other, shown) for other in direct - {target}):
                yield source, target


def reachable(graph: Imports, start: str, shown: set[str]) -> set[str]:
    """What ``start`` imports, directly or not."""
    found: set[str] = set()
    todo = [start]
    while todo:
        for target in graph.get(todo.pop(), set()) & shown - found:
            found.add(target)
            todo.append(target)
    return found


def svg(rows: list[list[str]], graph: Imports) -> str:
    """The picture."""
    shown = {name for row in rows for name in row}
    shared = sorted(set(graph) - shown - {"__init__", "__main__"})
    place = {
        name: (WIDTH * (2 * column + 1) / (2 * len(row)), TOP + STEP * line)
        for line, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    bottom = TOP + STEP * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 60}" role="img">',
        "  <title>The packages of gridcwl, and which imports which</title>",
        STYLE + f'  <rect width="{WIDTH}" height="{bottom + 60}" style="fill: #fff; stroke: none"/>',
        *(_arrow(place[source], place[target]) for source, target in essential(graph, shown)),
        *_boxes(place.items()),
        f'  <rect class="shared" x="20" y="{bottom}" width="{WIDTH - 40}" height="{HIGH}" rx="6"/>',
        f'  <text x="{WIDTH / 2:g}" y="{bottom + 23}">no layer of their own: {", ".join(shared)}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(places: Iterable[tuple[str, tuple[float, float]]]) -> Iterator[str]:
    for name, (x, y) in places:
        yield f'  <rect x="{x - BOX / 2:g}" y="{y:g}" width="{BOX}" height="{HIGH}" rx="6"/>'
        yield f'  <text x="{x:g}" y="{y + 23:g}">{name}</text>'


def _arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = source, target
    if y1 == y2:
        side = BOX / 2 if x2 > x1 else -BOX / 2
        return f'  <path d="M{x1 + side:g} {y1 + HIGH / 2:g}H{x2 - side:g}"/>'
    y1 += HIGH
    if y2 - y1 < STEP or x1 != x2:
        bend = (y2 - y1) / 2
        return f'  <path d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"/>'
    aside = x1 + BOX  # past the boxes in between
    return f'  <path d="M{x1:g} {y1:g}C{aside:g} {y1 + STEP / 2:g} {aside:g} {y2 - STEP / 2:g} {x2:g} {y2:g}"/>'


def picture() -> str:
    """The picture of the code as it is."""
    return svg(layers(), imports(grimp.build_graph(PACKAGE, cache_dir=None)))


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE).write_text(picture(), "utf-8")
