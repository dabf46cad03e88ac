#!/usr/bin/env python3
"""One page, self-contained, of what cta-irf made: numbers within their limits, pictures, a timeline, and outputs.

    scripts/irf_page.py OUTPUTS.json JOURNAL PAGE.html

The same page for a run here and on the grid: a job's place is its site, or its host.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gridcwl.errors import GridCWLError
from gridcwl.runs.record.history import History

LIMITS = {
    "containment_68_deg": ("68 % containment at 1 TeV", "deg", 0.0, 0.15),
    "energy_bias": ("Energy bias at 1 TeV", "", -0.10, 0.10),
    "effective_area_m2": ("Effective area at 1 TeV", "m²", 1e5, float("inf")),
}
"""What a run that is worth showing keeps: least and greatest value."""
COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442"),
    *("#332288", "#44aa99", "#882255", "#ddcc77", "#117733", "#aa4499", "#000000", "#b15928", "#6a3d9a", "#fb9a99"),
)
WIDTH, ROW, LEFT, MARGIN = 900, 14, 150, 30
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { text-align: left; padding: .2rem .8rem .2rem 0 }
th { border-bottom: 1px solid #999 } td.number { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: 0 1rem 1rem 0; max-width: 28rem } img { width: 100% }
.notice { border-left: .3rem solid #d55e00; padding: .4rem .8rem; background: #fdf2ec }
figcaption { font-size: .85em; color: #555 }
.bad { color: #b00 } code { font-size: .85em; overflow-wrap: anywhere } svg text { font: 11px system-ui, sans-serif }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One job on the timeline: seconds from the run's first job on."""

    place: str
    step: str
    name: str
    start: float
    end: float
    lane: int = 0


@dataclass(frozen=True, slots=True)
class Number:
    """One value beside its limits."""

    what: str
    unit: str
    value: float | None
    least: float
    greatest: float

    @property
    def held(self) -> bool:
        """Within the limits."""
        return self.value is not None and self.least <= self.value <= self.greatest

    @property
    def limit(self) -> str:
        """The limits in words."""
        if self.greatest == float("inf"):
            return f"above {self.least:g}"
        return f"below {self.greatest:g}" if self.least == 0 else f"within ±{self.greatest:g}"


def numbers(performance: dict[str, Any]) -> list[Number]:
    """What is held to limits."""
    return [Number(what, unit, performance.get(key), low, high) for key, (what, unit, low, high) in LIMITS.items()]


def bars(journal: Path) -> list[Bar]:
    """The successful jobs of a run, those at one place in lanes that do not overlap."""
    history = History(journal)
    found = []
    for job in history.jobs():
        if job.outcome != "success" or job.reused is not None:
            continue
        result = history.result(job.row, job.attempt)
        if result.usage is None:
            continue
        start = datetime.fromisoformat(result.usage.started).timestamp()
        place = result.usage.site or result.usage.host or "here"
        found.append(Bar(place, job.step, job.name, start, start + result.usage.wall_s))
    history.close()
    first = min((bar.start for bar in found), default=0.0)
    return in_lanes(Bar(bar.place, bar.step, bar.name, bar.start - first, bar.end - first) for bar in found)


def in_lanes(found: Iterable[Bar]) -> list[Bar]:
    """Each bar in the first lane of its place that is free when it starts."""
    free: dict[str, list[float]] = {}
    placed = []
    for bar in sorted(found, key=lambda bar: bar.start):
        lanes = free.setdefault(bar.place, [])
        lane = next((number for number, end in enumerate(lanes) if end <= bar.start), len(lanes))
        lanes[lane : lane + 1] = [bar.end]
        placed.append(Bar(bar.place, bar.step, bar.name, bar.start, bar.end, lane))
    return placed


def kind(bar: Bar) -> str:
    """What a job is, whatever sample it is for: the last part of its step."""
    return re.sub(r"^apply_.*|.*_energies$", "apply", bar.step.rsplit("/", 1)[-1])


