#!/usr/bin/env python3
"""Pictures of CORSIKA showers: the lateral distribution at ground, the longitudinal profile.

Particle ids and words: CORSIKA user's guide, KIT, sections "Particle codes" and "Normal particle
output". Lengths in the files are cm, energies and momenta GeV, depths g/cm2.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from corsikaio import (  # type: ignore[import-untyped]
    CorsikaParticleFile,
    read_longitudinal_distributions,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CM_PER_M = 100.0
PRIMARIES = {1: "photon", 2: "positron", 3: "electron", 14: "proton", 402: "helium", 5626: "iron"}
# Ids from 75 on repeat a muon at its birth (MUADDI) or stand for no particle at ground.
KINDS: Mapping[str, frozenset[int]] = {
    "photons": frozenset({1}),
    "electrons and positrons": frozenset({2, 3}),
    "muons": frozenset({5, 6}),
    "hadrons": frozenset(range(7, 66)) | frozenset(range(100, 9900)),
    "neutrinos": frozenset(range(66, 70)),
}
COLOURS = dict(zip(KINDS, ("#e69f00", "#56b4e9", "#0072b2", "#d55e00", "#999999"), strict=True))
BINS_PER_DECADE = 4
CLOSEST_M = 1.0  # nearer than this there are too few particles for a density


class NothingToShowError(Exception):
    """The file is sound, but what it holds makes no picture."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Particles of all showers of a run where they hit the ground."""

    run: int
    corsika: str
    showers: int
    primary: int
    energy_gev: tuple[float, float]
    zenith_deg: tuple[float, float]
    altitude_m: float
    kind: NDArray[np.int64]  # CORSIKA's particle id
    distance_m: Floats  # perpendicular to the shower's axis
    momentum_gev: Floats
    weight: Floats  # 1 but in thinned runs


def axis_distance(x: Floats, y: Floats, zenith: float, azimuth: float) -> Floats:
    """Distance from a shower axis through the origin, for points in the horizontal plane."""
    along = np.sin(zenith) * (x * np.cos(azimuth) + y * np.sin(azimuth))
    distance: Floats = np.sqrt(np.maximum(x**2 + y**2 - along**2, 0.0))
    return distance


