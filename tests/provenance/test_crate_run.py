"""Crates that are run, verified and compared: ``gridcwl CRATE``, ``--provenance``, ``verify``, ``rerun --check``."""

from __future__ import annotations

import asyncio
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, two_steps, workflow
from everything import write_everything
from rocrate_tools import graph_of

import gridcwl as api
from gridcwl.errors import LimitExceeded, UnsafePath
from gridcwl.model.limits import OUTPUT_OBJECT_BYTES
from gridcwl.runs.provenance.reading import open_crate, outputs_of

LOCAL = ("--quiet", "--no-container", "--outdir", "out")
SAID = {"inputs": {"text": on_command_line("string")}, "outputs": {"said": "stdout"}, "stdout": "said.txt"}


@pytest.fixture
def said(desk: Desk) -> Path:
    """The crate of a run that says hello."""
    desk.write("wf.cwl", tool("echo", **SAID))
    desk.write("in.json", '{"text": "hello"}')
    assert gridcwl(*LOCAL, "wf.cwl", "in.json").code == 0
    assert gridcwl("export", "last", "crate").code == 0
    return desk.folder / "crate"


def test_a_run_with_provenance_leaves_a_crate_with_intermediate_files_and_removes_its_working_folder(desk: Desk):
    desk.write("wf.cwl", two_steps("echo one > made"))
    ended = gridcwl(*LOCAL, "--provenance", "crate", "--full-name", "Ada Lovelace", "wf.cwl")
    assert ended.code == 0, ended.stderr
    crate = desk.folder / "crate"
    assert (crate / "data/first/made").read_text() == "one\n"
    assert (crate / "data/second/said.txt").read_text() == "one\n"
    assert graph_of(crate)["#agent"]["name"] == "Ada Lovelace"
    assert list(Path(os.environ["TMPDIR"]).rglob("made")) == []


def test_a_failed_run_with_provenance_leaves_a_crate_that_the_resumed_run_replaces(desk: Desk):
    desk.write("wf.cwl", shell('test -e "$0" && echo done > made', inputs={"gate": on_command_line("string")},
                               outputs={"made": glob("made")}))  # fmt: skip
    desk.write("in.json", json.dumps({"gate": str(desk.folder / "gate")}))
    assert gridcwl(*LOCAL, "--provenance", "crate", "wf.cwl", "in.json").code == 1
    assert graph_of(desk.folder / "crate")["#action"]["actionStatus"].endswith("FailedActionStatus")
    (desk.folder / "gate").touch()
    assert gridcwl("resume", "last").code == 0
    assert graph_of(desk.folder / "crate")["#action"]["actionStatus"].endswith("CompletedActionStatus")


def test_a_crate_is_not_written_over_something_else_and_no_job_runs_then(desk: Desk):
    desk.write("wf.cwl", shell("echo ran > made", outputs={"made": glob("made")}))
    desk.write("full/precious", "x")
    ended = gridcwl(*LOCAL, "--provenance", "full", "wf.cwl")
    assert ended.code == 1
    assert "not an empty folder" in ended.stderr
    assert not (desk.folder / "out").exists()


@pytest.mark.parametrize("form", ["crate", "crate.zip"])
def test_a_crate_is_a_document_that_runs_as_it_ran_or_with_other_inputs(desk: Desk, said: Path, form: str):
    if form == "crate.zip":
        assert gridcwl("export", "last", form).code == 0
    ended = gridcwl("--quiet", "--no-container", "--outdir", "again", form)
    assert ended.code == 0, ended.stderr
    assert (desk.folder / "again/said.txt").read_text() == "hello\n"
    assert gridcwl("--quiet", "--no-container", "--outdir", "other", form, "--text", "bye").code == 0
    assert (desk.folder / "other/said.txt").read_text() == "bye\n"


def test_a_crate_with_one_of_everything_gives_the_same_outputs(desk: Desk):
    write_everything(desk)
    assert gridcwl(*LOCAL, "--provenance", "crate.zip", "wf.cwl", "in.json").code == 0
    for name in ("wf.cwl", "sub.cwl", "join.sh", "in.json", "b.txt", "indexed.fa"):
        (desk.folder / name).unlink()
    ended = gridcwl("rerun", "crate.zip", "--check", "--no-container", "--json", "--quiet")
    assert ended.code == 0, ended.stderr + ended.stdout
    states = {one["output"]: one["state"] for one in ended.outputs["outputs"]}
    assert set(states.values()) == {"identical"}
    assert {"all", "counts[2]", "kept/tree/one/two.txt", "fasta_out/out.fa.fai", "doubled"} <= states.keys()