def timeline(placed: Sequence[Bar]) -> str:
    """The jobs as an SVG picture: one band for each place, one colour for each kind of step."""
    if not placed:
        return "<p>No job was run: all results were there already.</p>"
    places = sorted({bar.place for bar in placed})
    kinds = list(dict.fromkeys(kind(bar) for bar in placed))
    colour = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(kinds)}
    lanes = {place: 1 + max(bar.lane for bar in placed if bar.place == place) for place in places}
    top, at = {}, 20
    for place in places:
        top[place] = at
        at += lanes[place] * ROW + 10
    whole = max(bar.end for bar in placed)
    scale = (WIDTH - LEFT - MARGIN) / whole
    parts = [f'<svg viewBox="0 0 {WIDTH} {at + 20}" role="img" aria-label="Jobs over time, place by place">']
    for place in places:
        parts.append(f'<text x="0" y="{top[place] + 11}">{html.escape(place)}</text>')
    for tick in range(11):
        x = LEFT + tick * (WIDTH - LEFT - MARGIN) / 10
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{at}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{at + 14}" text-anchor="middle">{tick * whole / 10:.0f} s</text>')
    for bar in placed:
        x, width = LEFT + bar.start * scale, max((bar.end - bar.start) * scale, 1.0)
        y = top[bar.place] + bar.lane * ROW
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 2}" fill="{colour[kind(bar)]}">'
            f"<title>{html.escape(bar.name)}: {bar.end - bar.start:.1f} s</title></rect>"
        )
    legend = " ".join(
        f'<span style="white-space:nowrap"><span style="color:{colour[name]}">&#9632;</span> {html.escape(name)}</span>'
        for name in kinds
    )
    return "".join(parts) + f"</svg><p>{legend}</p>"


