"""rapthor's own steps, as published on PyPI and unmodified, chained from subbands to a mosaic."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from .conftest import CWL, Demo, Grid, Run, file, here, load, local

pytestmark = [pytest.mark.docker, pytest.mark.node, pytest.mark.timeout(1800)]

ALL_EXAMPLES = os.environ.get("GRIDCWL_ALL_EXAMPLES") == "1"
CENTRE, HALF = (123.4, 48.21722), 0.42  # degrees


@pytest.fixture(scope="session")
def rapthors_steps() -> Path:
    """The folder of rapthor's steps: fetched from PyPI once."""
    fetched = load("cwl/data/rapthor.py")
    try:
        return fetched.steps()
    except (OSError, fetched.FetchError) as error:
        pytest.skip(f"rapthor's steps are not available from PyPI: {error}")


def corners(path: Path) -> Path:
    """The sector's corners, as rapthor keeps them: right ascensions and declinations (NumPy's format)."""
    ra, dec = CENTRE
    wide = HALF / 0.666  # cos(dec)
    values = [ra - wide, dec - HALF, ra + wide, dec - HALF, ra + wide, dec + HALF, ra - wide, dec + HALF]
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), }"
    header += b" " * (117 - len(header)) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack("<8d", *values))
    return path


def chain(folder: Path, steps: Path) -> Path:
    """The workflow, with the places of rapthor's steps and of this repository's tools."""
    path = folder / "chain.cwl"
    text = Path(__file__).with_name("rapthor_chain.cwl").read_text()
    path.write_text(text.replace("STEPS/", f"{steps}/").replace("TOOLS/", f"{CWL}/tools/"))
    return path


def test_a_chain_of_rapthors_steps_is_valid(gridcwl: Run, rapthors_steps: Path, tmp_path: Path) -> None:
    checked = gridcwl("--validate", chain(tmp_path, rapthors_steps))
    assert checked.exit_code == 0, checked.stderr


def inputs_of(radio: Demo, folder: Path) -> dict[str, Any]:
    """The observation's subbands, the sky model and the sector."""
    subbands = [file(local(item)) | {"class": "Directory"} for item in radio.outputs["subbands"]]
    sky, vertices = file(CWL / "config" / "lofar.skymodel"), file(corners(folder / "vertices.npy"))
    return {"subbands": subbands, "sky": sky, "vertices": vertices}


@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
def test_nine_steps_of_rapthor_lead_from_subbands_to_an_image_and_a_mosaic(
    radio: Demo, gridcwl: Run, rapthors_steps: Path, tmp_path: Path
) -> None:
    (tmp_path / "inputs.json").write_text(json.dumps(inputs_of(radio, tmp_path)))
    document = chain(tmp_path, rapthors_steps)
    outputs = gridcwl("--outdir", tmp_path / "out", document, tmp_path / "inputs.json").outputs
    assert local(outputs["restored"]).read_bytes().startswith(b"SIMPLE  =")
    assert local(outputs["whole"]).read_bytes().startswith(b"SIMPLE  =")
    assert local(outputs["solutions"]).read_bytes().startswith(b"\x89HDF")
    assert outputs["plots"]


@pytest.mark.dirac
@pytest.mark.rucio
@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
def test_they_do_so_as_dirac_jobs_with_rucio_between_them(
    radio: Demo, rapthors_steps: Path, tmp_path: Path, grid: Grid
) -> None:
    outputs, jobs = grid(chain(tmp_path, rapthors_steps), inputs_of(radio, tmp_path))
    assert jobs == 11
    assert here(outputs["restored"]).read_bytes().startswith(b"SIMPLE  =")
    assert here(outputs["whole"]).read_bytes().startswith(b"SIMPLE  =")
