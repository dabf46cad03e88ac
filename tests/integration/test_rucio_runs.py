"""Runs whose files live in Rucio, on the testbed's real server: what goes in, what comes out, what others see."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, workflow
from rucio_grid import Grid, remote

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

IMAGE = "debian:trixie-slim"
CAT = tool("cat", inputs={"files": on_command_line("File[]")}, outputs={"all": "stdout"}, stdout="all.txt")


@pytest.fixture
def grid(desk: Desk, log_in: Callable[..., Any], rucio: RucioService) -> Grid:
    return Grid(desk, log_in("runner"), rucio, f"t{uuid.uuid4().hex[:10]}")


@pytest.fixture
def as_alice(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever runs something now is an ordinary user."""
    from rucio.common.config import clean_cached_config

    for name, value in grid.rucio.clients.exports("alice").items():
        monkeypatch.setenv(name, value)
    clean_cached_config()
    yield
    clean_cached_config()


def test_what_a_run_gives_out_goes_into_the_next_one_as_it_is(grid: Grid) -> None:
    make = shell(
        "mkdir -p d/sub; printf one > 'a b.txt'; printf two > d/sub/two",
        outputs={"file": glob("*.txt"), "folder": glob("d", "Directory")},
    )
    first = grid.run(make)
    assert first.code == 0, first.stderr
    outputs = first.outputs
    assert outputs["file"]["location"].startswith("rucio://user.runner/")
    assert Path(outputs["file"]["path"]).read_text() == "one"
    assert (outputs["file"]["basename"], outputs["file"]["size"]) == ("a b.txt", 3)
    use = shell(
        'cat "$0"; cd "$1"; find -L . -type f; cat sub/two',
        inputs={"file": on_command_line("File"), "folder": on_command_line("Directory", position=2)},
        outputs={"said": "stdout"}, stdout="said",
    )  # fmt: skip
    second = grid.run(use, outputs)
    assert second.code == 0, second.stderr
    assert (grid.desk.outdir / "said").read_text() == "one./sub/two\ntwo"


TREE = "mkdir -p d/sub/deep d/none d/sub/empty; printf 1 > d/one; printf 2 > 'd/sub/t wo'; printf 3 > d/sub/deep/one"
SHOW = shell('cd "$0"; find -L . | sort', inputs={"folder": on_command_line("Directory")},
             outputs={"said": "stdout"}, stdout="said")  # fmt: skip
FOUND = "./none\n./one\n./sub\n./sub/deep\n./sub/deep/one\n./sub/empty\n./sub/t wo\n"


def test_a_directory_comes_back_as_it_was_by_nothing_but_its_name(grid: Grid) -> None:
    made = grid.run(shell(TREE, outputs={"folder": glob("d", "Directory")}))
    assert made.code == 0, made.stderr
    assert local_tree(grid.desk.outdir / "d") == FOUND
    result = grid.run(SHOW, {"folder": remote("Directory", made.outputs["folder"]["location"])})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "said").read_text() == f".\n{FOUND}"


def test_an_empty_directory_is_a_dataset_too(grid: Grid) -> None:
    made = grid.run(shell("mkdir d", outputs={"folder": glob("d", "Directory")}))
    assert made.code == 0, made.stderr
    url = made.outputs["folder"]["location"]
    assert list(grid.client.list_files(grid.scope, url.rpartition("/")[2])) == []
    result = grid.run(SHOW, {"folder": remote("Directory", url)})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "said").read_text() == ".\n"


