"""Tokens and proxies go to the storage elements that Rucio or the configuration named, and to nobody else."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import gridcwl
from documents import on_command_line, tool
from throwaway_ca import Tls
from webdav import Dav, served
from worker_builders import Bench, job, staged

from gridcwl.worker import credentials, storage, web
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.failure import SourceUnavailable

READ = "cat /gridcwl/in/x > y"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def user(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    tls.for_clients(monkeypatch)


@pytest.fixture
def ours(tls: Tls, tmp_path: Path) -> Iterator[Dav]:
    with served(tmp_path / "ours", tls.server()) as dav:
        yield dav


@pytest.fixture
def theirs(tls: Tls, tmp_path: Path) -> Iterator[Dav]:
    with served(tmp_path / "theirs", tls.server()) as dav:
        yield dav


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def davs(dav: Dav, name: str = "") -> str:
    return dav.url.replace("https://", "davs://") + name


def reading(url: str, **fields: object) -> dict:
    of_staged = {"location": fields.pop("location")} if "location" in fields else {}
    return job(READ, staged=[staged("/gridcwl/in/x", url, **of_staged)], outputs={"globs": ["y"]}, **fields)


def element(*urls: str) -> dict:
    return {"scope": "user.x", "prefix": "run.step.j1-1-1.", "scheme": "rucio", "elements": [
        {"name": "SE", "urls": list(urls), "sites": [], "naming": "hash"}
    ]}  # fmt: skip


def own_element(bench: Bench) -> dict:
    """The element of a job that has nothing to do with the hosts of its inputs."""
    (bench.folder / "element").mkdir()
    return element((bench.folder / "element").as_uri() + "/")


def shown_to(dav: Dav) -> set[tuple[str | None, bool]]:
    """What each request came with: token, proxy."""
    return set(zip(dav.tokens, dav.proxies, strict=True))


def last_shown_to(dav: Dav) -> tuple[str | None, bool]:
    return dav.tokens[-1], dav.proxies[-1]


BOTH, NOTHING = {("Bearer secret-token", True)}, {(None, False)}


@pytest.mark.parametrize("scheme", ["davs", "https"])
def test_an_input_at_a_host_that_nobody_named_is_read_without_credentials(bench: Bench, theirs: Dav, scheme: str):
    theirs.put("x", b"data")
    assert bench.run(reading(f"{scheme}{theirs.url[5:]}x"))["outcome"] == "success"
    assert shown_to(theirs) == NOTHING


def test_a_replica_that_rucio_named_is_read_with_them(bench: Bench, ours: Dav):
    ours.put("pnfs/x", b"data")
    assert (
        bench.run(reading(davs(ours, "pnfs/x"), location="rucio://s/x", storage=own_element(bench)))["outcome"]
        == "success"
    )
    assert shown_to(ours) == BOTH


@pytest.mark.parametrize("stored", [False, True])
def test_what_only_looks_like_a_file_of_the_jobs_store_is_read_without_them(bench: Bench, theirs: Dav, stored: bool):
    theirs.put("x", b"data")
    fields = {"storage": own_element(bench) | {"scheme": "s3"}} if stored else {}
    assert bench.run(reading(davs(theirs, "x"), location="rucio://s/x", **fields))["outcome"] == "success"
    assert shown_to(theirs) == NOTHING


def test_an_input_below_the_jobs_storage_element_is_read_with_them_and_its_neighbours_are_not(
    bench: Bench, ours: Dav, tmp_path: Path
):
    ours.put("pnfs/vo/x", b"data")
    ours.put("public/x", b"data")
    where = element(davs(ours, "pnfs/vo/"))
    bench.run(reading(davs(ours, "pnfs/vo/x"), storage=where))
    assert shown_to(ours) == BOTH
    ours.tokens.clear()
    ours.proxies.clear()
    other = Bench(tmp_path / "other")
    other.folder.mkdir()
    other.run(reading(davs(ours, "public/x"), storage=where) | {"command": ["false"]})
    assert shown_to(ours) == NOTHING


def test_outputs_are_put_with_them(bench: Bench, ours: Dav):
    ours.makes_folders = False
    made = job("echo > y", outputs={"globs": ["y"]}, storage=element(davs(ours, "a/b/")))
    assert bench.run(made)["outcome"] == "success"
    assert shown_to(ours) == BOTH


def test_storage_that_the_configuration_named_is_read_with_them(bench: Bench, ours: Dav):
    ours.put("x", b"data")
    assert bench.run(reading(davs(ours, "x"), trusted=[ours.url]))["outcome"] == "success"
    assert shown_to(ours) == BOTH


def test_a_redirection_to_another_host_takes_nothing_along(bench: Bench, ours: Dav, theirs: Dav):
    theirs.put("x", b"data")
    ours.elsewhere = theirs.url
    assert (
        bench.run(reading(davs(ours, "x"), location="rucio://s/x", storage=own_element(bench)))["outcome"] == "success"
    )
    assert (shown_to(ours), shown_to(theirs)) == (BOTH, NOTHING)


def test_a_redirection_to_a_host_that_was_named_too_takes_them_along(bench: Bench, ours: Dav, theirs: Dav):
    theirs.put("x", b"data")
    ours.elsewhere = theirs.url
    assert (
        bench.run(reading(davs(ours, "x"), location="rucio://s/x", storage=own_element(bench), trusted=[theirs.url]))[
            "outcome"
        ]
        == "success"
    )
    assert shown_to(theirs) == BOTH


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_after_a_redirection_explains_how_to_name_the_other_host(
    bench: Bench, ours: Dav, theirs: Dav, status: int
):
    theirs.refuses["GET"] = status
    ours.elsewhere = theirs.url
    result = bench.run(reading(davs(ours, "x"), location="rucio://s/x", storage=own_element(bench)))
    assert f"HTTP {status} " in result["reason"]
    assert f" from {theirs.url}, where it redirects to; no token or proxy was sent there" in result["reason"]
    assert "trusted_storage" in result["reason"]


def test_a_host_that_has_sent_us_on_gets_no_connection_that_was_opened_with_the_proxy(ours: Dav):
    ours.put("x", b"data")
    web.drained(web.request("GET", ours.url + "x", trusted=Trusted([ours.url])))
    web.drained(web.request("GET", ours.url + "x"))
    assert list(zip(ours.tokens, ours.proxies, strict=True)) == [("Bearer secret-token", True), (None, False)]


@pytest.mark.parametrize("secure", ["https", "davs"])
def test_bytes_do_not_come_from_https_by_way_of_http(bench: Bench, ours: Dav, tmp_path: Path, secure: str):
    with served(tmp_path / "plain") as plain:
        plain.put("x", b"data")
        ours.elsewhere = plain.url
        result = bench.run(reading(f"{secure}{ours.url[5:]}x"))
    assert result["outcome"] == "temporary-failure"
    assert "redirects to http://127.0.0.1:" in result["reason"]
    assert "which is not encrypted" in result["reason"]
    assert plain.requests == []


NAMED = "davs://dcache.example.org:2880/pnfs/vo"


@pytest.mark.parametrize(
    "url",
    [
        f"{NAMED}/",
        f"{NAMED}/a/b",
        "https://DCACHE.example.org:2880/pnfs/vo/a",
        "https://dcache.example.org:2880//pnfs//vo/a?authz=x",
        f"{NAMED}/a%20b",
        f"{NAMED}/100%25",
        f"{NAMED}/...",
    ],
)
def test_what_is_below_a_named_storage_element(url: str):
    assert Trusted([NAMED]).covers(url)


@pytest.mark.parametrize(
    "url",
    [
        "davs://dcache.example.org:2880/pnfs/vo2/a",
        "davs://dcache.example.org:2880/pnfs",
        "davs://dcache.example.org:2880/",
        "davs://dcache.example.org/pnfs/vo/a",
        "davs://dcache.example.org:443/pnfs/vo/a",
        "http://dcache.example.org:2880/pnfs/vo/a",
        "dav://dcache.example.org:2880/pnfs/vo/a",
        "root://dcache.example.org:2880/pnfs/vo/a",
        "davs://dcache.example.org.evil.org:2880/pnfs/vo/a",
        "davs://dcache.example.org.:2880/pnfs/vo/a",
        "davs://evil.org:2880/pnfs/vo/a",
        "davs://dcache.example.org:2880@evil.org/pnfs/vo/a",
        "davs://user@dcache.example.org:2880/pnfs/vo/a",
        "davs://evil.org\\@dcache.example.org:2880/pnfs/vo/a",
        "davs://dcache.example.org:2880\\.evil.org/pnfs/vo/a",
        "davs://evil.org#@dcache.example.org:2880/pnfs/vo/a",
        "davs://dcache.example.org%3a2880/pnfs/vo/a",
        f"{NAMED}/../other/a",
        f"{NAMED}/a/../../other",
        f"{NAMED}/%2e%2e/other/a",
        f"{NAMED}/%252e%252e/other/a",
        f"{NAMED}/..%2fother/a",
        f"{NAMED}/..%5cother",
        f"{NAMED}/a%00b",
        f"{NAMED}/a\nHost: evil",
        "DAVS://dcache.example.org:2880\t/pnfs/vo/a",
        "//dcache.example.org:2880/pnfs/vo/a",
        "davs:/dcache.example.org:2880/pnfs/vo/a",
        "davs://[::1/pnfs/vo/a",
        "",
    ],
)
def test_what_only_looks_as_if_it_were(url: str):
    assert not Trusted([NAMED]).covers(url)


@pytest.mark.parametrize(
    "named", ["", "davs://", "http://se.org/", "file:///data/", "davs://u@se.org/", "davs://se.org/../"]
)
def test_an_element_that_names_nothing_clear_is_trusted_with_nothing(named: str):
    assert not Trusted([named]).covers("davs://se.org/x")
    assert not Trusted([named]).covers("file:///data/x")


def programs(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """xrdcp and xrdfs that write down what they are given."""
    log = folder / "log"
    for name in ("xrdcp", "xrdfs"):
        program = folder / name
        program.write_text(
            f'#!/bin/sh\nprintf "%s|" {name} "$BEARER_TOKEN" "$X509_USER_PROXY" "$XrdSecPROTOCOL" >> {log}\n'
            f'for word; do last=$word; done\n[ {name} = xrdcp ] && printf data > "$last"\nexit 0\n'
        )
        program.chmod(0o755)
    patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def test_programs_that_read_from_a_host_that_nobody_named_have_no_credentials(bench: Bench, tmp_path, monkeypatch):
    log = programs(tmp_path, monkeypatch)
    assert bench.run(reading("root://evil.org//x"))["outcome"] == "success"
    assert log.read_text() == f"xrdcp||{os.devnull}|host,unix|"


def test_programs_that_read_what_rucio_named_have_them(bench: Bench, tmp_path, monkeypatch, tls: Tls):
    log = programs(tmp_path, monkeypatch)
    assert (
        bench.run(reading("root://se.org//x", location="rucio://s/x", storage=own_element(bench)))["outcome"]
        == "success"
    )
    assert log.read_text() == f"xrdcp|secret-token|{tls.proxy}||"


@pytest.mark.parametrize("url", ["root://-y/x", "root://user:pw@se.org/x", "root:///x", "root://a b/x"])
def test_an_address_that_a_program_could_take_for_something_else_is_refused(url: str):
    with pytest.raises(SourceUnavailable, match="not the address of a server") as refused:
        storage.way_to(url)
    assert "pw" not in str(refused.value)


def test_a_proxy_in_tmp_counts_only_if_it_is_ones_own_and_private(tmp_path, monkeypatch):
    monkeypatch.delenv("X509_USER_PROXY")
    real = os.lstat
    mine = tmp_path / "proxy"
    mine.write_text("proxy")

    def lstat(path, **more):
        return real(mine if str(path).startswith("/tmp/x509up_u") else path, **more)

    monkeypatch.setattr(os, "lstat", lstat)
    mine.chmod(0o600)
    assert credentials.proxy_file() == f"/tmp/x509up_u{os.getuid()}"
    for mode in (0o644, 0o620, 0o604):
        mine.chmod(mode)
        assert credentials.proxy_file() == ""
    mine.chmod(0o600)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert credentials.proxy_file() == ""
    assert credentials.transfer_environment(trusted=True)["X509_USER_PROXY"] == os.devnull


def test_a_users_name_and_password_are_in_no_message(bench: Bench):
    result = bench.run(reading("davs://user:PASS@localhost:9/x?token=SECRET"))
    assert "davs://localhost:9/x" in result["reason"]
    assert not {"PASS", "SECRET", "user"} & set(result["reason"].replace("/", " ").replace(":", " ").split())


@pytest.mark.parametrize("scheme", ["davs", "root", "https"])
def test_a_password_in_a_url_is_neither_shown_nor_recorded(scheme: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GRIDCWL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("doc.cwl").write_text(json.dumps(tool("cat", inputs={"f": on_command_line("File")})))
    Path("in.json").write_text(
        json.dumps({"f": {"class": "File", "location": f"{scheme}://alice:PASS@localhost:9/x?authz=SECRET"}})
    )
    for words in (("--debug", "--no-container", "doc.cwl", "in.json"), ("status", "last"), ("logs", "last")):
        result = gridcwl(*words)
        assert not re.search("PASS|SECRET", result.stdout + (result.stderr if words[0] != "--debug" else "")), words
        assert "PASS" not in result.stderr
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or b"PASS" not in file.read_bytes(), file


def test_a_proxy_that_comes_or_goes_meanwhile_takes_a_new_connection(
    ours: Dav, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ours.put("x", b"data")
    renewed = tmp_path / "renewed.pem"
    monkeypatch.setenv("X509_USER_PROXY", str(renewed))
    shown = []
    for change in (lambda: None, lambda: shutil.copy(tls.proxy, renewed), renewed.unlink):
        change()
        web.request("GET", davs(ours, "x"), trusted=Trusted((ours.url,))).body.read()
        shown.append(last_shown_to(ours)[1])
    assert shown == [False, True, False]


def test_authorities_that_are_no_longer_trusted_are_not_believed_over_an_open_connection(
    theirs: Dav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    theirs.put("x", b"data")
    web.request("GET", davs(theirs, "x")).body.read()
    for name in ("X509_CERT_DIR", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(SourceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        web.request("GET", davs(theirs, "x"))
