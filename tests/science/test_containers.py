"""The images that the tools name: nobody's root, pinned, labelled, and each program of a tool in them answers."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from .conftest import CHECKOUT, CWL, IMAGES, built_images

CONTAINERS = CHECKOUT / "containers"
LABELS = ("title", "description", "version", "licenses", "base.name")
FOLDERS = sorted({CHECKOUT / line.split()[1] for line in IMAGES.read_text().splitlines() if line[:1] not in ("", "#")})


def programs() -> dict[str, list[str]]:
    """The programs that tools call, by image."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (CWL / "tools").glob("*.cwl"):
        tool = YAML(typ="safe").load(path)
        image = {**tool.get("hints", {}), **tool["requirements"]}["DockerRequirement"]["dockerPull"]
        command = tool["baseCommand"]
        found[image].add(command if isinstance(command, str) else command[0])
    return {image: sorted(commands) for image, commands in found.items()}


def inspected(image: str) -> dict[str, Any]:
    command = ["docker", "image", "inspect", "--format", "{{json .Config}}", image]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.docker
@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("image", built_images())
def test_an_image_is_labelled_and_runs_as_nobodys_root(image: str) -> None:
    config = inspected(image)
    assert config["User"] not in ("", "0", "root")
    for label in LABELS:
        assert config["Labels"][f"org.opencontainers.image.{label}"], label
    assert config["Labels"]["org.opencontainers.image.title"] == image.partition(":")[0]
    assert config["Labels"]["org.opencontainers.image.version"] == image.partition(":")[2]


@pytest.mark.docker
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("image", built_images())
def test_each_program_reports_its_version_as_a_job_would_start_it(image: str) -> None:
    asked = "; ".join(f"{program} --version || exit 1" for program in programs()[image])
    safe = ["--net=none", "--read-only", "--tmpfs=/tmp", "--workdir=/tmp", "--user=54321", "--cap-drop=ALL"]
    command = ["docker", "run", "--rm", *safe, image, "sh", "-c", f"id -u; {asked}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    uid, *versions = done.stdout.split("\n")
    assert uid == "54321"
    assert sum(bool(re.search(r"\d+\.\d+", line)) for line in versions) >= len(programs()[image])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_an_image_is_made_of_is_pinned(folder: Path) -> None:
    dockerfile = (folder / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.M)
    stages = re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.M)
    for base in bases:
        # a stage of the same file, the user's own tarball, or an image of a version
        assert base in (*stages, "${TARBALL}") or re.fullmatch(r"[\w./-]+:[\w.-]+", base), base
        assert not base.endswith(":latest")
    requirements = sorted(folder.glob("requirements*.txt"))
    assert requirements or all(base.startswith("gridcwl/") for base in bases), "it installs nothing of its own"
    for line in (line for path in requirements for line in path.read_text().splitlines()):
        assert re.match(r"[\w.\[\]-]+==\S+|\s*#|$", line), line