def test_a_literal_directory_comes_back_with_the_places_of_its_files(grid: Grid) -> None:
    put = {
        "cwlVersion": "v1.2", "class": "ExpressionTool", "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {"files": "File[]"}, "outputs": {"folder": "Directory"},
        "expression": """${ return {folder: {class: "Directory", basename: "lit", listing: [
            {class: "Directory", basename: "none", listing: []},
            {class: "Directory", basename: "sub", listing: inputs.files}]}}; }""",
    }  # fmt: skip
    document = workflow(
        {"words": "string[]"}, {"folder": {"type": "Directory", "outputSource": "put/folder"}},
        say=step(shell('printf "$0" > "$0"', inputs={"word": on_command_line("string")},
                       outputs={"said": glob("?")}), "said", scatter="word", word="words"),
        put=step(put, "folder", files="say/said"),
    )  # fmt: skip
    made = grid.run(document, {"words": list("ab")})
    assert made.code == 0, made.stderr
    assert local_tree(grid.desk.outdir / "lit") == "./none\n./sub\n./sub/a\n./sub/b\n"
    result = grid.run(SHOW, {"folder": remote("Directory", made.outputs["folder"]["location"])})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "said").read_text() == ".\n./none\n./sub\n./sub/a\n./sub/b\n"


def local_tree(folder: Path) -> str:
    return "".join(f"./{path.relative_to(folder)}\n" for path in sorted(folder.rglob("*")))


def test_between_steps_only_names_travel_and_bytes_lie_on_the_storage_element(grid: Grid) -> None:
    sort = tool("sort", inputs={"file": on_command_line("File")}, outputs={"sorted": "stdout"}, stdout="sorted")
    document = workflow(
        {"text": "string"}, {"result": {"type": "File", "outputSource": "sort/sorted"}},
        say=step(shell('printf "b\\na\\n$0" > said', inputs={"text": on_command_line("string")},
                       outputs={"said": glob("said")}), "said", text="text"),
        sort=step(sort, "sorted", file="say/said"),
    )  # fmt: skip
    result = grid.run(document, {"text": "c\n"}, "--no-download")
    assert result.code == 0, result.stderr
    assert grid.desk.listing() == []
    (url,) = [result.outputs["result"]["location"]]
    (replica,) = grid.client.list_replicas([{"scope": grid.scope, "name": url.rpartition("/")[2]}])
    (pfn,) = replica["pfns"]
    assert Path("/" + pfn.split("/", 3)[3]).read_text() == "a\nb\nc\n"


@pytest.mark.xrootd
def test_a_run_over_webdav(grid: Grid) -> None:
    document = workflow(
        {"words": "string[]"}, {"result": {"type": "File", "outputSource": "join/all"}},
        say=step(shell('printf "$0" > said', inputs={"word": on_command_line("string")},
                       outputs={"said": glob("said")}), "said", scatter="word", word="words"),
        join=step(CAT, "all", files="say/said"),
    )  # fmt: skip
    result = grid.run(document, {"words": list("abc")}, rse="CNAF-DAVS")
    assert result.code == 0, result.stderr
    assert Path(result.outputs["result"]["path"]).read_text() == "abc"


@pytest.mark.parametrize("form", ["rucio://{scope}/{name}", "rucio:{scope}:{name}", "{scope}:{name}"])
def test_a_did_may_be_written_in_several_ways(grid: Grid, form: str) -> None:
    name = grid.upload("x.txt", "x").rpartition("/")[2]
    result = grid.run(CAT, {"files": [remote("File", form.format(scope=grid.scope, name=name))]})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "all.txt").read_text() == "x"


def test_a_dataset_is_a_list_of_files(grid: Grid) -> None:
    dataset = grid.dataset("set", grid.upload("1", "a"), grid.upload("2", "b"))
    for inputs in ({"files": remote("File", dataset)}, {"files": [remote("File", dataset)]}):
        result = grid.run(CAT, inputs)
        assert result.code == 0, result.stderr
        assert (grid.desk.outdir / "all.txt").read_text() == "ab"


