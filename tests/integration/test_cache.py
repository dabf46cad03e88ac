"""Results of other runs are taken with --cache, and explain says why or why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_runs import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", list("abc"))
    made.open("all")
    yield made
    made.leave()


def explained(desk: Desk, step: str) -> dict[str, dict]:
    return {one["name"]: one for one in desk.gridcwl("explain", "--json", "last", step).outputs}


def test_a_second_run_of_the_same_runs_nothing(desk):
    first = desk.run("--cache")
    second = desk.run("--cache", "--outdir", "elsewhere")
    assert set(desk.starts().values()) == {1}
    assert Path(second.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert second.outputs["all"]["checksum"] == first.outputs["all"]["checksum"]


def test_nothing_is_kept_or_taken_without_being_asked_for(desk):
    desk.run()
    desk.run("--cache")
    desk.run()
    assert desk.starts() == {"a": 3, "b": 3, "c": 3, "join": 3}


def test_the_same_bytes_in_another_place_are_the_same_input(desk):
    desk.run("--cachedir", "kept")
    other = Desk(desk.folder.parent / "other", desk.shards)
    values = json.loads((desk.folder / "in.json").read_text())
    (other.folder / "in.json").write_text(json.dumps(values))
    assert other.run("--cachedir", str(desk.folder / "kept")).code == 0
    assert set(desk.starts().values()) == {1}


def test_only_what_changed_and_what_comes_of_it_runs_again(desk):
    desk.run("--cache")
    desk.write("b", "another word\n")
    ended = desk.run("--cache")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 1, "b": 2, "c": 1, "join": 2}


def test_explain_reports_where_a_result_came_from_and_which_part_differed(desk):
    desk.run("--cache")
    desk.write("b", "another word\n")
    desk.run("--cache")
    say = explained(desk, "say")
    assert say["say[0]"]["reused"]
    assert not say["say[1]"]["reused"]
    (part,) = say["say[1]"]["differences"]
    assert part["part"].startswith("input ")
    assert part["part"].endswith("/b.word")
    assert "reused" not in desk.gridcwl("explain", "last", "say[1]").stdout


def test_explain_names_the_word_of_the_command_that_differed(desk):
    desk.run("--cache")
    text = (desk.folder / "say.cwl").read_text()
    (desk.folder / "say.cwl").write_text(text.replace("- say\n", "- told\n"))
    desk.run("--cache")
    (part,) = explained(desk, "say[2]")["say[2]"]["differences"]
    assert part == {"part": "command word 3", "now": "told", "before": "say"}


def test_explain_reports_that_the_same_was_there_but_not_asked_for(desk):
    desk.run()
    desk.run()
    assert "--cache" in desk.gridcwl("explain", "last", "join").stdout


def test_a_tool_that_forbids_reuse_runs_every_time_and_what_comes_of_the_same_bytes_does_not(desk):
    with (desk.folder / "say.cwl").open("a") as file:
        file.write("requirements: {WorkReuse: {enableReuse: false}}\n")
    desk.run("--cache")
    desk.run("--cache")
    assert desk.starts() == {"a": 2, "b": 2, "c": 2, "join": 1}


def test_reuse_may_be_forbidden_by_an_expression(desk):
    with (desk.folder / "say.cwl").open("a") as file:
        file.write(
            "requirements: {WorkReuse: {enableReuse: \"$(inputs.n != 'b')\"}, InlineJavascriptRequirement: {}}\n"
        )
    desk.run("--cache")
    desk.run("--cache")
    assert desk.starts() == {"a": 1, "b": 2, "c": 1, "join": 1}


def test_failures_are_not_kept(desk):
    desk.open("fail-b")
    desk.run("--cache", "--on-error", "continue")
    desk.close("fail-b")
    assert desk.run("--cache").code == 0
    assert desk.starts() == {"a": 1, "b": 2, "c": 1, "join": 1}


@pytest.mark.parametrize("spoil", [lambda file: file.write_text("WORD a\na\n"), lambda file: file.unlink()])
def test_damaged_files_are_seen_and_made_again(desk, spoil):
    desk.run("--cachedir", "kept")
    kept = desk.folder / "kept" / "results" / "files"
    (file,) = [path for path in kept.rglob("*") if path.is_file() and path.read_text() == "word a\na\n"]
    spoil(file)
    # what was published may be a link to it: that is then changed as well, and is not replaced
    ended = desk.run("--cachedir", "kept", "--outdir", "elsewhere")
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert desk.starts() == {"a": 2, "b": 1, "c": 1, "join": 1}


def test_directories_links_and_inputs_passed_through_come_back_as_they_were(desk):
    tool = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c"],
        "arguments": [
            f"echo start tool >> {desk.marks}; mkdir -p d/e d/none; echo x > d/e/f; echo > 'd/a b#%'; ln -s d/e/f link"
        ],
        "requirements": {"InitialWorkDirRequirement": {"listing": ["$(inputs.word)"]}},
        "inputs": {"word": "File"},
        "outputs": {
            "d": {"type": "Directory", "outputBinding": {"glob": "d"}},
            "link": {"type": "File", "outputBinding": {"glob": "link"}},
            "word": {"type": "File", "outputBinding": {"glob": "*.word"}},
        },
    }
    (desk.folder / "tool.json").write_text(json.dumps(tool))
    words = ("--quiet", "--no-container", "--cache", "tool.json", "--word", "a.word")
    first = desk.gridcwl("--outdir", "one", *words)
    second = desk.gridcwl("--outdir", "two", *words)
    assert first.code == second.code == 0, first.stderr + second.stderr
    assert desk.starts() == {"tool": 1}
    assert second.stdout.replace("/two/", "/one/") == first.stdout
    names = sorted(str(path.relative_to(desk.folder / "one")) for path in (desk.folder / "one").rglob("*"))
    assert sorted(str(path.relative_to(desk.folder / "two")) for path in (desk.folder / "two").rglob("*")) == names
    assert (desk.folder / "two" / "d" / "e" / "f").read_text() == "x\n"


def test_explain_compares_with_the_nearest_earlier_run_not_only_with_the_newest(desk):
    desk.run("--cache")
    text = (desk.folder / "say.cwl").read_text()
    (desk.folder / "say.cwl").write_text(text.replace("- say\n", "- told\n"))
    desk.write("b", "one word\n")
    desk.run("--cache")
    (desk.folder / "say.cwl").write_text(text)
    desk.write("b", "another word\n")
    desk.run("--cache")
    (part,) = explained(desk, "say[1]")["say[1]"]["differences"]
    assert part["part"].endswith("/b.word")
