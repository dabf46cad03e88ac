"""A service that tests share: it keeps nothing of one run for the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from issuing import Provided, issuing
from wes import Wes, serving


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provided]:
    """An issuer of tokens, as the identity provider of a service."""
    with issuing() as provided:
        yield provided


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "data").mkdir()
    before = os.environ.pop("GRIDCWL_ENGINE", None)
    with serving(folder, file_roots=[str(folder / "data")], max_files=20, max_upload_mib=4) as client:
        yield client
    if before is not None:
        os.environ["GRIDCWL_ENGINE"] = before


@pytest.fixture
def data(wes: Wes) -> Path:
    """A folder of this machine that documents may read."""
    assert wes.settings is not None
    return wes.settings.file_roots[0]