def test_a_container_of_datasets_is_a_list_of_lists_or_a_directory_of_directories(grid: Grid) -> None:
    one = grid.dataset("one", grid.upload("1", "a"), grid.upload("2", "b"))
    box = grid.container("box", one, grid.dataset("two", grid.upload("3", "c")))
    nested = {"type": {"type": "array", "items": {"type": "array", "items": "File"}}}
    count = shell(
        "true", inputs={"files": nested}, requirements={"InlineJavascriptRequirement": {}},
        outputs={"n": {"type": "int[]", "outputBinding": {"outputEval": "$(inputs.files.map(f => f.length))"}}},
    )  # fmt: skip
    result = grid.run(count, {"files": remote("File", box)})
    assert result.code == 0, result.stderr
    assert result.outputs == {"n": [2, 1]}
    tree = shell('cd "$0"; find -L . -type f | sort', inputs={"d": on_command_line("Directory")},
                 outputs={"said": "stdout"}, stdout="said")  # fmt: skip
    result = grid.run(tree, {"d": remote("Directory", box)})
    assert result.code == 0, result.stderr
    names = (grid.desk.outdir / "said").read_text().split()
    assert names == [f"./{grid.word}.one/{grid.word}.{n}" for n in "12"] + [f"./{grid.word}.two/{grid.word}.3"]


def test_a_pattern_is_resolved_once_and_the_resumed_run_sees_the_same_files(grid: Grid) -> None:
    grid.upload("p1.dat", "a")
    grid.upload("p2.dat", "b")
    grid.upload("p2.log", "no")
    (grid.desk.folder / "go").touch()
    gate = shell(
        'test ! -e "$0" && cat "${@}"', inputs={"gate": on_command_line("string"),
        "files": on_command_line("File[]", position=2)}, outputs={"all": "stdout"}, stdout="all.txt",
    )  # fmt: skip
    pattern = remote("File", f"rucio://{grid.scope}/{grid.word}.p*.dat?type=file&length.gt=0")
    result = grid.run(gate, {"gate": str(grid.desk.folder / "go"), "files": pattern})
    assert "exit code 1" in result.stderr, result.stderr
    grid.upload("p3.dat", "later")
    (grid.desk.folder / "go").unlink()
    again = gridcwl("resume", "last", "--quiet")
    assert again.code == 0, again.stderr
    assert (grid.desk.outdir / "all.txt").read_text() == "ab"


def test_secondary_files_are_found_next_to_the_did(grid: Grid) -> None:
    url = grid.upload("reads.bam", "bam")
    grid.upload("reads.bam.bai", "bai")
    kind = on_command_line("File", secondaryFiles=[".bai", {"pattern": ".crai", "required": False}])
    use = shell('cat "$0" "$0.bai"', inputs={"bam": kind | {"secondaryFiles": [".bai", ".crai?"]}},
                outputs={"said": "stdout"}, stdout="said")  # fmt: skip
    use["inputs"]["bam"]["inputBinding"].pop("secondaryFiles", None)
    result = grid.run(use, {"bam": remote("File", url)})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "said").read_text() == "bambai"


def test_contents_of_a_file_in_rucio_can_be_loaded(grid: Grid) -> None:
    url = grid.upload("number", "42")
    use = tool(
        "echo", inputs={"file": {"type": "File", "loadContents": True}}, arguments=["$(inputs.file.contents)"],
        outputs={"said": "stdout"}, stdout="said",
    )  # fmt: skip
    result = grid.run(use, {"file": remote("File", url)})
    assert result.code == 0, result.stderr
    assert (grid.desk.outdir / "said").read_text() == "42\n"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (("File", "rucio://user.runner/not.there.{word}"), "rucio://user.runner/not.there.{word} is not in Rucio"),
        (("File", "rucio://user.runner/{word}.none*"), "finds nothing in Rucio"),
        (("File", "rucio://nothing"), "is no DID"),
    ],
)
def test_what_is_not_there_is_reported_before_anything_runs(grid: Grid, entry: tuple[str, str], told: str) -> None:
    result = grid.run(CAT, {"files": [remote(entry[0], entry[1].format(word=grid.word))]})
    assert result.code == 1
    assert told.format(word=grid.word) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_dataset_where_one_file_is_wanted_is_refused(grid: Grid) -> None:
    one = tool("cat", inputs={"file": on_command_line("File")}, outputs={})
    result = grid.run(one, {"file": remote("File", grid.dataset("set", grid.upload("1", "a"), grid.upload("2", "b")))})
    assert result.code == 1
    assert "takes one File" in result.stderr
    assert "holds 2" in result.stderr


