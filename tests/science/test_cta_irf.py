"""The flagship, whole: from showers to an IRF and a spectrum, in containers here, at a small size."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest

from .conftest import Demo, Run, file, load, local

NOTICE = "no scientific validity"


@pytest.fixture(scope="session")
def page_of() -> ModuleType:
    return load("scripts/irf_page.py")


pytestmark = [pytest.mark.docker, pytest.mark.node, pytest.mark.timeout(1800)]


def test_the_irf_is_as_good_as_it_has_to_be(demo: Demo) -> None:
    made = json.loads(local(demo.outputs["performance"]).read_text())
    assert made["containment_68_deg"] < 0.15
    assert abs(made["energy_bias"]) < 0.10
    assert made["effective_area_m2"] > 1e5


def test_the_spectrum_is_fitted_as_it_was_put_in(demo: Demo) -> None:
    fitted = json.loads(local(demo.outputs["spectrum"]).read_text())
    assert fitted["converged"]
    assert fitted["significance"] > 5
    assert abs(fitted["index"] - fitted["true_index"]) < max(0.3, 5 * fitted["index_error"])


def test_training_cuts_and_irf_are_made_of_different_runs(demo: Demo) -> None:
    runs: list[tuple[str, int]] = []
    seeds: list[int] = []
    for record in demo.paths("records"):
        content = json.loads(record.read_text())
        runs += [(content["production"]["primary"], run["run"]) for run in content["runs"]]
        seeds += [seed for run in content["runs"] for seed in run["seeds"]]
    assert len(set(runs)) == len(runs) == 8
    assert len(set(seeds)) == len(seeds)


def test_every_product_reports_that_it_has_no_scientific_validity(demo: Demo) -> None:
    assert NOTICE in demo.page
    for name in ("irf", "benchmarks", "cuts"):
        header = local(demo.outputs[name]).read_bytes().decode("latin-1")
        assert NOTICE in header.replace("COMMENT ", "")  # which FITS puts before each 72 letters
    for name in ("performance", "spectrum"):
        assert NOTICE in json.loads(local(demo.outputs[name]).read_text())["notice"]
    for events in [*demo.paths("events"), *demo.paths("training")]:
        assert b"parametrised, not sim_telarray" in events.read_bytes()


def test_the_page_is_self_contained_and_has_pictures_timeline_and_files(demo: Demo) -> None:
    assert demo.page.count('src="data:image/png;base64,') == 5
    assert not re.search(r'(?:src|href)="(?!data:)', demo.page)
    assert demo.page.count("<rect") > 40
    assert "irf.fits" in demo.page
    assert "68 % containment" in demo.stdout


def test_numbers_out_of_their_limits_are_not_held(page_of: ModuleType) -> None:
    good = {"containment_68_deg": 0.1, "energy_bias": -0.05, "effective_area_m2": 2e5}
    assert all(number.held for number in page_of.numbers(good))
    for key, bad in (("containment_68_deg", 0.2), ("energy_bias", 0.11), ("effective_area_m2", None)):
        assert [number.held for number in page_of.numbers(good | {key: bad})].count(False) == 1


def test_jobs_of_one_place_that_overlap_are_drawn_in_lanes(page_of: ModuleType) -> None:
    made = [page_of.Bar("A", "s", str(n), start, end) for n, (start, end) in enumerate([(0, 2), (1, 3), (2, 4)])]
    assert [bar.lane for bar in page_of.in_lanes(made)] == [0, 1, 0]


def test_others_irf_gives_a_spectrum_too(tool: Run, data: Any) -> None:
    irf = data("Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz")
    fitted = json.loads(local(tool("tools/gammapy-spectrum.cwl", {"irf": file(irf)}).outputs["numbers"]).read_text())
    assert abs(fitted["index"] - fitted["true_index"]) < 0.05
    assert fitted["significance"] > 100
