"""LOFAR: a simulated observation is flagged, calibrated and imaged, and its fluxes and noise are those put in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT, CWL, Demo, Run, file, local, small_inputs

ALL_EXAMPLES = os.environ.get("GRIDCWL_ALL_EXAMPLES") == "1"
_DIFFERENCE = """\
import numpy, astropy.io.fits as fits
ours, theirs = (fits.getdata(path) for path in ("/ours.fits", "/theirs.fits"))
print(float(numpy.abs(ours - theirs).max() / numpy.abs(theirs).max()))
"""

pytestmark = [pytest.mark.docker, pytest.mark.node, pytest.mark.timeout(1800)]


def test_fluxes_and_noise_are_those_that_were_simulated(radio: Demo) -> None:
    quality = json.loads(local(radio.outputs["quality"]).read_text())
    points = [row for row in quality["sources"] if row["kind"] == "point" and row["true_jy"] > 2]
    assert len(points) == 5
    for row in points:
        assert row["ratio"] == pytest.approx(1.0, abs=0.05), row
        assert row["offset_pixels"] < 1
    assert quality["noise"]["ratio"] < 1.3
    assert quality["peak_before_jy"] < 0.5 * quality["peak_jy"]
    assert all(0.02 < flagged < 0.2 for flagged in quality["flagged"].values())
    assert quality["solutions"].keys() == {"phase000", "amplitude000"}


def test_the_page_has_images_gains_fluxes_timeline_and_outputs(radio: Demo) -> None:
    assert radio.page.count("data:image/png;base64,") == 4  # images, gains, and the interference of two subbands
    told = ("Before calibration, after it, and what deconvolution left", "Solutions of each station")
    for text in (*told, "after over true", "<svg", "band.ms"):
        assert text in radio.page
    assert "NOT HELD" not in radio.stdout


def test_a_measurement_set_is_copied_only_for_the_tool_that_changes_it() -> None:
    changing = [path.stem for path in (CWL / "tools").glob("*.cwl") if "entry: $(inputs.ms)" in path.read_text()]
    assert changing == ["ms-corrupt"]


def test_the_smaller_image_has_no_simulator() -> None:
    stages = (CHECKOUT / "containers" / "radio" / "Dockerfile").read_text().split("\nFROM ")
    assert [stage.split()[2] for stage in stages[1:]] == ["programs", "runtime", "simulator"]
    assert "simms" not in stages[1] + stages[2]


def test_self_calibration_as_a_loop_is_valid_where_loops_are_asked_for(gridcwl: Run) -> None:
    document = CWL / "workflows" / "next" / "lofar-selfcal-loop.cwl"
    assert gridcwl("--enable-dev", "--validate", document).exit_code == 0
    assert gridcwl("--validate", document).exit_code != 0


def difference(ours: Path, theirs: Path) -> float:
    """The greatest difference of two images, relative to the greatest value."""
    mounts = [f"--volume={ours}:/ours.fits:ro", f"--volume={theirs}:/theirs.fits:ro"]
    command = ["docker", "run", "--rm", "--net=none", *mounts, "gridcwl/radio:1.0.0", "python3", "-c", _DIFFERENCE]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def noise(image: Path) -> float:
    """The standard deviation of an image."""
    command = ["docker", "run", "--rm", "--net=none", f"--volume={image}:/image.fits:ro", "gridcwl/radio:1.0.0"]
    script = "import astropy.io.fits as fits; print(float(fits.getdata('/image.fits').std()))"
    return float(subprocess.run([*command, "python3", "-c", script], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
def test_self_calibration_more_than_halves_the_noise_where_the_sky_model_has_one_of_five_sources(
    radio: Demo, gridcwl: Run, tmp_path: Path
) -> None:
    sky = (CWL / "config" / "lofar.skymodel").read_text().splitlines(keepends=True)
    poor = tmp_path / "poor.skymodel"
    poor.write_text("".join(line for line in sky if not line.startswith(("s1", "s2", "s3", "s4"))))
    subbands = [file(local(item)) | {"class": "Directory"} for item in radio.outputs["subbands"]]
    inputs = {"subbands": subbands, "skymodel": file(poor), "taper": 8.0, "max_uv": 25000.0}
    left = []
    for selfcal in (False, True):
        job = tmp_path / f"{selfcal}.json"
        job.write_text(json.dumps(inputs | {"selfcal": selfcal}))
        cached = ("--cachedir", tmp_path / "cache")
        outputs = gridcwl(
            *cached, "--outdir", tmp_path / job.stem, CWL / "workflows" / "lofar-imaging.cwl", job
        ).outputs
        left.append(noise(local(outputs["residual"])))
    assert left[1] < 0.5 * left[0]


@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
def test_rounds_of_self_calibration_run_as_a_loop(radio: Demo, gridcwl: Run, tmp_path: Path) -> None:
    sky = file(CWL / "config" / "lofar.skymodel")
    inputs = {"ms": file(local(radio.outputs["subbands"][0])) | {"class": "Directory"}, "skymodel": sky, "rounds": 2}
    (tmp_path / "inputs.json").write_text(json.dumps(inputs | {"taper": 8.0, "max_uv": 25000.0}))
    document = CWL / "workflows" / "next" / "lofar-selfcal-loop.cwl"
    outputs = gridcwl("--enable-dev", "--outdir", tmp_path / "out", document, tmp_path / "inputs.json").outputs
    assert len(json.loads(local(outputs["found"]).read_text())["sources"]) >= 5


@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
def test_cwltool_makes_the_same_images(radio: Demo, tmp_path: Path) -> None:
    cwltool = [Path(sys.executable).with_name("cwltool"), "--quiet", "--outdir", tmp_path]
    command = [*cwltool, CWL / "workflows" / "lofar.cwl", radio.folder / "inputs.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs.keys() == radio.outputs.keys()
    for name in ("image", "before", "residual"):
        assert difference(local(radio.outputs[name]), local(theirs[name])) < 1e-5, name


@pytest.mark.skipif(not ALL_EXAMPLES, reason="takes minutes: make test-radio")
@pytest.mark.usefixtures("images")
def test_ska_mids_pointings_are_a_mosaic_with_the_fluxes_that_were_simulated(gridcwl: Run, tmp_path: Path) -> None:
    inputs = small_inputs("ska-mid-continuum", tmp_path, {"times": 6})
    outputs = gridcwl("--outdir", tmp_path / "out", CWL / "workflows" / "ska-mid-continuum.cwl", inputs).outputs
    fluxes = json.loads(local(outputs["fluxes"]).read_text())
    assert [row["name"] for row in fluxes["sources"]] == ["a", "b", "c", "d"]
    for row in fluxes["sources"]:
        assert row["ratio"] == pytest.approx(1.0, abs=0.08), row
    assert len(outputs["channel_images"]) == 2
    for pointing in outputs["quality"]:
        quality = json.loads(local(pointing).read_text())
        assert quality["peak_before_jy"] < 0.5 * quality["peak_jy"]
        assert quality["noise"]["ratio"] < 1.3
        assert len(quality["solutions"]) == 4  # phases and amplitudes of two parts