def test_a_crate_runs_from_python(desk: Desk, said: Path):
    async def main() -> Any:
        async with api.Client(engine="none") as client:
            return await (await client.submit(said, outdir="python")).result()

    assert Path(asyncio.run(main())["said"]).read_text() == "hello\n"


def test_a_run_is_exported_and_a_file_is_followed_back_from_python(desk: Desk):
    desk.write("wf.cwl", tool("echo", **SAID))
    run = api.run("wf.cwl", {"text": "hello"}, engine="none", outdir="out")
    assert run.outputs["said"]
    assert run.export("crate", api.CrateOptions(full_name="Ada Lovelace")) == desk.folder / "crate"
    assert graph_of(desk.folder / "crate")["#agent"]["name"] == "Ada Lovelace"

    async def main() -> api.Lineage:
        async with api.Client() as client:
            return await client.lineage("out/said.txt")

    found = asyncio.run(main())
    assert [one.run for one in found.activities.values()] == [run.id]


def test_a_crate_of_a_run_with_a_secret_asks_for_it_and_takes_single_inputs_as_options(desk: Desk):
    inputs = {"key": on_command_line("string", position=1), "word": on_command_line("string", position=2)}
    script = shell('echo "${#0} $1" > made', inputs=inputs, outputs={"made": glob("made")})
    script["hints"] = {"cwltool:Secrets": {"secrets": ["key"]}}
    script["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
    desk.write("wf.cwl", script)
    desk.write("in.json", '{"key": "swordfish", "word": "x"}')
    assert gridcwl(*LOCAL, "--outdir", "out", "--provenance", "crate", "wf.cwl", "in.json").code == 0
    ended = gridcwl(*LOCAL, "--outdir", "again", "crate")
    assert ended.code == 1
    assert "The crate crate does not have the secret value of key" in ended.stderr
    assert "Give it: gridcwl crate --key VALUE" in ended.stderr
    assert gridcwl(*LOCAL, "--outdir", "again", "crate", "--key", "swordfish").code == 0
    assert (desk.folder / "again/made").read_text() == "9 x\n"
    assert gridcwl(*LOCAL, "--outdir", "other", "crate", "--key=eel", "--word", "y").code == 0
    assert (desk.folder / "other/made").read_text() == "3 y\n"


def test_a_crate_without_an_input_object_runs_with_the_inputs_of_its_action(desk: Desk):
    write_everything(desk)
    assert gridcwl(*LOCAL, "--provenance", "crate", "wf.cwl", "in.json").code == 0
    crate = desk.folder / "crate"
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text())
    metadata["@graph"] = [one for one in metadata["@graph"] if not one["@id"].startswith("primary-")]
    (crate / "ro-crate-metadata.json").write_text(json.dumps(metadata))
    (crate / "primary-job.json").unlink()
    ended = gridcwl("--quiet", "--no-container", "--outdir", "again", "crate")
    assert ended.code == 0, ended.stderr
    for name in ("all joined.txt", "kept/tree/one/two.txt", "out.fa.fai"):
        assert (desk.folder / "again" / name).read_bytes() == (desk.folder / "out" / name).read_bytes()


@pytest.mark.parametrize("name", ["../escaped", "/absolute", "a/../../escaped"])
def test_an_archive_whose_names_lead_out_of_it_is_refused(desk: Desk, name: str):
    with zipfile.ZipFile("bad.zip", "w") as archive:
        archive.writestr("ro-crate-metadata.json", '{"@graph": []}')
        archive.writestr(name, "x")
    with pytest.raises(UnsafePath):
        open_crate(Path("bad.zip"), desk.folder / "cache")
    assert not list(desk.folder.rglob("escaped"))


def test_an_archive_that_is_a_bomb_is_refused(desk: Desk):
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ro-crate-metadata.json", '{"@graph": []}')
        for info in archive.infolist():
            info.file_size = 1 << 50
    ended = gridcwl("bomb.zip")
    assert ended.code == 1
    assert "is refused" in ended.stderr
    assert "internal error" not in ended.stderr


