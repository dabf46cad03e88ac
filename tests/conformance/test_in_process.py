"""The CWL v1.2 conformance cases, run in this process: without containers, with podman, and with docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .cases import MISSING, CaseFailed, arguments_of, expected_failures, judge, load_cases, run_case, suite_folder

CASES = load_cases()
SLEEPS = ("timelimit_invalid_wf", "timelimit_zero_unlimited", "timelimit_zero_unlimited_wf", "timelimit_basic_wf")
"""Cases whose tools sleep for up to 24 seconds: they run in processes of their own while other cases run."""


FOR_ENGINES = {
    *("docker", "env_var", "initial_work_dir", "inplace_update", "load_listing", "resource", "secondary_files"),
    *("timelimit", "work_reuse"),
}
"""Tags of cases that depend on what a container is given."""
PODMANS = [
    case
    for number, case in enumerate(CASES)
    if os.environ.get("GRIDCWL_ALL_CASES") or FOR_ENGINES.intersection(case["tags"]) or number % 4 == 0
]
"""With docker all cases run; the two engines are given the same, and differ in how."""


class Sleeping:
    """Those cases. Of each way they begin with its first case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def begin(self, way: str, options: list[str]) -> None:
        for case in CASES:
            key = way, case["id"]
            if case["id"] in SLEEPS and key not in self._running:
                words = arguments_of(case, options, self._folder / "-".join(key))
                command = [sys.executable, "-m", "gridcwl", *words]
                self._running[key] = subprocess.Popen(
                    command,
                    cwd=suite_folder(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )

    def judge(self, way: str, case: dict[str, Any]) -> None:
        process = self._running[way, case["id"]]
        stdout, stderr = process.communicate()
        judge(case, process.returncode, stdout, f"{process.args}\n{stderr.decode()}")

    def end(self) -> None:
        """Those whose tests another process of pytest has taken are stopped, with their tools."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            process.communicate()


@pytest.fixture(scope="module")
def sleeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sleeping]:
    started = Sleeping(tmp_path_factory.mktemp("sleeping"))
    yield started
    started.end()


@pytest.fixture
def in_suite(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cases' paths count from their own folder."""
    folder = suite_folder()
    if folder is None:
        print(MISSING, file=sys.stderr)
        pytest.fail(MISSING)
    monkeypatch.chdir(folder)
    return folder


def check(case: dict[str, Any], way: str, options: list[str], outdir: Path, sleeping: Sleeping) -> None:
    """The case passes, or fails for the reason that is written down."""
    reason = expected_failures(way).get(case["id"])
    sleeping.begin(way, options)
    try:
        if case["id"] in SLEEPS:
            sleeping.judge(way, case)
        else:
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
def test_without_containers(case: dict[str, Any], tmp_path: Path, sleeping: Sleeping) -> None:
    check(case, "no-container", ["--no-container"], tmp_path, sleeping)


@pytest.mark.conformance
@pytest.mark.podman
@pytest.mark.node
@pytest.mark.parametrize("case", PODMANS, ids=[case["id"] for case in PODMANS])
@pytest.mark.usefixtures("in_suite")
def test_with_podman(case: dict[str, Any], tmp_path: Path, sleeping: Sleeping) -> None:
    assert shutil.which("podman"), "podman is not installed: make podman"
    check(case, "podman", ["--podman"], tmp_path, sleeping)


@pytest.mark.conformance
@pytest.mark.docker
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("in_suite")
def test_with_docker(case: dict[str, Any], tmp_path: Path, sleeping: Sleeping) -> None:
    check(case, "docker", ["--docker"], tmp_path, sleeping)
