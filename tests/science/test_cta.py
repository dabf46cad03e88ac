"""Telescope data go from DL0 to DL2, and arrays that differ stay apart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run, file, local

HDF5 = b"\x89HDF"
FIRST, SECOND = "camsettings_v6.simtel.zst", "history_meta_75.simtel.zst"
MUONS = "lst_muons_with_true_photons.simtel.zst"


@pytest.mark.docker
@pytest.mark.data
def test_two_files_are_processed_and_drawn(tool: Run, data: Callable[[str], Path]) -> None:
    events = [file(data(FIRST)), file(data(SECOND))]
    outputs = tool("workflows/dl0-to-dl2.cwl", {"events": events}).outputs
    assert [dl2["basename"] for dl2 in outputs["dl2"]] == [
        "camsettings_v6.simtel.dl2.h5",
        "history_meta_75.simtel.dl2.h5",
    ]
    assert all(local(dl2).read_bytes().startswith(HDF5) for dl2 in outputs["dl2"])
    assert all(local(picture).read_bytes().startswith(b"\x89PNG") for picture in outputs["event_pictures"])
    assert len(outputs["event_pictures"]) == len(outputs["provenance"]) == 2
    assert outputs["merged"] is None


@pytest.mark.docker
@pytest.mark.data
def test_merging_different_arrays_fails_with_ctapipes_reason(tool: Run, data: Callable[[str], Path]) -> None:
    events = [file(data(FIRST)), file(data(SECOND))]
    finished = tool("workflows/dl0-to-dl2.cwl", {"events": events, "merge": True, "pictures": False})
    assert finished.exit_code == 1
    assert "Subarrays do not match" in finished.stderr


@pytest.mark.docker
@pytest.mark.data
def test_an_old_file_needs_the_equivalent_focal_length(tool: Run, data: Callable[[str], Path]) -> None:
    events = file(data(MUONS))
    refused = tool("tools/ctapipe-process.cwl", {"events": events})
    assert refused.exit_code == 1
    assert "EQUIVALENT" in refused.stderr
    assert tool("tools/ctapipe-process.cwl", {"events": events, "focal_length_choice": "EQUIVALENT"}).outputs["dl2"]


@pytest.mark.docker
@pytest.mark.data
def test_pieces_of_one_run_are_merged(tool: Run, data: Callable[[str], Path], tmp_path: Path) -> None:
    events = file(data(MUONS))
    made = tool("tools/ctapipe-process.cwl", {"events": events, "focal_length_choice": "EQUIVALENT"}).outputs["dl2"]
    copy = tmp_path / "copy.dl2.h5"
    copy.write_bytes(local(made).read_bytes())
    pieces = {"files": [file(local(made)), file(copy)], "strategy": "events-single-ob"}
    assert local(tool("tools/ctapipe-merge.cwl", pieces).outputs["merged"]).read_bytes().startswith(HDF5)
