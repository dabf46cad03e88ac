"""What is shown of outputs: pictures, FITS, HDF5, tables and text, whatever a tool has put into them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from documents import expression
from wes import Wes

from gridcwl.runs.previews import reading as previews

SAME = expression("${ return {same: inputs.files}; }", {"files": "File[]"}, {"same": "File[]"})
EVIL = "<img src=x onerror=alert(1)>"
PNG = b"\x89PNG\r\n\x1a\n"


def outputs(wes: Wes, files: Mapping[str, bytes]) -> Callable[[str], str]:
    """Pages of files that are the outputs of a run, by their names."""
    inputs = [{"class": "File", "location": quote(name)} for name in files]
    log = wes.run(SAME, {"files": inputs}, files=files)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    page = wes.http.get(f"/runs/{log['run_id']}").text
    links = re.findall(r'<a href="(/runs/[^"]*/files/[^"]*)">([^<]*)</a>', page)
    pages = {unescape(name): unescape(link) for link, name in links}
    assert set(pages) == set(files)
    return lambda name: pages[name]


def fits_file() -> bytes:
    sky = np.full((3, 40, 2000), 5.0, dtype="f4")
    sky[0, 10, 300] = np.nan
    sky[0, 20:30, 1000:1500] = 90
    events = fits.BinTableHDU(Table({"energy": [1.5, 2.5], "id": ["a<b>", "c"]}), name="EVENTS")
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "Crab <b>"
    file = io.BytesIO()
    fits.HDUList([primary, fits.ImageHDU(sky, name="SKY"), events]).writeto(file)
    return file.getvalue()


def test_a_fits_file_has_its_image_its_headers_and_the_first_rows_of_its_tables(wes: Wes):
    page_of = outputs(wes, {"sky.fits": fits_file()})
    page = wes.http.get(page_of("sky.fits")).text
    assert "OBJECT  = &#39;Crab &lt;b&gt;&#39;" in page
    assert "image of 2,000 x 40 x 3 pixels" in page
    assert "HDU 1, plane 1 of 3: 2,000 x 40 pixels, 5 to 90, asinh" in page
    assert "<td>a&lt;b&gt;</td>" in page
    answer = wes.http.get(page_of("sky.fits").replace("/files/", "/images/"))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content.startswith(PNG)
    assert answer.content[16:24] == (1000).to_bytes(4, "big") + (20).to_bytes(4, "big")  # every second pixel


@pytest.mark.parametrize("pixels", ["i2", "u2", "f8"])
def test_a_fits_image_has_the_values_that_its_header_scales(tmp_path: Path, pixels: str):
    image = np.zeros((64, 64), dtype=pixels)
    image[:, 32:] = 1000
    fits.PrimaryHDU(image).writeto(tmp_path / "a.fits")
    fits.CompImageHDU(image).writeto(tmp_path / "b.fits.fz")
    for name in ("a.fits", "b.fits.fz") if pixels != "f8" else ("a.fits",):  # compression rounds broken numbers
        assert "0 to 1000" in previews.preview(tmp_path / name, tmp_path / "cache").caption


def test_an_hdf5_file_is_shown_as_a_tree_and_never_leads_to_other_files(wes: Wes, tmp_path: Path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["key"] = "the secret"
    file = tmp_path / "made.h5"
    with h5py.File(file, "w") as made:
        events = made.create_group("dl1/events")
        events.attrs[EVIL] = EVIL
        events["energy"] = np.arange(100.0)
        events["name"] = "Crab"
        events["again"] = made["dl1"]
        made["elsewhere"] = h5py.ExternalLink(str(secret), "/key")
        made.create_dataset("raw", shape=(8,), dtype="u1", external=[(str(secret), 0, 8)])
        layout = h5py.VirtualLayout(shape=(1,), dtype="i4")
        layout[0] = h5py.VirtualSource(str(secret), "key", shape=(1,))[0]
        made.create_virtual_dataset("virtual", layout)
    page = wes.http.get(outputs(wes, {"made.h5": file.read_bytes()})("made.h5")).text
    assert "100 float64: 0.0, 1.0," in page
    assert "string: Crab" in page
    assert "shown above" in page
    assert f"link to {secret}:/key" in page
    assert page.count("kept in other files") == 2
    assert "the secret" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_tables_and_texts_are_shown_up_to_a_limit(wes: Wes):
    rows = "\n".join(f"{number},{EVIL}" for number in range(5000))
    files = {
        "many.csv": b"# a comment\nnumber,text\n" + rows.encode() * 20,
        "semicolon.csv": b"a;b\n1;2\n",
        "lines.tsv": b"a\tb\n1\t2\n",
        "odd.csv": b'"\x00\xff,\n1\n' + b"," * 5000,
        "empty.csv": b"",
        "long.log": b"x\x1b[31m\n" * 100_000,
    }
    page_of = outputs(wes, files)
    many = wes.http.get(page_of("many.csv")).text
    assert '<th scope="col">number</th>' in many
    assert many.count("<tr>") == 101
    assert "<img src=x" not in many
    assert "<td>1</td><td>2</td>" in wes.http.get(page_of("semicolon.csv")).text
    assert "<td>1</td><td>2</td>" in wes.http.get(page_of("lines.tsv")).text
    for name in ("odd.csv", "empty.csv"):
        assert wes.http.get(page_of(name)).status_code == 200, name
    log = wes.http.get(page_of("long.log")).text
    assert "x\\x1b[31m" in log
    assert len(log) < 200_000


def test_a_picture_is_served_as_one_only_if_it_is_one(wes: Wes):
    page_of = outputs(wes, {"real.png": PNG + b"rest", "page.png": b"<script>alert(1)</script>", "page.html": b"<p>"})
    real = wes.http.get(page_of("real.png").replace("/files/", "/images/"))
    assert real.headers["Content-Type"] == "image/png"
    assert real.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in real.headers["Content-Security-Policy"]
    for name in ("page.png", "page.html"):
        assert wes.http.get(page_of(name).replace("/files/", "/images/")).status_code == 404
        assert "There is no preview" in wes.http.get(page_of(name)).text
        assert "alert" not in wes.http.get(page_of(name)).text


def test_files_that_are_not_what_their_names_say_have_no_preview(wes: Wes):
    files = {"bad.fits": b"nonsense" * 1000, "bad.h5": b"\x89HDF\r\n\x1a\n" + b"\xff" * 5000}
    page_of = outputs(wes, files)
    for name in files:
        page = wes.http.get(page_of(name))
        assert page.status_code == 200
        assert "It cannot be read as" in page.text


def test_hostile_names_are_text_and_lead_nowhere_else(wes: Wes, data: Path):
    name = f"{EVIL.replace('/', '')} & 'x'?#é.csv"
    page_of = outputs(wes, {name: b"a,b\n"})
    page = wes.http.get(page_of(name)).text
    assert "<img src=x" not in page
    run = page_of(name).split("/")[2]
    (data / "x.csv").write_text("secret")
    for path in (str(data / "x.csv"), "../params.json", "..%2fparams.json", "%2fetc%2fpasswd", "nothing.csv"):
        for what in ("files", "images"):
            assert wes.http.get(f"/runs/{run}/{what}/{path}").status_code == 404, path


def test_a_file_in_rucio_has_its_did_and_the_command_that_fetches_it():
    from gridcwl.service.pages.outputs import about_file

    def about(location: str) -> Any:
        return about_file({"class": "File", "location": location}, "run")

    assert about("rucio://cta/run1.h5")["command"] == "rucio download cta:run1.h5"
    assert about("rucio://user.ann/a%20b;rm -rf")["command"] == "rucio download 'user.ann:a b;rm -rf'"
    assert about("rucio://cta/a.fits")["image"] == ""
    assert about("https://example.org/x.png")["command"] == ""
    assert about("https://example.org/x.png")["page"] == ""
