"""CORSIKA's image is made from a tarball of one's own: proven with a stand-in of the same layout, without physics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cwltest.compare import compare
from ruamel.yaml import YAML

from .conftest import ALL_EXAMPLES, CHECKOUT, CWL, SMALL, Demo, Example, Run, file, local, showers, small_inputs
from .stand_ins import (
    IMAGE,
    TELESCOPES,
    build,
    docker,
    in_layers,
    inside,
    make_image,
    make_telescopes,
    overrides,
    sha256,
    tarball,
)


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, from the stand-in's tarball; removed in the end."""
    request.getfixturevalue("images")
    path = tarball(tmp_path_factory.mktemp("corsika"))
    made = make_image(path, sha256(path))
    assert made.returncode == 0, made.stderr
    yield made.stderr
    docker("rmi", "--force", IMAGE)


@pytest.fixture(scope="module")
def telescopes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The image of a stand-in for sim_telarray; removed in the end."""
    request.getfixturevalue("images")
    make_telescopes(tmp_path_factory.mktemp("sim_telarray"))
    yield
    docker("rmi", "--force", TELESCOPES)


pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]


def test_the_program_is_there_and_the_tarball_in_no_layer(image: str) -> None:
    assert "corsika99999Linux_STANDIN" in image
    sources = "id -u; find / -xdev \\( -name 'corsika*.tar*' -o -name coconut -o -name corsika.c \\) 2>/dev/null"
    assert inside("sh", "-c", sources).stdout.split() == ["1000"]
    assert "/tarball" not in docker("history", "--no-trunc", IMAGE).stdout
    assert inside("gcc", "--version").returncode != 0
    assert inside("dirac-version").returncode == 0
    assert docker("images", "--quiet", "gridcwl/corsika-tarball").stdout == ""


@pytest.mark.usefixtures("image")
def test_no_layer_has_the_tarball_or_its_sources_even_if_a_later_one_hides_them() -> None:
    names = in_layers(IMAGE)
    assert any(name.endswith("corsika99999Linux_STANDIN") for name in names)  # layers were looked into
    assert not [name for name in names if Path(name).name in ("coconut", "corsika.c") or "corsika-99999" in name]


@pytest.mark.usefixtures("image")
def test_a_production_runs_in_it_and_each_run_is_checked(gridcwl: Run, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs.json"
    array = file(CWL / "data" / "four-telescopes.yml")
    inputs.write_text(json.dumps({"primary": "proton", "runs": 2, "showers": 3, "first_run": 41, "array": array}))
    workflow = CWL / "workflows" / "corsika-production.cwl"
    arguments = ("--overrides", overrides(tmp_path, "corsika"), "--outdir", tmp_path / "out")
    outputs = gridcwl(*arguments, workflow, inputs).outputs
    assert [data["basename"] for data in outputs["data"]] == ["DAT000041", "DAT000042"]
    assert all(json.loads(local(report).read_text())["whole"] for report in outputs["reports"])
    runs = json.loads(local(outputs["record"]).read_text())["runs"]
    assert len({seed for run in runs for seed in run["seeds"]}) == 8


@pytest.mark.node
@pytest.mark.usefixtures("image", "telescopes")
def test_the_licensed_generator_needs_nothing_but_its_name(gridcwl: Run, tmp_path: Path) -> None:
    array, config = file(CWL / "data" / "four-telescopes.yml"), file(CWL / "config" / "process.yml")
    given = {"name": "gamma", "primary": "gamma", "runs": 2, "showers": 20, "array": array, "config": [config]}
    samples = {}
    for generator in ("corsika", "parametrised"):
        inputs = tmp_path / f"{generator}.json"
        inputs.write_text(json.dumps(given | {"generator": generator}))
        arguments = ("--overrides", overrides(tmp_path, "corsika", "sim_telarray"), "--outdir", tmp_path / generator)
        workflow = CWL / "workflows" / "simulated-sample.cwl"
        samples[generator] = showers(local(gridcwl(*arguments, workflow, inputs).outputs["dl2"]))
    # behind both there is the same simulation here: what is between them changes nothing
    assert samples["corsika"] == samples["parametrised"]
    assert {run for run, _ in samples["corsika"]} == {1, 2}


IRF = YAML(typ="safe").load(CWL / "workflows" / "cta-irf.cwl")


def test_in_cta_irf_nothing_but_its_samples_and_its_notice_knows_the_generator() -> None:
    """The samples are the same by either generator, as the test before shows: so is all that is made of them."""
    knows = {name for name, step in IRF["steps"].items() if "generator" in str(step["in"])}
    samples = {name for name, step in IRF["steps"].items() if step["run"] == "simulated-sample.cwl"}
    assert len(samples) == 8
    assert knows == samples | {"notice"}
    assert {IRF["steps"][name]["in"]["generator"] for name in knows} == {"generator"}


@pytest.mark.node
@pytest.mark.parametrize(("generator", "words"), [("corsika", ""), ("parametrised", "parametrised")])
def test_the_notice_of_cta_irf_is_about_its_generator(gridcwl: Run, tmp_path: Path, generator: str, words: str) -> None:
    document = tmp_path / "notice.cwl"
    alone = {"cwlVersion": IRF["cwlVersion"], "requirements": IRF["requirements"], **IRF["steps"]["notice"]["run"]}
    document.write_text(json.dumps(alone))
    (sentence,) = gridcwl("--outdir", tmp_path, document, "--generator", generator).outputs.values()
    assert bool(sentence) == bool(words)
    assert words in sentence.lower()


@pytest.mark.node
@pytest.mark.skipif(not ALL_EXAMPLES, reason="it takes five minutes: make test-cta")
@pytest.mark.usefixtures("image", "telescopes")
def test_cta_irf_ends_with_the_same_numbers_by_either_generator(gridcwl: Run, demo: Demo, tmp_path: Path) -> None:
    inputs = small_inputs("cta-irf", tmp_path, SMALL | {"generator": "corsika"})
    arguments = ("--overrides", overrides(tmp_path, "corsika", "sim_telarray"), "--outdir", tmp_path / "out")
    outputs = gridcwl(*arguments, CWL / "workflows" / "cta-irf.cwl", inputs).outputs
    mine, theirs = (json.loads(local(found["performance"]).read_text()) for found in (outputs, demo.outputs))
    assert "parametrised" in theirs.pop("notice").lower()
    assert mine.pop("notice") == ""
    assert mine == pytest.approx(theirs)


@pytest.mark.data
@pytest.mark.usefixtures("image", "telescopes")
@pytest.mark.parametrize("name", ["corsika", "sim_telarray"])
def test_an_example_of_a_licensed_program_leaves_what_is_expected(
    gridcwl: Run, example: Example, tmp_path: Path, name: str
) -> None:
    (case,) = (case for case in YAML(typ="safe").load(CWL / "tests.yml") if case["id"] == name)
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(example(case["job"])))
    arguments = ("--overrides", overrides(tmp_path, name), "--outdir", tmp_path / "out")
    compare(case["output"], gridcwl(*arguments, CWL / case["tool"], inputs).outputs)


def test_a_tarball_that_is_another_one_is_refused(images: None, tmp_path: Path) -> None:  # noqa: ARG001
    path = tarball(tmp_path)
    refused = make_image(path, "0" * 64)
    assert refused.returncode == 1
    last = refused.stderr.strip().splitlines()[-1]
    assert f"corsika-99999.tar.gz has SHA-256 {sha256(path)}, not 0000" in last


def test_without_a_tarball_the_build_reports_it_in_one_line(images: None) -> None:  # noqa: ARG001
    done = build("--target", "corsika", CHECKOUT / "containers" / "dirac-corsika")
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    assert len(errors) == 1
    assert "no CORSIKA tarball: it is licensed" in errors[0]
