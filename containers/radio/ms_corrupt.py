#!/usr/bin/env python3
"""What an observation adds to ideal visibilities: gains of stations, noise of receivers, interference. In place.

    ms-corrupt observation.ms --seed 1 --sefd 3000 --truth observation.truth.json

Gains depend on the seed and the station only, so that all subbands of an observation share them; noise and interference
depend on the frequency, too. Noise is that of the radiometer's equation: a standard deviation of SEFD / sqrt(2 B t) in
the real and the imaginary part of each correlation.
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

INTERFERENCE = 20.0
"""Of the noise's standard deviation; strong enough to spoil an image, and to be found."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the corruptions depend on."""

    stations: int
    frequency_hz: float
    channel_hz: float
    interval_s: float


def observation(ms: Path) -> Observation:
    """Read it from the subtables."""
    with table(f"{ms}::ANTENNA", ack=False) as part:
        stations = part.nrows()
    with table(f"{ms}::SPECTRAL_WINDOW", ack=False) as part:
        frequencies, widths = part.getcell("CHAN_FREQ", 0), part.getcell("CHAN_WIDTH", 0)
    with table(str(ms), ack=False) as part:
        interval = float(part.getcell("INTERVAL", 0))
    return Observation(stations, float(np.mean(frequencies)), abs(float(widths[0])), interval)


def gains(seen: Observation, times: int, seed: int, spread: float, drift: float) -> Any:
    """Complex gains (time, station, polarisation): amplitudes that stay, phases that drift."""
    dice = np.random.default_rng(seed)
    start = dice.uniform(-spread, spread, seen.stations)
    steps = dice.normal(0.0, drift, (times, seen.stations))
    amplitudes = dice.uniform(0.75, 1.35, (seen.stations, 2))
    phases = start + np.cumsum(steps, axis=0)
    return amplitudes[np.newaxis] * np.exp(1j * phases)[..., np.newaxis]


def corrupt(ms: Path, given: argparse.Namespace) -> dict[str, object]:
    """Change DATA, and reset FLAG; what was done."""
    seen = observation(ms)
    dice = np.random.default_rng([given.seed, round(seen.frequency_hz)])
    sigma = given.sefd / np.sqrt(2.0 * seen.channel_hz * seen.interval_s)
    with table(str(ms), readonly=False, ack=False) as rows:
        first, second = rows.getcol("ANTENNA1"), rows.getcol("ANTENNA2")
        instants, row_time = np.unique(rows.getcol("TIME"), return_inverse=True)
        data = rows.getcol("DATA")
        pairs = [(0, 0), (0, 1), (1, 0), (1, 1)] if data.shape[2] == 4 else [(0, 0), (1, 1)]
        station = gains(seen, len(instants), given.seed, given.phase_spread, given.phase_drift)
        one, other = station[row_time, first], station[row_time, second].conj()
        for number, (p, q) in enumerate(pairs):
            data[:, :, number] *= (one[:, p] * other[:, q])[:, np.newaxis]
        data += sigma * (dice.standard_normal(data.shape) + 1j * dice.standard_normal(data.shape))
        noisy = dice.random((len(instants), data.shape[1])) < given.interference
        data[noisy[row_time]] += INTERFERENCE * sigma
        rows.putcol("DATA", data.astype(np.complex64))
        rows.putcol("FLAG", np.zeros(data.shape, dtype=bool))
    return {
        "seed": given.seed,
        "stations": seen.stations,
        "times": len(instants),
        "channels": int(data.shape[1]),
        "frequency_hz": seen.frequency_hz,
        "bandwidth_hz": seen.channel_hz * data.shape[1],
        "sefd_jy": given.sefd,
        "noise_jy": float(sigma),
        "interference": float(noisy.mean()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Corrupt one Measurement Set."""
    parser = argparse.ArgumentParser(prog="ms-corrupt", description="Add gains, noise and interference to a MS.")
    parser.add_argument("ms", type=Path, help="Measurement Set, changed in place")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sefd", type=float, default=3000.0, help="of a station, Jy")
    parser.add_argument("--phase-spread", type=float, default=1.5, help="phases begin within this of 0, rad")
    parser.add_argument("--phase-drift", type=float, default=0.03, help="standard deviation from time to time, rad")
    parser.add_argument("--interference", type=float, default=0.05, help="fraction of times and channels")
    parser.add_argument("--truth", type=Path, required=True, help="what was done (JSON)")
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s 1.0.0 (casacore {version('python-casacore')})"
    )
    given = parser.parse_args(argv)
    try:
        done = corrupt(given.ms, given)
    except RuntimeError as error:
        print(f"ms-corrupt: {given.ms.name} could not be changed: {error}", file=sys.stderr)
        return 1
    given.truth.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
