"""Locations and names in an input object that no file has, or that lead elsewhere, are refused where they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, tool


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "there.txt").write_text("hello")
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    return Desk(tmp_path / "deep")


COUNT = tool(
    "cat",
    inputs={"f": {"type": ["File", "Directory"], "inputBinding": {}}},
    outputs={
        "o": {
            "type": "string",
            "outputBinding": {"glob": "o", "loadContents": True, "outputEval": "$(self[0].contents)"},
        }
    },
    stdout="o",
)


def run(desk: Desk, value: Any) -> CommandResult:
    inputs = desk.write("in.json", json.dumps({"f": {"class": "File", **value}}))
    return gridcwl("--no-container", "--quiet", f"--outdir={desk.outdir}", desk.write("t.cwl", COUNT), inputs)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"location": "file://otherhost/etc/passwd"}, "otherhost"),
        ({"location": "file:///etc/pass%00wd"}, "contains a NUL"),
        ({"location": "file:///etc/%2e%2e/etc/passwd"}, ".."),
        ({"location": "file:///etc%2fpasswd"}, "percent-encoded slash"),
        ({"location": "x" * 300}, "longer than 255 bytes"),
        ({"path": "x" * 300}, "longer than 255 bytes"),
        ({"path": "/" + "x/" * 3000}, "longer than 4095 bytes"),
        ({"path": "a\0b"}, "contains a NUL"),
        ({"location": "https://host/a/%2e%2e/b"}, 'contains the part ".."'),
        ({"path": "a\udcff.txt"}, "a\\udcff.txt' is not UTF-8"),
        ({"contents": "x", "basename": "../../evil"}, 'contains "/"'),
        ({"contents": "x", "basename": ".."}, "is not a file name"),
        ({"path": "../there.txt", "basename": "a/b"}, 'contains "/"'),
        ({"path": "../there.txt", "basename": 7}, "is not text"),
        ({"path": "t.cwl", "secondaryFiles": [{"class": "File", "path": "t.cwl", "basename": ".."}]}, "a file name"),
    ],
)  # fmt: skip
def test_what_no_file_can_be_is_refused_with_the_reason_and_the_place(
    desk: Desk, entry: dict[str, Any], message: str
) -> None:
    result = run(desk, entry)
    assert result.code == 1
    assert message in result.stderr
    assert "in.json:1:" in result.stderr
    assert "internal error" not in result.stderr
    assert not desk.outdir.exists()


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "../there.txt"}, {"location": "../there.txt"}, {"location": "file://{}/deep/../there.txt"},
        {"path": "{}/deep/../there.txt"}, {"path": "{}/link/../there.txt"}, {"location": "file://localhost{}/there.txt"},
        {"location": "../%74here.txt"},
    ],
)  # fmt: skip
def test_the_usual_ways_to_name_a_file_work(desk: Desk, entry: dict[str, str]) -> None:
    result = run(desk, {key: text.format(desk.folder.parent) for key, text in entry.items()})
    assert result.code == 0, result.stderr
    assert result.outputs == {"o": "hello"}
