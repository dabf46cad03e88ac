"""A Rucio in this process: :class:`FakeRucio` is the server, ``server.client("alice")`` has rucio's Client's calls.

    rucio = FakeRucio(tmp_path)
    client = rucio.client("alice")
    client.add_dataset("user.alice", "images")

It has the testbed's sites, accounts and scopes, raises Rucio's own exceptions, and knows the limits that hurt: a
thousand DIDs a call, names by the generic policy, user disks for users. ``rucio.calls`` has every call that was made;
``rucio.fail(times, error)`` makes the next ones fail. Storage elements are folders below the given one: what is put
there is copied by rules when ``rucio.run_daemons()`` is called. Needs rucio-clients for its exceptions, and no server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rucio.common import exception

from gridcwl.testbed.fakes import expressions
from gridcwl.testbed.fakes.catalogue import in_seconds, now
from gridcwl.testbed.fakes.rucio_server import AccountSession, DidLike, FakeRucio

__all__ = ["FakeClient", "FakeRucio"]

_GRACE_S = 3600
_OPTIONS = frozenset(
    {"lifetime", "locked", "comment", "activity", "account", "state", "priority", "purge_replicas", "meta"}
)
_TYPES = {
    "all": {"FILE", "DATASET", "CONTAINER"},
    "collection": {"DATASET", "CONTAINER"},
    "container": {"CONTAINER"},
    "dataset": {"DATASET"},
    "file": {"FILE"},
}


class FakeClient(AccountSession):
    """The calls of ``rucio.client.Client`` that gridcwl makes, with its arguments and answers."""

    vo = "def"

    # ---- who and what

    def ping(self) -> dict[str, str]:
        """The server's version."""
        self.server.called("ping")
        return {"version": "41.5.1"}

    def whoami(self) -> dict[str, Any]:
        """This account."""
        self.server.called("whoami")
        account = self.server.accounts[self.account]
        return {
            "account": account.name,
            "account_type": account.type,
            "status": "ACTIVE",
            "email": f"{self.account}@localhost",
        }

    def list_scopes_for_account(self, account: str) -> list[str]:
        """The scopes that are its own."""
        self.server.called("list_scopes_for_account")
        return sorted(scope for scope, owner in self.server.scopes.items() if owner == account)

    def list_scopes(self) -> list[str]:
        """All there are."""
        self.server.called("list_scopes")
        return sorted(self.server.scopes)

    def add_scope(self, account: str, scope: str) -> bool:
        """A new scope."""
        self.server.called("add_scope")
        if not self._admin:
            raise exception.AccessDenied(f"Account {self.account} can not add scope")
        if scope in self.server.scopes:
            raise exception.Duplicate(f"Scope '{scope}' already exists!")
        self.server.scopes[scope] = account
        return True

    # ---- storage elements

    def list_rses(self, rse_expression: str | None = None) -> Iterator[dict[str, Any]]:
        """All, or those of an expression."""
        self.server.called("list_rses")
        names = list(self.server.sites) if rse_expression is None else self._elements(rse_expression)
        return iter([self._rse(name) if rse_expression is None else {"rse": name} for name in names])

    def get_rse(self, rse: str) -> dict[str, Any]:
        """One of them, with its protocols."""
        self.server.called("get_rse")
        return {**self._rse(rse), "domain": ["lan", "wan"], "protocols": self._protocols(rse), "verify_checksum": True,
                "lfn2pfn_algorithm": "hash", "credentials": None, "sign_url": None}  # fmt: skip

    def list_rse_attributes(self, rse: str) -> dict[str, Any]:
        """Its attributes; ``site`` is the DIRAC site."""
        self.server.called("list_rse_attributes")
        return dict(self.server.attributes[self._known(rse)])

    def get_protocols(self, rse: str) -> list[dict[str, Any]]:
        """How to speak to it: here always ``file``."""
        self.server.called("get_protocols")
        return self._protocols(self._known(rse))

    def lfns2pfns(self, rse: str, lfns: Iterable[str], **_how: Any) -> dict[str, str]:
        """Where files are, or would be."""
        self.server.called("lfns2pfns")
        return {lfn: self.server.pfn(self._known(rse), *lfn.split(":", 1)) for lfn in lfns}

    # ---- DIDs

    def add_did(
        self,
        scope: str,
        name: str,
        did_type: str,
        *,
        lifetime: int | None = None,
        meta: DidLike | None = None,
        dids: Sequence[DidLike] | None = None,
        rse: str | None = None,
        rules: Sequence[DidLike] | None = None,
    ) -> bool:
        """A new dataset or container."""
        self.server.called("add_did")
        if did_type not in ("DATASET", "CONTAINER"):
            raise exception.UnsupportedOperation("Only collection (dataset/container) can be registered.")
        self._new(scope, name, did_type, lifetime, meta)
        if dids:
            self._attach(scope, name, dids, rse, ignore_duplicate=False)
        for rule in rules or ():
            self._add_rule(
                [{"scope": scope, "name": name}], rule["copies"], rule["rse_expression"], rule.get("lifetime")
            )
        return True

    def add_dataset(self, scope: str, name: str, **given: Any) -> bool:
        """A new dataset."""
        return self.add_did(
            scope, name, "DATASET", **{("dids" if key == "files" else key): value for key, value in given.items()}
        )

    def add_container(self, scope: str, name: str, **given: Any) -> bool:
        """A new container."""
        return self.add_did(scope, name, "CONTAINER", **given)

    def add_dids(self, dids: Sequence[DidLike]) -> bool:
        """New datasets and containers, with what is in them: all or none."""
        self.server.called("add_dids")
        for did in dids:
            self._may_add(did["scope"], did["name"])
        for did in dids:
            self._new(did["scope"], did["name"], did["type"].upper(), did.get("lifetime"), did.get("meta"))
            if did.get("dids"):
                self._attach(did["scope"], did["name"], did["dids"], did.get("rse"), ignore_duplicate=False)
        return True

    def attach_dids(self, scope: str, name: str, dids: Sequence[DidLike], rse: str | None = None) -> bool:
        """Put DIDs into one."""
        self.server.called("attach_dids")
        expressions.check_dids(dids, "attachment", least=1)
        self._attach(scope, name, dids, rse, ignore_duplicate=False)
        return True

    def attach_dids_to_dids(self, attachments: Sequence[DidLike], ignore_duplicate: bool = False) -> bool:
        """Put DIDs into several: all or none. With ``rse``, files are registered on the way, with a replica there."""
        self.server.called("attach_dids_to_dids")
        for each in attachments:
            expressions.check_dids(each["dids"], "attachments", least=1)
        for act in (self._check_attachment, self._attach):  # all or none: look at all of them before doing one
            for each in attachments:
                act(each["scope"], each["name"], each["dids"], each.get("rse"), ignore_duplicate=ignore_duplicate)
        return True

    def detach_dids(self, scope: str, name: str, dids: Sequence[DidLike] | None = None) -> bool:
        """Take DIDs out of one."""
        self.server.called("detach_dids")
        parent = self._catalogue.did(scope, name)
        for did in dids or ():
            if (did["scope"], did["name"]) not in parent.children:
                raise exception.DataIdentifierNotFound(
                    f"Data identifier '{scope}:{name}' has no child data identifiers."
                )
            del parent.children[did["scope"], did["name"]]
        return True

    def close(self, scope: str, name: str) -> bool:
        """Nothing more goes into it."""
        self.server.called("close")
        did = self._catalogue.did(scope, name)
        if not did.open:
            raise exception.UnsupportedOperation(
                f"The status of the data identifier '{scope}:{name}' cannot be changed"
            )
        did.open = False
        return True

    def get_did(self, scope: str, name: str, dynamic: bool = False, dynamic_depth: str | None = None) -> dict[str, Any]:
        """What it is; size and length of a collection only if asked for."""
        self.server.called("get_did")
        did = self._catalogue.did(scope, name)
        told = {"scope": scope, "name": name, "type": did.type, "account": did.account}
        if did.is_file:
            return {**told, "bytes": did.bytes, "length": 1, "md5": did.md5, "adler32": did.adler32}
        files = list(self._catalogue.files(did)) if dynamic or dynamic_depth else None
        length, size = (None, None) if files is None else (len(files), float(sum(each.bytes or 0 for each in files)))
        return {
            **told,
            "open": did.open,
            "monotonic": False,
            "expired_at": did.expired_at,
            "length": length,
            "bytes": size,
        }

    def list_content(self, scope: str, name: str) -> Iterator[dict[str, Any]]:
        """What lies in it directly."""
        self.server.called("list_content")
        did = self._catalogue.did(scope, name)
        return iter([self._content(self._catalogue.dids[key]) for key in did.children])

    def list_files(self, scope: str, name: str, long: bool | None = None) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        """The files in it, however deep."""
        self.server.called("list_files")
        return iter([self._file(each) for each in self._catalogue.files(self._catalogue.did(scope, name))])

    def bulk_list_files(self, dids: Sequence[DidLike]) -> Iterator[dict[str, Any]]:
        """The files in several; those that there are not are left out."""
        self.server.called("bulk_list_files")
        found = [(known, did) for did in dids if (known := self._catalogue.dids.get((did["scope"], did["name"])))]
        return iter(
            [
                {**self._file(file), "parent_scope": did["scope"], "parent_name": did["name"]}
                for known, did in found
                for file in self._catalogue.files(known)
            ]
        )

    def list_parent_dids(self, scope: str, name: str) -> Iterator[dict[str, Any]]:
        """What it lies in."""
        self.server.called("list_parent_dids")
        parents = [each for each in self._catalogue.dids.values() if (scope, name) in each.children]
        return iter([{"scope": each.scope, "name": each.name, "type": each.type} for each in parents])

    def list_dids(self, scope: str, filters: Any, did_type: str = "collection", long: bool = False,
                  recursive: bool = False) -> Iterator[Any]:  # fmt: skip
        """Names, or more with ``long``, of what fits the filters."""
        self.server.called("list_dids")
        if did_type not in _TYPES:
            raise exception.UnsupportedOperation(f"{did_type} is not a valid type. Valid types are {_TYPES.keys()}")
        found = {
            did.key: did
            for did in self._catalogue.dids.values()
            if did.scope == scope
            and did.type in _TYPES[did_type]
            and expressions.matches({**did.metadata(), **did.free}, filters)
        }
        if recursive:
            found |= {file.key: file for did in list(found.values()) for file in self._catalogue.files(did)}
        told = [found[key] for key in sorted(found)]
        return iter([self._long(did) if long else did.name for did in told])

    # ---- metadata

    def get_metadata(self, scope: str, name: str, plugin: str = "DID_COLUMN") -> dict[str, Any]:
        """Of one."""
        self.server.called("get_metadata")
        return self._metadata(self._catalogue.did(scope, name), plugin)

    def get_metadata_bulk(
        self,
        dids: Sequence[DidLike],
        inherit: bool = False,  # noqa: ARG002
        plugin: str = "DID_COLUMN",
    ) -> Iterator[dict[str, Any]]:
        """Of several; those that there are not are left out."""
        self.server.called("get_metadata_bulk")
        expressions.check_dids(dids, "dids")
        found = [did for each in dids if (did := self._catalogue.dids.get((each["scope"], each["name"])))]
        named = [{"scope": did.scope, "name": did.name} if plugin == "JSON" else {} for did in found]
        return iter([{**name, **self._metadata(did, plugin)} for name, did in zip(named, found, strict=True)])

    def set_metadata(self, scope: str, name: str, key: str, value: Any, recursive: bool = False) -> bool:
        """One value of one DID."""
        return self.set_metadata_bulk(scope, name, {key: value}, recursive)

    def set_metadata_bulk(self, scope: str, name: str, meta: DidLike, recursive: bool = False) -> bool:
        """Several values of one DID."""
        self.server.called("set_metadata_bulk")
        did = self._catalogue.did(scope, name)
        for each in [did, *(self._catalogue.files(did) if recursive else ())]:
            self._set(each, meta)
        return True

    def set_dids_metadata_bulk(self, dids: Sequence[DidLike], recursive: bool = False) -> bool:  # noqa: ARG002
        """Several values of several DIDs."""
        self.server.called("set_dids_metadata_bulk")
        found = [(self._catalogue.did(each["scope"], each["name"]), each["meta"]) for each in dids]
        for did, meta in found:
            self._set(did, meta)
        return True

    def delete_metadata(self, scope: str, name: str, key: str) -> bool:
        """Take a value away."""
        self.server.called("delete_metadata")
        self._catalogue.did(scope, name).free.pop(key, None)
        return True

    # ---- replicas

    def add_replicas(self, rse: str, files: Sequence[DidLike], ignore_availability: bool = True) -> bool:  # noqa: ARG002
        """Register files with a replica; those that are known get one more, whatever their checksum."""
        self.server.called("add_replicas")
        expressions.check_dids(files, "dids")
        self._may_put(rse)
        if len({(each["scope"], each["name"]) for each in files}) < len(files):
            raise exception.DatabaseException("An unknown Database Exception has occurred.")
        for each in files:
            self._scope(each["scope"])
        for each in files:
            self._put(each, rse)
        return True

    def update_replicas_states(self, rse: str, files: Sequence[DidLike]) -> bool:
        """A: available, U: not, C: on its way."""
        self.server.called("update_replicas_states")
        states = {"A": "AVAILABLE", "U": "UNAVAILABLE", "C": "COPYING"}
        for each in files:
            self._catalogue.did(each["scope"], each["name"]).replicas[self._known(rse)] = states[each["state"]]
        return True

    def list_replicas(self, dids: Sequence[DidLike], schemes: Sequence[str] | None = None, *, all_states: bool = False,
                      rse_expression: str | None = None, **_how: Any) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Where the files of these DIDs are; DIDs that there are not are left out."""
        self.server.called("list_replicas")
        expressions.check_dids(dids, "r_dids")
        wanted = self._elements(rse_expression) if rse_expression else None
        files = {
            file.key: file
            for each in dids
            if (did := self._catalogue.dids.get((each["scope"], each["name"])))
            for file in self._catalogue.files(did)
        }
        return iter([self._replicas(file, schemes, wanted, all_states=all_states) for file in files.values()])

    # ---- rules

    def add_replication_rule(
        self,
        dids: Sequence[DidLike],
        copies: int,
        rse_expression: str,
        lifetime: int | None = None,
        **options: Any,
    ) -> list[str]:
        """A rule for each of these DIDs; their ids."""
        self.server.called("add_replication_rule")
        return self._add_rule(dids, copies, rse_expression, lifetime, **options)

    def list_did_rules(self, scope: str, name: str) -> Iterator[dict[str, Any]]:
        """The rules on this very DID."""
        self.server.called("list_did_rules")
        return iter([rule.told() for rule in self._catalogue.rules_of(self._catalogue.did(scope, name))])

    def get_replication_rule(self, rule_id: str) -> dict[str, Any]:
        """One rule."""
        self.server.called("get_replication_rule")
        return self._catalogue.rule(rule_id).told()

    def update_replication_rule(self, rule_id: str, options: Mapping[str, Any]) -> bool:
        """Other options; ``lifetime`` counts from now, None is for ever."""
        self.server.called("update_replication_rule")
        rule = self._catalogue.rule(rule_id)
        for key, value in options.items():
            if key not in _OPTIONS:
                raise exception.InputValidationError(f"{key} is not a valid option to set.")
            if key == "lifetime":
                rule.expires_at = in_seconds(value)
            else:
                rule.options[{"comment": "comments"}.get(key, key)] = value
        rule.updated_at = now()
        return True

    def delete_replication_rule(self, rule_id: str, purge_replicas: bool | None = None) -> bool:
        """It goes in an hour, as in Rucio; until then it can be kept by another lifetime."""
        self.server.called("delete_replication_rule")
        rule = self._catalogue.rule(rule_id)
        rule.expires_at = in_seconds(_GRACE_S)
        if purge_replicas is not None:
            rule.options["purge_replicas"] = purge_replicas
        return True

    def list_replica_locks(self, rule_id: str) -> Iterator[dict[str, Any]]:
        """A lock for each file and storage element of a rule."""
        self.server.called("list_replica_locks")
        rule = self._catalogue.rule(rule_id)
        return iter(
            [
                {"scope": scope, "name": name, "rse": element, "state": state, "rule_id": rule_id}
                for ((scope, name), element), state in rule.locks.items()
            ]
        )
