"""The picture of the workflow: each step with its state and how many of its jobs have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from gridcwl.model.chunks import chunks
from gridcwl.runs.outline import OutlineStep
from gridcwl.runs.record.counts import StepCounts
from gridcwl.runs.report.layout import collapsed, laid_out

_WIDTH, _HEIGHT = 166, 46
_GAP, _BETWEEN = 16, 44
_LETTERS = 20
_WIDEST = 6
"""Nodes of a layer next to each other; wider layers are wrapped."""
_MOST = 400
"""Nodes of a picture: with more of them nobody would see anything."""


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float


def picture(outline: Sequence[OutlineStep], counts: Mapping[str, StepCounts]) -> str:
    """The SVG; empty if there is nothing to draw, or far too much."""
    nodes, links = collapsed(outline)
    if not nodes or len(nodes) > _MOST:
        return ""
    layout = laid_out(list(nodes), links)
    rows = [row for layer in layout.layers for row in chunks(layer, _WIDEST)]
    width = max(len(row) for row in rows) * (_WIDTH + _GAP) - _GAP
    boxes: dict[str, _Box] = {}
    for number, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + _GAP) + _GAP) / 2
        for at, node in enumerate(row):
            boxes[node] = _Box(left + at * (_WIDTH + _GAP), number * (_HEIGHT + _BETWEEN))
    height = len(rows) * (_HEIGHT + _BETWEEN) - _BETWEEN
    kinds = {step.name: step.kind for step in outline}
    conditional = {step.name for step in outline if step.conditional}
    lines = [_link(boxes[source], boxes[target]) for source, target in layout.links]
    drawn = [
        _node(
            node, boxes[node], _of(node, inside, counts), kinds.get(node, "workflow"), conditional=node in conditional
        )
        for node, inside in nodes.items()
    ]
    return (
        f'<svg class="graph" viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" width="{width + 4:.0f}" '
        f'height="{height + 4:.0f}" role="img" aria-label="Workflow graph">'
        f'<g class="links">{"".join(lines)}</g>{"".join(drawn)}</svg>'
    )


def _of(node: str, inside: Sequence[str], counts: Mapping[str, StepCounts]) -> StepCounts | None:
    """The counts of a node: of the steps in it; if they never began, those of the sub-workflow that was skipped."""
    found = added(counts, inside)
    if found is not None and found.total is not None:
        return found
    parts = node.split("/")
    around = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    skipped = next((counts[name] for name in around if name in counts and counts[name].skipped), None)
    return StepCounts(node, skipped.skipped, skipped=skipped.skipped) if skipped is not None else found


def state_of(counts: StepCounts | None) -> str:
    """The state of a step: the worst of its jobs."""
    if counts is None or (counts.total is None and not counts.blocked):
        return "waiting"
    for state in ("failed", "blocked", "running", "stopped", "waiting"):
        if getattr(counts, state):
            return state
    if counts.skipped and not counts.done:
        return "skipped"
    return "reused" if counts.done and counts.reused == counts.done else "done"


def added(counts: Mapping[str, StepCounts], steps: Sequence[str]) -> StepCounts | None:
    """The counts of several steps together; None if nothing is known of any."""
    known = [counts[step] for step in steps if step in counts]
    if not known:
        return None
    totals = [one.total for one in known if one.total is not None]
    return StepCounts(
        known[0].step,
        sum(totals) if totals else None,
        waiting=sum(one.waiting for one in known),
        running=sum(one.running for one in known),
        done=sum(one.done for one in known),
        reused=sum(one.reused for one in known),
        failed=sum(one.failed for one in known),
        stopped=sum(one.stopped for one in known),
        skipped=sum(one.skipped for one in known),
        attempts=sum(one.attempts for one in known),
        blocked=all(one.blocked for one in known),
    )


def in_words(counts: StepCounts | None) -> str:
    """``37 of 100 done, 2 failed``."""
    if counts is None or counts.total is None:
        return "not run" if counts is not None and counts.blocked else "waiting"
    numbers = ((counts.running, "running"), (counts.failed, "failed"), (counts.stopped, "stopped"))
    parts = [f"{number:,} {word}" for number, word in numbers if number]
    if counts.skipped:
        parts.append(f"{counts.skipped:,} skipped")
    ran = counts.total - counts.skipped
    if ran == 1 and counts.done:
        return ", ".join(["done", *parts])
    return ", ".join([f"{counts.done:,} of {ran:,}", *parts] if ran else parts or ["0 jobs"])


def _node(name: str, box: _Box, counts: StepCounts | None, kind: str, *, conditional: bool) -> str:
    state, words = state_of(counts), in_words(counts)
    title = f"{name}: {words}" + (" (sub-workflow)" if kind == "workflow" else "")
    dashes = ' stroke-dasharray="5 3"' if conditional else ""
    radius = 16 if kind == "expression" else 6
    progress = _progress(box, counts)
    return (
        f'<g class="node {state}"><title>{escape(title)}</title>'
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="{radius}"{dashes}/>{progress}'
        f'<text class="name" x="{box.x + _WIDTH / 2:.1f}" y="{box.y + 19:.1f}">{escape(_cut(name))}</text>'
        f'<text class="count" x="{box.x + _WIDTH / 2:.1f}" y="{box.y + 34:.1f}">{escape(_cut(words, 28))}</text></g>'
    )


def _progress(box: _Box, counts: StepCounts | None) -> str:
    total = (counts.total or 0) - counts.skipped if counts is not None else 0
    if counts is None or total <= 1:
        return ""
    x, bars = box.x + 8, []
    for number, kind in ((counts.done, "done"), (counts.failed, "failed"), (counts.running, "running")):
        length = (_WIDTH - 16) * number / total
        if number:
            bars.append(
                f'<rect class="bar {kind}" x="{x:.1f}" y="{box.y + _HEIGHT - 6:.1f}" width="{length:.1f}" height="3"/>'
            )
            x += length
    return "".join(bars)


def _link(source: _Box, target: _Box) -> str:
    x1, y1 = source.x + _WIDTH / 2, source.y + _HEIGHT
    x2, y2 = target.x + _WIDTH / 2, target.y
    bend = max(18.0, (y2 - y1) / 2)
    return f'<path d="M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"/>'


def _cut(text: str, letters: int = _LETTERS) -> str:
    """The end of a path says more than its beginning."""
    if len(text) <= letters:
        return text
    return f"{text[: letters - 1]}…" if "/" not in text else f"…{text[1 - letters :]}"
