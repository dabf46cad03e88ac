#!/usr/bin/env python3
"""Sources found in an image beside those of the sky model that it was simulated with: a table (JSON) and a picture.

    compare-sources sources.json --image image.fits --skymodel sky.skymodel [--before dirty.fits]
                    [--residual residual.fits] -o table.json --picture p.png

A source of the model is matched with the nearest source that was found within a beam. Its true flux is that at the
image's frequency. Of an image before calibration the peak at each source is given, within a beam of its place.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import astropy.units as u
import lsmtool
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Truth:
    """A source of the model."""

    name: str
    point: bool
    place: SkyCoord
    flux_jy: float


@dataclass(frozen=True, slots=True)
class Row:
    """A source of the model, and what was found of it."""

    name: str
    kind: str
    true_jy: float
    found_jy: float | None
    ratio: float | None
    offset_arcsec: float | None
    offset_pixels: float | None
    before_jy: float | None


@dataclass(frozen=True, slots=True)
class Image:
    """The first plane of an image."""

    plane: Any
    wcs: WCS
    frequency_hz: float
    pixel_arcsec: float
    beam_arcsec: float


def image(path: Path) -> Image:
    """Read an image of WSClean."""
    with fits.open(path) as parts:
        header, data = parts[0].header, np.asarray(parts[0].data, dtype=float)
    pixel = abs(float(header["CDELT2"])) * 3600.0
    beam = float(header.get("BMAJ") or 0.0) * 3600.0
    frequency = float(header.get("CRVAL3") or header.get("RESTFRQ") or 0.0)
    return Image(data.reshape(-1, data.shape[-1])[: data.shape[-2]], WCS(header).celestial, frequency, pixel, beam)


def model(path: Path, frequency_hz: float) -> list[Truth]:
    """The sky model's sources, with their fluxes at a frequency."""
    rows = lsmtool.load(str(path)).table
    found = []
    for row in rows:
        flux, index = float(row["I"]), np.atleast_1d(row["SpectralIndex"]) if "SpectralIndex" in rows.colnames else [0]
        reference = float(row["ReferenceFrequency"]) if "ReferenceFrequency" in rows.colnames else frequency_hz
        ratio = np.log10(frequency_hz / reference)
        scaled = flux * 10.0 ** sum(float(value) * ratio ** (power + 1) for power, value in enumerate(index))
        place = SkyCoord(float(row["Ra"]), float(row["Dec"]), unit=u.deg)
        found.append(Truth(str(row["Name"]), str(row["Type"]).upper() == "POINT", place, float(scaled)))
    return found


def peak(picture: Image, place: SkyCoord, radius_arcsec: float) -> float | None:
    """The greatest value within a radius; none outside of the image."""
    x, y = (round(float(value)) for value in picture.wcs.world_to_pixel(place))
    reach = max(1, round(radius_arcsec / picture.pixel_arcsec))
    part = picture.plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return float(np.nanmax(part)) if part.size and min(x, y) >= 0 else None


def compare(truth: list[Truth], found: list[dict[str, float]], after: Image, before: Image | None) -> list[Row]:
    """The rows of the table."""
    beam = max(after.beam_arcsec, 3 * after.pixel_arcsec)
    places = SkyCoord([s["ra_deg"] for s in found], [s["dec_deg"] for s in found], unit=u.deg) if found else None
    rows = []
    for source in truth:
        offset, flux = None, None
        if places is not None:
            distance = source.place.separation(places).arcsec
            nearest = int(np.argmin(distance))
            if distance[nearest] <= beam:
                offset, flux = float(distance[nearest]), float(found[nearest]["flux_jy"])
        rows.append(
            Row(
                source.name,
                "point" if source.point else "extended",
                source.flux_jy,
                flux,
                None if flux is None else flux / source.flux_jy,
                offset,
                None if offset is None else offset / after.pixel_arcsec,
                None if before is None else peak(before, source.place, beam),
            )
        )
    return rows


def noise_of(picture: Image) -> float:
    """Robust standard deviation of an image."""
    return float(1.4826 * np.nanmedian(np.abs(picture.plane - np.nanmedian(picture.plane))))


def caption(title: str, picture: Image) -> str:
    """A panel's title: with the peak, or with the noise where nothing should be left."""
    if title == "residual":
        return f"residual: noise {1e3 * noise_of(picture):.1f} mJy/beam"
    return f"{title}: peak {float(np.nanmax(picture.plane)):.2f} Jy/beam"


def draw(pictures: list[tuple[str, Image]], truth: list[Truth]) -> Figure:
    """The images side by side, each on a scale of its own noise, with circles at the model's sources."""
    figure = Figure(figsize=(4.8 * len(pictures), 4.4), layout="constrained")
    panels = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axes, (title, picture) in zip(panels, pictures, strict=True):
        noise = noise_of(picture)
        low, high = -4 * noise, max(15 * noise, 0.02 * float(np.nanmax(picture.plane)))
        if title == "residual":
            low, high = -5 * noise, 5 * noise
        drawn = axes.imshow(1e3 * picture.plane, origin="lower", cmap="inferno", vmin=1e3 * low, vmax=1e3 * high)
        for source in truth:
            x, y = (float(value) for value in picture.wcs.world_to_pixel(source.place))
            axes.plot(x, y, "o", ms=16, mfc="none", mec="#56b4e9", mew=0.9)
            axes.annotate(source.name, (x, y), (11, 7), textcoords="offset points", color="#56b4e9", fontsize=8)
        axes.set_title(caption(title, picture), fontsize=10)
        side = picture.pixel_arcsec * picture.plane.shape[1] / 60
        axes.set(xticks=[], yticks=[], xlabel=f"{side:.0f} arcmin")
        figure.colorbar(drawn, ax=axes, label="mJy/beam", shrink=0.85, pad=0.02)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(prog="compare-sources", description="Compare found sources with a sky model.")
    parser.add_argument("sources", type=Path, help="catalogue of find-sources (JSON)")
    parser.add_argument("--image", type=Path, required=True, help="the image that they were found in (FITS)")
    parser.add_argument("--skymodel", type=Path, required=True, help="sky model (DP3's format)")
    parser.add_argument("--before", type=Path, help="image before calibration (FITS)")
    parser.add_argument("--residual", type=Path, help="what deconvolution left (FITS), to be drawn")
    parser.add_argument("-o", "--output", type=Path, required=True, help="table to write (JSON)")
    parser.add_argument("--picture", type=Path, required=True, help="picture to write (PNG)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (LSMTool {version('lsmtool')})")
    given = parser.parse_args(argv)
    try:
        after = image(given.image)
        before = image(given.before) if given.before else None
        residual = image(given.residual) if given.residual else None
        truth = model(given.skymodel, after.frequency_hz)
        found = json.loads(given.sources.read_text("utf-8"))["sources"]
        rows = compare(truth, found, after, before)
    except (OSError, KeyError, ValueError) as error:
        print(f"compare-sources: {given.image.name} could not be compared: {error}", file=sys.stderr)
        return 1
    table = {
        "image": given.image.name,
        "frequency_hz": after.frequency_hz,
        "pixel_arcsec": after.pixel_arcsec,
        "beam_arcsec": after.beam_arcsec,
        "peak_jy": float(np.nanmax(after.plane)),
        "peak_before_jy": None if before is None else float(np.nanmax(before.plane)),
        "found": len(found),
        "sources": [asdict(row) for row in rows],
    }
    given.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    panels = (("before calibration", before), ("calibrated", after), ("residual", residual))
    draw([(title, drawn) for title, drawn in panels if drawn is not None], truth).savefig(given.picture, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
