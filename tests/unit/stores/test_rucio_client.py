"""Calls to Rucio: repeated where that can help, explained where it cannot, and never waiting for somebody to answer."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rucio_builders import client_of, fake_server, now

from gridcwl import imports
from gridcwl.errors import ConfigError, StoreError
from gridcwl.stores.rucio.client import RucioClient, RucioProblem, token_end

exception = pytest.importorskip("rucio.common.exception")


class Server:
    """Fails as requested, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    def whoami(self) -> dict[str, str]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return {"account": "runner"}


@pytest.mark.parametrize(
    "error",
    [
        exception.ServerConnectionException("refused"),
        exception.DatabaseException("server closed the connection unexpectedly"),
        exception.RucioException("database is locked"),
        exception.RucioException("no error information passed (http status code: 502)"),
    ],
    ids=["server", "database", "locked", "gateway"],
)
def test_what_may_pass_is_waited_for_with_growing_pauses(error: Exception) -> None:
    server = Server(*[error] * 4)
    client, clock = client_of(lambda: server)
    assert now(client.call("whoami")) == {"account": "runner"}
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "error",
    [
        exception.AccessDenied("no"),
        exception.FileConsistencyMismatch("other"),
        exception.InvalidObject("name"),
        exception.DataIdentifierNotFound("gone"),
        exception.DatabaseException('insert violates foreign key constraint "DIDS_SCOPE_FK"'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_will_fail_again_is_asked_once(error: Exception) -> None:
    server = Server(error, error)
    client, clock = client_of(lambda: server)
    with pytest.raises(RucioProblem) as raised:
        now(client.call("whoami"))
    assert raised.value.kind == type(error).__name__
    assert server.asked == 1
    assert clock.pauses == []


def test_a_database_that_stays_down_is_given_up_sooner_than_a_server() -> None:
    database, server = (
        client_of(lambda error=error: Server(*[error] * 1000))
        for error in (exception.DatabaseException("down"), exception.ServerConnectionException("down"))
    )
    for client, _ in (database, server):
        with pytest.raises(RucioProblem, match=r"fails for|reached for") as raised:
            now(client.call("whoami"))
        assert "gridcwl resume" in raised.value.remedy
    assert 60 < database[1].time <= 90
    assert 240 < server[1].time <= 300


def test_a_message_that_holds_a_whole_payload_is_cut() -> None:
    client, _ = client_of(lambda: Server(exception.InvalidObject("x" * 100_000)))
    with pytest.raises(RucioProblem) as raised:
        now(client.call("whoami"))
    assert len(str(raised.value)) < 600


def test_who_is_asked_for_a_log_in_does_not_wait_for_an_answer() -> None:
    class Prompting:
        def whoami(self) -> None:
            input("Copy the code: ")

    before = sys.stdin
    client, _ = client_of(Prompting)
    with pytest.raises(RucioProblem, match="interactive login") as raised:
        now(client.call("whoami"))
    assert "rucio whoami" in raised.value.remedy
    assert sys.stdin is before


def test_a_client_that_is_closed_gives_up_waiting() -> None:
    client = RucioClient(lambda: Server(*[exception.ServerConnectionException("down")] * 99))
    question = client._begin("whoami", (), {})
    client.close()
    with pytest.raises(StoreError):
        question.result(10)


def test_streams_come_as_lists(tmp_path: Path) -> None:
    server = fake_server(tmp_path)
    client, _ = client_of(lambda: server.client("runner"))
    assert isinstance(now(client.call("list_rses")), list)


def test_without_the_package_the_message_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "rucio" or name.startswith("rucio.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoRucio(), *sys.meta_path])
    with pytest.raises(ConfigError, match="Rucio needs the Python package rucio") as raised:
        now(RucioClient().call("whoami"))
    assert raised.value.remedy == "pip install 'gridcwl[rucio]'"


def test_from_a_source_tree_the_message_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [])  # nor is there metadata of gridcwl
    assert imports.missing("rucio", "Rucio").remedy == "pip install rucio"


class _NoRucio:
    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "rucio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def token(ends_in: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in}).encode()).rstrip(b"=").decode()
    return f"head.{claims}.signature"


class OnToken:
    """As rucio's client with ``auth_type = oidc``."""

    auth_type = "oidc"
    auth_oidc_refresh_active = False

    def __init__(self, ends_in: float, file: Path) -> None:
        self.auth_token = token(ends_in)
        self.token_file = str(file)
        self.headers: dict[str, Any] = {}

    def whoami(self) -> str:
        return self.auth_token


def test_a_token_that_is_about_to_end_is_replaced_by_a_newer_one_from_its_file(tmp_path: Path) -> None:
    newer = token(3600)
    (tmp_path / "token").write_text(newer + os.linesep)
    client, _ = client_of(lambda: OnToken(30, tmp_path / "token"))
    assert now(client.call("whoami")) == newer


def test_a_token_that_has_ended_is_not_tried(tmp_path: Path) -> None:
    client, _ = client_of(lambda: OnToken(-1, tmp_path / "token"))
    with pytest.raises(RucioProblem, match="has expired") as raised:
        now(client.call("whoami"))
    assert "resume" in raised.value.remedy


def test_a_token_that_is_good_is_left_alone(tmp_path: Path) -> None:
    client, _ = client_of(lambda: OnToken(3600, tmp_path / "none"))
    assert now(client.call("whoami")).startswith("head.")


def test_what_is_no_token_has_no_end() -> None:
    assert token_end("runner-/C=x-unknown-abc") is None
