"""Comparison of outputs: identical bytes, equal data, or different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits

from gridcwl.runs.provenance.comparing import compared


def file(path: Path) -> dict[str, Any]:
    return {"class": "File", "location": path.as_uri(), "basename": path.name}


def states(one: Any, other: Any) -> dict[str, str]:
    return {found.output: found.state for found in compared(one, other)}


def detail(one: Path, other: Path) -> str:
    (found,) = compared({"o": file(one)}, {"o": file(other)})
    return f"{found.state}: {found.detail}"


def irf(path: Path, *, date: str = "2026-11-28T10:00:00", value: float = 2.0, **header: Any) -> Path:
    table = fits.BinTableHDU.from_columns(
        [fits.Column("ENERG_LO", "D", array=np.array([1.0, value, np.nan]))], name="AEFF"
    )
    primary = fits.PrimaryHDU()
    for hdu in (primary, table):
        hdu.header["DATE"] = date
        hdu.header["CREATED"] = date
    table.header.update(header)
    fits.HDUList([primary, table]).writeto(path, checksum=True)
    return path


def events(
    path: Path, *, when: str = "2026-11-28 10:00:00.123", uuid: str = "1", value: float = 2.0, **more: Any
) -> Path:
    with h5py.File(path, "w") as made:
        made.attrs["CTA PRODUCT CREATION TIME"] = when
        made.attrs["CTA ACTIVITY ID"] = f"82bc8831-46bc-4095-b207-85{uuid}c20538efc"
        made.attrs["CTA ACTIVITY SOFTWARE VERSION"] = "0.32.0"
        kind = np.dtype([("energy", "f8"), ("id", "i4")])
        made.create_dataset("dl2/events", data=np.array([(1.0, 1), (value, 2), (np.nan, 3)], kind))
        made["dl2"].attrs.update(more)
        made["name"] = "run"
    return path


def test_files_with_the_same_bytes_are_identical_and_others_differ_from_a_byte_on(tmp_path: Path):
    one, same, other, longer = (tmp_path / name for name in ("a", "b", "c", "d"))
    for path, text in ((one, "hello"), (same, "hello"), (other, "help!"), (longer, "hello!")):
        path.write_text(text)
    assert states({"o": file(one)}, {"o": file(same)}) == {"o": "identical"}
    assert detail(one, other) == "different: from byte 3 on"
    assert detail(one, longer) == "different: 5 and 6 bytes"


def test_fits_with_other_dates_have_equal_data(tmp_path: Path):
    one = irf(tmp_path / "one.fits")
    assert detail(one, irf(tmp_path / "two.fits", date="2026-11-29T11:11:11")).startswith("equal data")


@pytest.mark.parametrize("change", [{"value": 3.0}, {"EXPOSURE": 12.5}])
def test_fits_with_other_data_or_headers_differ(tmp_path: Path, change: dict[str, Any]):
    found = detail(irf(tmp_path / "one.fits"), irf(tmp_path / "two.fits", **change))
    assert found.startswith("different")
    assert "astropy" not in found


def test_hdf5_with_other_dates_and_ids_have_equal_data(tmp_path: Path):
    one = events(tmp_path / "one.h5")
    assert detail(one, events(tmp_path / "two.h5", when="2026-11-29 11:11:11.456", uuid="2")).startswith("equal data")


@pytest.mark.parametrize(
    ("change", "where"), [({"value": 3.0}, "/dl2/events differs"), ({"unit": "TeV"}, "/dl2 has the attribute unit")]
)
def test_hdf5_with_other_data_or_attributes_differ_and_it_is_reported_where(
    tmp_path: Path, change: dict[str, Any], where: str
):
    found = detail(events(tmp_path / "one.h5"), events(tmp_path / "two.h5", **change))
    assert found.startswith("different")
    assert where in found


def test_damaged_fits_and_hdf5_are_different(tmp_path: Path):
    for name, make, magic in (("x.fits", irf, b"SIMPLE  ="), ("x.h5", events, b"\x89HDF\r\n\x1a\n")):
        damaged = tmp_path / f"damaged-{name}"
        damaged.write_bytes(magic + b"\0" * 100)
        assert detail(make(tmp_path / name), damaged).startswith("different")


def test_every_output_is_compared_files_in_arrays_directories_and_records_too(tmp_path: Path):
    for folder, last in (("one", "x"), ("two", "y")):
        (tmp_path / folder / "tree/inner").mkdir(parents=True)
        (tmp_path / folder / "tree/same.txt").write_text("same")
        (tmp_path / folder / "tree/inner/other.txt").write_text(last)
        (tmp_path / folder / "list.txt").write_text("list")
    (tmp_path / "one/tree/only.txt").touch()

    def outputs(folder: str, number: float) -> dict[str, Any]:
        here = tmp_path / folder
        tree = {"class": "Directory", "location": (here / "tree").as_uri(), "basename": "tree"}
        record = {"file": file(here / "list.txt"), "number": number}
        return {"tree": tree, "list": [file(here / "list.txt")], "record": record, "nothing": None}

    assert states(outputs("one", 1), outputs("two", 2)) == {
        "tree/inner/other.txt": "different",
        "tree/only.txt": "missing",
        "tree/same.txt": "identical",
        "list[0]": "identical",
        "record.file": "identical",
        "record.number": "different",
        "nothing": "identical",
    }


def test_of_a_file_that_is_gone_the_checksum_is_compared(tmp_path: Path):
    (tmp_path / "new").write_text("hello")
    gone = {"class": "File", "location": "file:///gone", "checksum": "sha1$aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}
    assert states({"o": gone}, {"o": file(tmp_path / "new")}) == {"o": "identical"}
    assert states({"o": gone | {"checksum": "sha1$0"}}, {"o": file(tmp_path / "new")}) == {"o": "different"}
