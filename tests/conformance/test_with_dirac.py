"""The CWL v1.2 conformance cases through real DIRAC and Rucio: every tool a DIRAC job, in its container.

``make test`` takes a case for each tag and a few more, ``make conformance-dirac`` all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .cases import CaseFailed, expected_failures, load_cases, run_case, suite_folder
from .output_objects import with_local_files
from .table import CONFIG

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService

ALL = load_cases()
MORE = (
    "initial_workdir_secondary_files_expr", "filename_with_hash_mark", "directory_output", "stderr_redirect_shortcut",
    "docker_entrypoint", "wf_scatter_two_nested_crossproduct", "secondary_files_in_output_records",
)  # fmt: skip
"""How files travel, which tags say little about."""


def for_each_tag(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Few cases that have every tag between them."""
    chosen = [case for case in cases if case["id"] in MORE]
    left = {tag for case in cases for tag in case["tags"]}.difference(*(case["tags"] for case in chosen))
    while left:
        best = max(cases, key=lambda case: len(left.intersection(case["tags"])))
        chosen.append(best)
        left.difference_update(best["tags"])
    return chosen


CASES = ALL if os.environ.get("GRIDCWL_ALL_CASES") else for_each_tag(ALL)


@pytest.fixture
def on_the_grid(
    dirac: DiracService, rucio: RucioService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """In the cases' folder, logged in at both."""
    from rucio.common.config import clean_cached_config

    folder = suite_folder()
    assert folder is not None
    monkeypatch.chdir(folder)
    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    clean_cached_config()
    yield
    clean_cached_config()


@pytest.mark.conformance
@pytest.mark.docker
@pytest.mark.node
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("on_the_grid")
def test_with_dirac(case: dict[str, Any], tmp_path: Path) -> None:
    reason = {**expected_failures("docker"), **expected_failures("rucio"), **expected_failures("dirac")}.get(case["id"])
    options = ["--backend", "dirac", "--store", "rucio"]
    try:
        run_case(case, options, tmp_path / "out", with_local_files)
    except CaseFailed as error:
        if reason is None:
            raise
        pytest.xfail(f"{reason} ({str(error).splitlines()[0]})")
    assert reason is None, f"{case['id']} passes now: take it off expected.yaml"
