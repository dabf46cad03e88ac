"""A client that is killed before its run has begun leaves nothing that ``gridcwl rm`` does not remove."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import Desk, shell

from gridcwl.cli import main as command_line
from gridcwl.model import RunId
from gridcwl.runs.record import cleanup
from gridcwl.runs.record.folder import new_folder
from gridcwl.runs.record.run_record import fingerprint

RUN = RunId("20260101-000000-abcdef")


@pytest.mark.parametrize("after", ["it was made", "its marker was opened", "it was marked"])
def test_the_working_folder_of_a_run_that_had_not_begun_is_removed_with_it(place: Desk, after: str) -> None:
    folder = new_folder(place.folder / "state", RUN)
    if after == "it was made":
        made = cleanup._new_folder(place.folder / "tmp", "gridcwl-", folder.note_working)
    else:
        made = cleanup.working_folder(f"{place.folder}/tmp/gridcwl-", RUN, folder.note_working)
    if after == "its marker was opened":
        (made / ".gridcwl-run").write_text("")
    assert gridcwl("rm", RUN).code == 0
    assert not made.exists()
    assert not folder.path.exists()


def test_a_noted_folder_that_is_somebody_elses_stays(place: Desk) -> None:
    folder = new_folder(place.folder / "state", RUN)
    others = [place.folder / "tmp" / name for name in ("open_to_all", "other")]
    for other, mode in zip(others, (0o755, 0o700), strict=True):
        other.mkdir(mode=mode)
        folder.note_working(other)
        cleanup.remove_unused(folder.working or Path())
        assert other.exists()


def test_an_output_directory_of_a_run_that_succeeded_is_not_made_again_for_inputs_that_are_literals(
    place: Desk,
) -> None:
    script = 'echo ran >> "$1"; cat "$0"'
    words = {"text": {"type": "File", "inputBinding": {"position": 1}}}
    marks = {"marks": {"type": "string", "inputBinding": {"position": 2}}}
    place.write("tool.cwl", shell(script, inputs=words | marks, outputs={"o": "stdout"}, stdout="o.txt"))
    literal = {"class": "File", "basename": "l.txt", "contents": "hello\n"}
    place.write("in.json", {"text": literal, "marks": str(place.folder / "marks")})
    assert gridcwl("--no-container", "--outdir", str(place.outdir), "tool.cwl", "in.json").code == 0
    again = gridcwl("resume", "last")
    assert again.code == 0
    assert "these are its outputs" in again.stderr
    assert (place.folder / "marks").read_text() == "ran\n"


def test_what_is_in_a_literal_counts_and_not_what_it_is_called() -> None:
    def told(location: str, contents: str) -> str:
        return fingerprint({}, {"f": {"class": "File", "location": location, "contents": contents}})

    assert told("_:1", "a") == told("_:2", "a") != told("_:1", "b")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        ExceptionGroup("of a task group", [ValueError(), MemoryError()]),
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_reported_with_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(command_line, "_dispatch", lacking)
    assert command_line.main(["tool.cwl"]) == 1
    printed = capsys.readouterr().err
    assert "gives this process no more memory or threads" in printed
    assert "gridcwl resume last" in printed
    assert "internal error" not in printed
