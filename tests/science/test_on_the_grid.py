"""CTAO's own workflows, KM3NeT's files and a CORSIKA run through the testbed's real DIRAC, with Rucio in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import CTAPIPE, CWL, Demo, Grid, file, here, irf_inputs
from .test_km3net import DST, MONTE_CARLO

pytestmark = [pytest.mark.docker, pytest.mark.node, pytest.mark.data, pytest.mark.timeout(1800)]


def test_km3nets_files_are_summarised(grid: Grid, data: Callable[[str], Path]) -> None:
    events = [file(data(name)) for name in (MONTE_CARLO, DST)]
    outputs, jobs = grid(CWL / "workflows" / "km3net-summary.cwl", {"events": events})
    assert [json.loads(here(summary).read_text())["events"] for summary in outputs["summaries"]] == [30, 2499]
    assert jobs == 2


def test_a_corsika_run_is_checked_by_its_three_witnesses(grid: Grid, data: Callable[[str], Path]) -> None:
    names = {"data": "DAT000001", "card": "datacard_run_000001.inp", "log": "datacard_run_000001.out.gz"}
    inputs = {kind: file(data(name)) for kind, name in names.items()}
    outputs, jobs = grid(CWL / "workflows" / "corsika-check.cwl", inputs)
    report = json.loads(here(outputs["report"]).read_text())
    assert report["whole"] is True
    assert report["data"]["events"] == report["card"]["showers"] == report["log"]["showers"] == 10
    assert jobs == 2


def test_ctaos_dl0_to_dl2_runs_unmodified(grid: Grid, ctaos_workflows: Path, data: Callable[[str], Path]) -> None:
    dl0 = file(data("camsettings_v6.simtel.zst"))
    outputs, jobs = grid(ctaos_workflows / "workflow_dl0_to_dl2.cwl", {"dl0": dl0}, "--default-container", CTAPIPE)
    assert all(here(outputs[level]).read_bytes().startswith(b"\x89HDF") for level in ("dl1", "dl2"))
    assert jobs == 2


def test_ctaos_optimize_and_irf_runs_unmodified(grid: Grid, ctaos_workflows: Path, demo: Demo) -> None:
    document = ctaos_workflows / "workflow_optimize_and_irf.cwl"
    outputs, jobs = grid(document, irf_inputs(demo), "--default-container", CTAPIPE)
    assert b"EFFECTIVE AREA" in here(outputs["irf"]).read_bytes()
    assert jobs == 2
