#!/usr/bin/env python3
"""What a flagger has left of a Measurement Set: flagged fractions and standard deviations, as JSON and a picture.

    flag-statistics observation.ms -o statistics.json --picture statistics.png

The Measurement Set is only read. Fractions are those of FLAG, over cross-correlations, in total and for each station,
channel, time and correlation. The standard deviation of a channel is that of the differences of neighbouring times, so
that it is noise and interference, and not the sky.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table  # type: ignore[import-untyped]
from matplotlib.figure import Figure

CORRELATIONS = {5: "RR", 6: "RL", 7: "LR", 8: "LL", 9: "XX", 10: "XY", 11: "YX", 12: "YY"}  # casacore's Stokes


@dataclass(frozen=True, slots=True)
class Rows:
    """The cross-correlations: flags and visibilities as (time, baseline, channel, correlation)."""

    flag: Any
    data: Any
    pairs: Any
    stations: list[str]
    frequencies_hz: Any
    correlations: list[str]


def read(ms: Path) -> Rows:
    """Read what the statistics are of."""
    with table(f"{ms}::ANTENNA", ack=False) as part:
        stations = list(part.getcol("NAME"))
    with table(f"{ms}::SPECTRAL_WINDOW", ack=False) as part:
        frequencies = part.getcell("CHAN_FREQ", 0)
    with table(f"{ms}::POLARIZATION", ack=False) as part:
        kinds = [CORRELATIONS.get(int(kind), str(kind)) for kind in part.getcell("CORR_TYPE", 0)]
    with table(str(ms), ack=False) as whole:
        rows = whole.query("ANTENNA1 != ANTENNA2", sortlist="TIME,ANTENNA1,ANTENNA2")
        times = len(np.unique(rows.getcol("TIME")))
        flag, data = rows.getcol("FLAG"), rows.getcol("DATA")
        pairs = np.stack([rows.getcol("ANTENNA1"), rows.getcol("ANTENNA2")], axis=1)
        rows.close()
    if len(flag) % times:
        raise ValueError("its times do not have the same baselines")
    shape = (times, len(flag) // times, *flag.shape[1:])
    return Rows(flag.reshape(shape), data.reshape(shape), pairs[: shape[1]], stations, frequencies, kinds)


def noise(rows: Rows) -> list[float | None]:
    """Standard deviation of a real or imaginary part in each channel, Jy; none where all of it is flagged."""
    step = np.diff(rows.data, axis=0)
    kept = ~(rows.flag[1:] | rows.flag[:-1])
    found: list[float | None] = []
    for channel in range(step.shape[2]):
        values = step[:, :, channel][kept[:, :, channel]]
        # a complex difference of two: four times the variance of one part
        found.append(float(np.sqrt(np.mean(np.abs(values) ** 2) / 4.0)) if len(values) else None)
    return found


def statistics(rows: Rows, name: str) -> dict[str, Any]:
    """All numbers."""
    of_baseline = rows.flag.mean(axis=(0, 2, 3))
    of_station = {
        station: float(of_baseline[(rows.pairs == number).any(axis=1)].mean())
        for number, station in enumerate(rows.stations)
        if (rows.pairs == number).any()
    }
    return {
        "measurement_set": name,
        "visibilities": int(rows.flag.size),
        "flagged": float(rows.flag.mean()),
        "by_station": of_station,
        "by_channel": [float(value) for value in rows.flag.mean(axis=(0, 1, 3))],
        "by_time": [float(value) for value in rows.flag.mean(axis=(1, 2, 3))],
        "by_correlation": dict(zip(rows.correlations, map(float, rows.flag.mean(axis=(0, 1, 2))), strict=True)),
        "frequencies_mhz": [float(value) / 1e6 for value in rows.frequencies_hz],
        "noise_jy": noise(rows),
    }


def draw(rows: Rows, found: dict[str, Any]) -> Figure:
    """Flagged fraction over time and channel, and for each station."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    plane = rows.flag.mean(axis=(1, 3))
    image = left.imshow(100 * plane.T, aspect="auto", origin="lower", cmap="viridis", vmin=0, vmax=100)
    figure.colorbar(image, ax=left, label="flagged, %")
    left.set(xlabel="time slot", ylabel="channel", title=f"{100 * found['flagged']:.1f} % flagged")
    stations = found["by_station"]
    right.bar(range(len(stations)), [100 * value for value in stations.values()], color="#0072b2")
    right.set_xticks(range(len(stations)), list(stations), rotation=90, fontsize=6)
    right.set(ylabel="flagged, %", title="stations")
    right.grid(axis="y", alpha=0.3)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Write the statistics of one Measurement Set."""
    parser = argparse.ArgumentParser(prog="flag-statistics", description="Flagged fractions and noise of a MS.")
    parser.add_argument("ms", type=Path, help="Measurement Set; it is only read")
    parser.add_argument("-o", "--output", type=Path, required=True, help="statistics to write (JSON)")
    parser.add_argument("--picture", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s 1.0.0 (casacore {version('python-casacore')})"
    )
    given = parser.parse_args(argv)
    try:
        rows = read(given.ms)
    except (RuntimeError, ValueError) as error:
        print(f"flag-statistics: {given.ms.name} could not be read: {error}", file=sys.stderr)
        return 1
    found = statistics(rows, given.ms.name)
    given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(rows, found).savefig(given.picture, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
