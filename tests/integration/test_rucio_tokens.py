"""A run whose client has a token of an issuer in place of a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import gridcwl
from documents import Desk, glob, shell

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed


@pytest.fixture
def with_token(rucio: RucioService, testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The token that the run has."""
    from rucio.common.config import clean_cached_config

    issued: str = testbed.service("oidc").token("runner")  # type: ignore[attr-defined]
    for name, value in rucio.clients.exports("runner").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUCIO_CONFIG", str(rucio.clients.with_token("runner", issued)))
    clean_cached_config()
    yield issued
    clean_cached_config()


def test_a_run_with_a_token_leaves_it_nowhere(desk: Desk, with_token: str) -> None:
    path = desk.write("doc.cwl", shell("printf x > a; env >&2", outputs={"a": glob("a")}))
    given = desk.write("in.json", {})
    said = gridcwl("--debug", "--no-container", "--store", "rucio", "--rucio-rse", "LYON-DISK", "--outdir",
                   str(desk.outdir), path, given)  # fmt: skip
    assert said.code == 0, said.stderr
    assert (desk.outdir / "a").read_text() == "x"
    assert with_token not in said.stderr + said.stdout
    for file in Path(desk.folder.parent).rglob("*"):
        if file.is_file():
            assert with_token.encode() not in file.read_bytes(), file