def read_ground(path: Path, *, thinned: bool) -> Ground:
    """Read all particles of a run; 32-bit words become doubles before they are squared."""
    kinds: list[NDArray[np.int64]] = []
    columns: list[tuple[Floats, Floats, Floats]] = []
    headers = []
    with CorsikaParticleFile(path, thinning=thinned) as file:
        run, release = int(file.run_header["run_number"]), float(file.run_header["version"])
        for event in file:
            headers.append(event.header)
            p = event.particles
            kinds.append(p["particle_description"].astype(np.int64) // 1000)
            x, y, px, py, pz = (p[name].astype(float) for name in ("x", "y", "px", "py", "pz"))
            zenith, azimuth = float(event.header["zenith"]), float(event.header["azimuth"])
            columns.append(
                (
                    axis_distance(x, y, zenith, azimuth) / CM_PER_M,
                    np.sqrt(px**2 + py**2 + pz**2),
                    p["thinning_weight"].astype(float) if thinned else np.ones(len(p)),
                )
            )
    if not headers or not sum(map(len, kinds)):
        raise NothingToShowError(f"{path.name} has no particle at ground")
    energies = [float(header["total_energy"]) for header in headers]
    zeniths = [float(np.degrees(header["zenith"])) for header in headers]
    distance, momentum, weight = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Ground(
        run=run,
        corsika=f"{release:.3f}",
        showers=len(headers),
        primary=int(headers[0]["particle_id"]),
        energy_gev=(min(energies), max(energies)),
        zenith_deg=(min(zeniths), max(zeniths)),
        altitude_m=float(headers[0]["observation_height"].flat[0]) / CM_PER_M,
        kind=np.concatenate(kinds),
        distance_m=distance,
        momentum_gev=momentum,
        weight=weight,
    )


def log_bins(values: Floats) -> Floats:
    """Edges of logarithmic bins around positive values."""
    low, high = np.log10(values.min()), np.log10(values.max())
    first, last = np.floor(low * BINS_PER_DECADE), np.floor(high * BINS_PER_DECADE) + 1
    edges: Floats = 10.0 ** (np.arange(first, last + 1) / BINS_PER_DECADE)
    return edges


def density(values: Floats, weight: Floats, edges: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Weighted content of each bin over its size, and the statistical error of that."""
    content, _ = np.histogram(values, edges, weights=weight)
    variance, _ = np.histogram(values, edges, weights=weight**2)
    return content / size, np.sqrt(variance) / size


def points(axes: Axes, edges: Floats, value: Floats, error: Floats, name: str) -> None:
    """Draw the filled bins of one kind of particle."""
    filled = value > 0
    centres = np.sqrt(edges[1:] * edges[:-1])[filled]
    value, error = value[filled], error[filled]
    bottom = min(axes.get_ylim()[0], value.min() / 3) if axes.has_data() else value.min() / 3
    below = np.minimum(error, value * 0.999)  # a bin of one particle reaches down to nothing
    axes.errorbar(centres, value, yerr=(below, error), fmt="o", ms=4, lw=1, label=name, color=COLOURS[name])
    axes.set_ylim(bottom=bottom)


def span(low: float, high: float) -> str:
    """A range as text, once only where both ends read the same."""
    first, last = f"{low:.3g}", f"{high:.3g}"
    return first if first == last else f"{first} to {last}"


def energy_span(low_gev: float, high_gev: float) -> str:
    """A range of energies in the unit that keeps the numbers short."""
    for unit, size in (("PeV", 1e6), ("TeV", 1e3)):
        if high_gev >= size:
            return f"{span(low_gev / size, high_gev / size)} {unit}"
    return f"{span(low_gev, high_gev)} GeV"


def draw_lateral(ground: Ground) -> Figure:
    """Density over distance from the axis, and the momentum spectrum, for each kind."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    lateral, spectrum = figure.subplots(1, 2, subplot_kw={"xscale": "log", "yscale": "log"})
    for name, ids in KINDS.items():
        chosen = np.isin(ground.kind, list(ids)) & (ground.distance_m >= CLOSEST_M)
        if not chosen.any():
            continue
        distance, weight = ground.distance_m[chosen], ground.weight[chosen]
        edges = log_bins(distance)
        area = np.pi * (edges[1:] ** 2 - edges[:-1] ** 2) * ground.showers
        points(lateral, edges, *density(distance, weight, edges, area), name)
        momentum = ground.momentum_gev[chosen]
        edges = log_bins(momentum)
        decades = np.full(len(edges) - 1, ground.showers / BINS_PER_DECADE)
        points(spectrum, edges, *density(momentum, weight, edges, decades), name)
    lateral.set(
        title="Lateral distribution",
        xlabel="distance from shower axis [m]",
        ylabel="particles per shower and area [m$^{-2}$]",
    )
    spectrum.set(
        title="Momentum at ground",
        xlabel="momentum [GeV/c]",
        ylabel="particles per shower and decade",
    )
    for axes in (lateral, spectrum):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    primary = PRIMARIES.get(ground.primary, f"primary {ground.primary}")
    figure.suptitle(
        f"CORSIKA {ground.corsika}, run {ground.run}: {ground.showers} {primary} showers of"
        f" {energy_span(*ground.energy_gev)}, zenith {span(*ground.zenith_deg)} deg,"
        f" ground at {ground.altitude_m:.0f} m",
        fontsize=11,
    )
    figure.supxlabel(
        "Mean of all showers; bars are statistical. Only particles above the run's energy cuts."
        " Distance perpendicular to the axis, from 1 m; ground taken as flat.",
        fontsize=8,
    )
    return figure


def draw_longitudinal(path: Path) -> Figure:
    """Particles over depth: each shower thin, the mean thick, CORSIKA's own fit marked."""
    showers = list(read_longitudinal_distributions(path))
    if not showers:
        raise NothingToShowError(f"{path.name} has no shower")
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots()
    series = {
        "photons": ("#e69f00", ("gammas",)),
        "electrons and positrons": ("#56b4e9", ("electrons", "positrons")),
        "muons": ("#0072b2", ("mu_plus", "mu_minus")),
        "hadrons": ("#d55e00", ("hadrons",)),
    }
    steps = min(len(shower["particles"]) for shower in showers)
    depth = showers[0]["particles"]["depth"][:steps]
    for name, (colour, columns) in series.items():
        counts = np.array(
            [sum(shower["particles"][c][:steps] for c in columns) for shower in showers],
            dtype=float,
        )
        if not counts.any():
            continue
        axes.plot(depth, np.where(counts > 0, counts, np.nan).T, color=colour, lw=0.6, alpha=0.45)
        mean = counts.mean(axis=0)
        axes.plot(depth, np.where(mean > 0, mean, np.nan), color=colour, lw=2.2, label=name)
    maxima = [float(s["parameters"][2]) for s in showers if "parameters" in s]
    if maxima:
        axes.axvspan(min(maxima), max(maxima), color="black", alpha=0.08)
        axes.axvline(
            float(np.mean(maxima)),
            color="black",
            ls="--",
            lw=1,
            label=f"maximum: {np.mean(maxima):.0f} g/cm$^2$\n({span(min(maxima), max(maxima))})",
        )
    slant = "slant" if showers[0]["slant"] else "vertical"
    axes.set(
        yscale="log",
        xlabel=f"{slant} depth [g/cm$^2$]",
        ylabel="particles above the run's energy cuts",
        title=f"Longitudinal distribution: {len(showers)} showers of {path.name}",
    )
    axes.set_ylim(bottom=0.8)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.supxlabel(
        "Thin: single showers. Thick: their mean. Dashed: mean of the maxima that CORSIKA fitted"
        " (band: least to greatest).",
        fontsize=8,
    )
    return figure


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="corsika-plot", description="Draw CORSIKA showers.")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (corsikaio {version('corsikaio')})")
    commands = parser.add_subparsers(dest="command", required=True)
    lateral = commands.add_parser("lateral", help="particles at ground, from a DAT file")
    lateral.add_argument("data", type=Path, help="DAT file of particles")
    lateral.add_argument("--thinned", action="store_true", help="the run was made with THIN")
    longitudinal = commands.add_parser("longitudinal", help="profile in the air, from a .long file")
    longitudinal.add_argument("data", type=Path, help=".long file")
    for command in (lateral, longitudinal):
        command.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
        command.add_argument("--dpi", type=int, default=120, help="dots per inch (%(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Draw what is asked for."""
    given = arguments().parse_args(argv)
    try:
        if given.command == "lateral":
            figure = draw_lateral(read_ground(given.data, thinned=given.thinned))
        else:
            figure = draw_longitudinal(given.data)
    except (OSError, EOFError, ValueError, NothingToShowError) as error:
        print(f"corsika-plot: {given.data.name}: {error}", file=sys.stderr)
        return 1
    figure.savefig(given.output, dpi=given.dpi)
    return 0


if __name__ == "__main__":
    sys.exit(main())
