#!/usr/bin/env python3
"""Sources of an image, found and fitted by PyBDSF: a catalogue (FITS), the same as JSON, and a sky model for DP3.

find-sources image.fits --catalogue sources.fits --skymodel sources.skymodel --output sources.json
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import bdsf
from astropy.io import fits
from astropy.table import Table


@dataclass(frozen=True, slots=True)
class Source:
    """One source: degrees, Jy, arcseconds."""

    ra_deg: float
    dec_deg: float
    flux_jy: float
    flux_error_jy: float
    peak_jy: float
    major_arcsec: float
    island_rms_jy: float


FORMAT = "FORMAT = Name, Type, Patch, Ra, Dec, I, MajorAxis, MinorAxis, Orientation\n, , field, 0deg, 0deg\n"
RESOLVED = 0.5
"""Of the beam: what is smaller without the beam is a point, for the size of a point is that of its noise."""


def sky_model(rows: Table, beam_arcsec: float) -> str:
    """The sources as a sky model of one patch, for direction-independent solutions."""
    lines = []
    for number, row in enumerate(rows):
        size, other, angle = (float(row[name]) for name in ("DC_Maj", "DC_Min", "DC_PA"))
        shape = "POINT", "", "", ""
        if size * 3600.0 > RESOLVED * beam_arcsec:
            shape = "GAUSSIAN", f"{size * 3600.0:.3f}", f"{max(other, 1e-7) * 3600.0:.3f}", f"{angle:.2f}"
        place = f"{float(row['RA']):.7f}deg, {float(row['DEC']):.7f}deg"
        lines.append(f"s{number}, {shape[0]}, field, {place}, {float(row['Total_flux']):.6f}, {', '.join(shape[1:])}\n")
    return FORMAT + "".join(lines)


def fit(image: Path, catalogue: Path, given: argparse.Namespace) -> list[Source]:
    """Run PyBDSF, which writes next to its input, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / image.name
        copy.symlink_to(image.resolve())
        header = fits.getheader(image)
        # a mosaic has no axis of frequency, and PyBDSF does not look for the keyword
        frequency = None if header.get("NAXIS", 0) > 2 else header.get("RESTFRQ")
        with contextlib.redirect_stdout(sys.stderr):
            found = bdsf.process_image(
                str(copy),
                thresh_pix=given.threshold,
                thresh_isl=given.island,
                rms_box=(given.box, given.box // 3),
                adaptive_rms_box=False,
                **({"frequency": float(frequency)} if frequency else {}),
                ncores=1,
                quiet=True,
            )
            made = Path(folder) / "catalogue.fits"
            found.write_catalog(outfile=str(made), format="fits", catalog_type="srl", clobber=True)
            beam = float(max(found.beam[:2])) * 3600.0
        if not made.exists():  # PyBDSF writes none where nothing was found
            Table(names=["RA", "DEC", "Total_flux"], dtype=[float] * 3).write(catalogue, format="fits", overwrite=True)
            given.skymodel.write_text(FORMAT, encoding="utf-8")
            return []
        shutil.copyfile(made, catalogue)
    rows = Table.read(catalogue, format="fits")
    given.skymodel.write_text(sky_model(rows, beam), encoding="utf-8")
    return sorted(
        (
            Source(
                *(float(row[name]) for name in ("RA", "DEC", "Total_flux", "E_Total_flux", "Peak_flux")),
                float(row["Maj"]) * 3600.0,
                float(row["Isl_rms"]),
            )
            for row in rows
        ),
        key=lambda source: -source.flux_jy,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Find the sources of one image."""
    parser = argparse.ArgumentParser(prog="find-sources", description="Find and fit the sources of an image.")
    parser.add_argument("image", type=Path, help="image (FITS)")
    parser.add_argument("--threshold", type=float, default=7.0, help="least peak, in units of the noise")
    parser.add_argument("--island", type=float, default=4.0, help="edge of an island, in units of the noise")
    parser.add_argument("--box", type=int, default=150, help="side of the box that noise is measured in, pixels")
    parser.add_argument("--catalogue", type=Path, required=True, help="catalogue to write (FITS)")
    parser.add_argument("--skymodel", type=Path, required=True, help="sky model to write (DP3's text format)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="catalogue to write (JSON)")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (PyBDSF {version('bdsf')})")
    given = parser.parse_args(argv)
    try:
        sources = fit(given.image, given.catalogue, given)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"find-sources: {given.image.name} could not be searched: {error}", file=sys.stderr)
        return 1
    text = json.dumps({"image": given.image.name, "sources": [asdict(source) for source in sources]}, indent=1)
    given.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
