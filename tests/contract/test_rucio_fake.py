"""The fake Rucio keeps the contract; and what only a fake can do."""

from __future__ import annotations

from pathlib import Path

import pytest
from rucio.common import exception
from rucio_suite import RucioContract

from gridcwl.testbed.fakes.rucio import FakeRucio


@pytest.fixture
def server(tmp_path: Path) -> FakeRucio:
    return FakeRucio(tmp_path)


class TestFakeRucio(RucioContract):
    @pytest.fixture
    def server(self, tmp_path: Path) -> FakeRucio:
        return FakeRucio(tmp_path)

    @pytest.fixture
    def log_in(self, server: FakeRucio):
        return server.client


def test_calls_are_counted(server):
    server.client("alice").ping()
    assert server.calls == ["ping"]


def test_calls_fail_as_often_as_requested(server):
    server.fail(2, exception.ServerConnectionException("refused"))
    alice = server.client("alice")
    for _ in range(2):
        with pytest.raises(exception.ServerConnectionException):
            alice.ping()
    assert alice.ping()


def test_who_is_not_known_cannot_log_in(server):
    with pytest.raises(exception.CannotAuthenticate):
        server.client("mallory")


def test_what_no_rule_wants_any_more_is_deleted(server):
    runner = server.client("runner")
    runner.add_dataset("runner", "set", lifetime=None)
    file = {"scope": "runner", "name": "f", "bytes": 1, "adler32": "00620062"}
    runner.attach_dids_to_dids([{"scope": "runner", "name": "set", "rse": "LYON-DISK", "dids": [file]}])
    path = server.path("LYON-DISK", "runner", "f")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a")
    runner.add_replication_rule([{"scope": "runner", "name": "set"}], 1, "LYON-DISK", lifetime=-1)
    server.run_daemons()
    assert not path.exists()
    assert next(runner.list_replicas([{"scope": "runner", "name": "f"}]))["states"] == {}