def files(outputs: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All files of an output object, with the name of their output."""
    found = []
    for name, value in outputs.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and item.get("class") == "File":
                found.append((name, item))
    return found


def shown(location: str) -> str:
    """A location as people type it: a DID, or a path."""
    if location.startswith("rucio://"):
        scope, _, name = location.removeprefix("rucio://").partition("/")
        return f"{scope}:{urllib.parse.unquote(name)}"
    return local(location)


def local(location: str) -> str:
    """The path of a file: URL."""
    return urllib.parse.unquote(location.removeprefix("file://"))


CAPTIONS = {
    "effective-area": "How large the array is for gamma rays that pass the cuts.",
    "energy-dispersion": "Reconstructed energies over true ones; with median and 68 % of each bin.",
    "angular-resolution": "Radius around the true direction that holds 68 % of the gamma rays.",
    "sensitivity": "Faintest point source that is seen in 50 h.",
    "spectrum": "A source that was put in, and what gammapy measures of it with this IRF.",
}


def picture(path: Path, notice: str) -> str:
    """A PNG within the page; below it what it shows, and the notice once more."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    name = html.escape(path.stem.replace("-", " "))
    caption = html.escape(f"{CAPTIONS.get(path.stem, '')} {notice}".strip())
    return f'<figure><img src="data:image/png;base64,{data}" alt="{name}"><figcaption>{caption}</figcaption></figure>'


def summary(placed: Sequence[Bar]) -> str:
    """Jobs, hours of them and steps at each place, as a table."""
    rows = []
    for place in sorted({bar.place for bar in placed}):
        there = [bar for bar in placed if bar.place == place]
        busy = sum(bar.end - bar.start for bar in there)
        rows.append(
            f'<tr><td>{html.escape(place)}</td><td class="number">{len(there)}</td><td class="number">{busy:.0f} s</td>'
            f'<td class="number">{1 + max(bar.lane for bar in there)}</td></tr>'
        )
    head = "<tr><th>place</th><th>jobs</th><th>their time</th><th>at once</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def copy(item: dict[str, Any]) -> Path:
    """The file on this machine: where its location is elsewhere, the run has left a copy."""
    return Path(item.get("path") or local(item["location"]))


def page(outputs: dict[str, Any], held: Sequence[Number], placed: Sequence[Bar]) -> str:
    """The page's text."""
    here = {item["basename"]: copy(item) for _, item in files(outputs)}
    performance, spectrum = (
        json.loads(here[name].read_text("utf-8")) for name in ("performance.json", "spectrum.json")
    )
    notice = f'<p class="notice">{html.escape(performance["notice"])}</p>' if performance["notice"] else ""
    rows = "".join(
        f'<tr><td>{number.what}</td><td class="number{"" if number.held else " bad"}">'
        f"{'none' if number.value is None else f'{number.value:.3g}'} {number.unit}</td><td>{number.limit}</td></tr>"
        for number in held
    )
    fitted = (
        f"<p>The spectrum's index was put in as {spectrum['true_index']:.2f} and fitted as {spectrum['index']:.2f} ± "
        f"{spectrum['index_error']:.2f}, in {spectrum['livetime_h']:g} h with {spectrum['excess']:.0f} gamma rays over "
        f"{spectrum['background']:.1f} of background.</p>"
    )
    listing = "".join(
        f"<tr><td>{html.escape(name)}</td><td><code>{html.escape(shown(item['location']))}</code></td>"
        f'<td class="number">{item.get("size", 0):,}</td></tr>'
        for name, item in files(outputs)
    )
    shows = [here[item["basename"]] for name, item in files(outputs) if name == "pictures"]
    pictures = "".join(picture(path, performance["notice"]) for path in shows)
    took = max((bar.end for bar in placed), default=0.0)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>cta-irf</title><style>{STYLE}</style>'
        f"<h1>From showers to an instrument response function</h1>{notice}"
        f"<table><tr><th>at 1 TeV</th><th></th><th>has to be</th></tr>{rows}</table>{pictures}{fitted}"
        f"<h2>{len(placed)} jobs in {took:.0f} s, place by place</h2>{summary(placed)}{timeline(placed)}"
        f"<h2>Outputs</h2><table><tr><th>output</th><th>file</th><th>bytes</th></tr>{listing}</table></html>\n"
    )


def write_page(
    name: str,
    description: str,
    render: Callable[[dict[str, Any], Sequence[Bar]], tuple[str, Sequence[Number]]],
    argv: Sequence[str] | None,
) -> int:
    """Write the page of a demonstration; exit code 1 if a number is out of its limits.

    Args:
        name: of the script, for messages.
        description: for its help.
        render: from the output object and the jobs to the page's text and the numbers on it.
        argv: of the script.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("outputs", type=Path, help="output object of the run (JSON)")
    parser.add_argument("journal", type=Path, help="journal of the run")
    parser.add_argument("page", type=Path, help="the page to write (HTML)")
    given = parser.parse_args(argv)
    try:
        text, held = render(json.loads(given.outputs.read_text("utf-8")), bars(given.journal))
        given.page.write_text(text, encoding="utf-8")
    except (OSError, KeyError, ValueError, GridCWLError) as error:
        print(f"{name}: the page could not be made: {error}", file=sys.stderr)
        return 1
    for number in held:
        value = "none" if number.value is None else f"{number.value:.3g}"
        print(f"{number.what}: {value} {number.unit} ({number.limit}){'' if number.held else ': NOT HELD'}")
    return 0 if all(number.held for number in held) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; exit code 1 if a number is out of its limits."""

    def render(outputs: dict[str, Any], jobs: Sequence[Bar]) -> tuple[str, Sequence[Number]]:
        held = numbers(json.loads(copy(outputs["performance"]).read_text("utf-8")))
        return page(outputs, held, jobs), held

    return write_page("irf_page", "A page of what cta-irf made; fails if a number is out of its limits.", render, argv)


if __name__ == "__main__":
    sys.exit(main())
