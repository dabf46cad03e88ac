"""The CWL v1.2 conformance cases with their files in Rucio: jobs leave what they make there, and find it there.

``make test`` takes every twelfth case, ``make conformance-rucio`` all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .cases import CaseFailed, expected_failures, load_cases, run_case, suite_folder
from .output_objects import with_local_files

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

ALL = load_cases()
CASES = ALL if os.environ.get("GRIDCWL_ALL_CASES") else ALL[::12]


@pytest.fixture
def as_runner(rucio: RucioService, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the cases' folder, logged in."""
    from rucio.common.config import clean_cached_config

    folder = suite_folder()
    assert folder is not None
    monkeypatch.chdir(folder)
    for name, value in rucio.clients.exports("runner").items():
        monkeypatch.setenv(name, value)
    clean_cached_config()
    yield
    clean_cached_config()


@pytest.mark.conformance
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.usefixtures("as_runner")
def test_with_rucio(case: dict[str, Any], tmp_path: Path) -> None:
    reason = {**expected_failures("no-container"), **expected_failures("rucio")}.get(case["id"])
    options = ["--no-container", "--store", "rucio", "--rucio-rse", "LYON-DISK"]
    try:
        run_case(case, options, tmp_path, with_local_files)
    except CaseFailed as error:
        if reason is None:
            raise
        pytest.xfail(f"{reason} ({str(error).splitlines()[0]})")
    assert reason is None, f"{case['id']} passes now: take it off expected.yaml"
