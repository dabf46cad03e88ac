"""Copies of published outputs: files that are in Rucio, too, and files that are only there."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

from gridcwl.model import RunId
from gridcwl.runs.outdir import OutputFolder
from gridcwl.runs.outputs import copy_published


def copies_of(outputs: Any, tmp_path: Path) -> Any:
    folder = OutputFolder(tmp_path / "copy", RunId("run"), "file:///doc.cwl", tmp_path / "state")
    with closing(folder):
        return copy_published(outputs, folder, tmp_path / "working", {})


def test_a_file_that_was_downloaded_from_rucio_is_copied_and_stays_in_rucio(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    checksum = f"sha1${hashlib.sha1(b'text').hexdigest()}"
    file = {"class": "File", "basename": "a", "size": 4, "checksum": checksum}
    file |= {"location": "rucio://user.ada/a", "path": str(tmp_path / "a")}
    made = copies_of({"out": [file]}, tmp_path)
    assert made == {"out": [file | {"path": str(tmp_path / "copy/a")}]}
    assert (tmp_path / "copy/a").read_text() == "text"
    assert (tmp_path / "a").read_text() == "text"


def test_outputs_that_are_only_in_rucio_stay_there(tmp_path: Path) -> None:
    outputs = {"out": {"class": "File", "basename": "a", "location": "rucio://user.ada/a"}, "number": 1}
    assert copies_of(outputs, tmp_path) == outputs
    assert not (tmp_path / "copy").exists()
