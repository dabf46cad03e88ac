#!/usr/bin/env python3
"""What an instrument response function says of the instrument: numbers (JSON) and four pictures (PNG).

Effective area and energy dispersion are read from the IRF with gammapy; angular resolution, energy bias and
sensitivity from the benchmark file that ctapipe-compute-irf writes beside it. All are those of the first bin of the
field of view. Formats: gamma-astro-data-formats 0.3; ctapipe.irf.benchmarks.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from gammapy.irf import EffectiveAreaTable2D, EnergyDispersion2D
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REFERENCE_TEV = 1.0
BLUE, ORANGE = "#0072b2", "#d55e00"


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity in bins of energy (TeV); NaN where there were no events."""

    low: Floats
    high: Floats
    value: Floats

    @property
    def centre(self) -> Floats:
        """Geometric centres of the bins."""
        centre: Floats = np.sqrt(self.low * self.high)
        return centre

    def at(self, energy_tev: float) -> float | None:
        """The value of the bin that has this energy; None where there is none."""
        inside = np.flatnonzero((self.low <= energy_tev) & (energy_tev < self.high))
        if not len(inside) or not np.isfinite(self.value[inside[0]]):
            return None
        return float(self.value[inside[0]])


@dataclass(frozen=True, slots=True)
class Performance:
    """All curves: m2, relative, relative, degrees, erg/cm2/s; and the migration of energies."""

    area: Curve
    bias: Curve
    resolution: Curve
    containment: Curve
    sensitivity: Curve
    dispersion: EnergyDispersion2D


def benchmark(table: QTable, column: str, unit: str) -> Curve:
    """One column of ctapipe's benchmarks, whose tables have one row of (field of view, energy) matrices."""
    edges = [u.Quantity(table[name][0], "TeV").value for name in ("ENERG_LO", "ENERG_HI")]
    value = u.Quantity(table[column][0][0], unit).value
    return Curve(edges[0], edges[1], np.asarray(value, dtype=float))


def read(irf: Path, benchmarks: Path) -> Performance:
    """Read both files; of the effective areas in the IRF, the first one is that of gamma rays."""
    area = EffectiveAreaTable2D.read(irf, hdu="EFFECTIVE AREA")
    energy = area.axes["energy_true"].edges.to_value("TeV")
    with fits.open(benchmarks) as parts:
        tables = {part.name: QTable.read(part) for part in parts[1:]}
    energies, angles = tables["ENERGY BIAS RESOLUTION"], tables["ANGULAR RESOLUTION"]
    return Performance(
        area=Curve(energy[:-1], energy[1:], area.quantity[:, 0].to_value("m2")),
        bias=benchmark(energies, "BIAS", ""),
        resolution=benchmark(energies, "RESOLUTION", ""),
        containment=benchmark(angles, "ANGULAR_RESOLUTION_68", "deg"),
        sensitivity=benchmark(tables["SENSITIVITY"], "ENERGY_FLUX_SENSITIVITY", "erg / (cm2 s)"),
        dispersion=EnergyDispersion2D.read(irf, hdu="ENERGY DISPERSION"),
    )


def numbers(made: Performance, notice: str) -> dict[str, object]:
    """What is asserted of an IRF, at 1 TeV."""
    return {
        "energy_tev": REFERENCE_TEV,
        "effective_area_m2": made.area.at(REFERENCE_TEV),
        "energy_bias": made.bias.at(REFERENCE_TEV),
        "energy_resolution": made.resolution.at(REFERENCE_TEV),
        "containment_68_deg": made.containment.at(REFERENCE_TEV),
        "sensitivity_erg_cm2_s": made.sensitivity.at(REFERENCE_TEV),
        "notice": notice,
    }


def step(axes: Axes, curve: Curve, colour: str, label: str) -> None:
    """A curve as points with the width of their bins."""
    found = np.isfinite(curve.value)
    centre = curve.centre[found]
    width = np.stack([centre - curve.low[found], curve.high[found] - centre])
    axes.errorbar(centre, curve.value[found], xerr=width, fmt="o", ms=4, color=colour, label=label, lw=1.2)
    axes.set_xscale("log")
    axes.grid(alpha=0.3, which="both")


