"""The wheel and the sdist that ``make dist`` builds are complete, and the wheel works in a fresh environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make dist`` does: build, check, install into a fresh environment, run a workflow."""
    folder = tmp_path_factory.mktemp("dist")
    for command in (["tools", sys.prefix, folder / "tools", "dist"], ["dist", sys.prefix, folder / "tools", folder]):
        done = subprocess.run(
            [ROOT / "scripts" / command[0], *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    assert "the wheel works" in done.stdout
    return folder


def test_the_wheel_brings_types_schemas_and_the_worker(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "gridcwl/py.typed",
        "gridcwl/model/job.schema.json",
        "gridcwl/model/result.schema.json",
        "gridcwl/cwl/node_engine.js",
        "gridcwl/worker/gridcwl-worker.pyz",
    } <= names
    offered = {f"gridcwl/own_workflows/workflows/{path.name}" for path in (ROOT / "cwl" / "workflows").glob("*.cwl")}
    assert offered <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gridcwl"}


def test_the_sdist_brings_what_is_needed_to_build_and_to_test(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md", "mkdocs.yml"} <= names
    assert {"runner/gridcwl/__init__.py", "tests/packaging/test_dist.py", "docs/index.md"} <= names
