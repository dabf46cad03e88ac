"""Whom a job at a DIRAC site shows its proxy, and whom a token is sent to: real servers, and a door that redirects."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import gridcwl
from documents import Desk, on_command_line, shell
from throwaway_ca import server_context
from webdav import Dav, served

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

pytestmark = pytest.mark.timeout(600)
WORDS = ("--quiet", "--store", "rucio", "--rucio-rse", "CNAF-DAVS")
READ_ALL = shell(
    'cat "$0" "$1" "$2"', inputs={name: on_command_line("File") for name in ("ours", "door", "theirs")},
    outputs={"o": "stdout"}, stdout="o",
)  # fmt: skip


@pytest.fixture
def tls(testbed: Testbed) -> ssl.SSLContext:
    """Of a server that the site's workers believe, and that asks for a certificate and does without."""
    return server_context(testbed.authority)


@pytest.fixture
def door(tls: ssl.SSLContext, tmp_path: Path) -> Iterator[Dav]:
    with served(tmp_path / "door", tls) as dav:
        yield dav


@pytest.fixture
def pool(tls: ssl.SSLContext, tmp_path: Path) -> Iterator[Dav]:
    with served(tmp_path / "pool", tls) as dav:
        yield dav


@pytest.fixture
def theirs(tls: ssl.SSLContext, tmp_path: Path) -> Iterator[Dav]:
    with served(tmp_path / "theirs", tls) as dav:
        yield dav


@pytest.fixture
def desk(dirac: DiracService, rucio: RucioService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Desk(folder)


@pytest.fixture
def inputs(desk: Desk, door: Dav, pool: Dav, theirs: Dav, log_in: Any) -> dict[str, Any]:
    """Files at the storage element (XRootD, which gives nobody anything unasked), behind a door and at a stranger's."""
    log_in("runner")
    pool.put("data", b"of the pool\n")
    theirs.put("data", b"of a stranger\n")
    door.elsewhere = pool.url
    put = desk.write("put.cwl", shell("echo of XRootD", outputs={"o": "stdout"}, stdout="o"))
    put_there = gridcwl(*WORDS, "--no-download", "--outdir", str(desk.folder / "put"), put, desk.write("no.json", {}))
    assert put_there.code == 0, put_there.stderr
    urls = {
        "ours": put_there.outputs["o"]["location"],
        "door": door.url.replace("https:", "davs:") + "data",
        "theirs": theirs.url.replace("https:", "davs:") + "data",
    }
    return {name: {"class": "File", "location": url} for name, url in urls.items()}


def test_a_job_shows_its_proxy_to_the_storage_element_and_the_trusted_door_and_to_no_other_host(
    desk: Desk, door: Dav, pool: Dav, theirs: Dav, inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDCWL_TRUSTED_STORAGE", door.url)
    result = gridcwl(
        *WORDS, "--backend", "dirac", "--outdir", str(desk.outdir),
        desk.write("doc.cwl", READ_ALL), desk.write("in.json", inputs),
    )  # fmt: skip
    assert result.code == 0, result.stderr
    assert (desk.outdir / "o").read_text() == "of the pool\nof XRootD\nof a stranger\n"
    assert [set(dav.proxies) for dav in (door, pool, theirs)] == [{True}, {False}, {False}]


def test_a_token_goes_to_the_storage_element_and_the_trusted_door_and_to_no_other_host(
    desk: Desk, door: Dav, pool: Dav, theirs: Dav, inputs: dict[str, Any], testbed: Testbed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    token = testbed.service("oidc").token("runner")  # type: ignore[attr-defined]
    monkeypatch.setenv("BEARER_TOKEN", token)
    monkeypatch.delenv("X509_USER_PROXY")
    monkeypatch.setenv("GRIDCWL_TRUSTED_STORAGE", door.url)
    result = gridcwl(
        *WORDS, "--no-container", "--outdir", str(desk.outdir),
        desk.write("doc.cwl", READ_ALL), desk.write("in.json", inputs),
    )  # fmt: skip
    assert result.code == 0, result.stderr
    assert (desk.outdir / "o").read_text() == "of the pool\nof XRootD\nof a stranger\n"
    assert [set(dav.tokens) for dav in (door, pool, theirs)] == [{f"Bearer {token}"}, {None}, {None}]
    assert token not in result.stderr
