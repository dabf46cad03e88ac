"""The rule that keeps intermediate files while a run is active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rucio_builders import client_of, fake_server, now

from gridcwl.stores.rucio.client import RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did
from gridcwl.stores.rucio.rules import RunRule
from gridcwl.testbed.fakes.rucio import FakeRucio

exception = pytest.importorskip("rucio.common.exception")

BOX = Did("user.runner", "run-1.run")


@pytest.fixture
def server(tmp_path: Path) -> FakeRucio:
    made = fake_server(tmp_path)
    made.client("runner").add_container(BOX.scope, BOX.name)
    return made


def rule_of(server: FakeRucio, days: float = 2) -> tuple[RunRule, RucioClient]:
    client, _ = client_of(lambda: server.client("runner"))
    return RunRule(client, BOX, ["LYON-DISK", "MEUDON-DISK"], days), client


def rules(server: FakeRucio) -> list[Any]:
    return list(server.client("runner").list_did_rules(*BOX))


def test_it_is_made_once_and_by_whoever_resumes_the_run_not_again(server: FakeRucio) -> None:
    rule, _ = rule_of(server)
    first = now(rule.make())
    assert now(rule.make()) == first
    other, _ = rule_of(server)
    assert now(other.make()) == first
    (only,) = rules(server)
    assert (only["copies"], only["rse_expression"], only["grouping"]) == (1, "LYON-DISK|MEUDON-DISK", "NONE")


def test_it_is_extended_while_the_run_is_active(server: FakeRucio) -> None:
    rule, _ = rule_of(server, days=1)
    now(rule.make())
    (before,) = rules(server)
    rule.keep_days = 3
    now(rule.extend())
    (after,) = rules(server)
    assert after["expires_at"] > before["expires_at"]


def test_it_is_extended_often_enough() -> None:
    for days in (0.01, 1, 14, 365):
        assert 0 < RunRule(None, BOX, [], days).every_s <= max(60, days * 86400 / 4)  # type: ignore[arg-type]


def test_an_account_that_may_have_no_rules_goes_without(server: FakeRucio) -> None:
    rule, _ = rule_of(server)
    server.fail(1, exception.AccessDenied("no rules for you"))
    assert now(rule.make()) == ""
    assert rules(server) == []
    now(rule.extend())


def test_a_rucio_that_cannot_be_reached_is_no_reason_to_go_without(server: FakeRucio) -> None:
    rule, _ = rule_of(server)
    server.fail(1000, exception.ServerConnectionException("down"))
    with pytest.raises(RucioProblem):
        now(rule.make())
