#!/usr/bin/env python3
"""One page, self-contained, of what lofar.cwl made: numbers within limits, images, solutions, a timeline, outputs.

    scripts/radio_page.py OUTPUTS.json JOURNAL PAGE.html

The same page for a run here and on the grid: a job's place is its site, or its host.
"""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irf_page import STYLE, Bar, Number, copy, picture, shown, summary, timeline, write_page

BRIGHT_JY, FLUX, PIXELS, NOISE, BEFORE = 2.0, 0.05, 1.0, 1.3, 0.5
"""Point sources above this have to be right within 5 % and one pixel; the rest are the greatest ratios allowed."""
WIDE = "figure.wide { max-width: 100%; display: block }"


def numbers(quality: dict[str, Any]) -> list[Number]:
    """What is held to limits."""
    held = []
    for row in quality["sources"]:
        if row["kind"] == "point" and row["true_jy"] >= BRIGHT_JY:
            ratio = None if row["ratio"] is None else row["ratio"] - 1.0
            held.append(Number(f"{row['name']}: flux, found over true, less 1", "", ratio, -FLUX, FLUX))
            held.append(Number(f"{row['name']}: offset", "pixels", row["offset_pixels"], 0.0, PIXELS))
    held.append(Number("Noise, over the radiometer's", "", quality["noise"]["ratio"], 0.0, NOISE))
    ratio = quality["peak_before_jy"] / quality["peak_jy"]
    held.append(Number("Peak before calibration, over that after", "", ratio, 0.0, BEFORE))
    return held


def cell(value: float | None, digits: int) -> str:
    """A number of a table."""
    return f'<td class="number">{"none" if value is None else f"{value:.{digits}f}"}</td>'


def fluxes(sources: Sequence[dict[str, Any]]) -> str:
    """True fluxes, before and after calibration."""
    titles = ("source", "", "true, Jy", "before, Jy/beam", "after, Jy", "after over true", "offset, pixels")
    rows = "".join(
        f"<tr><td>{html.escape(row['name'])}</td><td>{html.escape(row['kind'])}</td>{cell(row['true_jy'], 3)}"
        f"{cell(row['before_jy'], 3)}{cell(row['found_jy'], 3)}"
        f"{cell(row['ratio'], 3)}{cell(row['offset_pixels'], 2)}</tr>"
        for row in sources
    )
    return f"<table><tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>{rows}</table>"


def parts(outputs: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All files and directories of an output object, with the name of their output."""
    found = []
    for name, value in outputs.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and item.get("class") in ("File", "Directory"):
                found.append((name, item))
    return found


def size(item: dict[str, Any]) -> int:
    """Bytes of a file, or of all files in a directory."""
    return int(item.get("size") or 0) + sum(size(inner) for inner in item.get("listing") or [])


def wide(path: Path, caption: str) -> str:
    """A picture as wide as the page."""
    return picture(path, caption).replace("<figure>", '<figure class="wide">', 1)


def page(outputs: dict[str, Any], quality: dict[str, Any], held: Sequence[Number], placed: Sequence[Bar]) -> str:
    """The page's text."""
    rows = "".join(
        f'<tr><td>{html.escape(number.what)}</td><td class="number{"" if number.held else " bad"}">'
        f"{'none' if number.value is None else f'{number.value:.3g}'} {number.unit}</td><td>{number.limit}</td></tr>"
        for number in held
    )
    noise, flagged = quality["noise"], list(quality["flagged"].values())
    told = (
        f"<p>{len(flagged)} subbands at {quality['frequency_hz'] / 1e6:.1f} MHz; "
        f"{100 * sum(flagged) / max(1, len(flagged)):.1f} % of the visibilities were flagged as interference. "
        f"The residual noise is {1e3 * noise['measured_jy']:.2f} mJy/beam, where the radiometer's equation gives "
        f"{1e3 * noise['expected_jy']:.2f} for the noise that was simulated and the weights of the image.</p>"
    )
    listing = "".join(
        f"<tr><td>{html.escape(name)}</td><td><code>{html.escape(shown(item['location']))}</code></td>"
        f'<td class="number">{size(item):,}</td></tr>'
        for name, item in parts(outputs)
    )
    images = wide(
        copy(outputs["images"]),
        "Before calibration, after it, and what deconvolution left. Circles: the sources that were simulated.",
    )
    plots = "".join(wide(copy(item), "Solutions of each station over time.") for item in outputs["plots"])
    flags = "".join(picture(copy(item), item["basename"].split(".")[0]) for item in outputs["flag_pictures"])
    took = max((bar.end for bar in placed), default=0.0)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>LOFAR</title><style>{STYLE}{WIDE}</style>'
        f"<h1>A LOFAR observation, from stations to fluxes</h1>"
        '<p class="notice">Sky, gains, noise and interference are simulated; stations and programs are real.</p>'
        f"{images}<h2>Fluxes</h2>{fluxes(quality['sources'])}{told}"
        f"<table><tr><th>number</th><th></th><th>has to be</th></tr>{rows}</table>"
        f"<h2>Gains</h2>{plots}<h2>Interference</h2>{flags}"
        f"<h2>{len(placed)} jobs in {took:.0f} s, place by place</h2>{summary(placed)}{timeline(placed)}"
        f"<h2>Outputs</h2><table><tr><th>output</th><th>file or Measurement Set</th><th>bytes</th></tr>{listing}"
        f"</table></html>\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; exit code 1 if a number is out of its limits."""

    def render(outputs: dict[str, Any], jobs: Sequence[Bar]) -> tuple[str, Sequence[Number]]:
        quality = json.loads(copy(outputs["quality"]).read_text("utf-8"))
        held = numbers(quality)
        return page(outputs, quality, held, jobs), held

    return write_page("radio_page", "A page of what lofar.cwl made; fails if a number is out of limits.", render, argv)


if __name__ == "__main__":
    sys.exit(main())
