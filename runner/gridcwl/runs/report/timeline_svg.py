"""The timeline: each attempt as a bar in a row of its site, or how many cores each site had busy if there are many."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from gridcwl.runs.report.model import Bar

COLORS = 8
"""Colours of steps, ``s0`` to ``s7``: the steps that took most have their own, and further steps share the last one."""
_WIDTH = 1000
_LEFT = 8
_ROW, _TALL = 12, 7
_MOST_ROWS = 250
"""Rows of bars; with more cores at a time, the area chart shows more."""
_BINS = 240
_AREA = 110
_SITES = 12
"""Sites with a chart of their own."""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True, slots=True)
class _Scale:
    start: float
    end: float

    def x(self, at: float) -> float:
        return _LEFT + (_WIDTH - 2 * _LEFT) * (at - self.start) / max(self.end - self.start, 1e-6)


def colors(bars: Sequence[Bar], steps: int) -> list[int]:
    """The colour of each step."""
    taken = [0.0] * steps
    for bar in bars:
        taken[bar.step] += bar.cores * (bar.end - bar.start)
    if steps <= COLORS:
        return list(range(steps))
    first = sorted(range(steps), key=lambda step: -taken[step])[: COLORS - 1]
    ranks = {step: rank for rank, step in enumerate(sorted(first))}
    return [ranks.get(step, COLORS - 1) for step in range(steps)]


def timeline(bars: Sequence[Bar], sites: Sequence[str], steps: Sequence[str]) -> str:
    """The SVG; empty if nothing ran."""
    if not bars:
        return ""
    scale = _Scale(min(bar.start for bar in bars), max(bar.end for bar in bars))
    color = colors(bars, len(steps))
    by_site: list[list[Bar]] = [[] for _ in sites]
    for bar in bars:
        by_site[bar.site].append(bar)
    if all(bar.name for bar in bars):
        rows = list(map(_rows, by_site))
        if sum(count for _, count in rows) <= _MOST_ROWS:
            return _bars(scale, rows, sites, steps, color)
    return _areas(scale, by_site, sites, steps, color)


def _rows(bars: Sequence[Bar]) -> tuple[list[tuple[Bar, int]], int]:
    """Each bar with its row, and how many rows these are: as many jobs as ran at a time."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    placed: list[tuple[Bar, int]] = []
    count = 0
    for bar in bars:  # they are sorted
        while busy and busy[0][0] <= bar.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            row = heapq.heappop(free)
        else:
            row, count = count, count + 1
        heapq.heappush(busy, (bar.end, row))
        placed.append((bar, row))
    return placed, count


def _bars(
    scale: _Scale,
    rows: Sequence[tuple[list[tuple[Bar, int]], int]],
    sites: Sequence[str],
    steps: Sequence[str],
    color: Sequence[int],
) -> str:
    drawn, y = [], 0.0
    for site, (placed, count) in zip(sites, rows, strict=True):
        if not placed:
            continue
        drawn.append(_heading(f"{site}: {len(placed)} job{'s' if len(placed) != 1 else ''}, {count} at a time", y))
        y += 20
        drawn += [_bar(scale, bar, y + row * _ROW, steps[bar.step], color[bar.step]) for bar, row in placed]
        y += count * _ROW + 14
    return _framed(scale, drawn, y)


def _bar(scale: _Scale, bar: Bar, y: float, step: str, color: int) -> str:
    x = scale.x(bar.start)
    width = max(1.0, scale.x(bar.end) - x)
    state = "" if bar.outcome in ("success", "running") else " bad"
    kind = f"s{color}{state}{' open' if bar.outcome == 'running' else ''}"
    cores = f", {bar.cores:g} cores" if bar.cores != 1 else ""
    title = f"{bar.name or step}: {bar.outcome}, {bar.end - bar.start:.1f} s{cores}"
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_TALL}" rx="1">'
        f"<title>{escape(title)}</title></rect>"
    )


