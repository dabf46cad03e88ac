#!/usr/bin/env python3
"""What is in a table of calibration solutions (h5parm): each solution table, station by station, as JSON.

h5parm-summary solutions.h5 -o solutions.json
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


def main(argv: Sequence[str] | None = None) -> int:
    """Summarise one file."""
    parser = argparse.ArgumentParser(prog="h5parm-summary", description="Summarise calibration solutions.")
    parser.add_argument("h5parm", type=Path, help="solutions (h5parm)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="summary to write (JSON)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (LoSoTo {version('losoto')})")
    given = parser.parse_args(argv)
    try:
        with h5parm(str(given.h5parm), readonly=True) as opened:
            sets = {
                solset.name: {table.name: describe(table) for table in solset.getSoltabs()}
                for solset in opened.getSolsets()
            }
    except Exception as error:  # noqa: BLE001 PyTables and LoSoTo raise many kinds
        print(f"h5parm-summary: {given.h5parm.name} could not be read: {error}", file=sys.stderr)
        return 1
    given.output.write_text(json.dumps({"file": given.h5parm.name, "solsets": sets}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
