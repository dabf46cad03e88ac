"""Publishing never loses data: what a run may replace, what becomes of a run that failed, two runs into one folder."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, workflow

WORD = tool("echo", inputs={"word": on_command_line("string")}, outputs={"o": "stdout"}, stdout="o.txt")
NAMED = WORD | {"stdout": "$(inputs.name)", "inputs": WORD["inputs"] | {"name": "string"}}
FAILS = shell("echo half; exit 3", outputs={"o": "stdout"}, stdout="o.txt")
WORDS = workflow(
    {"words": "string[]"},
    {"o": {"type": "File[]", "outputSource": "s/o"}},
    s=step(
        tool(
            "sh",
            inputs={"word": {"type": "string", "inputBinding": {"position": 2}}},
            arguments=["-c", 'echo "$1"; test "$1" != bad', "sh"],
            outputs={"o": "stdout"},
            stdout="$(inputs.word).txt",
        ),
        "o",
        scatter="word",
        word="words",
    ),
)


def run(desk: Desk, document: dict[str, Any], *words: str, name: str = "doc.cwl") -> CommandResult:
    return gridcwl("--no-container", "--outdir", str(desk.outdir), desk.write(name, document), *words)


def put(desk: Desk, name: str, text: str) -> Path:
    desk.write(f"outputs/{name}", text)
    return desk.outdir / name


def refused(result: CommandResult) -> str:
    assert result.code == 1
    assert result.stdout == ""
    return result.stderr


def test_a_run_replaces_what_an_earlier_run_of_the_same_document_wrote(desk: Desk) -> None:
    for word in ("one", "two"):
        assert run(desk, WORD, "--word", word).code == 0
    assert (desk.outdir / "o.txt").read_text() == "two\n"


def test_a_failed_run_changes_nothing_in_the_output_directory(desk: Desk) -> None:
    run(desk, WORD, "--word", "good")
    result = run(desk, FAILS)
    assert result.code == 1
    assert (desk.outdir / "o.txt").read_text() == "good\n"
    assert desk.listing() == ["o.txt"]


def test_a_file_of_the_user_is_not_replaced_and_no_job_runs(desk: Desk) -> None:
    mine = put(desk, "o.txt", "mine")
    touching = WORD | {"baseCommand": ["sh", "-c", f"touch {desk.folder}/ran"]}
    text = refused(run(desk, touching, "--word", "x"))
    assert f"{mine} cannot be put in place: it existed before, and gridcwl did not write it" in text
    assert mine.read_text() == "mine"
    assert not (desk.folder / "ran").exists()


def test_names_that_are_expressions_are_known_before_a_tool_runs(desk: Desk) -> None:
    put(desk, "mine.txt", "mine")
    touching = NAMED | {"baseCommand": ["sh", "-c", f"touch {desk.folder}/ran"]}
    refused(run(desk, touching, "--word", "x", "--name", "mine.txt"))
    assert not (desk.folder / "ran").exists()


def test_a_file_that_was_edited_is_the_users(desk: Desk) -> None:
    run(desk, WORD, "--word", "one")
    put(desk, "o.txt", "edited")
    assert "it was changed since the run" in refused(run(desk, WORD, "--word", "two"))
    assert (desk.outdir / "o.txt").read_text() == "edited"


def test_a_file_that_was_only_copied_is_still_replaced(desk: Desk) -> None:
    run(desk, WORD, "--word", "one")
    put(desk, "o.txt", "one\n")
    assert run(desk, WORD, "--word", "two").code == 0


def test_what_another_document_wrote_is_not_replaced(desk: Desk) -> None:
    run(desk, WORD, "--word", "one", name="one.cwl")
    assert "of another document wrote it" in refused(run(desk, WORD, "--word", "two", name="two.cwl"))


def test_overwrite_replaces_all_of_it(desk: Desk) -> None:
    mine = put(desk, "o.txt", "mine")
    document = desk.write("doc.cwl", WORD)
    assert gridcwl("--no-container", "--overwrite", "--outdir", desk.outdir, document, "--word", "x").code == 0
    assert mine.read_text() == "x\n"


def test_conflicts_of_unknown_names_are_found_before_the_first_file_moves(desk: Desk) -> None:
    mine = put(desk, "b.txt", "mine")
    text = refused(run(desk, WORDS, "--words=a", "--words=b", "--words=c"))
    assert f"{mine} cannot be put in place" in text
    assert desk.listing() == ["b.txt"]
    run_id = text.split("gridcwl resume ")[1].split()[0]
    ended = gridcwl("resume", run_id, "--outdir", desk.folder / "other")
    assert ended.code == 0
    assert sorted(path.name for path in (desk.folder / "other").iterdir()) == ["a.txt", "b.txt", "c.txt"]


def test_the_same_bytes_are_no_conflict(desk: Desk) -> None:
    mine = put(desk, "b.txt", "b\n")
    before = mine.stat()
    assert run(desk, WORDS, "--words=a", "--words=b").code == 0
    assert mine.stat().st_ino == before.st_ino


def test_failed_shards_are_null_and_the_files_of_the_others_stay_with_the_run(desk: Desk) -> None:
    document = desk.write("doc.cwl", WORDS)
    result = gridcwl("--no-container", "--on-error=continue", "--outdir", desk.outdir, document, *_each("good", "bad"))
    assert result.code == 1
    assert "Nothing was published to" in result.stderr
    assert not desk.outdir.exists()
    good, bad = result.outputs["o"]
    assert Path(good["path"]).read_text() == "good\n"
    assert bad is None
    files = json.loads(gridcwl("data", "last", "--json").stdout)["files"]
    assert [(file["output"], file["state"]) for file in files] == [("o", "kept"), ("s[1]", "failed job")]
    assert all(Path(file["path"]).is_file() for file in files)


def test_partial_outputs_are_published_into_a_folder_of_their_own_where_that_is_wanted(desk: Desk) -> None:
    document = desk.write("doc.cwl", WORDS)
    gridcwl(
        "--no-container", "--on-error=continue", "--publish-partial", "--outdir", desk.outdir, document,
        *_each("good", "bad"),
    )  # fmt: skip
    (folder,) = desk.outdir.iterdir()
    assert folder.name.startswith("partial-")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert names == ["failed-s[1]", "failed-s[1]/bad.txt", "good.txt"]


def _each(*words: str) -> list[str]:
    return [f"--words={word}" for word in words]


def test_files_of_an_earlier_run_go_from_a_directory_that_is_published_again(desk: Desk) -> None:
    made = shell("mkdir d; for name; do echo $name > d/$name; done", outputs={"d": glob("d", "Directory")})
    made |= {"arguments": ["sh"], "inputs": {"names": {"type": "string[]", "inputBinding": {"position": 3}}}}
    run(desk, made, "--names=a", "--names=b")
    put(desk, "d/mine", "mine")
    run(desk, made, "--names=b", "--names=c")
    assert desk.listing() == ["d", "d/b", "d/c", "d/mine"]


@pytest.mark.parametrize("way", ["move", "copy", "leave"])
def test_outputs_are_moved_copied_or_left_as_with_cwltool(desk: Desk, scratch: Path, way: str) -> None:
    document = desk.write("doc.cwl", WORD)
    result = gridcwl("--no-container", f"--{way}-outputs", "--outdir", desk.outdir, document, "--word", "x")
    output = Path(result.outputs["o"]["path"])
    assert output.read_text() == "x\n"
    assert (output.parent == desk.outdir) == (way != "leave")
    left = [path for path in scratch.rglob("o.txt") if path.parent != desk.outdir]
    assert bool(left) == (way != "move")
    if way == "copy":
        assert left[0].stat().st_ino != output.stat().st_ino


@pytest.mark.parametrize("place", ["/proc/none/here", "file/below"])
def test_an_output_directory_that_cannot_be_is_refused_before_any_job(desk: Desk, place: str) -> None:
    desk.write("file", "x")
    touching = shell(f"touch {desk.folder}/ran")
    result = gridcwl("--no-container", "--outdir", place, desk.write("doc.cwl", touching))
    assert result.code == 1
    assert not (desk.folder / "ran").exists()
    run_id = result.stderr.split("gridcwl resume ")[1].split()[0]
    assert gridcwl("resume", run_id, "--outdir", desk.outdir).code == 0


def test_a_link_out_of_an_output_directory_is_an_error(desk: Desk) -> None:
    made = shell("mkdir d; ln -s /etc/hostname d/name", outputs={"d": glob("d", "Directory")})
    result = run(desk, made)
    assert result.code == 1
    assert "symbolic links that lead out of its output directory: d/name" in result.stderr
    assert not desk.outdir.exists()


def nested(desk: Desk, inner: str, *words: str) -> dict[str, Any]:
    """A tool that runs another document into the same folder while it runs itself."""
    state = os.environ["GRIDCWL_STATE_DIR"]
    command = [sys.executable, "-m", "gridcwl", "--no-container", "--state-dir", state, "--outdir", str(desk.outdir)]
    line = " ".join([*command, inner, *words])
    return {"baseCommand": ["sh", "-c", f"{line} >{desk.folder}/said 2>&1; echo $? >{desk.folder}/code; echo outer"]}


def test_a_second_run_that_is_to_write_the_same_names_is_refused_before_it_begins(desk: Desk) -> None:
    inner = desk.write("doc.cwl", WORD)
    assert run(desk, WORD | nested(desk, inner, "--word=inner"), "--word=x", name="outer.cwl").code == 0
    assert (desk.folder / "code").read_text() == "1\n"
    said = (desk.folder / "said").read_text()
    assert "which is active, writes to the same name" in said
    assert re.search(r"^Wait until (\S+) has ended, then run: gridcwl resume (?!\1)", said, re.MULTILINE)
    assert "Move the existing files" not in said
    assert (desk.outdir / "o.txt").read_text() == "outer\n"


def test_what_another_run_has_published_meanwhile_is_not_replaced(desk: Desk) -> None:
    inner = desk.write("doc.cwl", NAMED)
    result = run(
        desk, NAMED | nested(desk, inner, "--word=inner", "--name=q.txt"), "--word=x", "--name=q.txt", name="o.cwl"
    )
    assert "wrote it after this run started" in refused(result)
    assert (desk.outdir / "q.txt").read_text() == "inner\n"


def test_two_runs_whose_names_differ_share_a_folder(desk: Desk) -> None:
    inner = desk.write("doc.cwl", NAMED)
    outer = NAMED | nested(desk, inner, "--word=inner", "--name=a.txt")
    assert run(desk, outer, "--word=x", "--name=b.txt", name="outer.cwl").code == 0
    assert (desk.folder / "code").read_text() == "0\n"
    assert desk.listing() == ["a.txt", "b.txt"]


def test_a_plan_names_what_is_in_the_way(desk: Desk) -> None:
    mine = put(desk, "o.txt", "mine")
    result = gridcwl("plan", "--no-container", "--outdir", desk.outdir, desk.write("doc.cwl", WORD), "--word", "x")
    assert result.code == 1
    assert f"conflict     The output {mine} cannot be put in place: it existed before" in result.stdout
