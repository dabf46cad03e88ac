"""What gridcwl counts on when it asks Rucio, and what it has to be ready for. Runs on the fake and on a real Rucio."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rucio.common import exception

SCOPE = "user.runner"


class RucioContract:
    """DIDs, replicas, rules, metadata, storage elements: answers and refusals.

    A suite gives it the fixture ``log_in``, which gives a client for an account.
    """

    @pytest.fixture
    def server(self) -> Any:
        """Has ``run_daemons()`` and ``path(storage, scope, name)``."""
        raise NotImplementedError

    @pytest.fixture
    def client(self, log_in: Callable[[str], Any]) -> Any:
        return log_in("runner")

    @pytest.fixture
    def tag(self) -> str:
        """Makes names of this test."""
        # with a letter in front: Rucio takes a value of digits for a number, and then every other value has to be one
        return f"t{uuid.uuid4().hex[:11]}"

    @pytest.fixture
    def dataset(self, client: Any, tag: str) -> str:
        """A dataset with two files that have a replica at Lyon."""
        client.add_dataset(SCOPE, f"set-{tag}")
        self.attach(client, f"set-{tag}", [file(f"a-{tag}"), file(f"b-{tag}", size=20)])
        return f"set-{tag}"

    def attach(self, client: Any, name: str, files: list[dict[str, Any]], rse: str = "LYON-DISK", **how: Any) -> bool:
        return client.attach_dids_to_dids([{"scope": SCOPE, "name": name, "rse": rse, "dids": files}], **how)

    # ---- DIDs

    def test_a_dataset_is_made_once(self, client, tag):
        assert client.add_dataset(SCOPE, tag)
        with pytest.raises(exception.DataIdentifierAlreadyExists):
            client.add_dataset(SCOPE, tag)

    def test_a_scope_that_there_is_not_is_refused(self, client, tag):
        with pytest.raises(exception.ScopeNotFound):
            client.add_dataset("nowhere", tag)

    @pytest.mark.parametrize("name", ["a b", "ä", "a+b", ".hidden", "x" * 251])
    def test_a_name_that_the_policy_does_not_take_is_refused(self, client, name):
        with pytest.raises(exception.InvalidObject):
            client.add_dataset(SCOPE, name)

    def test_several_collections_are_made_or_none(self, client, tag, dataset):
        known, new = ({"scope": SCOPE, "name": name, "type": "DATASET"} for name in (dataset, f"new-{tag}"))
        with pytest.raises(exception.DataIdentifierAlreadyExists):
            client.add_dids([new, known])
        with pytest.raises(exception.DataIdentifierNotFound):
            client.get_did(SCOPE, f"new-{tag}")

    def test_others_do_not_write_into_ones_scope(self, log_in, tag):
        with pytest.raises(exception.AccessDenied):
            log_in("alice").add_dataset("user.bob", tag)

    def test_attaching_registers_files_with_their_replicas(self, client, tag, dataset):
        assert client.get_did(SCOPE, f"a-{tag}")["bytes"] == 10
        [found] = client.list_replicas([did(f"a-{tag}")])
        assert found["states"] == {"LYON-DISK": "AVAILABLE"}
        assert found["adler32"] == "00010001"
        assert [each["name"] for each in client.list_content(SCOPE, dataset)] == [f"a-{tag}", f"b-{tag}"]

    def test_attaching_again_is_refused_unless_duplicates_are_to_be_ignored(self, client, tag, dataset):
        with pytest.raises(exception.FileAlreadyExists):
            self.attach(client, dataset, [file(f"a-{tag}")])
        assert self.attach(client, dataset, [file(f"a-{tag}"), file(f"c-{tag}")], ignore_duplicate=True)
        assert len(list(client.list_content(SCOPE, dataset))) == 3

    @pytest.mark.parametrize("other", [{"bytes": 11}, {"adler32": "00020002"}])
    def test_a_known_file_with_another_content_is_refused(self, client, tag, dataset, other):
        with pytest.raises(exception.FileConsistencyMismatch):
            self.attach(client, dataset, [file(f"a-{tag}") | other], ignore_duplicate=True)

    def test_attaching_elsewhere_adds_a_replica(self, client, tag, dataset):
        self.attach(client, dataset, [file(f"a-{tag}")], rse="ORSAY_USERDISK", ignore_duplicate=True)
        [found] = client.list_replicas([did(f"a-{tag}")])
        assert set(found["states"]) == {"LYON-DISK", "ORSAY_USERDISK"}

    def test_attaching_is_all_or_nothing(self, client, tag, dataset):
        good = {"scope": SCOPE, "name": dataset, "rse": "LYON-DISK", "dids": [file(f"n-{tag}")]}
        with pytest.raises(exception.DataIdentifierNotFound):
            client.attach_dids_to_dids([good, good | {"name": f"missing-{tag}"}])
        with pytest.raises(exception.DataIdentifierNotFound):
            client.get_did(SCOPE, f"n-{tag}")

    def test_a_file_that_is_not_registered_cannot_be_attached_without_a_place(self, client, tag, dataset):
        with pytest.raises(exception.DataIdentifierNotFound):
            client.attach_dids(SCOPE, dataset, [did(f"missing-{tag}")])

    def test_an_unknown_storage_element_is_refused(self, client, tag, dataset):
        with pytest.raises(exception.RSENotFound):
            self.attach(client, dataset, [file(f"n-{tag}")], rse="NOWHERE")

    def test_a_thousand_dids_a_call_and_no_more(self, client, tag, dataset):
        many = [file(f"m{number}-{tag}") for number in range(1001)]
        with pytest.raises(exception.InvalidObject):
            self.attach(client, dataset, many)
        with pytest.raises(exception.InvalidObject):
            list(client.list_replicas([did(each["name"]) for each in many]))
        assert self.attach(client, dataset, many[:300])

    def test_nothing_goes_into_a_closed_dataset(self, client, tag, dataset):
        assert client.close(SCOPE, dataset)
        with pytest.raises(exception.UnsupportedOperation):
            self.attach(client, dataset, [file(f"n-{tag}")])

    def test_containers_hold_datasets_and_datasets_hold_files(self, client, tag, dataset):
        client.add_container(SCOPE, f"box-{tag}")
        assert client.attach_dids(SCOPE, f"box-{tag}", [did(dataset)])
        with pytest.raises(exception.DuplicateContent):
            client.attach_dids(SCOPE, f"box-{tag}", [did(dataset)])
        for parent, child in ((f"box-{tag}", f"a-{tag}"), (dataset, f"box-{tag}")):
            with pytest.raises(exception.UnsupportedOperation):
                client.attach_dids(SCOPE, parent, [did(child)])
        assert [each["type"] for each in client.list_content(SCOPE, f"box-{tag}")] == ["DATASET"]
        assert {each["name"] for each in client.list_files(SCOPE, f"box-{tag}")} == {f"a-{tag}", f"b-{tag}"}
        assert [each["name"] for each in client.list_parent_dids(SCOPE, dataset)] == [f"box-{tag}"]

    def test_the_size_of_a_collection_is_reported_when_asked_for(self, client, dataset):
        assert client.get_did(SCOPE, dataset)["bytes"] is None
        found = client.get_did(SCOPE, dataset, dynamic_depth="FILE")
        assert (found["bytes"], found["length"], found["type"]) == (30, 2, "DATASET")

    def test_what_does_not_exist_is_reported(self, client, tag):
        for call in (
            client.get_did,
            client.list_content,
            client.list_files,
            client.get_metadata,
            client.list_did_rules,
        ):
            with pytest.raises(exception.DataIdentifierNotFound):
                list(call(SCOPE, f"missing-{tag}"))

    # ---- finding

    def test_names_are_found_by_wildcard_and_type(self, client, tag, dataset):
        assert list(client.list_dids(SCOPE, [{"name": f"*-{tag}"}])) == [dataset]
        assert list(client.list_dids(SCOPE, [{"name": f"?-{tag}"}], did_type="file")) in ([], [f"a-{tag}", f"b-{tag}"])
        assert sorted(client.list_dids(SCOPE, [{"name": f"*-{tag}"}], did_type="file")) == [f"a-{tag}", f"b-{tag}"]
        with pytest.raises(exception.UnsupportedOperation):
            list(client.list_dids(SCOPE, [{"name": "*"}], did_type="folder"))

    @pytest.mark.usefixtures("dataset")
    def test_files_are_found_by_size(self, client, tag):
        found = client.list_dids(SCOPE, [{"name": f"*-{tag}", "bytes.gt": 15}], did_type="file", long=True)
        assert [(each["name"], each["bytes"]) for each in found] == [(f"b-{tag}", 20)]

    def test_one_of_several_filters_is_enough(self, client, tag, dataset):
        found = client.list_dids(SCOPE, [{"name": dataset}, {"name": f"b-{tag}"}], did_type="all")
        assert sorted(found) == [f"b-{tag}", dataset]

    @pytest.mark.usefixtures("dataset")
    def test_metadata_of_our_own_are_kept_and_found(self, client, tag, dataset):
        assert client.set_metadata_bulk(SCOPE, dataset, {"gridcwl_run": tag, "gridcwl_step": "align"})
        assert client.get_metadata(SCOPE, dataset, plugin="JSON") == {"gridcwl_run": tag, "gridcwl_step": "align"}
        assert list(client.list_dids(SCOPE, [{"gridcwl_run": tag}], did_type="all")) == [dataset]
        assert client.set_dids_metadata_bulk([did(f"a-{tag}") | {"meta": {"gridcwl_key": "k"}}])
        [found] = client.get_metadata_bulk([did(f"a-{tag}")], plugin="JSON")
        assert found["gridcwl_key"] == "k"

    def test_metadata_in_bulk_leave_out_what_there_is_not(self, client, tag, dataset):
        found = client.get_metadata_bulk([did(f"a-{tag}"), did(f"missing-{tag}"), did(dataset)])
        told = {each["name"]: (each["did_type"], each["bytes"], each["adler32"]) for each in found}
        assert told == {f"a-{tag}": ("FILE", 10, "00010001"), dataset: ("DATASET", None, None)}

    def test_a_lifetime_is_a_moment(self, client, dataset):
        assert client.get_metadata(SCOPE, dataset)["expired_at"] is None
        client.set_metadata(SCOPE, dataset, "lifetime", 3600)
        assert client.get_metadata(SCOPE, dataset)["expired_at"] is not None

    # ---- replicas

    def test_replicas_of_collections_are_those_of_their_files(self, client, tag, dataset, server):
        found = {each["name"]: each for each in client.list_replicas([did(dataset), did(f"missing-{tag}")])}
        assert set(found) == {f"a-{tag}", f"b-{tag}"}
        [pfn] = found[f"a-{tag}"]["pfns"]
        assert pfn == f"file://localhost{server.path('LYON-DISK', SCOPE, f'a-{tag}')}"
        assert found[f"a-{tag}"]["rses"] == {"LYON-DISK": [pfn]}

    def test_replicas_that_speak_no_asked_scheme_have_no_address(self, client, dataset):
        assert [each["pfns"] for each in client.list_replicas([did(dataset)], schemes=["root"])] == [{}, {}]

    @pytest.mark.usefixtures("dataset")
    def test_a_replica_that_is_unavailable_is_not_listed(self, client, tag):
        client.update_replicas_states("LYON-DISK", [did(f"a-{tag}") | {"state": "U"}])
        [found] = client.list_replicas([did(f"a-{tag}")])
        assert (found["pfns"], found["states"]) == ({}, {})

    def test_adding_a_known_replica_changes_nothing_and_checks_nothing(self, client, tag):
        assert client.add_replicas("LYON-DISK", [file(f"r-{tag}")])
        assert client.add_replicas("LYON-DISK", [file(f"r-{tag}") | {"adler32": "00000002"}])
        assert client.get_did(SCOPE, f"r-{tag}")["adler32"] == "00010001"

    def test_a_duplicate_within_one_call_is_an_error_of_the_database(self, client, tag):
        with pytest.raises(exception.DatabaseException):
            client.add_replicas("LYON-DISK", [file(f"r-{tag}")] * 2)

    def test_users_add_replicas_on_user_disks_only(self, log_in, tag):
        alice = log_in("alice")
        mine = file(f"r-{tag}") | {"scope": "user.alice"}
        assert alice.add_replicas("ORSAY_USERDISK", [mine])
        with pytest.raises(exception.AccessDenied):
            alice.add_replicas("LYON-DISK", [mine | {"name": f"s-{tag}"}])

    # ---- rules

    def test_a_rule_where_the_files_are_is_ok_at_once(self, client, dataset):
        [rule] = client.add_replication_rule([did(dataset)], 1, "LYON-DISK", lifetime=3600)
        [found] = client.list_did_rules(SCOPE, dataset)
        assert (found["id"], found["state"], found["locks_ok_cnt"]) == (rule, "OK", 2)
        assert client.get_replication_rule(rule)["expires_at"] is not None

    def test_a_rule_on_an_empty_dataset_is_ok_and_holds_nothing(self, client, tag):
        client.add_dataset(SCOPE, tag)
        client.add_replication_rule([did(tag)], 1, "LYON-DISK")
        [found] = client.list_did_rules(SCOPE, tag)
        assert (found["state"], found["locks_ok_cnt"]) == ("OK", 0)

    def test_the_same_rule_twice_is_refused(self, client, dataset):
        client.add_replication_rule([did(dataset)], 1, "LYON-DISK")
        with pytest.raises(exception.DuplicateRule):
            client.add_replication_rule([did(dataset)], 1, "LYON-DISK", lifetime=10)

    def test_rules_that_make_no_sense_are_refused(self, client, tag, dataset):
        with pytest.raises(exception.DataIdentifierNotFound):
            client.add_replication_rule([did(f"missing-{tag}")], 1, "LYON-DISK")
        with pytest.raises(exception.InvalidRSEExpression):
            client.add_replication_rule([did(dataset)], 1, "NOWHERE")
        with pytest.raises(exception.InsufficientTargetRSEs):
            client.add_replication_rule([did(dataset)], 2, "LYON-DISK")

    def test_a_rule_beyond_the_quota_is_refused(self, client, log_in, tag):
        client.add_dataset(SCOPE, tag)
        self.attach(client, tag, [file(f"huge-{tag}", size=2 * 10**9)])
        with pytest.raises(exception.InsufficientAccountLimit):
            log_in("alice").add_replication_rule([did(tag)], 1, "MEUDON-DISK")

    def test_the_lifetime_of_a_rule_can_be_changed(self, client, dataset):
        [rule] = client.add_replication_rule([did(dataset)], 1, "LYON-DISK", lifetime=60)
        before = client.get_replication_rule(rule)["expires_at"]
        assert client.update_replication_rule(rule, {"lifetime": 7200})
        assert client.get_replication_rule(rule)["expires_at"] > before
        client.update_replication_rule(rule, {"lifetime": None})
        assert client.get_replication_rule(rule)["expires_at"] is None
        with pytest.raises(exception.InputValidationError):
            client.update_replication_rule(rule, {"colour": "red"})

    def test_a_deleted_rule_stays_for_an_hour(self, client, dataset):
        [rule] = client.add_replication_rule([did(dataset)], 1, "LYON-DISK")
        assert client.delete_replication_rule(rule, purge_replicas=True)
        found = client.get_replication_rule(rule)
        assert found["expires_at"] is not None
        assert found["purge_replicas"]

    def test_a_rule_that_does_not_exist_is_reported(self, client):
        for call in (client.get_replication_rule, client.delete_replication_rule):
            with pytest.raises(exception.RuleNotFound):
                call("0" * 32)

    def test_a_rule_elsewhere_moves_the_bytes(self, client, server, tag):
        data = tag.encode() * 50
        client.add_dataset(SCOPE, tag)
        self.attach(client, tag, [file(f"f-{tag}", size=len(data), adler32=f"{zlib.adler32(data):08x}")])
        source = server.path("LYON-DISK", SCOPE, f"f-{tag}")
        source.parent.mkdir(parents=True)
        source.write_bytes(data)
        client.add_replication_rule([did(tag)], 1, "MEUDON-DISK")
        [found] = client.list_did_rules(SCOPE, tag)
        assert (found["state"], found["locks_replicating_cnt"]) == ("REPLICATING", 1)
        server.run_daemons()
        [found] = client.list_did_rules(SCOPE, tag)
        assert (found["state"], found["locks_ok_cnt"]) == ("OK", 1)
        assert Path(server.path("MEUDON-DISK", SCOPE, f"f-{tag}")).read_bytes() == data
        [found] = client.list_replicas([did(f"f-{tag}")])
        assert set(found["states"]) == {"LYON-DISK", "MEUDON-DISK"}

    # ---- storage elements and accounts

    def test_storage_elements_know_their_site(self, client):
        names = {each["rse"] for each in client.list_rses()}
        assert {"LYON-DISK", "CNAF-DAVS", "ORSAY_USERDISK", "MEUDON-DISK"} <= names
        assert client.list_rse_attributes("LYON-DISK")["site"] == "LCG.Lyon.fr"

    @pytest.mark.parametrize(
        ("expression", "names"),
        [
            ("LYON-DISK|MEUDON-DISK", {"LYON-DISK", "MEUDON-DISK"}),
            ("(LYON-DISK|MEUDON-DISK)&LYON-DISK", {"LYON-DISK"}),
            ("*\\LYON-DISK", {"CNAF-DAVS", "ORSAY_USERDISK", "MEUDON-DISK"}),
            ("transfertool=testbed", {"LYON-DISK", "CNAF-DAVS", "ORSAY_USERDISK", "MEUDON-DISK"}),
        ],
    )
    def test_expressions_name_storage_elements(self, client, expression, names):
        assert {each["rse"] for each in client.list_rses(expression)} == names

    @pytest.mark.parametrize(
        "expression", ["NOWHERE", "LYON-DISK|", "site=nope", "site=LCG.Lyon.fr", "(LYON-DISK", "*-DISK"]
    )
    def test_expressions_that_mean_nothing_are_refused(self, client, expression):
        with pytest.raises(exception.InvalidRSEExpression):
            list(client.list_rses(expression))

    def test_a_storage_element_tells_how_to_speak_to_it(self, client, server):
        [protocol] = client.get_protocols("LYON-DISK")
        assert (protocol["scheme"], protocol["domains"]["lan"]["read"]) == ("file", 1)
        assert client.get_rse("LYON-DISK")["protocols"][0]["prefix"] == protocol["prefix"]
        path = server.path("LYON-DISK", SCOPE, "x")
        assert client.lfns2pfns("LYON-DISK", [f"{SCOPE}:x"]) == {f"{SCOPE}:x": f"file://localhost{path}"}
        for call in (client.get_rse, client.get_protocols, client.list_rse_attributes):
            with pytest.raises(exception.RSENotFound):
                call("NOWHERE")

    def test_all_scopes_are_known_to_everybody(self, log_in):
        assert {"user.alice", "user.runner", "test"} <= set(log_in("alice").list_scopes())

    def test_attaching_to_what_there_is_not_looks_at_the_names_first(self, client, tag):
        good = {"scope": SCOPE, "name": tag, "dids": [{"scope": SCOPE, "name": f"{tag}.x"}]}
        with pytest.raises(exception.DataIdentifierNotFound):
            client.attach_dids_to_dids([good], ignore_duplicate=True)
        bad = {"scope": SCOPE, "name": tag, "dids": [{"scope": SCOPE, "name": "a b"}]}
        with pytest.raises(exception.InvalidObject):
            client.attach_dids_to_dids([good, bad], ignore_duplicate=True)

    def test_a_container_is_made_with_what_is_in_it(self, client, tag):
        inside = {"scope": SCOPE, "name": f"{tag}.in"}
        client.add_dids(
            [
                inside | {"type": "DATASET"},
                {"scope": SCOPE, "name": f"{tag}.box", "type": "CONTAINER", "dids": [inside]},
            ]
        )
        assert [one["name"] for one in client.list_content(SCOPE, f"{tag}.box")] == [f"{tag}.in"]

    def test_an_account_knows_itself_and_its_scopes(self, log_in):
        alice = log_in("alice")
        assert alice.whoami()["account"] == "alice"
        assert alice.list_scopes_for_account("alice") == ["user.alice"]
        assert alice.ping()["version"].startswith("41.")


def did(name: str) -> dict[str, str]:
    return {"scope": SCOPE, "name": name}


def file(name: str, size: int = 10, adler32: str = "00010001") -> dict[str, Any]:
    return {**did(name), "bytes": size, "adler32": adler32}
