#!/usr/bin/env python3
"""What is in a table of calibration solutions (h5parm): each solution table, station by station, as JSON and a picture.

h5parm-summary solutions.h5 -o solutions.json [--picture solutions.png]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from losoto.h5parm import h5parm

TWENTY = (
    *("#1f77b4", "#aec7e8", "#ff7f0e", "#ffbb78", "#2ca02c", "#98df8a", "#d62728", "#ff9896", "#9467bd", "#c5b0d5"),
    *("#8c564b", "#c49c94", "#e377c2", "#f7b6d2", "#7f7f7f", "#c7c7c7", "#bcbd22", "#dbdb8d", "#17becf", "#9edae5"),
)
"""Colours of lines (matplotlib's tab20)."""


def spread(kind: str, values: Any) -> dict[str, float | None]:
    """Middle and scatter of the good solutions; a phase's scatter is that from slot to slot, radians."""
    good = values[np.isfinite(values)]
    if not len(good):
        return {"median": None, "scatter": None}
    if kind == "phase":
        steps = np.angle(np.exp(1j * np.diff(good)))
        mean = float(np.angle(np.mean(np.exp(1j * good))))
        return {"median": mean, "scatter": float(np.std(steps)) if len(steps) else 0.0}
    return {"median": float(np.median(good)), "scatter": float(np.std(good))}


def describe(table: Any) -> dict[str, Any]:
    """One solution table."""
    values, axes = table.getValues()
    weights = table.getValues(weight=True)[0]
    order = list(table.getAxesNames())
    failed = ~np.isfinite(values) | (weights == 0)
    kind = table.getType()
    first = [order.index(name) for name in ("ant", "pol") if name in order]
    others = [number for number in range(len(order)) if number not in first]
    # time last, so that neighbours are neighbours in time
    others.sort(key=lambda number: order[number] == "time")
    stations = {}
    for number, name in enumerate(axes.get("ant", [])):
        taken = np.take(np.where(failed, np.nan, values), [number], axis=order.index("ant"))
        line = np.transpose(taken, [*first, *others]).ravel()
        lost = np.take(failed, [number], axis=order.index("ant")).mean()
        stations[str(name)] = {"flagged": float(lost), **spread(kind, line)}
    return {
        "type": kind,
        "axes": {name: int(length) for name, length in zip(order, values.shape, strict=True)},
        "solutions": int(values.size),
        "flagged": float(failed.mean()),
        "stations": stations,
    }


def lines(table: Any) -> tuple[Any, Any]:
    """Times in minutes and the solutions (time, station) of the first polarisation, direction and frequency."""
    values, axes = table.getValues()
    weights = table.getValues(weight=True)[0]
    order = list(table.getAxesNames())
    good = np.where(np.isfinite(values) & (weights != 0), values, np.nan)
    wanted = [order.index(name) for name in ("time", "ant")]
    others = [number for number in range(len(order)) if number not in wanted]
    plane = np.transpose(good, [*wanted, *others]).reshape(*(values.shape[number] for number in wanted), -1)[:, :, 0]
    times = np.asarray(axes["time"], dtype=float)
    if table.getType() == "phase":
        plane = np.degrees(np.angle(np.exp(1j * (plane - plane[:, :1]))))
    return (times - times[0]) / 60.0, plane


def draw(tables: list[Any]) -> Any:
    """Phases and amplitudes of all stations over time, a panel for each table that has both axes."""
    from matplotlib.figure import Figure

    drawn = [table for table in tables if {"time", "ant"} <= set(table.getAxesNames())]
    labels = {"phase": "phase, degrees, relative to the first station", "amplitude": "amplitude"}
    figure = Figure(figsize=(7.0 * max(1, len(drawn)), 4.4), layout="constrained")
    for number, table in enumerate(drawn):
        axes = figure.add_subplot(1, len(drawn), number + 1)
        times, plane = lines(table)
        for station in range(plane.shape[1]):
            colour = TWENTY[station % len(TWENTY)]
            axes.plot(times, plane[:, station], ".-", color=colour, ms=3, lw=0.7)
        kind = table.getType()
        axes.set(xlabel="minutes", ylabel=labels.get(kind, kind), title=f"{table.name}: {plane.shape[1]} stations")
        if kind == "phase":
            axes.set(ylim=(-185, 185), yticks=range(-180, 181, 60))
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Summarise one file."""
    parser = argparse.ArgumentParser(prog="h5parm-summary", description="Summarise calibration solutions.")
    parser.add_argument("h5parm", type=Path, help="solutions (h5parm)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="summary to write (JSON)")
    parser.add_argument("--picture", type=Path, help="picture of the solutions over time to write (PNG)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (LoSoTo {version('losoto')})")
    given = parser.parse_args(argv)
    try:
        with h5parm(str(given.h5parm), readonly=True) as opened:
            sets = {
                solset.name: {table.name: describe(table) for table in solset.getSoltabs()}
                for solset in opened.getSolsets()
            }
            if given.picture:
                tables = [table for solset in opened.getSolsets() for table in solset.getSoltabs()]
                draw(sorted(tables, key=lambda table: table.name, reverse=True)).savefig(given.picture, dpi=100)
    except Exception as error:  # noqa: BLE001 PyTables and LoSoTo raise many kinds
        print(f"h5parm-summary: {given.h5parm.name} could not be read: {error}", file=sys.stderr)
        return 1
    given.output.write_text(json.dumps({"file": given.h5parm.name, "solsets": sets}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
