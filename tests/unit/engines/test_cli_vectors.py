"""Argument vectors, engine by engine. Those of apptainer, singularity and udocker are vector only: not run here."""

import csv
import dataclasses

import pytest
from engines_builders import INPUT, OUT, a_call, a_cli

from gridcwl.worker.cli_vectors import (
    command_environment,
    is_modern,
    list_vector,
    qualified,
    remove_vector,
    sif_name,
    signal_vector,
    vector,
)
from gridcwl.worker.engine import EngineError


def mounts(words, option="--mount"):
    """What the mounts in a vector say, taken apart as the engines do it: as CSV."""
    joined = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    apart = [words[place + 1] for place, word in enumerate(words) if word == option]
    return [next(csv.reader([value])) for value in joined or apart]


def test_docker_isolates_as_cwltool_does():
    assert vector(a_cli("docker"), a_call()) == [
        "docker",
        "run",
        "--name=run-step-1",
        "--read-only",
        "--log-driver=none",
        "--pull=never",
        "--rm",
        "--init",
        "--network=none",
        "--user=1000:100",
        "--workdir=/gridcwl/out",
        "--mount=type=bind,source=/host/out,target=/gridcwl/out",
        "--mount=type=bind,source=/host/tmp,target=/gridcwl/tmp",
        "--env=HOME=/gridcwl/out",
        "--env=TMPDIR=/gridcwl/tmp",
        "--env=X",
        "--label=gridcwl.run=r1",
        "--security-opt=no-new-privileges",
        "--cap-drop=ALL",
        "--pids-limit=4096",
        "sha256:abc",
        "echo",
        "a b",
    ]


