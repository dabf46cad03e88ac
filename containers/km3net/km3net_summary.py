#!/usr/bin/env python3
"""What is in a KM3NeT offline file: counts, run, reconstruction and truth, as JSON and a picture.

Reads what km3io reads: offline ROOT files with the event tree E, of data or Monte Carlo, and DST
files, which hold the best tracks without hits. Energies GeV, times UTC; a direction is that of
flight, so that cos(zenith) of the origin is -dir_z: +1 from straight above, -1 through the Earth.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import awkward as ak  # type: ignore[import-untyped]
import numpy as np
import uproot  # type: ignore[import-untyped]
from km3io import OfflineReader  # type: ignore[import-untyped]
from km3io.tools import best_jmuon, best_jshower  # type: ignore[import-untyped]
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EVENT_TREE = "E"
RECONSTRUCTIONS: dict[str, Callable[[Any], Any]] = {"jmuon": best_jmuon, "jshower": best_jshower}
NO_VALUE = 1e300  # Jpp marks a failed fit by the greatest double
PARTICLES = {12: "nu_e", 14: "nu_mu", 16: "nu_tau", 13: "muon", 2212: "proton"}  # PDG codes


class NotOfflineError(Exception):
    """The file is none of KM3NeT's offline format."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, middle and greatest of a quantity."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The best fit of each event by one algorithm."""

    events: int
    upgoing: int
    energy_gev: Spread | None
    likelihood: Spread | None


@dataclass(frozen=True, slots=True)
class Truth:
    """The generated particle of each event."""

    primaries: dict[str, int]
    energy_gev: Spread


@dataclass(frozen=True, slots=True)
class Summary:
    """All that is told of a file."""

    file: str
    events: int
    detectors: tuple[int, ...]
    runs: tuple[int, ...]
    first_event: str | None
    last_event: str | None
    hits: int
    tracks: int
    monte_carlo: bool
    header: dict[str, str]
    reconstruction: dict[str, Reconstruction]
    truth: Truth | None


@dataclass(frozen=True, slots=True)
class Directions:
    """cos(zenith) of the origin, by reconstruction and by truth."""

    reconstructed: dict[str, Floats]
    true: Floats | None


def spread(values: Floats) -> Spread | None:
    """The spread of the values that a fit really gave, None where there are none."""
    finite = values[np.abs(values) < NO_VALUE]
    if not len(finite):
        return None
    return Spread(*(round(float(f(finite)), 4) for f in (np.min, np.median, np.max)))


def utc(seconds: int) -> str:
    """A time as ISO 8601."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def floats(values: Any) -> Floats:
    """A plain array of an awkward one, without the events that have no value."""
    return np.asarray(ak.drop_none(values, axis=0), dtype=float)


def best_tracks(reader: Any) -> dict[str, Any]:
    """The best track of each event that has one, by algorithm."""
    tracks = reader.tracks
    if not int(ak.sum(ak.num(tracks.dir_z, axis=1))):
        return {}
    best = {name: choose(tracks) for name, choose in RECONSTRUCTIONS.items()}
    return {name: found for name, found in best.items() if len(floats(found.dir_z))}


def first_particle(reader: Any) -> Any | None:
    """The generated particle of each simulated event: the first in its list."""
    particles = reader.mc_tracks
    counts = ak.num(particles.pdgid, axis=1)
    return particles[counts > 0][:, 0] if int(ak.sum(counts)) else None


def truth_of(particle: Any) -> Truth:
    """Kinds and energies of the generated particles."""
    kinds = Counter(int(code) for code in particle.pdgid)
    energy = spread(floats(particle.E))
    if energy is None:
        raise NotOfflineError("the generated particles have no energy")
    return Truth(primaries={particle_name(c): n for c, n in sorted(kinds.items())}, energy_gev=energy)


def particle_name(code: int) -> str:
    """A PDG code in letters."""
    name = PARTICLES.get(abs(code), f"pdg {abs(code)}")
    return f"anti-{name}" if code < 0 else name


def header_of(reader: Any) -> dict[str, str]:
    """The header's lines as text; DST files have none that km3io reads."""
    header = reader.header
    if header is None:
        return {}
    return {line: str(value) for line, value in header.items()}


