"""KM3NeT files are counted rightly, with and without truth in them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run, file, local

MONTE_CARLO = (
    "KM3NeT_00000049_00011291.mc.gsg_neutrinos.km3sim_sirene_merged"
    ".jterbr.jppmuon_jppshower_static.offline.v9.2.sample.root"
)
DST = "orca6_sample.root"


@pytest.mark.docker
@pytest.mark.data
def test_events_of_monte_carlo_and_data_are_counted(tool: Run, data: Callable[[str], Path]) -> None:
    events = [file(data(name)) for name in (MONTE_CARLO, DST)]
    outputs = tool("workflows/km3net-summary.cwl", {"events": events}).outputs
    simulated, measured = (json.loads(local(summary).read_text()) for summary in outputs["summaries"])
    assert (simulated["events"], measured["events"]) == (30, 2499)
    assert simulated["detectors"] == measured["detectors"] == [49]
    assert sum(simulated["truth"]["primaries"].values()) == 30
    assert measured["truth"] is None
    assert simulated["reconstruction"]["jmuon"]["events"] == 30
    assert all(local(picture).read_bytes().startswith(b"\x89PNG") for picture in outputs["pictures"])


@pytest.mark.docker
def test_a_file_that_is_none_of_root_fails_with_its_name(tool: Run, tmp_path: Path) -> None:
    stray = tmp_path / "notes.root"
    stray.write_text("not ROOT at all")
    finished = tool("tools/km3net-summary.cwl", {"events": file(stray)})
    assert finished.exit_code == 1
    assert "km3net-summary: notes.root cannot be read" in finished.stderr
