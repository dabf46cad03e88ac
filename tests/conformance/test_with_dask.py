"""The CWL v1.2 conformance cases on a Dask cluster of this machine, in docker containers.

``make test`` takes a few of them, ``make conformance-dask`` all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .cases import CaseFailed, expected_failures, load_cases, run_case, suite_folder

pytest.importorskip("distributed")

ALL = load_cases()
SAMPLE = 8
CASES = ALL if os.environ.get("GRIDCWL_ALL_CASES") else [ALL[n * len(ALL) // SAMPLE] for n in range(SAMPLE) if ALL]


@pytest.mark.conformance
@pytest.mark.docker
@pytest.mark.node
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_with_dask(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = suite_folder()
    assert folder is not None
    monkeypatch.chdir(folder)
    reason = expected_failures("docker").get(case["id"])
    try:
        run_case(case, ["--backend", "dask"], tmp_path)
    except CaseFailed as error:
        if reason is None:
            raise
        pytest.xfail(f"{reason} ({str(error).splitlines()[0]})")
    assert reason is None, f"{case['id']} passes now: take it off expected.yaml"
