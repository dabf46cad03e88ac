"""CTAO's own workflows, as published and unmodified, run here: on a real simtel file, and on the demo's events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import CTAPIPE, Demo, Run, file, irf_inputs, local

HDF5 = b"\x89HDF"

Ctao = Callable[[str, dict[str, Any]], dict[str, Any]]

pytestmark = [pytest.mark.docker, pytest.mark.node, pytest.mark.timeout(1800)]


@pytest.fixture
def ctao(gridcwl: Run, ctaos_workflows: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Ctao:
    """Run one of them in ctapipe's image."""
    request.getfixturevalue("images")

    def run(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        job = tmp_path / "inputs.json"
        job.write_text(json.dumps(inputs))
        arguments = ("--default-container", CTAPIPE, "--outdir", tmp_path / "out", ctaos_workflows / name, job)
        return gridcwl(*arguments).outputs

    return run


@pytest.mark.data
def test_dl0_to_dl2_on_a_real_simtel_file(ctao: Ctao, data: Callable[[str], Path]) -> None:
    outputs = ctao("workflow_dl0_to_dl2.cwl", {"dl0": file(data("camsettings_v6.simtel.zst"))})
    assert outputs["dl1"]["basename"] == "camsettings_v6.dl1.h5"
    assert outputs["dl2"]["basename"] == "camsettings_v6.dl2.h5"
    assert all(local(outputs[level]).read_bytes().startswith(HDF5) for level in ("dl1", "dl2"))


def test_optimize_and_irf_on_the_demos_events(ctao: Ctao, demo: Demo) -> None:
    outputs = ctao("workflow_optimize_and_irf.cwl", irf_inputs(demo))
    assert outputs["irf"]["basename"] == "four-telescopes.irf.fits"
    assert b"EFFECTIVE AREA" in local(outputs["irf"]).read_bytes()
    assert b"SENSITIVITY" in local(outputs["metrics"]).read_bytes()
