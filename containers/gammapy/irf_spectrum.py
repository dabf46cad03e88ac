#!/usr/bin/env python3
"""A spectrum as an observatory with a given IRF would measure it: simulated, fitted and drawn with gammapy.

The source has the Crab nebula's spectrum as HEGRA measured it (F. Aharonian et al., ApJ 614 (2004) 897), at an offset
from the pointing, for a livetime; background is that of the IRF in an off region five times as large. Counts are
drawn with a seed.
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
from astropy.coordinates import SkyCoord
from astropy.io import fits
from gammapy.data import FixedPointingInfo, Observation
from gammapy.datasets import SpectrumDataset, SpectrumDatasetOnOff
from gammapy.estimators import FluxPointsEstimator
from gammapy.irf import Background2D, Background3D, EffectiveAreaTable2D, EnergyDispersion2D
from gammapy.makers import SpectrumDatasetMaker
from gammapy.maps import MapAxis, RegionGeom, RegionNDMap
from gammapy.modeling import Fit
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
from matplotlib.figure import Figure
from regions import CircleSkyRegion

CRAB = {"index": 2.62, "amplitude": "2.83e-11 cm-2 s-1 TeV-1", "reference": "1 TeV"}
ACCEPTANCE_OFF = 5.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The fit, and what it was fitted to."""

    dataset: SpectrumDatasetOnOff
    model: SkyModel
    success: bool
    livetime_h: float


def irfs(path: Path) -> dict[str, object]:
    """The parts of the IRF that a spectrum needs; the background, where there is one."""
    found: dict[str, object] = {
        "aeff": EffectiveAreaTable2D.read(path, hdu="EFFECTIVE AREA"),
        "edisp": EnergyDispersion2D.read(path, hdu="ENERGY DISPERSION"),
    }
    with fits.open(path) as parts:
        kinds = {part.name: part.header.get("HDUCLAS4") for part in parts}
    if "BACKGROUND" in kinds:
        kind = Background3D if kinds["BACKGROUND"] == "BKG_3D" else Background2D
        found["bkg"] = kind.read(path, hdu="BACKGROUND")
    return found


def observe(
    parts: dict[str, object], offset: float, radius: float, livetime_h: float, seed: int
) -> SpectrumDatasetOnOff:
    """Counts in an on region around the source and in an off region, drawn from the model."""
    centre = SkyCoord(83.63, 22.01, unit="deg", frame="icrs")
    pointing = FixedPointingInfo(fixed_icrs=centre.directional_offset_by(0 * u.deg, offset * u.deg))
    observation = Observation.create(pointing=pointing, livetime=livetime_h * u.h, irfs=parts)
    energy = MapAxis.from_energy_bounds("0.1 TeV", "20 TeV", nbin=4, per_decade=True)
    true = MapAxis.from_energy_bounds("0.05 TeV", "20 TeV", nbin=8, per_decade=True, name="energy_true")
    geometry = RegionGeom.create(CircleSkyRegion(centre, radius * u.deg), axes=[energy])
    empty = SpectrumDataset.create(geom=geometry, energy_axis_true=true, name="source")
    selection = ["exposure", "edisp", *(["background"] if "bkg" in parts else [])]
    dataset = SpectrumDatasetMaker(selection=selection, containment_correction=False).run(empty, observation)
    dataset.models = [SkyModel(spectral_model=PowerLawSpectralModel(**CRAB), name="crab")]
    one, many = (
        RegionNDMap.create(region=geometry.region, axes=[energy]),
        RegionNDMap.create(region=geometry.region, axes=[energy]),
    )
    one.data[...], many.data[...] = 1.0, ACCEPTANCE_OFF
    counted = SpectrumDatasetOnOff.from_spectrum_dataset(dataset=dataset, acceptance=one, acceptance_off=many)
    background = dataset.npred_background()
    counted.fake(npred_background=background, random_state=np.random.RandomState(seed))
    return counted


def fit(dataset: SpectrumDatasetOnOff, livetime_h: float) -> Measured:
    """A power law, fitted where both energies and exposure are."""
    spectrum = PowerLawSpectralModel(index=2.0, amplitude="1e-11 cm-2 s-1 TeV-1", reference="1 TeV")
    model = SkyModel(spectral_model=spectrum, name="fitted")
    dataset.models = [model]
    result = Fit().run([dataset])
    return Measured(dataset, model, bool(result.success), livetime_h)


def numbers(measured: Measured, notice: str) -> dict[str, object]:
    """What was fitted, beside what was put in."""
    spectrum = measured.model.spectral_model
    info = measured.dataset.info_dict()
    return {
        "livetime_h": measured.livetime_h,
        "excess": float(info["excess"]),
        "background": float(info["background"]),
        "significance": float(info["sqrt_ts"]),
        "index": float(spectrum.index.value),
        "index_error": float(spectrum.index.error),
        "amplitude_cm2_s_TeV": float(spectrum.amplitude.value),
        "amplitude_error": float(spectrum.amplitude.error),
        "true_index": CRAB["index"],
        "true_amplitude_cm2_s_TeV": float(u.Quantity(CRAB["amplitude"]).value),
        "converged": measured.success,
        "notice": notice,
    }


def draw(measured: Measured, notice: str) -> Figure:
    """Flux points, the fit with its error, and the truth."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    bounds = [0.1, 20] * u.TeV
    style = {"sed_type": "e2dnde", "energy_bounds": bounds}
    PowerLawSpectralModel(**CRAB).plot(ax=axes, **style, color="#d55e00", ls="--", label="put in: Crab, HEGRA")
    spectrum = measured.model.spectral_model
    spectrum.plot(ax=axes, **style, color="#0072b2", label="fitted")
    spectrum.plot_error(ax=axes, **style, facecolor="#0072b2", alpha=0.25)
    edges = measured.dataset.counts.geom.axes["energy"].edges
    points = FluxPointsEstimator(energy_edges=edges, source="fitted", selection_optional=[]).run([measured.dataset])
    points.plot(ax=axes, sed_type="e2dnde", color="black", label="flux points")
    axes.set_ylabel("E² dN/dE [erg cm⁻² s⁻¹]")
    axes.set_title(f"A source like the Crab nebula in {measured.livetime_h:g} h")
    axes.legend()
    if notice:
        figure.supxlabel(notice, fontsize=7.5, color="#d55e00")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, fit, tell and draw."""
    parser = argparse.ArgumentParser(
        prog="irf-spectrum", description="A spectrum measured with an IRF, simulated and fitted."
    )
    parser.add_argument("irf", type=Path, help="IRF (FITS, gamma-astro-data-formats)")
    parser.add_argument("--offset", type=float, default=0.5, help="of the source from the pointing, degrees")
    parser.add_argument("--radius", type=float, default=0.2, help="of the on region, degrees")
    parser.add_argument("--livetime", type=float, default=5.0, help="hours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--notice", default="", help="a sentence that has to be in each product")
    parser.add_argument("--outdir", type=Path, default=Path(), help="where spectrum.json and spectrum.png go")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (gammapy {version('gammapy')})")
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    try:
        dataset = observe(irfs(given.irf), given.offset, given.radius, given.livetime, given.seed)
    except (OSError, KeyError, ValueError) as error:
        print(f"irf-spectrum: {given.irf.name} cannot be used: {error}", file=sys.stderr)
        return 1
    measured = fit(dataset, given.livetime)
    draw(measured, given.notice).savefig(given.outdir / "spectrum.png", dpi=120)
    text = json.dumps(numbers(measured, given.notice), indent=2) + "\n"
    (given.outdir / "spectrum.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
