"""What the fuzz tests have found, each as the smallest document that shows it.

What is fixed stays as a test; what is not is expected to fail, strictly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import values as v
from .compare import comparable, described
from .runners import by_cwltool, by_gridcwl, written

GIVE_BACK: dict[str, Any] = {
    "class": "CommandLineTool",
    "baseCommand": "true",
    "inputs": {"r": {"type": "File", "secondaryFiles": [".idx"]}},
    "outputs": {"back": {"type": "File", "outputBinding": {"outputEval": "$(inputs.r)"}}},
}


def tool(**fields: Any) -> dict[str, Any]:
    return {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": {}, **fields}


def port(kind: Any, **binding: Any) -> dict[str, Any]:
    return {"type": kind, "outputBinding": binding}


def check(folder: Path, document: dict[str, Any], inputs: dict[str, Any], files: dict[str, str] | None = None) -> Any:
    """Both give the same; returns gridcwl's output object."""
    with written(document, inputs, files or {}, folder / "case"):
        theirs, ours = by_cwltool(folder / "case"), by_gridcwl(folder / "case")
    assert theirs.code == 0, theirs.said
    assert ours.code == 0, ours.said
    described(ours.outputs)
    assert comparable(ours.outputs, ours.outdir) == comparable(theirs.outputs, theirs.outdir)
    return ours.outputs


def test_a_literal_file_in_the_input_object_has_a_size(tmp_path: Path) -> None:
    document = tool(
        baseCommand="echo", inputs={"f": "File"}, arguments=["$(inputs.f.size)"], outputs={"o": "stdout"}, stdout="o"
    )
    check(tmp_path, document, {"f": {"class": "File", "basename": "l.txt", "contents": "abc"}})


def test_secondary_files_of_an_output_that_is_given_twice_are_published_once(tmp_path: Path) -> None:
    document = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "inputs": {"f": {"type": "File", "secondaryFiles": [".idx"]}},
        "outputs": {"a": {"type": "File", "outputSource": "f"}, "b": {"type": "File", "outputSource": "s/back"}},
        "steps": {"s": {"in": {"r": "f"}, "out": ["back"], "run": GIVE_BACK}},
    }
    files = {"a b.txt": "x", "a b.txt.idx": "y"}
    found = check(tmp_path, document, {"f": {"class": "File", "location": "a%20b.txt"}}, files)
    assert found["a"]["secondaryFiles"] == found["b"]["secondaryFiles"]


