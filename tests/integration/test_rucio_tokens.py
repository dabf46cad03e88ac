"""Runs under each of Rucio's ways to say who one is; none of the secrets is left anywhere, nobody is asked for one."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import gridcwl
from documents import Desk, glob, shell
from rucio_builders import now

from gridcwl.stores.rucio.client import RucioClient, RucioProblem

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

WAYS = ("token", "password", "proxy")


@pytest.fixture
def log_in_by(
    rucio: RucioService, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[Path, str]]]:
    """Log in one way: Rucio's configuration, and what must be seen nowhere else."""
    from rucio.common.config import clean_cached_config

    def choose(way: str) -> tuple[Path, str]:
        configuration, secret = {"token": by_token, "password": by_password, "proxy": by_proxy}[way]()
        for name, value in rucio.clients.exports("runner").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RUCIO_CONFIG", str(configuration))
        clean_cached_config()
        return configuration, secret

    def by_token() -> tuple[Path, str]:
        issued: str = testbed.service("oidc").token("runner")  # type: ignore[attr-defined]
        return rucio.clients.with_token("runner", issued), issued

    def by_password() -> tuple[Path, str]:
        made = rucio.clients.configuration("runner")
        config = configparser.ConfigParser()
        config.read(made)
        return made, config["client"]["password"]

    def by_proxy() -> tuple[Path, str]:
        proxy = rucio.clients.proxy("runner")
        auth = {"auth_type": "x509_proxy", "client_x509_proxy": str(proxy)}
        _, _, key = proxy.read_text().partition("PRIVATE KEY-----\n")
        return rucio.clients.configuration("runner", auth=auth), key.splitlines()[1]

    yield choose
    clean_cached_config()


@pytest.mark.parametrize("way", WAYS)
def test_a_run_leaves_what_it_logs_in_with_nowhere(
    desk: Desk, log_in_by: Callable[[str], tuple[Path, str]], way: str
) -> None:
    configuration, secret = log_in_by(way)
    path = desk.write("doc.cwl", shell("printf x > a; env >&2", outputs={"a": glob("a")}))
    given = desk.write("in.json", {})
    result = gridcwl("--debug", "--no-container", "--store", "rucio", "--rucio-rse", "LYON-DISK", "--outdir",
                   str(desk.outdir), path, given)  # fmt: skip
    assert result.code == 0, result.stderr
    assert (desk.outdir / "a").read_text() == "x"
    assert secret not in result.stderr + result.stdout
    for file in Path(desk.folder.parent).rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    for kept in configuration.parent.rglob("*token*"):
        if kept.is_file():
            assert kept.stat().st_mode & 0o077 == 0, kept


@pytest.fixture
def named_token(
    rucio: RucioService, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[timedelta], Path]]:
    """A configuration with a token of that life in a file; gives the file."""
    from rucio.common.config import clean_cached_config

    for name, value in rucio.clients.exports("runner").items():
        monkeypatch.setenv(name, value)

    def choose(life: timedelta) -> Path:
        configuration = rucio.clients.with_token("runner", issue(testbed, life))
        monkeypatch.setenv("RUCIO_CONFIG", str(configuration))
        clean_cached_config()
        return configuration.parent / "token"

    yield choose
    clean_cached_config()


def issue(testbed: Testbed, life: timedelta) -> str:
    token: str = testbed.service("oidc").token("runner", life)  # type: ignore[attr-defined]
    return token


def test_a_newer_token_is_taken_from_its_file_before_the_old_one_ends(
    named_token: Callable[[timedelta], Path], testbed: Testbed
) -> None:
    file = named_token(timedelta(seconds=100))
    client = RucioClient()
    assert now(client.account()) == "runner"
    old = client._client.auth_token
    newer = issue(testbed, timedelta(hours=1))
    file.write_text(newer)
    assert now(client.account()) == "runner"
    assert (old, client._client.auth_token) != (newer, newer)
    assert client._client.auth_token == newer
    client.close()


def test_a_token_that_has_ended_is_reported_with_its_file(
    named_token: Callable[[timedelta], Path], testbed: Testbed
) -> None:
    file = named_token(timedelta(hours=1))
    client = RucioClient()
    assert now(client.account()) == "runner"
    client._client.auth_token = issue(testbed, timedelta(seconds=-1))
    file.write_text(client._client.auth_token)
    with pytest.raises(RucioProblem, match=str(file)) as caught:
        now(client.account())
    assert "gridcwl resume" in caught.value.remedy
    client.close()


def test_a_client_that_wants_to_ask_its_user_ends_and_does_not_hang(desk: Desk, rucio: RucioService) -> None:
    """auth_type oidc and no token: Rucio's own client prints a page to visit, and waits for a code to be typed."""
    configuration = rucio.clients.configuration("runner", auth={"auth_type": "oidc"})
    path = desk.write("doc.cwl", shell("true"))
    environment: dict[str, Any] = {**os.environ, **rucio.clients.exports("runner"), "RUCIO_CONFIG": str(configuration)}
    command = [sys.executable, "-m", "gridcwl", "--quiet", "--no-container", "--store", "rucio", path]
    with subprocess.Popen(
        command, env=environment, cwd=desk.folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as asked:  # fmt: skip
        try:
            assert asked.stderr is not None
            ended = asked.wait(120)  # its stdin stays open all the while
            text = asked.stderr.read()
        finally:
            asked.kill()
    assert ended == 1
    assert "Traceback" not in text
    assert "log" in text.lower()
