#!/usr/bin/env python3
"""Images of several pointings as one: reprojected to a common grid, weighted by the primary beam, and added.

    mosaic-images one.fits other.fits -o mosaic.fits [--dish 13.5] [--picture mosaic.png]

With a dish's diameter each image is divided by the beam of a uniformly lit dish and weighted by its square, which
gives the least noise; without one the images count alike.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from matplotlib.figure import Figure
from reproject import reproject_interp
from reproject.mosaicking import find_optimal_celestial_wcs
from scipy.special import j1

LIGHT = 299792458.0
LEAST = 0.2
"""Of the beam's peak: pixels below it are left out."""


def beam(wcs: WCS, shape: tuple[int, int], frequency_hz: float, dish_m: float) -> Any:
    """Power beam of a uniformly lit dish that points at the image's reference pixel."""
    scale = np.deg2rad(proj_plane_pixel_scales(wcs)[0])
    y, x = np.indices(shape)
    radius = np.hypot(x - (wcs.wcs.crpix[0] - 1), y - (wcs.wcs.crpix[1] - 1)) * scale
    z = np.maximum(np.pi * dish_m * frequency_hz / LIGHT * np.sin(radius), 1e-9)
    return (2.0 * j1(z) / z) ** 2


def read(path: Path) -> tuple[Any, fits.Header]:
    """The plane of a FITS image, and its header."""
    with fits.open(path) as parts:
        data = np.asarray(parts[0].data, dtype=float)
        return data.reshape(-1, *data.shape[-2:])[0], parts[0].header


def mosaic(paths: Sequence[Path], dish_m: float) -> fits.PrimaryHDU:
    """All images as one."""
    planes = [(plane, WCS(header).celestial, header) for plane, header in map(read, paths)]
    target, shape = find_optimal_celestial_wcs([(plane, wcs) for plane, wcs, _ in planes])
    total, weights = np.zeros(shape), np.zeros(shape)
    for plane, wcs, header in planes:
        lit = np.ones(plane.shape)
        if dish_m:
            lit = beam(wcs, plane.shape, float(header["CRVAL3"]), dish_m)
        seen = np.where(lit >= LEAST, lit, 0.0)
        corrected = np.where(seen > 0, plane / np.maximum(lit, LEAST), 0.0)
        value, _ = reproject_interp((corrected, wcs), target, shape_out=shape)
        weight, _ = reproject_interp((seen**2, wcs), target, shape_out=shape)
        good = np.isfinite(value) & np.isfinite(weight)
        total[good] += (value * weight)[good]
        weights[good] += weight[good]
    made = np.where(weights > 0, total / np.where(weights > 0, weights, 1.0), np.nan)
    header = target.to_header()
    for key in ("BUNIT", "BMAJ", "BMIN", "BPA", "DATE-OBS", "TELESCOP"):
        if key in planes[0][2]:
            header[key] = planes[0][2][key]
    header["RESTFRQ"] = float(planes[0][2]["CRVAL3"])
    header.add_history(f"mosaic of {', '.join(path.name for path in paths)}"[:70])
    return fits.PrimaryHDU(made.astype(np.float32), header)


def draw(made: fits.PrimaryHDU) -> Figure:
    """The mosaic."""
    plane = 1e3 * made.data
    noise = 1.4826 * np.nanmedian(np.abs(plane - np.nanmedian(plane)))
    figure = Figure(figsize=(7.0, 5.4), layout="constrained")
    axes = figure.add_subplot(projection=WCS(made.header))
    drawn = axes.imshow(plane, origin="lower", cmap="inferno", vmin=-3 * noise, vmax=max(25 * noise, 1e-6))
    axes.set(xlabel="right ascension", ylabel="declination", title=f"peak {np.nanmax(plane):.1f} mJy/beam")
    figure.colorbar(drawn, ax=axes, label="mJy/beam")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Make one image of several."""
    parser = argparse.ArgumentParser(prog="mosaic-images", description="Make one image of several pointings.")
    parser.add_argument("images", type=Path, nargs="+", help="images (FITS)")
    parser.add_argument("--dish", type=float, default=0.0, help="diameter of the dishes, m; 0: no primary beam")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the mosaic (FITS)")
    parser.add_argument("--picture", type=Path, required=True, help="picture of it (PNG)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (reproject {version('reproject')})")
    given = parser.parse_args(argv)
    try:
        made = mosaic(given.images, given.dish)
    except (OSError, KeyError, ValueError) as error:
        print(f"mosaic-images: {given.images[0].name} and others could not be added: {error}", file=sys.stderr)
        return 1
    made.writeto(given.output, overwrite=True)
    draw(made).savefig(given.picture, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
