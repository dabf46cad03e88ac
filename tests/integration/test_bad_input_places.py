"""What the machine lacks: an engine, an image, node, room on a disk, a place for outputs; nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import ECHO, Desk, expression, glob, shell, tool

from gridcwl.cwl.javascript import NodeEngine

IN_DEBIAN = tool("true", requirements={"DockerRequirement": {"dockerPull": "debian:trixie-slim"}})


def one_error(result: CommandResult, *words: str) -> None:
    """It failed, with one error that holds these words."""
    assert result.code == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == []
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with nothing but sh and echo: no node, also none that is still there, and no container engine."""
    NodeEngine().forget()
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "echo"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_docker_engine_that_does_not_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{desk.folder}/nothing.sock")
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", IN_DEBIAN))
    one_error(result, "No Docker engine answers at unix://", "nothing.sock", "--podman", "--no-container")


@pytest.mark.usefixtures("bare_path")
@pytest.mark.parametrize("engine", ["podman", "singularity", "udocker"])
def test_an_engine_that_is_not_installed(desk: Desk, engine: str) -> None:
    result = gridcwl(f"--{engine}", "--outdir=outputs", desk.write("t.cwl", IN_DEBIAN))
    one_error(result, f"The container engine {engine} is not installed", "choose another engine")


@pytest.mark.docker
def test_an_image_that_nobody_has(desk: Desk) -> None:
    lost = tool("true", requirements={"DockerRequirement": {"dockerPull": "localhost:1/nobody/has:this"}})
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", lost))
    one_error(result, "The image localhost:1/nobody/has:this", "DockerRequirement", "build or load the image")


@pytest.mark.usefixtures("bare_path")
def test_javascript_without_node_reports_that_node_is_needed(desk: Desk) -> None:
    result = gridcwl(desk.write("t.cwl", expression("$({o: 1 + 1})", {}, {"o": "int"})))
    one_error(result, "node, which evaluates them, is not in PATH", "Install Node.js")


@pytest.mark.usefixtures("bare_path")
def test_a_document_without_javascript_needs_no_node(desk: Desk) -> None:
    plain = ECHO | {"arguments": ["$(runtime.cores)"], "requirements": {"InlineJavascriptRequirement": {}}}
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", plain), "--text=x")
    assert result.code == 0, result.stderr


def test_a_full_disk_under_the_outputs_leaves_nothing_there_and_no_job_runs_twice(desk: Desk, small_disk: Path) -> None:
    script = f"head -c 3000000 /dev/zero; echo ran >> {desk.folder}/ran"
    result = gridcwl(
        f"--outdir={small_disk}/deep/outputs",
        desk.write("t.cwl", shell(script, outputs={"o": "stdout"}, stdout="large")),
    )
    one_error(result, "No space is left in", "Free some space", "finished jobs do not run again")
    assert list(small_disk.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    run = result.stderr.partition("gridcwl resume ")[2].split()[0]
    again = gridcwl("resume", run)
    assert (again.code, again.outputs["o"]["size"]) == (0, 3_000_000), again.stderr
    assert (desk.folder / "ran").read_text() == "ran\n"


def test_a_full_disk_under_the_jobs_is_reported(desk: Desk, small_disk: Path) -> None:
    large = shell("head -c 3000000 /dev/zero", outputs={"o": "stdout"}, stdout="large")
    result = gridcwl("--outdir=outputs", f"--tmpdir-prefix={small_disk}/run-", desk.write("t.cwl", large))
    one_error(result, "t.cwl failed", f"The disk that holds {small_disk}/run-", "is full")


def test_a_working_folder_that_cannot_be_made(desk: Desk) -> None:
    result = gridcwl("--tmpdir-prefix=/nowhere/at/all/x", desk.write("t.cwl", ECHO), "--text=x")
    one_error(result, "No working folder can be made in /nowhere/at/all", "--tmpdir-prefix")


@pytest.mark.parametrize("outdir", ["taken", "taken/below"])
def test_an_outdir_that_is_a_file_is_refused_before_anything_runs(desk: Desk, outdir: str) -> None:
    desk.write("taken", "mine")
    result = gridcwl(f"--outdir={outdir}", desk.write("t.cwl", shell(f"touch {desk.folder}/ran")))
    one_error(result, "taken is a file, not a directory", "--outdir")
    assert not (desk.folder / "ran").exists()
    assert (desk.folder / "taken").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_outdir_that_may_not_be_written_to(desk: Desk) -> None:
    desk.outdir.mkdir(mode=0o500)
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", ECHO), "--text=x")
    one_error(result, "outputs may not be written to", "--outdir")


def test_a_folder_in_the_way_of_a_file(desk: Desk) -> None:
    desk.write("outputs/said.txt/mine", "mine")
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", ECHO), "--text=x")
    one_error(result, "outputs/said.txt cannot be put in place", "a directory of that name")
    assert desk.listing() == ["said.txt", "said.txt/mine"]


def test_a_file_in_the_way_of_a_folder(desk: Desk) -> None:
    desk.write("outputs/d", "mine")
    makes = shell(
        f"touch {desk.folder}/ran; mkdir d; touch d/x a", outputs={"a": glob("a"), "d": glob("d", "Directory")}
    )
    result = gridcwl("--outdir=outputs", desk.write("t.cwl", makes))
    one_error(result, "outputs/d cannot be put in place", "a file of that name")
    assert "--overwrite" not in result.stderr
    assert desk.listing() == ["d"]
    assert not (desk.folder / "ran").exists()


def test_an_output_never_takes_the_place_of_an_input(desk: Desk) -> None:
    desk.write("data", "mine")
    made = shell("echo other", inputs={"f": "File"}, outputs={"o": "stdout"}, stdout="data")
    result = gridcwl(desk.write("t.cwl", made), "--f=data")
    one_error(result, "one of the run's inputs has that name")
    assert (desk.folder / "data").read_text() == "mine"
