"""Whether Rucio will take a run's names is asked before anything runs, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from rucio_builders import client_of, fake_server, now

from gridcwl.errors import ConfigError, StoreError
from gridcwl.stores.rucio.checking import check_dataset, check_names, check_scope
from gridcwl.stores.rucio.client import RucioClient
from gridcwl.stores.rucio.names import Did, Naming
from gridcwl.testbed.fakes.rucio import FakeRucio

exception = pytest.importorskip("rucio.common.exception")

CTAO = "/ctao.org/{scope}/{run}/{step}"


@pytest.fixture
def server(tmp_path: Path) -> FakeRucio:
    return fake_server(tmp_path / "rucio")


def client(server: FakeRucio, account: str = "alice") -> RucioClient:
    return client_of(lambda: server.client(account))[0]


def naming(template: str = "{run}/{step}", scope: str = "user.alice") -> Naming:
    return Naming(scope, template, "run")


def test_names_that_are_allowed_cost_one_question_and_leave_nothing(server: FakeRucio) -> None:
    asked = client(server)
    now(check_names(asked, naming(), ["align/sort", "join"], Did("user.alice", "mine")))
    assert asked.calls == 1
    assert list(server.client("alice").list_dids("user.alice", [{"name": "*"}], did_type="all")) == []


def test_a_name_that_the_policy_forbids_is_reported_with_the_pattern_and_the_template(server: FakeRucio) -> None:
    text = (
        "Provided object does not match schema. Details: Problem validating attachments: "
        "'run.step.out' does not match '^/[A-Za-z0-9]*$' Failed validating 'pattern' in schema['items']: " + "x" * 9000
    )
    server.fail(1, exception.InvalidObject(text))
    with pytest.raises(ConfigError) as caught:
        now(check_names(client(server), naming(), ["step"]))
    assert str(caught.value).startswith(
        "Rucio's policy does not allow a name like run.step.out: it does not match '^/[A-Za-z0-9]*$'"
    )
    assert "--rucio-name; it is '{run}/{step}' now" in caught.value.remedy
    assert len(str(caught.value)) < 500


def test_a_scope_of_somebody_else_is_reported_with_its_name(server: FakeRucio) -> None:
    server.fail(1, exception.AccessDenied("Account alice can not add data identifiers."))
    with pytest.raises(StoreError, match=r"may not write to the scope user\.bob"):
        now(check_names(client(server), naming(scope="user.bob"), ["step"]))


def test_a_server_that_reads_another_scope_out_of_a_name_is_reported(server: FakeRucio) -> None:
    asked = client(server)

    class Reading:
        """As a server whose policy finds the scope in the path."""

        def attach_dids_to_dids(self, *_a: object, **_k: object) -> None:
            raise exception.DataIdentifierNotFound("nothing there")

        def get_did(self, scope: str, name: str) -> None:
            raise exception.DataIdentifierNotFound(f"Data identifier '{scope}/ctao.org:{name[1:]}' not found")

    asked._client = Reading()
    with pytest.raises(ConfigError, match=r"in the scope user\.alice as .* in the scope user\.alice/ctao\.org"):
        now(check_names(asked, naming(CTAO), ["step"]))


def test_a_scope_that_there_is_not_is_reported_with_those_of_the_account(server: FakeRucio) -> None:
    asked = client(server)
    now(check_scope(asked, "user.alice", ["user.alice"]))
    assert asked.calls == 0
    with pytest.raises(ConfigError, match=r"no scope nowhere; the account has user\.alice"):
        now(check_scope(asked, "nowhere", ["user.alice"]))


def test_a_dataset_for_outputs_may_be_new_or_open(server: FakeRucio) -> None:
    now(check_dataset(client(server), Did("user.alice", "new")))
    server.client("alice").add_dataset("user.alice", "open")
    now(check_dataset(client(server), Did("user.alice", "open")))


def test_a_dataset_for_outputs_that_is_closed_is_refused(server: FakeRucio) -> None:
    server.client("alice").add_dataset("user.alice", "closed")
    server.client("alice").close("user.alice", "closed")
    with pytest.raises(ConfigError, match=r"dataset user\.alice:closed: this dataset is closed"):
        now(check_dataset(client(server), Did("user.alice", "closed")))


def test_a_name_for_outputs_that_is_a_container_is_refused(server: FakeRucio) -> None:
    server.client("alice").add_container("user.alice", "box")
    with pytest.raises(ConfigError, match=r"user\.alice:box: it is a container already"):
        now(check_dataset(client(server), Did("user.alice", "box")))