def test_without_the_store_a_did_is_refused_with_what_to_do(grid: Grid) -> None:
    path = grid.desk.write("doc.cwl", CAT)
    given = grid.desk.write("in.json", json.dumps({"files": [remote("File", "rucio://user.runner/x")]}))
    result = gridcwl("--quiet", "--no-container", path, given)
    assert result.code == 1
    assert "--store rucio" in result.stderr


def test_final_outputs_are_kept_by_rules_and_intermediate_files_are_not(grid: Grid) -> None:
    document = workflow(
        {}, {"result": {"type": "File", "outputSource": "join/all"}},
        say=step(shell("printf x > said", outputs={"said": glob("said")}), "said"),
        join=step(CAT, "all", files={"source": ["say/said"], "linkMerge": "merge_flattened"}),
    )  # fmt: skip
    target = f"{grid.scope}:{grid.word}.results"
    result = grid.run(document, {}, "--output-dataset", target, "--lifetime", "2")
    assert result.code == 0, result.stderr
    (rule,) = grid.client.list_did_rules(grid.scope, f"{grid.word}.results")
    assert rule["expires_at"] is not None
    shown = json.loads(gridcwl("data", "last", "--json").stdout)
    kinds = {one["did"].rpartition(".")[2]: (one["output"], bool(one["rules"])) for one in shown["datasets"]}
    assert kinds == {"said": (False, False), "all": (False, False), "results": (True, True)}
    assert shown["rules"][0]["expires_at"]
    gone = gridcwl("rm", "--data", "last")
    assert gone.code == 0, gone.stderr
    grid.rucio.run_daemons()
    names = {one["name"] for one in grid.client.list_files(grid.scope, f"{grid.word}.results")}
    (replica,) = grid.client.list_replicas([{"scope": grid.scope, "name": name} for name in names])
    assert replica["states"] == {"LYON-DISK": "AVAILABLE"}


def test_what_a_run_publishes_reports_which_job_made_it(grid: Grid) -> None:
    document = workflow(
        {"words": "string[]"}, {"result": {"type": "File", "outputSource": "join/all"}},
        say=step(shell('printf "$0" > said', inputs={"word": on_command_line("string")},
                       outputs={"said": glob("said")}), "said", scatter="word", word="words"),
        join=step(CAT, "all", files="say/said"),
    )  # fmt: skip
    result = grid.run(document, {"words": list("ab")})
    assert result.code == 0, result.stderr
    run = json.loads(gridcwl("status", "last", "--json").stdout)["run"]
    assert grid.metadata(f"{run}.run")["gridcwl_run"] == run
    scattered, joined = grid.metadata(f"{run}.say.said"), grid.metadata(f"{run}.join.all")
    assert (scattered["gridcwl_step"], scattered["gridcwl_output"], scattered["gridcwl_jobs"]) == ("say", "said", 2)
    assert scattered["gridcwl_tool"].startswith("sh -c")
    (name,) = [one["name"] for one in grid.client.list_files(grid.scope, f"{run}.join.all")]
    assert joined["gridcwl_key"] == grid.metadata(name)["gridcwl_key"]
    shards = [one["name"] for one in grid.client.list_files(grid.scope, f"{run}.say.said")]
    keys = sorted(bytes.fromhex(grid.metadata(shard)["gridcwl_key"]) for shard in shards)
    assert scattered["gridcwl_key"] == hashlib.sha256(b"".join(keys)).hexdigest()
    assert grid.metadata(f"{run}.outputs.result")["gridcwl_output"] == "result"
    found = grid.client.list_dids(grid.scope, [{"gridcwl_key": joined["gridcwl_key"]}], did_type="all")
    url = f"rucio://{grid.scope}/{run}*?type=file&gridcwl_key={joined['gridcwl_key']}"
    again = grid.run(CAT, {"files": remote("File", url)})
    assert again.code == 0, again.stderr
    assert (grid.desk.outdir / "all.txt").read_text() == "ab"
    assert set(found) >= {name, f"{run}.join.all"}  # and whatever other runs have made by the same key


