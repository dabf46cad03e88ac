#!/usr/bin/env python3
"""The noise that an image of Measurement Sets has to have, by the radiometer's equation and the image's own weighting.

    noise-expectation observation.ms ... --image image.fits --truth observation.truth.json -o noise.json

A visibility's noise is that of the simulation, less by the root of its weight, which is the number of samples in it.
Weights of the image are natural or Briggs' (D. Briggs, PhD thesis 1995, 3.4), times a Gaussian taper, as WSClean has
them: where it images several parts of the band together (-MFS-), each Measurement Set by itself. Flagged visibilities
and those beyond the image's maximum baseline do not count.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from casacore.tables import table  # type: ignore[import-untyped]

LIGHT = 299792458.0


@dataclass(frozen=True, slots=True)
class Samples:
    """Stokes I samples of all channels: coordinates in wavelengths, and weights."""

    u: Any
    v: Any
    weight: Any


def samples(ms: Path, longest: float) -> Samples:
    """Read the unflagged cross-correlations up to a baseline length, in wavelengths."""
    with table(f"{ms}::SPECTRAL_WINDOW", ack=False) as part:
        frequencies = part.getcell("CHAN_FREQ", 0)
    with table(str(ms), ack=False) as whole:
        rows = whole.query("ANTENNA1 != ANTENNA2")
        uvw, flag, weight = rows.getcol("UVW"), rows.getcol("FLAG"), rows.getcol("WEIGHT_SPECTRUM")
        rows.close()
    scale = frequencies[np.newaxis] / LIGHT
    u, v = uvw[:, :1] * scale, uvw[:, 1:2] * scale
    distance = np.sqrt((uvw**2).sum(axis=1))[:, np.newaxis] * scale
    parallel = [0, -1]  # XX and YY, or RR and LL
    good = ~flag[:, :, parallel].any(axis=2) & (distance <= longest) & (distance > 0)
    return Samples(u[good], v[good], weight[:, :, parallel].mean(axis=2)[good])


def joined(parts: Sequence[Samples]) -> Samples:
    """The samples of several Measurement Sets as one."""
    return Samples(
        np.concatenate([part.u for part in parts]),
        np.concatenate([part.v for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )


def weights(found: Samples, robust: float | None, pixels: int, scale_rad: float, taper_rad: float) -> Any:
    """Imaging weights: those of the samples, made more uniform, and tapered."""
    weight = found.weight
    if robust is not None:
        cell = 1.0 / (pixels * scale_rad)
        upper = np.where(found.v < 0, -1.0, 1.0)  # a sample and its conjugate are one
        column, row = np.round(found.u * upper / cell).astype(int), np.round(found.v * upper / cell).astype(int)
        _, where = np.unique(column * (2 * pixels + 1) + row, return_inverse=True)
        density = np.bincount(where, weights=weight)
        factor = (5.0 * 10.0**-robust) ** 2 / ((density**2).sum() / weight.sum())
        weight = weight / (1.0 + density[where] * factor)
    if taper_rad:
        sigma = np.sqrt(2.0 * np.log(2.0)) / np.pi / taper_rad  # of the transform of a Gaussian of that width
        weight = weight * np.exp(-(found.u**2 + found.v**2) / (2.0 * sigma**2))
    return weight


def expected(found: Samples, weight: Any, sample_jy: float) -> float:
    """Standard deviation of an image of the noise alone; Stokes I is the mean of two correlations."""
    variance = sample_jy**2 / (2.0 * found.weight)
    return float(np.sqrt((weight**2 * variance).sum()) / weight.sum())


def measured(path: Path) -> tuple[float, float]:
    """Standard deviation and robust standard deviation of an image."""
    plane = np.asarray(fits.getdata(path), dtype=float)
    plane = plane.reshape(-1, plane.shape[-1])
    middle = np.median(plane)
    return float(plane.std()), float(1.4826 * np.median(np.abs(plane - middle)))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare a residual image with the noise that it has to have."""
    parser = argparse.ArgumentParser(prog="noise-expectation", description="Noise of an image, expected and measured.")
    parser.add_argument("ms", type=Path, nargs="+", help="Measurement Sets that the image was made of")
    parser.add_argument("--image", type=Path, required=True, help="its residual image (FITS, by WSClean)")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="what was put in, by ms-corrupt (JSON)")
    parser.add_argument("--taper", type=float, default=0.0, help="the image's Gaussian taper, arcsec")
    parser.add_argument("--max-uv", type=float, default=float("inf"), help="the image's longest baseline, wavelengths")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the numbers (JSON)")
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s 1.0.0 (casacore {version('python-casacore')})"
    )
    given = parser.parse_args(argv)
    try:
        header = fits.getheader(given.image)
        robust = re.fullmatch(r"Briggs'\(([-\d.]+)\)", str(header.get("WSCWEIGH", "")))
        put_in = [json.loads(path.read_text("utf-8"))["noise_jy"] for path in given.truth]
        parts = [samples(ms, given.max_uv) for ms in given.ms]
        found = joined(parts)
        weight = np.concatenate(
            [
                weights(
                    part,
                    float(robust[1]) if robust else None,
                    int(header["NAXIS1"]),
                    np.deg2rad(abs(float(header["CDELT1"]))),
                    np.deg2rad(given.taper / 3600.0),
                )
                for part in (parts if "-MFS-" in given.image.name else [found])
            ]
        )
        want = expected(found, weight, float(np.sqrt(np.mean(np.square(put_in)))))
        deviation, robustly = measured(given.image)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        names = ", ".join(ms.name for ms in given.ms)
        print(f"noise-expectation: {names} and {given.image.name}: {error}", file=sys.stderr)
        return 1
    numbers = {
        "visibilities": len(found.weight),
        "noise_of_a_sample_jy": float(np.mean(put_in)),
        "expected_jy": want,
        "measured_jy": robustly,
        "standard_deviation_jy": deviation,
        "ratio": robustly / want,
    }
    given.output.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
