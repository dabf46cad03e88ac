"""The CWL v1.2 conformance cases, run in this process: without containers, and with podman."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from .cases import MISSING, CaseFailed, expected_failures, load_cases, run_case, suite_folder

CASES = load_cases()


@pytest.fixture
def in_suite(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cases' paths count from their own folder."""
    folder = suite_folder()
    if folder is None:
        print(MISSING, file=sys.stderr)
        pytest.fail(MISSING)
    monkeypatch.chdir(folder)
    return folder


def check(case: dict[str, Any], way: str, options: list[str], outdir: Path) -> None:
    """The case passes, or fails for the reason that is written down."""
    reason = expected_failures(way).get(case["id"])
    try:
        run_case(case, options, outdir)
    except CaseFailed as error:
        if reason is None:
            raise
        pytest.xfail(f"{reason} ({str(error).splitlines()[0]})")
    assert reason is None, f"{case['id']} passes now: take it off expected.yaml"


def test_the_cases_are_here() -> None:
    assert suite_folder() is not None, MISSING
    assert len(CASES) >= 200


@pytest.mark.conformance
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("in_suite")
def test_without_containers(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, "no-container", ["--no-container"], tmp_path)


@pytest.mark.conformance
@pytest.mark.podman
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("in_suite")
def test_with_podman(case: dict[str, Any], tmp_path: Path) -> None:
    assert shutil.which("podman"), "podman is not installed: make podman"
    check(case, "podman", ["--podman"], tmp_path)


@pytest.mark.conformance
@pytest.mark.docker
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("in_suite")
def test_with_docker(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, "docker", ["--docker"], tmp_path)