@pytest.mark.parametrize("location", ["../../secret", "/etc/hostname"])
def test_a_document_that_lies_outside_of_its_crate_is_refused(desk: Desk, location: str):
    workflow_ = {"@id": location, "@type": ["File", "ComputationalWorkflow"], "programmingLanguage": {"@id": "#cwl"}}
    root = {"@id": "./", "@type": "Dataset", "mainEntity": {"@id": location}}
    desk.write("crate/ro-crate-metadata.json", json.dumps({"@graph": [root, workflow_]}))
    ended = gridcwl("crate")
    assert ended.code == 1
    assert "internal error" not in ended.stderr


def test_verify_finds_what_was_damaged_and_what_is_missing(desk: Desk, said: Path):
    assert gridcwl("verify", "crate").code == 0
    file = said / "data/wf.cwl/said.txt"
    file.write_text("HELLO\n")
    ended = gridcwl("verify", "crate")
    assert ended.code == 1
    assert "damaged" in ended.stdout
    assert "its sha1 checksum is" in ended.stdout
    file.unlink()
    ended = gridcwl("verify", "crate", "--json")
    assert ended.code == 1
    assert ended.outputs["counts"]["missing"] == 1


def test_verify_reads_files_that_a_crate_refers_to(desk: Desk):
    write_everything(desk)
    assert gridcwl(*LOCAL, "--provenance", "crate", "--data", "reference", "wf.cwl", "in.json").code == 0
    assert gridcwl("verify", "crate").code == 0
    desk.write("b.txt", "Wonderful\n")
    ended = gridcwl("verify", "crate")
    assert ended.code == 1
    assert "b.txt" in ended.stdout


def test_verify_reports_what_is_no_crate(desk: Desk):
    desk.write("other/file", "x")
    assert "is no RO-Crate" in gridcwl("verify", "other").stderr
    desk.write("other.zip", "not a zip")
    assert "The crate other.zip cannot be read: it is not a .zip archive" in gridcwl("verify", "other.zip").stderr
    missing = gridcwl("verify", "nowhere").stderr
    assert "The crate nowhere cannot be read: No such file or directory" in missing
    assert "Errno" not in missing


def test_a_run_that_gives_the_same_outputs_again_is_reproducible(desk: Desk, said: Path):
    ended = gridcwl("rerun", "last", "--check", "--quiet")
    assert ended.code == 0, ended.stderr
    assert "identical" in ended.stdout


def test_a_run_that_gives_other_outputs_names_the_jobs_where_they_began_to_differ(desk: Desk):
    desk.write("wf.cwl", two_steps("head -c 9 /dev/urandom | od -An -tx1 > drawn", "draw", "count", "drawn"))
    assert gridcwl(*LOCAL, "--cachedir", "cache", "wf.cwl").code == 0
    ended = gridcwl("rerun", "last", "--check", "--quiet", "--json")
    assert ended.code == 1
    assert [(one["output"], one["state"]) for one in ended.outputs["outputs"]] == [("said", "different")]
    assert ended.outputs["unstable_jobs"] == ["draw"]


def test_a_run_is_run_again_as_it_was_when_its_document_was_edited_since(desk: Desk):
    desk.write("wf.cwl", tool("echo", **SAID))
    desk.write("in.json", '{"text": "hello"}')
    assert gridcwl(*LOCAL, "wf.cwl", "in.json").code == 0
    desk.write("wf.cwl", tool("printf", **SAID))
    desk.write("in.json", '{"text": "bye"}')
    ended = gridcwl("rerun", "last", "--check", "--quiet")
    assert ended.code == 0, ended.stderr + ended.stdout
    assert "edited since" in ended.stderr


def test_an_output_object_that_is_too_large_is_not_read(tmp_path: Path):
    described = {"@id": "out.json", "@type": "File", "name": "output object document"}
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps({"@graph": [described]}))
    (tmp_path / "out.json").touch()
    os.truncate(tmp_path / "out.json", OUTPUT_OBJECT_BYTES + 1)
    with pytest.raises(LimitExceeded):
        outputs_of(open_crate(tmp_path, tmp_path))


