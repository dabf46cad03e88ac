#!/usr/bin/env python3
"""One page on an image: flags, solutions, noise and fluxes as tables, with all pictures in it. Nothing else is needed.

radio-report --sources table.json --noise noise.json --solutions solutions.json --flags *.json --pictures *.png
             --page page.html -o quality.json
"""

import argparse
import base64
import html
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { text-align: left; padding: .2rem .9rem .2rem 0 }
th { border-bottom: 1px solid #999 } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 0 0 1.5rem } img { max-width: 100% } figcaption { font-size: .85em; color: #555 }
"""


def quality(given: argparse.Namespace) -> dict[str, Any]:
    """The numbers that an image is judged by."""
    sources = json.loads(given.sources.read_text("utf-8"))
    noise = json.loads(given.noise.read_text("utf-8")) if given.noise else None
    flags = [json.loads(path.read_text("utf-8")) for path in given.flags]
    tables = {}
    for path in given.solutions:
        solsets = json.loads(path.read_text("utf-8"))["solsets"]
        beginning = f"{path.stem}: " if len(given.solutions) > 1 else ""
        tables |= {f"{beginning}{name}": table for solset in solsets.values() for name, table in solset.items()}
    return {
        "title": given.title,
        "sources": sources["sources"],
        "frequency_hz": sources["frequency_hz"],
        "pixel_arcsec": sources["pixel_arcsec"],
        "peak_jy": sources["peak_jy"],
        "peak_before_jy": sources["peak_before_jy"],
        "noise": noise,
        "flagged": {flag["measurement_set"]: flag["flagged"] for flag in flags},
        "solutions": {
            name: {key: table[key] for key in ("type", "solutions", "flagged")} for name, table in tables.items()
        },
    }


def number(value: float | None, digits: int, unit: str = "") -> str:
    """A cell of a table."""
    return f'<td class="number">{"none" if value is None else f"{value:.{digits}f}{unit}"}</td>'


def fluxes(sources: list[dict[str, Any]]) -> str:
    """True fluxes, before and after calibration."""
    names = ("true, Jy", "before, Jy/beam", "after, Jy", "after / true", "offset, pixels")
    head = "<tr><th>source</th><th></th>" + "".join(f'<th class="number">{name}</th>' for name in names) + "</tr>"
    rows = "".join(
        f"<tr><td>{html.escape(row['name'])}</td><td>{row['kind']}</td>"
        + number(row["true_jy"], 3)
        + number(row["before_jy"], 3)
        + number(row["found_jy"], 3)
        + number(row["ratio"], 3)
        + number(row["offset_pixels"], 2)
        + "</tr>"
        for row in sources
    )
    return f"<table>{head}{rows}</table>"


def lines(found: dict[str, Any]) -> str:
    """Noise, flags and solutions as sentences of a table."""
    rows = [("frequency", f"{found['frequency_hz'] / 1e6:.2f} MHz")]
    if found["peak_before_jy"] is not None:
        rows.append(("peak before calibration", f"{found['peak_before_jy']:.2f} Jy/beam"))
    rows.append(("peak", f"{found['peak_jy']:.2f} Jy/beam"))
    if found["noise"]:
        noise = found["noise"]
        rows.append(("residual noise", f"{1e3 * noise['measured_jy']:.2f} mJy/beam"))
        rows.append(("by the radiometer's equation", f"{1e3 * noise['expected_jy']:.2f} mJy/beam"))
    if found["flagged"]:
        values = list(found["flagged"].values())
        rows.append(("flagged", f"{100 * sum(values) / len(values):.1f} % of {len(values)} Measurement Sets"))
    for name, table in found["solutions"].items():
        rows.append((name, f"{table['solutions']:,} solutions, {100 * table['flagged']:.1f} % flagged"))
    cells = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"


def figure(path: Path) -> str:
    """A picture within the page."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    name = html.escape(path.stem.replace("-", " "))
    return f'<figure><img src="data:image/png;base64,{data}" alt="{name}"><figcaption>{name}</figcaption></figure>'


def page(found: dict[str, Any], pictures: Sequence[Path]) -> str:
    """The page's text."""
    title = html.escape(found["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{lines(found)}<h2>Fluxes</h2>{fluxes(found['sources'])}"
        f"<h2>Pictures</h2>{''.join(map(figure, pictures))}</html>\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and its numbers."""
    parser = argparse.ArgumentParser(prog="radio-report", description="A page on the quality of a radio image.")
    parser.add_argument("--title", default="Radio image")
    parser.add_argument("--sources", type=Path, required=True, help="table of compare-sources (JSON)")
    parser.add_argument("--noise", type=Path, help="numbers of noise-expectation (JSON)")
    parser.add_argument("--solutions", type=Path, nargs="*", default=[], help="by h5parm-summary (JSON)")
    parser.add_argument("--flags", type=Path, nargs="*", default=[], help="statistics of flag-statistics (JSON)")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="pictures (PNG)")
    parser.add_argument("--page", type=Path, required=True, help="the page to write (HTML)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="its numbers (JSON)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (LSMTool {version('lsmtool')})")
    given = parser.parse_args(argv)
    try:
        found = quality(given)
        text = page(found, given.pictures)
    except (OSError, KeyError, ValueError) as error:
        print(f"radio-report: the page could not be made: {error}", file=sys.stderr)
        return 1
    given.page.write_text(text, encoding="utf-8")
    given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
