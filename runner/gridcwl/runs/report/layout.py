"""Places for the steps of a workflow in a picture: in layers from top to bottom, with few crossings. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gridcwl.runs.outline import OutlineStep

NODES = 80
"""With more steps than this, sub-workflows are drawn as one."""
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """Steps by layer, in their order from left to right, and the links between them."""

    layers: tuple[tuple[str, ...], ...]
    links: tuple[tuple[str, str], ...]


def collapsed(outline: Sequence[OutlineStep], most: int = NODES) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The nodes of the picture, each with the steps that it stands for, and the links between nodes.

    Sub-workflows are opened as far as there is room: first those of the document itself.
    """
    leaves = [step for step in outline if step.kind != "workflow"]
    deepest = max((step.name.count("/") + 1 for step in leaves), default=1)
    depth = deepest
    while depth > 1 and len({_cut(step.name, depth) for step in leaves}) > most:
        depth -= 1
    nodes: dict[str, list[str]] = {}
    for step in leaves:
        nodes.setdefault(_cut(step.name, depth), []).append(step.name)
    links = dict.fromkeys(
        (_cut(source, depth), _cut(step.name, depth))
        for step in leaves
        for source in step.after
        if _cut(source, depth) != _cut(step.name, depth)
    )
    return nodes, list(links)


def laid_out(nodes: Sequence[str], links: Sequence[tuple[str, str]]) -> GraphLayout:
    """Layers by the longest chain of steps before each; within a layer, neighbours of neighbours are near."""
    known = set(nodes)
    before: dict[str, list[str]] = {node: [] for node in nodes}
    behind: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in links:
        if source in known and target in known:
            before[target].append(source)
            behind[source].append(target)
    level = _levels(nodes, before)
    layers: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node in nodes:
        layers[level[node]].append(node)
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = before if downwards else behind
        place = {node: (at + 0.5) / len(layer) for layer in layers for at, node in enumerate(layer)}
        for layer in layers if downwards else layers[::-1]:
            layer.sort(key=lambda node: _mean([place[one] for one in neighbours[node]], place[node]))
            place |= {node: (at + 0.5) / len(layer) for at, node in enumerate(layer)}
    return GraphLayout(tuple(map(tuple, layers)), tuple((a, b) for a, b in links if a in known and b in known))


def _levels(nodes: Sequence[str], before: Mapping[str, Sequence[str]]) -> dict[str, int]:
    level: dict[str, int] = {}
    waiting = list(reversed(nodes))
    entered: set[str] = set()
    while waiting:  # no recursion: chains may be long
        node = waiting[-1]
        unknown = [one for one in before[node] if one not in level and one not in entered]
        entered.add(node)
        if unknown:
            waiting += unknown
        else:
            waiting.pop()
            level[node] = 1 + max((level.get(one, 0) for one in before[node]), default=-1)
    return level


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _cut(name: str, depth: int) -> str:
    return "/".join(name.split("/")[:depth])