@pytest.mark.parametrize("process", ["count", "apart", "inner"])
def test_a_crate_of_a_single_process_is_of_what_the_step_runs_and_runs_again(desk: Desk, process: str):
    counted = shell("", inputs={"word": "string"}, outputs={"made": glob("made")})
    counted["baseCommand"] = ["sh", "-c"]
    counted["arguments"] = [
        "echo ${ return inputs.word.length; } > made"
    ]  # JavaScript is declared by the workflow only
    inner = workflow(
        {"word": "string"}, {"made": {"type": "File", "outputSource": "count/made"}},
        count=step(counted, "made", word="word"),
    )  # fmt: skip
    apart = shell('echo "$0" > made', inputs={"word": on_command_line("string")}, outputs={"made": glob("made")})
    desk.write("apart.cwl", apart)
    outer = workflow(
        {"words": "string[]"}, {"made": {"type": "File[]", "outputSource": "inner/made"}},
        inner=step(inner, "made", scatter="word", word="words"),
        count=step(counted, "made", scatter="word", word="words"),
        apart=step("apart.cwl", "made", scatter="word", word="words"),
    )  # fmt: skip
    desk.write("wf.cwl", outer)
    run = ("--single-process", process, "--provenance", "crate", "wf.cwl", "--word", "hello")
    assert gridcwl(*LOCAL, *run).code == 0
    made = (desk.folder / "out/made").read_text()
    assert "_:" not in (desk.folder / "crate/ro-crate-metadata.json").read_text()
    again = gridcwl("--quiet", "--no-container", "--outdir", "again", "crate")
    assert again.code == 0, again.stderr
    assert (desk.folder / "again/made").read_text() == made
    assert gridcwl("rerun", "crate", "--check", "--quiet").code == 0
    nested = gridcwl(*LOCAL, "--single-process", "inner/count", "wf.cwl", "--word", "hello")
    assert "inner/count is a step of a sub-workflow" in nested.stderr


@pytest.mark.parametrize(
    ("part", "ran", "inputs"),
    [
        (("--single-step", "count"), ["count"], {"word": ["one", "three"]}),
        (("--target", "lengths"), ["count"], {"words": ["one", "three"]}),
        (("--target", "sum"), ["sum"], {"count_made": "file"}),
    ],
)
def test_a_crate_of_a_part_of_a_workflow_is_of_that_part_and_runs_again(
    desk: Desk, part: tuple[str, str], ran: list[str], inputs: dict[str, Any]
):
    counted = shell("", inputs={"word": "string"}, outputs={"made": glob("made")})
    counted["baseCommand"], counted["arguments"] = ["sh", "-c"], ["echo ${ return inputs.word.length; } > made"]
    desk.write("count.cwl", counted | {"requirements": {"InlineJavascriptRequirement": {}}})
    drawn = shell('echo "$0" > made', inputs={"word": on_command_line("string")}, outputs={"made": glob("made")})
    read = tool("cat", inputs={"file": on_command_line("File")}, outputs={"said": "stdout"}, stdout="said")
    outer = workflow(
        {"words": "string[]"},
        {"lengths": {"type": "File[]", "outputSource": "count/made"},
         "sums": {"type": "File[]", "outputSource": "sum/said"}},
        draw=step(drawn, "made", scatter="word", word="words"),
        count=step("count.cwl", "made", scatter="word", word={"source": "words", "valueFrom": "$(self)"}),
        sum=step(read, "said", scatter="file", file="count/made"),
    )  # fmt: skip
    desk.write("wf.cwl", outer)
    desk.write("file", "3")
    given = {name: [{"class": "File", "path": "file"}] if value == "file" else value for name, value in inputs.items()}
    desk.write("in.json", json.dumps(given))
    first = gridcwl(*LOCAL, *part, "--provenance", "crate", "wf.cwl", "in.json")
    assert first.code == 0, first.stderr
    steps = {one["name"] for one in graph_of(desk.folder / "crate").values() if one["@type"] == "HowToStep"}
    assert steps == set(ran)
    again = gridcwl("--quiet", "--no-container", "--outdir", "again", "crate")
    assert again.code == 0, again.stderr
    assert again.outputs.keys() == first.outputs.keys()
    assert gridcwl("rerun", "crate", "--check", "--quiet").code == 0