def read(path: Path) -> tuple[Summary, Directions]:
    """Read one file."""
    with uproot.open(path) as root:
        if EVENT_TREE not in {name.partition(";")[0] for name in root.keys(recursive=False)}:
            raise NotOfflineError(f"no event tree {EVENT_TREE} in it; it has {', '.join(root) or 'nothing'}")
    with warnings.catch_warnings(action="ignore"):  # km3io warns of each DST header
        reader = OfflineReader(str(path))
        header = header_of(reader)
    best = best_tracks(reader)
    particle = first_particle(reader)
    times = np.asarray(reader.t_sec, dtype=int)
    summary = Summary(
        file=path.name,
        events=len(reader),
        detectors=tuple(sorted({int(i) for i in reader.det_id})),
        runs=tuple(sorted({int(i) for i in reader.run_id})),
        first_event=utc(int(times.min())) if len(times) else None,
        last_event=utc(int(times.max())) if len(times) else None,
        hits=int(ak.sum(reader.n_hits)),
        tracks=int(ak.sum(reader.n_tracks)),
        monte_carlo=particle is not None,
        header=header,
        reconstruction={
            name: Reconstruction(
                events=len(floats(track.dir_z)),
                upgoing=int(np.sum(floats(track.dir_z) > 0)),
                energy_gev=spread(floats(track.E)),
                likelihood=spread(floats(track.lik)),
            )
            for name, track in best.items()
        },
        truth=truth_of(particle) if particle is not None else None,
    )
    directions = Directions(
        reconstructed={name: -floats(track.dir_z) for name, track in best.items()},
        true=-floats(particle.dir_z) if particle is not None else None,
    )
    return summary, directions


def draw(summary: Summary, directions: Directions) -> Figure:
    """Histogram of where the events come from."""
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(-1, 1, 21)
    styles = {"jmuon": ("#0072b2", "muon track fit"), "jshower": ("#d55e00", "shower fit")}
    for name, values in directions.reconstructed.items():
        colour, label = styles[name]
        label = f"{label} ({len(values)} events)"
        axes.stairs(np.histogram(values, edges)[0], edges, lw=2, color=colour, label=label)
    if directions.true is not None:
        label = f"generated ({len(directions.true)} events)"
        counts = np.histogram(directions.true, edges)[0]
        axes.stairs(counts, edges, fill=True, color="0.85", label=label, zorder=0)
    kind = "Monte Carlo" if summary.monte_carlo else "data"
    axes.set(
        xlim=(-1, 1),
        xlabel="cos(zenith) of the origin",
        ylabel="events per 0.1",
        title=f"KM3NeT {kind}, detector {', '.join(map(str, summary.detectors))},"
        f" run {', '.join(map(str, summary.runs))}: {summary.events} events",
    )
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)
    axes.legend(frameon=False)
    figure.supxlabel(
        "-1: up through the Earth, 0: horizon, +1: from straight above. Best fit of each event, no quality cut.",
        fontsize=8,
    )
    return figure


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="km3net-summary", description="Summarise a KM3NeT offline or DST file as JSON."
    )
    parser.add_argument("file", type=Path, help="offline or DST file (ROOT)")
    parser.add_argument("--output", type=Path, help="write the summary here instead of to stdout")
    parser.add_argument("--picture", type=Path, help="draw the directions of the events here (PNG)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (km3io {version('km3io')})")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Summarise one file."""
    given = arguments().parse_args(argv)
    try:
        summary, directions = read(given.file)
    except (OSError, ValueError, KeyError, NotOfflineError) as error:
        print(f"km3net-summary: {given.file.name} cannot be read: {error}", file=sys.stderr)
        return 1
    text = json.dumps(asdict(summary), indent=2) + "\n"
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text, encoding="utf-8")
    if given.picture is not None:
        draw(summary, directions).savefig(given.picture, dpi=120)
    return 0


if __name__ == "__main__":
    sys.exit(main())