def page(title: str, notice: str) -> tuple[Figure, Axes]:
    """An empty picture; the notice is part of it."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    if notice:
        figure.supxlabel(notice, fontsize=7.5, color=ORANGE)
    return figure, axes


def draw_area(made: Performance, notice: str) -> Figure:
    """Effective area against true energy."""
    figure, axes = page("Effective area after cuts", notice)
    step(
        axes,
        Curve(made.area.low, made.area.high, np.where(made.area.value > 0, made.area.value, np.nan)),
        BLUE,
        "gamma",
    )
    axes.set(yscale="log", xlabel="True energy [TeV]", ylabel="Effective area [m²]")
    return figure


def draw_angles(made: Performance, notice: str) -> Figure:
    """68 % containment against energy."""
    figure, axes = page("Angular resolution: radius that holds 68 %", notice)
    step(axes, made.containment, BLUE, "68 %")
    axes.set(xlabel="True energy [TeV]", ylabel="Radius [deg]")
    axes.set_ylim(bottom=0)
    return figure


def draw_energies(made: Performance, notice: str) -> Figure:
    """Migration matrix, with bias and resolution."""
    figure, axes = page("Energy dispersion", notice)
    matrix = made.dispersion
    energy = matrix.axes["energy_true"].edges.to_value("TeV")
    migration = matrix.axes["migra"].edges.value
    density = np.ma.masked_less_equal(matrix.quantity[:, :, 0].value.T, 0)
    if density.count():
        drawn = axes.pcolormesh(energy, migration, density, norm=LogNorm(), cmap="Greys", rasterized=True)
        figure.colorbar(drawn, label="Probability density")
    shifted = Curve(made.bias.low, made.bias.high, 1 + made.bias.value)
    step(axes, shifted, BLUE, "bias")
    axes.errorbar(shifted.centre, shifted.value, yerr=made.resolution.value, fmt="none", color=BLUE, label="resolution")
    axes.axhline(1, color=ORANGE, lw=0.8)
    axes.set(xlabel="True energy [TeV]", ylabel="Reconstructed / true energy", ylim=(0.2, 2.0))
    axes.legend()
    return figure


def draw_sensitivity(made: Performance, notice: str) -> Figure:
    """Flux that is found in 50 hours, against reconstructed energy."""
    figure, axes = page("Sensitivity to a point source in 50 h", notice)
    step(axes, made.sensitivity, BLUE, "5 sigma, 10 events, 5 % of background")
    axes.set(yscale="log", xlabel="Reconstructed energy [TeV]", ylabel="E² dN/dE [erg cm⁻² s⁻¹]")
    axes.legend()
    return figure


PICTURES = {
    "effective-area": draw_area,
    "energy-dispersion": draw_energies,
    "angular-resolution": draw_angles,
    "sensitivity": draw_sensitivity,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Read, draw, and tell the numbers."""
    parser = argparse.ArgumentParser(prog="irf-performance", description="Pictures and numbers of an IRF.")
    parser.add_argument("irf", type=Path, help="IRF (FITS)")
    parser.add_argument("--benchmarks", type=Path, required=True, help="ctapipe's benchmarks of it (FITS)")
    parser.add_argument("--notice", default="", help="a sentence that has to be in each product")
    parser.add_argument("--outdir", type=Path, default=Path(), help="where performance.json and the pictures go")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (gammapy {version('gammapy')})")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    try:
        made = read(given.irf, given.benchmarks)
    except (OSError, KeyError, ValueError) as error:
        print(f"irf-performance: {given.irf.name} cannot be read: {error}", file=sys.stderr)
        return 1
    for name, draw in PICTURES.items():
        draw(made, given.notice).savefig(given.outdir / f"{name}.png", dpi=120)
    text = json.dumps(numbers(made, given.notice), indent=2) + "\n"
    (given.outdir / "performance.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
