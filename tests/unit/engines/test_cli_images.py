"""How images are got, engine by engine, and what is done with what apptainer keeps. No engine is run here."""

import json
from pathlib import Path

import pytest
from engines_builders import a_cli

from gridcwl.worker.cli_engines import CommandLineEngine, find_engine
from gridcwl.worker.cli_images import digest_in, found, look_vector, prepare_vectors
from gridcwl.worker.engine import EngineError
from gridcwl.worker.image_source import DOCKERFILE_LABEL, digest_of


def argvs(kind, image, name="x:1", destination="/cache/x.sif"):
    return [list(step.argv) for step in prepare_vectors(a_cli(kind), image, name, destination)]


@pytest.mark.parametrize(
    ("kind", "vectors"),
    [
        ("docker", [["docker", "pull", "x:1"]]),
        ("podman", [["podman", "pull", "docker.io/library/x:1"]]),
        ("apptainer", [["apptainer", "--quiet", "pull", "--force", "/cache/x.sif", "docker://x:1"]]),
        ("udocker", [["udocker", "pull", "x:1"]]),
    ],
)
def test_pull(kind, vectors):
    assert argvs(kind, {"pull": "x:1"}) == vectors


def test_what_is_pulled_bears_the_id_that_the_document_gives_it():
    assert argvs("docker", {"pull": "y:2"})[1] == ["docker", "tag", "y:2", "x:1"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_archives_are_fed_to_stdin(kind):
    (load,) = prepare_vectors(a_cli(kind), {"load": "http://host/i.tar"}, "x:1")
    assert (load.argv, load.archive) == ((kind, "load"), "http://host/i.tar")
    (rootfs,) = prepare_vectors(a_cli(kind), {"rootfs": "/r.tar"}, "x:1")
    assert (rootfs.argv, rootfs.archive) == ((kind, "import", "-", "x:1"), "/r.tar")


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_dockerfile_is_built_with_its_digest_on_it(kind):
    (build,) = prepare_vectors(a_cli(kind), {"file": "FROM x\n"}, "x:1")
    assert build.text == "FROM x\n"
    assert f"--label={DOCKERFILE_LABEL}={digest_of(build.text)}" in build.argv
    assert build.argv[-1] == "-"


@pytest.mark.parametrize(
    ("kind", "vectors"),
    [
        ("apptainer", [["apptainer", "--quiet", "build", "--force", "/cache/x.sif", "docker-archive:/i.tar"]]),
        ("udocker", [["udocker", "load", "-i", "/i.tar"]]),
    ],
)
def test_load_vector_only_not_run_here(kind, vectors):
    assert argvs(kind, {"load": "file:///i.tar"}) == vectors


def test_udocker_imports_vector_only_not_run_here():
    assert argvs("udocker", {"rootfs": "/r.tar"}) == [["udocker", "import", "/r.tar", "x:1"]]
    assert look_vector(a_cli("udocker", uid=0), "x:1") == ["udocker", "--allow-root", "inspect", "x:1"]


@pytest.mark.parametrize(
    ("kind", "image", "word"),
    [
        ("apptainer", {"file": "FROM x"}, "dockerFile"),
        ("apptainer", {"rootfs": "/r.tar"}, "dockerImport"),
        ("apptainer", {"load": "http://host/i.tar"}, "download"),
        ("udocker", {"file": "FROM x"}, "Dockerfile"),
        ("docker", {}, "has no source"),
        ("apptainer", {}, "has no source"),
        ("udocker", {}, "has no source"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(kind, image, word):
    with pytest.raises(EngineError, match=word):
        prepare_vectors(a_cli(kind), image, "x:1", "/cache/x.sif")


def test_the_digest_is_the_registrys_and_the_images_id_where_no_registry_has_it():
    assert digest_in('["debian@sha256:2","x/debian@sha256:2"]\n', "sha256:1") == "debian@sha256:2"
    for printed in ("[]\n", "null\n", "Error: no such image\n"):
        assert digest_in(printed, "sha256:1") == "sha256:1"


def test_an_image_built_from_another_text_is_not_the_one():
    def printed(labels):
        return f"sha256:1 {json.dumps(labels)}\n"

    assert found(printed({DOCKERFILE_LABEL: digest_of("FROM x")}), "FROM x") == "sha256:1"
    assert found(printed({DOCKERFILE_LABEL: digest_of("FROM y")}), "FROM x") is None
    assert found(printed({DOCKERFILE_LABEL: digest_of("FROM y")}), None) == "sha256:1"
    assert found(printed(None), "FROM x") == "sha256:1"


@pytest.fixture
def apptainer(tmp_path, monkeypatch):
    """A stand-in that notes how it was called, and makes the file that ``pull`` would make."""
    program = tmp_path / "apptainer"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/calls\n'
        'case "$*" in\n'
        '--version) echo "apptainer version 1.3.0" ;;\n'
        "*invalid*) echo 'FATAL:   no such image' >&2; exit 255 ;;\n"
        '*pull*) echo image > "$4" ;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.delenv("CWL_SINGULARITY_IMAGES", raising=False)
    return CommandLineEngine("apptainer", str(program), cache=str(tmp_path / "cache"))


def test_apptainers_image_is_pulled_into_the_cache_once_stand_in_not_run_here(apptainer, tmp_path):
    image = {"id": "debian:12", "pull": "debian:12"}
    path = apptainer.prepare(image)
    assert (path, Path(path).read_text()) == (str(tmp_path / "cache" / "debian:12.sif"), "image\n")
    again = CommandLineEngine("apptainer", str(tmp_path / "apptainer"), cache=str(tmp_path / "cache"))
    assert again.prepare(image) == path
    assert (tmp_path / "calls").read_text().count("--quiet pull") == 1


def test_apptainers_failure_leaves_no_half_of_an_image_stand_in_not_run_here(apptainer, tmp_path):
    with pytest.raises(EngineError, match="no such image"):
        apptainer.prepare({"id": "invalid:1", "pull": "invalid:1"})
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_image_that_lies_unpacked_is_used_where_it_is_stand_in_not_run_here(apptainer, tmp_path):
    unpacked = tmp_path / "unpacked.cern.ch" / "x:1"
    unpacked.mkdir(parents=True)
    assert apptainer.prepare({"id": str(unpacked), "pull": "x:1"}) == str(unpacked)


def test_an_engine_that_is_not_installed_is_reported():
    with pytest.raises(EngineError, match="nowhere-apptainer is not installed"):
        CommandLineEngine("apptainer", "nowhere-apptainer").prepare({"id": "x"})


@pytest.mark.parametrize(
    ("there", "chosen"),
    [(["docker", "podman"], "podman"), (["udocker", "apptainer"], "apptainer"), (["udocker"], "udocker")],
)
def test_the_first_that_is_there_is_chosen(there, chosen, tmp_path, monkeypatch):
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine("auto").name == chosen


def test_where_there_is_none_it_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="No container engine is installed"):
        find_engine()
