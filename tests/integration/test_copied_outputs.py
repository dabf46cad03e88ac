"""``gridcwl resume RUN --outdir DIR`` of a run that has succeeded: its outputs are copied, and nothing runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, glob, shell

SCRIPT = """
echo run >> {marks}; echo main > a.txt; echo index > a.txt.idx; mkdir -p d/empty d/sub; echo in > d/sub/b; echo x > e
mkdir p q; echo one > p/same.txt; echo two > q/same.txt
"""


def document(desk: Desk) -> dict[str, Any]:
    return shell(
        SCRIPT.format(marks=desk.folder / "marks"),
        outputs={
            "a": glob("a.txt") | {"secondaryFiles": [".idx"]},
            "d": glob("d", "Directory"),
            "same": glob("*/same.txt", "File[]"),
            "none": glob("no*", "File?"),
        },
    )


@pytest.fixture
def published(desk: Desk) -> Any:
    """The output object of a run that has succeeded."""
    return run(desk).outputs


def run(desk: Desk) -> CommandResult:
    result = gridcwl("--no-container", "--outdir", str(desk.outdir), desk.write("doc.cwl", document(desk)))
    assert result.code == 0, result.stderr
    return result


def copy(desk: Desk, *options: str) -> CommandResult:
    return gridcwl("resume", "last", "--outdir", str(desk.folder / "copy"), *options)


def contents(folder: Path) -> dict[str, str | None]:
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


def elsewhere(desk: Desk, outputs: Any) -> Any:
    return json.loads(json.dumps(outputs).replace(str(desk.outdir), str(desk.folder / "copy")))


def status() -> str:
    return str(json.loads(gridcwl("status", "last", "--json").stdout)["state"])


def refused(desk: Desk, result: CommandResult) -> str:
    """What was said when nothing was copied, and the run is as it was."""
    assert result.code == 1
    assert result.stdout == ""
    assert "internal" not in result.stderr
    assert status() == "success"
    assert (desk.folder / "marks").read_text() == "run\n"
    return result.stderr


def test_the_outputs_are_copied_and_nothing_runs(desk: Desk, published: Any) -> None:
    before = contents(desk.outdir)
    result = copy(desk)
    assert result.code == 0, result.stderr
    assert result.outputs == elsewhere(desk, published)
    assert contents(desk.folder / "copy") == contents(desk.outdir) == before
    assert not (desk.folder / "copy/a.txt").samefile(desk.outdir / "a.txt")
    assert (desk.folder / "marks").read_text() == "run\n"
    assert gridcwl("resume", "last").outputs == published
    assert copy(desk).outputs == result.outputs


def test_what_the_user_added_to_an_output_directory_is_not_copied(desk: Desk, published: Any) -> None:
    (desk.outdir / "d/sub/mine").write_text("mine")
    assert copy(desk).outputs == elsewhere(desk, published)
    assert not (desk.folder / "copy/d/sub/mine").exists()


def test_a_file_in_the_way_is_not_replaced_unless_that_is_wanted(desk: Desk, published: Any) -> None:
    mine = Path(desk.write("copy/a.txt", "mine"))
    assert f"{mine} cannot be put in place: it existed before" in refused(desk, copy(desk))
    assert contents(desk.folder / "copy") == {"a.txt": "mine"}
    assert copy(desk, "--overwrite").outputs == elsewhere(desk, published)
    assert mine.read_text() == "main\n"


@pytest.mark.usefixtures("published")
def test_a_copy_that_was_edited_is_the_users(desk: Desk) -> None:
    copied = Path(copy(desk).outputs["a"]["path"])
    copied.write_text("edited")
    assert "was changed since" in refused(desk, copy(desk))
    assert copied.read_text() == "edited"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("a.txt", "a pipe"),
        ("a.txt.idx", "longer"),
        ("d/sub/b", "changed"),
        ("d/sub/b", "removed"),
        ("same_2.txt", "changed"),
    ],
)
def test_outputs_that_are_missing_or_were_changed_are_named_and_nothing_is_copied(
    desk: Desk, name: str, damage: str
) -> None:
    path = desk.outdir / name
    text = path.read_text()
    if damage == "longer":
        path.write_text(text * 2)
    elif damage == "changed":
        path.write_text(text.upper())
    else:
        path.unlink()
        if damage == "a pipe":
            os.mkfifo(path)
    what = "is missing" if damage == "removed" else "was changed since it was published"
    message = refused(desk, copy(desk))
    assert f"The output {path} {what}" in message
    assert "Run the document again with this --outdir." in message
    assert not (desk.folder / "copy").exists() or contents(desk.folder / "copy") == {}


@pytest.mark.usefixtures("published")
def test_a_directory_that_cannot_be_is_refused(desk: Desk) -> None:
    desk.write("copy", "a file")
    assert "is a file, not a directory" in refused(desk, copy(desk))


@pytest.mark.usefixtures("published")
def test_a_run_whose_document_was_edited_runs_again(desk: Desk) -> None:
    desk.write("doc.cwl", {**document(desk), "doc": "edited"})
    assert copy(desk).code == 0
    assert (desk.folder / "copy/a.txt").read_text() == "main\n"
