"""Replicas: near ones first, each checked, the next one where the first is bad."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest
from webdav import Dav, served
from worker_builders import job, staged

DATA = b"the bytes" * 1000
ADLER = f"adler32${zlib.adler32(DATA):08x}"
SHA1 = f"sha1${hashlib.sha1(DATA).hexdigest()}"
DID = "rucio://user.x/data"


@pytest.fixture
def dav(tmp_path: Path):
    with served(tmp_path / "dav") as server:
        yield server


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    (tmp_path / "se").mkdir()
    (tmp_path / "se" / "data").write_bytes(DATA)
    return tmp_path / "se"


def reading(*sources: str, checksum: str | None = ADLER, **fields: object) -> dict:
    entry = staged("/gridcwl/in/data", size=len(DATA), checksum=checksum, location=DID)
    return job(
        "cat $0",
        "/gridcwl/in/data",
        staged=[{**entry, "sources": list(sources)}],
        stdout="got",
        outputs={"globs": ["got"]},
        **fields,
    ) | {"command": ["cat", "/gridcwl/in/data"]}


def got(bench) -> bytes:
    return (bench.out / "got").read_bytes()


@pytest.mark.parametrize("checksum", [ADLER, SHA1, None])
def test_a_replica_over_http_is_downloaded_and_checked(bench, dav: Dav, checksum):
    url = dav.put("x/data", DATA)
    result = bench.run(reading(url, checksum=checksum))
    assert result["outcome"] == "success", result["reason"]
    assert got(bench) == DATA
    assert result["fetched"] == [url]


def test_a_mounted_replica_is_read_where_it_is(bench, mounted):
    result = bench.run(reading(f"file://{mounted}/data"))
    assert got(bench) == DATA
    assert result["fetched"] == [f"file://{mounted}/data"]
    assert not (bench.workdir / "fetched").exists()


def test_after_a_damaged_a_missing_and_an_unreachable_one_the_good_one_is_used(bench, dav: Dav, mounted):
    (mounted / "data").write_bytes(DATA[:-1] + b"?")
    sources = [f"file://{mounted}/data", f"{dav.url}gone", "http://127.0.0.1:9/x", dav.put("good", DATA)]
    result = bench.run(reading(*sources))
    assert got(bench) == DATA
    assert result["fetched"] == [sources[-1]]


def test_a_download_that_ends_in_its_middle_is_no_download(bench, dav: Dav):
    dav.cuts = 1
    one, other = dav.put("one", DATA), dav.put("other", DATA)
    assert bench.run(reading(one, other))["fetched"] == [other]


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(bench, dav: Dav):
    first = dav.put("a", DATA)
    entry = reading(first)["staged"][0]
    described = reading(first) | {
        "staged": [entry, {**entry, "target": "/gridcwl/in/more", "sources": [dav.put("b", DATA)]}]
    }
    assert bench.run(described)["outcome"] == "success"


def test_where_none_is_good_every_reason_is_reported_and_it_may_pass(bench, dav: Dav, mounted):
    (mounted / "data").write_bytes(b"short")
    result = bench.run(reading(f"file://{mounted}/data", f"{dav.url}gone"))
    assert result["outcome"] == "temporary-failure"
    assert DID in result["reason"]
    assert "has 5 bytes, and not 9000" in result["reason"]
    assert "HTTP 404" in result["reason"]


def test_replicas_at_the_workers_site_come_first(bench, dav: Dav, mounted):
    far, near = dav.put("data", DATA), f"file://{mounted}/data"
    elements = [
        {"name": "FAR", "urls": [dav.url], "sites": ["LCG.Far.fr"], "naming": "hash"},
        {"name": "NEAR", "urls": [f"file://{mounted}/"], "sites": ["LCG.Near.fr"], "naming": "hash"},
    ]
    storage = {"scope": "user.x", "prefix": "p.", "elements": elements, "scheme": "rucio"}
    result = bench.run(reading(far, near, storage=storage), site="LCG.Near.fr")
    assert result["fetched"] == [near]


def test_a_tool_that_changes_an_input_in_place_changes_a_copy_of_what_came_from_elsewhere(bench, mounted):
    described = reading(f"file://{mounted}/data", in_place=True)
    described["staged"][0] |= {"writable": True, "target": "/gridcwl/out/data"}
    described |= {"command": ["sh", "-c", "echo more >> data"], "outputs": {"globs": ["data"]}}
    assert bench.run(described)["outcome"] == "success"
    assert (mounted / "data").read_bytes() == DATA


def test_a_secret_in_a_url_is_not_reported(bench, dav: Dav):
    result = bench.run(reading(f"{dav.url}gone?authz=very-secret"))
    assert "gone" in result["reason"]
    assert "very-secret" not in result["reason"]
