"""``gridcwl lineage``: where a file came from, across runs and users."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import gridcwl
from documents import Desk, expression, glob, on_command_line, shell, step, tool, web_site, workflow
from rucio_grid import Grid, remote

from gridcwl.stores.rucio.lineage import LONGEST, listed, read_list
from gridcwl.stores.rucio.names import Did

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

LOCAL = ("--quiet", "--no-container")


def copying(name: str) -> dict[str, Any]:
    """A tool that appends a word to a file."""
    script = f'cat "$0" > {name}; echo "$1" >> {name}'
    inputs = {"data": on_command_line("File"), "word": on_command_line("string", position=2)}
    return shell(script, inputs=inputs, outputs={"made": glob(name)})


def chain(desk: Desk) -> Path:
    """Two runs, the second of what the first made: a step after another in each."""
    outer = workflow(
        {"data": "File", "word": "string"}, {"made": {"type": "File", "outputSource": "second/made"}},
        first=step(copying("one"), "made", data="data", word="word"),
        second=step(copying("two"), "made", data="first/made", word={"default": "second"}),
    )  # fmt: skip
    desk.write("first.cwl", outer)
    desk.write("last.cwl", copying("three"))
    desk.write("raw.txt", "the beginning\n")
    desk.write("first.json", '{"data": {"class": "File", "path": "raw.txt"}, "word": "first"}')
    desk.write("last.json", '{"data": {"class": "File", "path": "out/two"}, "word": "third"}')
    assert gridcwl(*LOCAL, "--outdir", "out", "first.cwl", "first.json").code == 0
    assert gridcwl(*LOCAL, "--outdir", "out", "last.cwl", "last.json").code == 0
    return desk.folder / "out/three"


def lineage(word: Any, *options: str) -> dict[str, Any]:
    ended = gridcwl("lineage", str(word), "--json", *options)
    assert ended.code == 0, ended.stderr
    found: dict[str, Any] = ended.outputs
    return found


def test_a_file_is_followed_back_through_steps_and_runs_to_what_no_run_has_made(desk: Desk):
    found = lineage(chain(desk))
    assert [one["name"] for one in found["activities"]] == ["last.cwl", "second", "first"]
    assert len({one["run"] for one in found["activities"]}) == 2
    raw = found["files"][-1]
    assert (raw["name"], raw["made_by"]) == ("raw.txt", None)
    assert found["activities"][2]["parameters"] == {"word": "first"}
    assert found["activities"][1]["inputs"][0]["input"] == "data"
    assert found["complete"]


def test_the_tree_names_each_job_below_the_file_that_it_made(desk: Desk):
    ended = gridcwl("lineage", str(chain(desk)))
    lines = ended.stdout.splitlines()
    assert "out/three" in lines[0]
    assert lines[1].startswith("└─ last.cwl, run ")
    assert lines[2].lstrip("└─ ").startswith(str(desk.folder / "out/two"))
    assert lines[-1].strip(" └─").startswith(str(desk.folder / "raw.txt"))


def test_a_copy_of_a_result_is_recognized_by_its_bytes_and_an_input_with_equal_bytes_is_not_taken_for_one(desk: Desk):
    three = chain(desk)
    desk.write("elsewhere/copy", three.read_bytes())
    assert lineage(desk.folder / "elsewhere/copy")["activities"][0]["name"] == "last.cwl"
    desk.write("equal.txt", (desk.folder / "out/two").read_bytes())
    desk.write("last.json", '{"data": {"class": "File", "path": "equal.txt"}, "word": "other"}')
    assert gridcwl(*LOCAL, "--outdir", "again", "last.cwl", "last.json").code == 0
    assert [one["name"] for one in lineage(desk.folder / "again/three")["activities"]] == ["last.cwl"]


def test_a_file_that_was_changed_since_is_not_what_the_run_made(desk: Desk):
    three = chain(desk)
    three.write_text("something else\n")
    assert lineage(three)["activities"] == []
    assert "No run is known to have made it" in gridcwl("lineage", str(three)).stderr


def test_what_an_expression_wrote_is_followed_through_the_expression(desk: Desk):
    note = expression(
        "${ return {'note': {'class': 'File', 'basename': 'note', 'contents': inputs.data.basename + inputs.word}}; }",
        {"data": "File", "word": "string"},
        {"note": "File"},
    )
    outer = workflow(
        {"data": "File", "word": "string"},
        {"note": {"type": "File", "outputSource": "write/note"}, "made": {"type": "File", "outputSource": "copy/made"}},
        first=step(copying("one"), "made", data="data", word="word"),
        write=step(note, "note", data="first/made", word="word"),
        copy=step(copying("two"), "made", data="write/note", word="word"),
    )
    desk.write("wf.cwl", outer)
    desk.write("raw.txt", "the beginning\n")
    assert gridcwl(*LOCAL, "--outdir", "out", "wf.cwl", "--data", "raw.txt", "--word", "x").code == 0
    assert [one["name"] for one in lineage("out/note")["activities"]] == ["write", "first"]
    found = lineage("out/two")
    assert [one["name"] for one in found["activities"]] == ["copy", "write", "first"]
    assert found["activities"][1]["tool"] == "expression"
    assert [Path(file["location"]).name for file in found["files"]] == ["two", "note", "", "raw.txt"]
    (desk.folder / "out/note").write_text("edited since\n")
    assert lineage("out/note")["activities"] == []


def test_a_file_that_was_not_kept_is_shown_by_its_name(desk: Desk):
    lines = gridcwl("lineage", str(chain(desk))).stdout.splitlines()
    assert any(line.strip(" └─").startswith("one (not kept)  20 bytes") for line in lines)


@pytest.mark.parametrize("word", ["../out/three", "./three"])
def test_a_path_is_followed_from_any_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch, word: str):
    three = chain(desk)
    monkeypatch.chdir(desk.folder / "out")
    found = lineage(word)
    assert found["target"] == three.as_uri()
    assert found["files"][0]["location"] == three.as_uri()


def test_a_result_that_was_taken_from_another_run_names_that_run(desk: Desk):
    desk.write("one.cwl", copying("one"))
    desk.write("raw.txt", "the beginning\n")
    for out in ("first", "second"):
        words = ("--cachedir", "cache", "--outdir", out, "one.cwl", "--data", "raw.txt", "--word", "x")
        assert gridcwl(*LOCAL, *words).code == 0
    (ran,), (taken,) = lineage("first/one")["activities"], lineage("second/one")["activities"]
    assert ran["reused"] == ""
    assert taken["run"] != ran["run"]
    assert taken["reused"] == f"run {ran['run']}, one.cwl"
    assert f"result of run {ran['run']}" in gridcwl("lineage", "second/one").stdout


def test_a_file_in_a_directory_is_of_the_run_that_published_the_directory(desk: Desk):
    desk.write(
        "tree.cwl", shell("mkdir -p tree/in; echo x > tree/in/leaf", outputs={"tree": glob("tree", "Directory")})
    )
    for out in ("first", "second"):
        assert gridcwl(*LOCAL, "--outdir", out, "tree.cwl").code == 0
    (of_tree,), (of_leaf,) = lineage("first/tree")["activities"], lineage("first/tree/in/leaf")["activities"]
    assert of_leaf["id"] == of_tree["id"]
    assert lineage("second/tree/in/leaf")["activities"][0]["run"] > of_leaf["run"]


def test_an_input_from_the_web_is_named_by_its_url(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(desk.folder / "cache"))
    desk.write("web/raw.txt", "the beginning\n")
    desk.write("one.cwl", copying("one"))
    with web_site(desk.folder / "web") as site:
        url = site.replace("://", "://alice:swordfish@") + "/raw.txt?token=swordfish"
        assert gridcwl(*LOCAL, "--outdir", "out", "one.cwl", "--data", url, "--word", "x").code == 0
    ended = gridcwl("lineage", "out/one")
    assert f"{site}/raw.txt  14 bytes" in ended.stdout
    assert "swordfish" not in ended.stdout


def test_depth_limits_how_far_it_goes_back_and_many_inputs_are_cut(desk: Desk):
    assert [one["name"] for one in lineage(chain(desk), "--depth", "1")["activities"]] == ["last.cwl"]
    words = [desk.write(f"w{number}.txt", f"word {number}\n") for number in range(15)]
    join = tool("cat", inputs={"all": on_command_line("File[]")}, outputs={"said": "stdout"}, stdout="joined.txt")
    desk.write("join.cwl", join)
    desk.write("join.json", json.dumps({"all": [{"class": "File", "path": word} for word in words]}))
    assert gridcwl(*LOCAL, "--outdir", "out", "join.cwl", "join.json").code == 0
    lines = gridcwl("lineage", "out/joined.txt").stdout.splitlines()
    assert "... and 5 more" in lines[-1]
    assert len(gridcwl("lineage", "out/joined.txt", "--all").stdout.splitlines()) == 17


def test_the_graph_is_one_that_graphviz_draws(desk: Desk):
    lines = gridcwl("lineage", str(chain(desk)), "--dot").stdout.splitlines()
    assert lines[0] == "digraph lineage {"
    assert lines[-1] == "}"
    assert sum("shape=box" in line for line in lines) == 3
    assert sum(" -> " in line for line in lines) == 6


@pytest.mark.parametrize("form", ["provn", "json", "xml", "ttl"])
def test_it_is_written_as_w3c_prov_with_the_classes_of_the_ivoa(desk: Desk, form: str):
    ended = gridcwl("lineage", str(chain(desk)), "--prov", form)
    assert ended.code == 0, ended.stderr
    for word in ("voprov:datasetentity", "voprov:activitydescription", "voprov:parameter", "prov:person"):
        assert word in ended.stdout.lower()
    if form == "json":
        from prov.model import ProvActivity, ProvDocument, ProvGeneration, ProvUsage

        document = ProvDocument.deserialize(content=ended.stdout, format="json")
        assert len(list(document.get_records(ProvActivity))) == 3
        assert len(list(document.get_records(ProvGeneration))) == 3
        assert len(list(document.get_records(ProvUsage))) == 6  # a file and a word each


def test_what_is_no_file_is_refused_with_what_to_give(desk: Desk):
    ended = gridcwl("lineage", "nothing")
    assert ended.code == 1
    assert "There is no file nothing" in ended.stderr


# -- lists in metadata -------------------------------------------------------------------------------------------------


def test_the_inputs_of_a_job_that_gathers_ten_thousand_files_fit_into_its_metadata():
    dids = [Did("user.a", f"20261129-081500-1a2b3c.sort.j1-{number}-1.out.txt") for number in range(3, 10_003)]
    text, unlisted = listed([*dids, Did("cta", "raw.fits")])
    assert len(text) < 100
    assert unlisted == 0
    assert read_list(text) == [*dids, Did("cta", "raw.fits")]


def test_a_list_of_inputs_has_a_limit_and_reports_how_many_it_left_out():
    dids = [Did("cta", f"run{number:08d}.fits") for number in range(5000)]
    text, unlisted = listed(dids)
    assert len(text) <= LONGEST
    assert len(read_list(text)) + unlisted == 5000


@pytest.mark.parametrize("text", ["", "nonsense", "a:{1-99999999999}", "a:{x}", ":", "a:{3-1}", "a:b{1,,2}c"])
def test_a_list_that_somebody_else_wrote_is_read_within_limits(text: str):
    assert len(read_list(text)) <= 200_000


# -- across users ------------------------------------------------------------------------------------------------------


@pytest.mark.rucio
def test_three_runs_of_two_accounts_are_followed_through_rucios_metadata(
    desk: Desk, log_in: Callable[..., Any], rucio: RucioService, monkeypatch: pytest.MonkeyPatch
):
    word = f"t{uuid.uuid4().hex[:10]}"

    def run(account: str, name: str, url: str, scope: str) -> str:
        monkeypatch.setenv("GRIDCWL_STATE_DIR", str(desk.folder / f"state-{name}"))
        grid = Grid(desk, log_in(account), rucio, word)
        ended = grid.run(
            copying(name), {"data": remote("File", url), "word": name}, "--rucio-scope", scope, rse="ORSAY_USERDISK"
        )
        assert ended.code == 0, ended.stderr
        location: str = ended.outputs["made"]["location"]
        (desk.outdir / name).unlink()
        return location

    raw = Grid(desk, log_in("runner"), rucio, word).upload("raw.txt", f"{word}\n")
    one = run("runner", "one", raw, "user.runner")
    two = run("alice", "two", one, "user.alice")
    three = run("runner", "three", two, "user.runner")
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(desk.folder / "state-nobody"))  # all from Rucio
    log_in("bob")
    found = lineage(three)
    assert [(one["account"], one["known_from"]) for one in found["activities"]] == [
        ("runner", "metadata"),
        ("alice", "metadata"),
        ("runner", "metadata"),
    ]
    assert [file["id"] for file in found["files"]] == [three, two, one, raw]
    assert all("cat" in one["tool"] for one in found["activities"])
    scope, name = three.removeprefix("rucio://").split("/", 1)
    assert "by alice" in gridcwl("lineage", f"{scope}:{name}").stdout
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(desk.folder / "state-two"))  # one of the runs is one's own
    assert [one["known_from"] for one in lineage(three)["activities"]] == ["metadata", "journal", "metadata"]


@pytest.mark.rucio
def test_a_crate_refers_to_files_in_rucio_and_verify_reads_every_replica(
    desk: Desk, log_in: Callable[..., Any], rucio: RucioService
):
    grid = Grid(desk, log_in("runner"), rucio, f"t{uuid.uuid4().hex[:10]}")
    raw = grid.upload("raw.txt", f"{grid.word}\n")
    ended = grid.run(copying("one"), {"data": remote("File", raw), "word": "x"}, "--provenance", "crate")
    assert ended.code == 0, ended.stderr
    made = ended.outputs["made"]["location"]
    graph = json.loads((desk.folder / "crate/ro-crate-metadata.json").read_text())["@graph"]
    assert {raw, made} <= {entity["@id"] for entity in graph}
    assert gridcwl("verify", "crate").code == 0
    assert gridcwl("export", "last", "whole", "--data", "embed").code == 0
    assert (desk.folder / "whole/inputs").is_dir()
    scope, name = made.removeprefix("rucio://").split("/", 1)
    (replica,) = next(iter(grid.client.list_replicas([{"scope": scope, "name": name}])))["pfns"]
    damaged = Path(replica.removeprefix("file://localhost").removeprefix("file://"))
    damaged.write_bytes(damaged.read_bytes()[::-1])
    ended = gridcwl("verify", "crate")
    assert ended.code == 1
    assert "damaged" in ended.stdout
    assert name in ended.stdout