def test_a_directory_is_whole_although_a_file_in_it_is_an_output_of_its_own(tmp_path: Path) -> None:
    document = tool(
        baseCommand=["sh", "-c", "mkdir d; echo x > d/x.txt"],
        outputs={
            "a": {"type": "File", "outputBinding": {"glob": "d/x.txt"}},
            "b": {"type": "Directory", "outputBinding": {"glob": "d"}},
        },
    )
    with written(document, {}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    described(ours.outputs)
    assert [entry.name for entry in (ours.outdir / "d").iterdir()] == ["x.txt"]


STAGE: dict[str, Any] = {
    "requirements": {"InitialWorkDirRequirement": {"listing": ["$(inputs.i)"]}},
    "baseCommand": "true",
}


@pytest.mark.parametrize("glob", ["*", "l.txt", "./*"])
def test_a_literal_file_that_was_staged_as_an_output_is_collected(tmp_path: Path, glob: str) -> None:
    beside = {"class": "File", "basename": "l.idx", "contents": "index"}
    literal = {"class": "File", "basename": "l.txt", "contents": "abc", "secondaryFiles": [beside]}
    binding = {"glob": glob, "loadContents": True}
    document = tool(
        inputs={"i": "File"}, outputs={"o": {"type": v.array_of("File"), "outputBinding": binding}}, **STAGE
    )
    with written(document, {"i": literal}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    assert ours.code == 0, ours.said
    described(ours.outputs)
    assert "l.txt" in [file["basename"] for file in ours.outputs["o"]]


def test_a_literal_directory_that_was_staged_as_an_output_is_collected_with_all_that_is_in_it(tmp_path: Path) -> None:
    inner = {"class": "Directory", "basename": "e", "listing": [{"class": "File", "basename": "y", "contents": "y"}]}
    literal = {"class": "Directory", "basename": "d", "listing": [inner]}
    document = tool(inputs={"i": "Directory"}, outputs={"o": port("Directory", glob="d")}, **STAGE)
    with written(document, {"i": literal}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    described(ours.outputs)
    assert (ours.outdir / "d/e/y").read_text() == "y"


def test_a_literal_that_was_staged_and_is_passed_on_is_the_same_file(tmp_path: Path) -> None:
    document = tool(inputs={"i": "File"}, outputs={"o": port("File", outputEval="$(inputs.i)")}, **STAGE)
    with written(document, {"i": {"class": "File", "basename": "l", "contents": "abc"}}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    described(ours.outputs)
    assert (ours.outdir / "l").read_text() == "abc"


@pytest.mark.parametrize("field", ["path", "location"])
def test_a_tool_may_name_its_output_by_the_path_that_it_sees(tmp_path: Path, field: str) -> None:
    prefix = "file://" if field == "location" else ""
    script = f'echo x > x.txt; printf \'{{"class": "File", "{field}": "{prefix}%s/x.txt"}}\' "$PWD" > said'
    document = tool(
        requirements={"InlineJavascriptRequirement": {}},
        baseCommand=["sh", "-c", script],
        outputs={"o": port("File", glob="said", loadContents=True, outputEval="$(JSON.parse(self[0].contents))")},
    )
    found = check(tmp_path, document, {})
    assert found["o"]["basename"] == "x.txt"


def test_a_tool_may_not_name_a_file_of_another_folder_by_its_path(tmp_path: Path) -> None:
    expression = "$({class: 'File', path: '/etc/hostname'})"
    document = tool(
        requirements={"InlineJavascriptRequirement": {}},
        baseCommand="true",
        outputs={"o": port("File", outputEval=expression)},
    )
    with written(document, {}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    assert ours.code == 1
    assert "must be within" in ours.said


@pytest.mark.parametrize("path", ["x.txt", "./x.txt", "sub/../x.txt", "sub/..//x.txt"])
def test_an_output_object_may_name_a_file_in_a_roundabout_way(tmp_path: Path, path: str) -> None:
    text = f'{{"f": {{"class": "File", "path": "{path}"}}}}'
    document = tool(
        baseCommand=["sh", "-c", f"mkdir sub; echo x > x.txt; printf '%s' '{text}' > cwl.output.json"],
        outputs={"f": {"type": "File"}},
    )
    assert check(tmp_path, document, {})["f"]["basename"] == "x.txt"


def test_an_output_object_may_not_leave_the_output_directory_in_a_roundabout_way(tmp_path: Path) -> None:
    text = '{"f": {"class": "File", "path": "sub/../../../../../../../../etc/hostname"}}'
    document = tool(
        baseCommand=["sh", "-c", f"mkdir sub; printf '%s' '{text}' > cwl.output.json"],
        outputs={"f": {"type": "File"}},
    )
    with written(document, {}, {}, tmp_path / "case"):
        ours = by_gridcwl(tmp_path / "case")
    assert ours.code == 1
    assert not list(ours.outdir.rglob("hostname"))


def test_a_directory_of_inputs_keeps_the_secondary_files_that_were_found_by_pattern(tmp_path: Path) -> None:
    document = tool(
        requirements={
            "InlineJavascriptRequirement": {},
            "InitialWorkDirRequirement": {
                "listing": ["$({class: 'Directory', basename: 'made', listing: [inputs.r]})"]
            },
        },
        inputs={"r": {"type": "File", "secondaryFiles": [".idx", "^.dat"]}},
        baseCommand="true",
        outputs={"d": port("Directory", glob="made")},
    )
    files = {"a.txt": "x", "a.txt.idx": "y", "a.dat": "z"}
    check(tmp_path, document, {"r": {"class": "File", "location": "a.txt"}}, files)
