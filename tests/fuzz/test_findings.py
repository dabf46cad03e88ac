"""What the fuzz tests have found, each as the smallest document that shows it.

What is mended stays as a test; what is not is expected to fail, strictly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