@pytest.mark.docker
def test_the_image_that_a_dataset_names_is_the_one_that_ran(grid: Grid) -> None:
    hello = shell("printf x > a", outputs={"a": glob("a")}, requirements={"DockerRequirement": {"dockerPull": IMAGE}})
    result = grid.run(hello, {}, container=True)
    assert result.code == 0, result.stderr
    run = json.loads(gridcwl("status", "last", "--json").stdout)["run"]
    (dataset,) = [name for name in grid.client.list_dids(grid.scope, [{"name": f"{run}.*.a"}])
                  if ".outputs." not in name]  # fmt: skip
    known = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, text=True, check=True)
    (image,) = json.loads(known.stdout)
    assert grid.metadata(dataset)["gridcwl_image"] == IMAGE
    assert grid.metadata(dataset)["gridcwl_image_digest"] in [image["Id"], *image["RepoDigests"]]


def test_what_a_failed_run_has_come_to_is_shown_and_not_kept_for_ever(grid: Grid) -> None:
    document = workflow(
        {}, {"good": {"type": "File", "outputSource": "good/a"}, "bad": {"type": "File", "outputSource": "bad/a"}},
        good=step(shell("printf x > a", outputs={"a": glob("a")}), "a"),
        bad=step(shell("exit 3", outputs={"a": glob("a")}), "a"),
    )  # fmt: skip
    result = grid.run(document, {}, "--on-error", "continue")
    assert result.code == 1
    assert result.outputs["good"]["location"].startswith("rucio://")
    result = grid.run(document, {}, "--on-error", "continue", "--publish-partial")
    assert Path(result.outputs["good"]["path"]).read_text() == "x"
    assert Path(result.outputs["good"]["path"]).parent.name.startswith("partial-")
    shown = json.loads(gridcwl("data", "last", "--json").stdout)
    assert not any(one["output"] or one["rules"] for one in shown["datasets"])


def test_what_a_run_publishes_is_listed_and_downloaded_by_rucios_own_command(grid: Grid) -> None:
    result = grid.run(shell("printf hello > a.txt", outputs={"a": glob("a.txt")}))
    name = result.outputs["a"]["location"].rpartition("/")[2]
    command = Path(sys.executable).with_name("rucio")
    ended = subprocess.run(
        [command, "download", f"{grid.scope}:{name}", "--dir", str(grid.desk.folder / "down")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (grid.desk.folder / "down" / grid.scope / name).read_text() == "hello"
    listed = subprocess.run(
        [command, "did", "list", f"{grid.scope}:{name}", "--filter", "type=all"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    assert f"{grid.scope}:{name}" in listed.stdout


def test_where_no_element_can_be_used_each_reason_is_reported(grid: Grid) -> None:
    result = grid.run(shell("true"), rse="NO-SUCH-RSE")
    assert result.code == 1
    assert "Traceback" not in result.stderr
    assert "rse" in result.stderr.lower()


def test_a_scope_that_there_is_not_is_reported_before_any_job_runs(grid: Grid) -> None:
    ran = grid.desk.folder / "ran"
    result = grid.run(
        shell(f"touch {ran}; printf x > a", outputs={"a": glob("a")}), {}, "--rucio-scope", "no.such.scope"
    )
    assert result.code == 1
    assert "no scope no.such.scope" in result.stderr
    assert "--rucio-scope" in result.stderr
    assert not ran.exists()
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "options", [("--rucio-scope", "user.runner"), ("--output-dataset", "user.runner:mine")], ids=lambda words: words[0]
)
@pytest.mark.usefixtures("as_alice")
def test_a_scope_of_somebody_else_is_reported_before_any_job_runs(grid: Grid, options: tuple[str, str]) -> None:
    ran = grid.desk.folder / "ran"
    result = grid.run(shell(f"touch {ran}; printf x > a", outputs={"a": glob("a")}), {}, *options, rse="ORSAY_USERDISK")
    assert result.code == 1
    assert "may not write to the scope" in result.stderr
    assert "user.runner" in result.stderr
    assert not ran.exists()