def _areas(
    scale: _Scale, by_site: Sequence[Sequence[Bar]], sites: Sequence[str], steps: Sequence[str], color: Sequence[int]
) -> str:
    """For each site the busy cores over time, by step."""
    names = [""] * COLORS
    for step, name in enumerate(steps):
        names[color[step]] = name if len(steps) <= COLORS or color[step] < COLORS - 1 else "other steps"
    drawn, y = [], 0.0
    for site in sorted(range(len(sites)), key=lambda site: -len(by_site[site]))[:_SITES]:
        busy = _busy(scale, by_site[site], color)
        top = max((sum(column) for column in zip(*busy, strict=True)), default=0.0)
        drawn.append(_heading(f"{sites[site]}: {len(by_site[site]):,} jobs, up to {top:.0f} cores busy", y))
        y += 20
        drawn += list(_stack(busy, top, y, names))
        y += _AREA + 14
    if len(sites) > _SITES:
        drawn.append(_heading(f"and {len(sites) - _SITES} more", y))
        y += 20
    return _framed(scale, drawn, y)


def _busy(scale: _Scale, bars: Sequence[Bar], color: Sequence[int]) -> list[list[float]]:
    """For each colour the mean of the busy cores in each bin of time."""
    width = max(scale.end - scale.start, 1e-6) / _BINS
    edges = [[0.0] * _BINS for _ in range(COLORS)]
    inside = [[0.0] * (_BINS + 1) for _ in range(COLORS)]
    """What begins in a bin and ends in it, both between the bins that a job touches only in part."""
    for bar in bars:
        step = color[bar.step]
        first, last = (min(_BINS - 1, max(0, int((at - scale.start) / width))) for at in (bar.start, bar.end))
        for at in {first, last}:
            left = scale.start + at * width
            edges[step][at] += bar.cores * max(0.0, min(bar.end, left + width) - max(bar.start, left)) / width
        if last > first + 1:
            inside[step][first + 1] += bar.cores
            inside[step][last] -= bar.cores
    return [
        [edge + whole for edge, whole in zip(edges[step], accumulate(inside[step]), strict=False)]
        for step in range(COLORS)
    ]


def _stack(busy: Sequence[Sequence[float]], top: float, y: float, names: Sequence[str]) -> Iterator[str]:
    base = [0.0] * _BINS
    wide = (_WIDTH - 2 * _LEFT) / _BINS
    for step, row in enumerate(busy):
        if not any(row):
            continue
        upper = [one + two for one, two in zip(base, row, strict=True)]
        points = [(_LEFT + at * wide, value) for at, value in enumerate(upper)]
        points += [(_LEFT + at * wide, value) for at, value in reversed(list(enumerate(base)))]
        path = " ".join(f"{x:.1f},{y + _AREA - _AREA * value / max(top, 1e-9):.1f}" for x, value in points)
        yield f'<polygon class="s{step}" points="{path}"><title>{escape(names[step])}</title></polygon>'
        base = upper


def _framed(scale: _Scale, drawn: Sequence[str], height: float) -> str:
    marks = "".join(_mark(scale, at, height) for at in _ticks(scale))
    return (
        f'<svg class="timeline" viewBox="0 0 {_WIDTH} {height + 22:.0f}" role="img" aria-label="Timeline">'
        f'<g class="marks">{marks}</g>{"".join(drawn)}</svg>'
    )


def _ticks(scale: _Scale) -> list[float]:
    """Seconds from the start at which a line is drawn, at most 9."""
    span = scale.end - scale.start
    pause = next((one for one in _STEPS_S if span / one <= 8), span / 8)
    return [pause * number for number in range(int(span / pause) + 1)]


def _mark(scale: _Scale, seconds: float, height: float) -> str:
    x = scale.x(scale.start + seconds)
    anchor = "start" if seconds == 0 else "end" if x > _WIDTH - 40 else "middle"
    words = _clock(scale.start) if seconds == 0 else f"+{_span(seconds)}"
    return (
        f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height + 4:.0f}"/>'
        f'<text x="{x:.1f}" y="{height + 17:.0f}" text-anchor="{anchor}">{words}</text>'
    )


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 else "")


def _heading(text: str, y: float) -> str:
    return f'<text class="site" x="{_LEFT}" y="{y + 14:.0f}">{escape(text)}</text>'
