"""cwltool's options for containers do with docker what they do there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, shell

from gridcwl.worker.cli_vectors import Cli, vector
from gridcwl.worker.engine import Call, ContainerSettings, EngineError

IMAGE = "debian:stable-slim"


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def run(desk: Desk, script: str, *words: str, network: bool = False) -> CommandResult:
    """Run a line of shell in a container; what it prints is the output."""
    needs = {"DockerRequirement": {"dockerPull": IMAGE}, "NetworkAccess": {"networkAccess": network}}
    document = desk.write("t.cwl", shell(script, outputs={"o": "stdout"}, stdout="o.txt", requirements=needs))
    return gridcwl("--outdir", str(desk.outdir), *words, document)


def printed(desk: Desk, script: str, *words: str, network: bool = False) -> str:
    result = run(desk, script, *words, network=network)
    assert result.code == 0, result.stderr
    return (desk.outdir / "o.txt").read_text().strip()


@pytest.mark.docker
def test_the_image_can_be_written_to_and_its_user_kept(desk: Desk) -> None:
    script = "touch /etc/x 2>/dev/null && echo written || echo refused"
    assert printed(desk, script) == "refused"
    assert printed(desk, script, "--no-read-only", "--no-match-user", "--cap-add", "DAC_OVERRIDE") == "written"


@pytest.mark.docker
def test_containers_use_the_network_that_is_named(desk: Desk) -> None:
    script = "ls /sys/class/net | wc -l"
    assert printed(desk, script, "--custom-net=none", network=True) == printed(desk, script)


@pytest.mark.docker
def test_containers_stay_with_their_ids_in_files(desk: Desk) -> None:
    ids = desk.folder / "ids"
    ids.mkdir()
    assert printed(desk, "echo x", "--leave-container", "--cidfile-dir", str(ids), "--cidfile-prefix=pre") == "x"
    (file,) = ids.iterdir()
    assert file.name.startswith("pre-")
    try:
        assert docker("inspect", "--format={{.State.Status}}", file.read_text()).strip() == "exited"
    finally:
        docker("rm", "--force", file.read_text())
    assert printed(desk, "echo x", "--record-container-id") == "x"
    (file,) = desk.folder.glob("*.cid")
    assert file.read_text() not in docker("ps", "--all", "--no-trunc", "--format={{.ID}}")


@pytest.mark.docker
def test_pulls_can_be_forbidden_and_forced(desk: Desk) -> None:
    assert printed(desk, "echo x", "--disable-pull") == "x"
    missing = shell("true", requirements={"DockerRequirement": {"dockerPull": "gridcwl.invalid/none:1"}})
    result = gridcwl("--disable-pull", desk.write("m.cwl", missing))
    assert result.code == 1
    assert (
        "The image gridcwl.invalid/none:1 is not on this machine, and --disable-pull forbids to get it" in result.stderr
    )
    docker("tag", IMAGE, "gridcwl.invalid/here:1")
    try:
        here = shell("true", requirements={"DockerRequirement": {"dockerPull": "gridcwl.invalid/here:1"}})
        assert gridcwl(desk.write("h.cwl", here)).code == 0
        assert gridcwl("--force-docker-pull", desk.write("h.cwl", here)).code == 1
    finally:
        docker("rmi", "gridcwl.invalid/here:1")


def words_of(kind: str, settings: ContainerSettings, *, network: bool = True) -> list[str]:
    call = Call("c", ("true",), {}, "/w", "o", "e", image="i", network=network)
    return vector(Cli(kind, kind, 1000, 1000, settings=settings), call)


def test_command_line_engines_get_the_same(tmp_path: Path) -> None:
    settings = ContainerSettings(
        network="mine", match_user=False, read_only=False, remove=False, id_folder=str(tmp_path), id_prefix="p"
    )
    words = words_of("podman", settings)
    assert "--network=mine" in words
    assert any(word.startswith(f"--cidfile={tmp_path}/p-") for word in words)
    assert not {"--read-only", "--rm", "--user=1000:1000"} & set(words)
    assert "--network=none" in words_of("podman", settings, network=False)
    apptainer = words_of("apptainer", settings)
    assert apptainer[apptainer.index("--network") + 1] == "mine"


def test_unpacked_images_and_forbidden_pulls_of_apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gridcwl.worker.cli_engines import CommandLineEngine

    monkeypatch.delenv("CWL_SINGULARITY_IMAGES", raising=False)
    program = tmp_path / "apptainer"
    program.write_text("#!/bin/sh\necho apptainer version 1.3.0\n")
    program.chmod(0o755)
    (tmp_path / "images" / "debian").mkdir(parents=True)
    settings = ContainerSettings(sandboxes=str(tmp_path / "images"), pull="never")
    engine = CommandLineEngine("apptainer", str(program), cache=str(tmp_path / "cache"), settings=settings)
    assert engine.prepare({"pull": "debian"}) == str(tmp_path / "images" / "debian")
    with pytest.raises(EngineError, match="--disable-pull"):
        engine.prepare({"pull": "other"})


def test_another_udocker_is_used(desk: Desk) -> None:
    result = run(desk, "true", "--user-space-docker-cmd", "/nowhere/udocker")
    assert result.code == 1
    assert "The container engine /nowhere/udocker is not installed" in result.stderr