@pytest.mark.parametrize(
    ("cli", "option"),
    [
        (a_cli("docker"), "--log-driver=none"),
        (a_cli("podman"), "--log-driver=passthrough"),
        (a_cli("podman", modern=False), "--log-driver=none"),
    ],
)
def test_podmans_tools_have_its_own_streams_where_it_can_do_that(cli, option):
    assert option in vector(cli, a_call())


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_what_the_settings_give_back_is_given_back(kind):
    words = vector(a_cli(kind), a_call(capabilities=("NET_RAW", "SYS_PTRACE"), processes=0))
    assert [word for word in words if word.startswith(("--cap", "--pids"))] == [
        "--cap-drop=ALL",
        "--cap-add=NET_RAW",
        "--cap-add=SYS_PTRACE",
        "--pids-limit=-1",
    ]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_values_of_variables_are_not_in_the_process_list(kind):
    call = a_call(environment={"TOKEN": "s3cret", "HOME": "/gridcwl/out", "DOCKER_HOST": "tcp://x"})

    assert not any("s3cret" in word for word in vector(a_cli(kind), call))
    assert command_environment(a_cli(kind), call) == {"TOKEN": "s3cret"}
    assert "--env=DOCKER_HOST=tcp://x" in vector(a_cli(kind), call)


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_odd_paths_are_quoted_and_inputs_are_read_only(kind):
    words = vector(a_cli(kind), a_call(mounts=(OUT, INPUT)))
    assert mounts(words)[1] == ["type=bind", "source=/host/data: 1,2 é", "target=/gridcwl/in/a b", "readonly"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_memory_limit_keeps_the_container_until_it_was_looked_at(kind):
    words = vector(a_cli(kind), a_call(ram_mib=512, cores=1.5))
    assert {"--memory=512m", "--memory-swap=512m", "--cpus=1.5"} <= set(words)
    assert "--rm" not in words


def test_network_stdin_and_gpus_only_when_asked():
    words = vector(a_cli("docker"), a_call(network=True, stdin="/host/in", gpus=2))
    assert {"--interactive", "--gpus=2"} <= set(words)
    assert "--network=none" not in words


def test_podman_without_root_keeps_the_callers_number():
    assert "--userns=keep-id" in vector(a_cli("podman"), a_call())
    assert "--userns=keep-id" not in vector(a_cli("podman", uid=0, gid=0), a_call())


def test_podman_hands_no_proxy_in_and_names_its_gpus():
    words = vector(a_cli("podman"), a_call(gpus=2))
    assert {"--http-proxy=false", "--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"} <= set(words)


def test_podman_without_catatonit_has_no_init():
    assert "--init" not in vector(a_cli("podman", init=False), a_call())


def test_apptainer_vector_only_not_run_here():
    assert vector(a_cli("apptainer"), a_call(image="/cache/x.sif", mounts=(OUT, INPUT))) == [
        "apptainer",
        "--quiet",
        "run",
        "--no-eval",
        "--contain",
        "--ipc",
        "--pid",
        "--cleanenv",
        "--home",
        "/host/out:/gridcwl/out",
        "--mount",
        'type=bind,"source=/host/data: 1,2 é",destination=/gridcwl/in/a b,ro',
        "--pwd",
        "/gridcwl/out",
        "--net",
        "--network",
        "none",
        "/cache/x.sif",
        "echo",
        "a b",
    ]


def test_apptainer_gets_the_environment_by_its_own_vector_only_not_run_here():
    assert command_environment(a_cli("apptainer"), a_call()) == {
        "APPTAINERENV_TMPDIR": "/gridcwl/tmp",
        "APPTAINERENV_X": "1,2",
    }
    assert command_environment(a_cli("udocker"), a_call()) == {}


def test_apptainer_with_limits_gpus_and_network_vector_only_not_run_here():
    words = vector(a_cli("apptainer"), a_call(network=True, gpus=1, cores=2, ram_mib=64))
    assert words[words.index("--cpus") + 1] == "2"
    assert words[words.index("--memory") + 1] == "64M"
    assert "--nv" in words
    assert "--net" not in words


def test_apptainer_drops_what_root_has_vector_only_not_run_here():
    root = dataclasses.replace(a_cli("apptainer"), uid=0)
    assert "--no-privs" in vector(root, a_call())
    assert "--no-privs" not in vector(a_cli("apptainer"), a_call())
    words = vector(root, a_call(capabilities=("NET_RAW", "SYS_PTRACE"), processes=10))
    assert words[words.index("--drop-caps") + 1] == "all"
    assert words[words.index("--add-caps") + 1] == "CAP_NET_RAW,CAP_SYS_PTRACE"
    assert words[words.index("--pids-limit") + 1] == "10"


def test_apptainer_whose_home_is_no_mount_has_none_vector_only_not_run_here():
    assert "--no-home" in vector(a_cli("apptainer"), a_call(environment={"HOME": "/elsewhere"}))


def test_old_singularity_binds_and_cannot_run_vector_only_not_run_here():
    data = INPUT.__class__("/host/data", "/gridcwl/in/data")
    words = vector(a_cli("singularity", modern=False), a_call(mounts=(OUT, data)))
    assert words[2] == "exec"
    assert words[words.index("--bind") + 1] == "/host/data:/gridcwl/in/data:ro"


def test_udocker_vector_only_not_run_here():
    assert vector(a_cli("udocker"), a_call(image="debian:12")) == [
        "udocker",
        "--quiet",
        "run",
        "--nobanner",
        "--rm",
        "--workdir=/gridcwl/out",
        "--volume=/host/out:/gridcwl/out",
        "--volume=/host/tmp:/gridcwl/tmp",
        "--env=HOME=/gridcwl/out",
        "--env=TMPDIR=/gridcwl/tmp",
        "--env=X=1,2",
        "debian:12",
        "echo",
        "a b",
    ]


def test_udocker_as_root_vector_only_not_run_here():
    assert vector(a_cli("udocker", uid=0), a_call())[:3] == ["udocker", "--allow-root", "--quiet"]


@pytest.mark.parametrize("cli", [a_cli("udocker"), a_cli("singularity", modern=False)], ids=lambda cli: cli.kind)
def test_what_cannot_be_written_is_refused_vector_only_not_run_here(cli):
    with pytest.raises(EngineError, match="colon or a comma"):
        vector(cli, a_call(mounts=(INPUT,)))


@pytest.mark.parametrize("kind", ["docker", "podman", "apptainer", "udocker"])
def test_a_call_without_an_image_is_refused(kind):
    with pytest.raises(EngineError, match="without an image"):
        vector(a_cli(kind), a_call(image=None))


def test_signals_removal_and_search_go_by_name_and_label():
    assert signal_vector(a_cli("docker"), "n", "TERM") == ["docker", "kill", "--signal=TERM", "n"]
    assert remove_vector(a_cli("docker"), "n", "m") == ["docker", "rm", "--force", "--volumes", "n", "m"]
    assert "--time=0" in remove_vector(a_cli("podman"), "n")
    assert "--filter=label=gridcwl.run=r1" in list_vector(a_cli("docker"), "r1")


@pytest.mark.parametrize(
    ("version", "modern"),
    [
        ("apptainer version 1.3.2-1.el9\n", True),
        ("apptainer version 1.0.3", False),
        ("singularity-ce version 3.10.0", True),
        ("singularity-ce version 4.1.2-noble", True),
        ("singularity version 3.8.7", False),
        ("podman version 4.3.1", True),
        ("podman version 3.4.4", False),
        ("", False),
    ],
)
def test_versions(version, modern):
    assert is_modern(version) is modern


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("debian:12", "docker.io/library/debian:12"),
        ("biocontainers/samtools", "docker.io/biocontainers/samtools"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1"),
        ("localhost/x", "localhost/x"),
        ("here:5000/x", "here:5000/x"),
    ],
)
def test_a_short_name_is_one_of_docker_hub(image, full):
    assert qualified(image) == full


def test_files_of_images_have_the_names_that_cwltool_gives_them():
    assert sif_name("debian") == "debian:latest.sif"
    assert sif_name("quay.io/a_b/c:1") == "quay.io_s_a___b_s_c:1.sif"
