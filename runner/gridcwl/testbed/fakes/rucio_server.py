"""The server's side of the fake Rucio: sites, accounts, scopes, and permissions as the generic policy has them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rucio.common import exception

from gridcwl.testbed.fakes import expressions
from gridcwl.testbed.fakes.catalogue import COLUMNS, CatalogueEntry, ReplicationRule, RucioCatalogue, in_seconds, now
from gridcwl.testbed.rucio.contents import ACCOUNTS, Account
from gridcwl.testbed.sites import SITES, Site

if TYPE_CHECKING:
    from gridcwl.testbed.fakes.rucio import FakeClient

DidLike = Mapping[str, Any]
_USER_DISKS = ("USERDISK", "SCRATCHDISK", "LOCALGROUPDISK", "MOCK")


class FakeRucio:
    """The server: what all clients share."""

    def __init__(self, root: Path, sites: Sequence[Site] = SITES, accounts: Sequence[Account] = ACCOUNTS) -> None:
        """A new Rucio, with nothing in it.

        Args:
            root: each storage element is a folder below it.
        """
        self.catalogue = RucioCatalogue()
        self.calls: list[str] = []
        """The name of each call that was made, by whichever client."""
        self.root = root
        self.sites = {site.storage: site for site in sites}
        self.accounts = {account.name: account for account in accounts}
        self.scopes = {scope: account.name for account in accounts for scope in account.scopes}
        self.attributes: dict[str, dict[str, Any]] = {
            site.storage: {site.storage: True, "site": site.name, "transfertool": "testbed", "verify_checksum": True}
            for site in sites
        }
        self._failures: list[Exception] = []

    def client(self, account: str) -> FakeClient:
        """A client that is logged in.

        Raises:
            CannotAuthenticate: there is no such account.
        """
        if account not in self.accounts:
            raise exception.CannotAuthenticate(f"userpass authentication failed for account={account}")
        from gridcwl.testbed.fakes.rucio import FakeClient

        return FakeClient(self, account)

    def fail(self, times: int, error: Exception) -> None:
        """Let the next so many calls fail."""
        self._failures += [error] * times

    def path(self, storage: str, scope: str, name: str) -> Path:
        """Where a file's bytes are, or would be: rucio/rse/translation.py, ``hash``."""
        digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
        return (self.root / storage).joinpath(*scope.split("."), digest[:2], digest[2:4], name)

    def pfn(self, storage: str, scope: str, name: str) -> str:
        """The URL of a file there."""
        return f"file://localhost{self.path(storage, scope, name).absolute()}"

    def run_daemons(self) -> None:
        """What Rucio's daemons do: expire, lock what came later, copy, delete what no rule wants any more."""
        self.catalogue.expire(now())
        for rule in list(self.catalogue.rules.values()):
            self.catalogue.lock(rule)
            for key, element in [lock for lock, state in rule.locks.items() if state == "REPLICATING"]:
                if self._copied(self.catalogue.dids[key], element):
                    rule.locks[key, element] = "OK"
        for did, element in self.catalogue.unlocked():
            del did.replicas[element]
            self.path(element, *did.key).unlink(missing_ok=True)

    def called(self, name: str) -> None:
        """Note a call; raise what it is to fail with."""
        self.calls.append(name)
        if self._failures:
            raise self._failures.pop(0)

    def _copied(self, did: CatalogueEntry, element: str) -> bool:
        if did.replicas.get(element) == "AVAILABLE":
            return True
        for source, state in did.replicas.items():
            file = self.path(source, *did.key)
            if state == "AVAILABLE" and file.exists():
                target = self.path(element, *did.key)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                did.replicas[element] = "AVAILABLE"
                return True
        return False


class AccountSession:
    """What one account does to the server: checked as Rucio checks it, then done."""

    def __init__(self, server: FakeRucio, account: str) -> None:
        self.server = server
        self.account = account
        self._catalogue = server.catalogue

    @property
    def _admin(self) -> bool:
        return self.server.accounts[self.account].admin

    def _known(self, rse: str) -> str:
        if rse not in self.server.sites:
            raise exception.RSENotFound(f"RSE '{rse}' cannot be found in vo 'def'")
        return rse

    def _elements(self, expression: str) -> list[str]:
        return expressions.elements(expression, self.server.attributes)

    def _scope(self, scope: str) -> str:
        if scope not in self.server.scopes:
            raise exception.ScopeNotFound("Scope not found!")
        return scope

    def _owns(self, scope: str) -> bool:
        return self._admin or self.server.scopes.get(scope) == self.account

    def _may_put(self, rse: str) -> None:
        """Rucio's generic policy: others than admins only on what is called a user's disk."""
        if not self._admin and not self._known(rse).endswith(_USER_DISKS):
            raise exception.AccessDenied(f"Account {self.account} can not add file replicas on {rse}.")

    def _may_add(self, scope: str, name: str) -> None:
        expressions.check_name(name)
        if not self._owns(self._scope(scope)):
            raise exception.AccessDenied(f"Account {self.account} can not add data identifier to scope {scope}")
        if (scope, name) in self._catalogue.dids:
            raise exception.DataIdentifierAlreadyExists("Data Identifier already exists!")

    def _new(self, scope: str, name: str, kind: str, lifetime: float | None, meta: DidLike | None) -> None:
        self._may_add(scope, name)
        did = CatalogueEntry(scope, name, kind, self.account, expired_at=in_seconds(lifetime))
        self._set(did, meta or {})
        self._catalogue.dids[did.key] = did

    def _set(self, did: CatalogueEntry, meta: DidLike) -> None:
        for key, value in meta.items():
            if key == "lifetime":
                did.expired_at = in_seconds(value)
            elif key in COLUMNS:
                did.columns[key] = value
            else:
                did.free[key] = value
        did.updated_at = now()

    def _metadata(self, did: CatalogueEntry, plugin: str) -> dict[str, Any]:
        told = {} if plugin == "JSON" else did.metadata()
        return told if plugin == "DID_COLUMN" else {**told, **did.free}

    def _check_attachment(
        self, scope: str, name: str, dids: Sequence[DidLike], rse: str | None, *, ignore_duplicate: bool
    ) -> None:
        """All that :meth:`_attach` could refuse."""
        parent = self._catalogue.did(scope, name)
        if not self._owns(scope):
            raise exception.AccessDenied(f"Account {self.account} can not attach data identifiers to {scope}:{name}")
        if rse is not None:
            self._may_put(self._known(rse))
        for each in dids:
            known = self._catalogue.dids.get((each["scope"], each["name"]))
            if known is None and rse is None:
                raise exception.DataIdentifierNotFound(f"Data identifier '{each['scope']}:{each['name']}' not found")
            if known is None and each["scope"] not in self.server.scopes:
                raise exception.DatabaseException("An unknown Database Exception has occurred.")
            if known is None and each.get("bytes") is None:
                raise exception.RucioException("no error information passed (http status code: 500)")
            if known is not None:
                self._catalogue.agree(known, each)
                if known.key in parent.children and not ignore_duplicate:
                    raise (exception.FileAlreadyExists if known.is_file else exception.DuplicateContent)(
                        'duplicate key value violates unique constraint "CONTENTS_PK"'
                    )
            self._catalogue.fit(parent, known or CatalogueEntry(each["scope"], each["name"], "FILE", self.account))

    def _attach(
        self, scope: str, name: str, dids: Sequence[DidLike], rse: str | None, *, ignore_duplicate: bool
    ) -> None:
        self._check_attachment(scope, name, dids, rse, ignore_duplicate=ignore_duplicate)
        parent = self._catalogue.did(scope, name)
        for each in dids:
            if rse is not None:
                self._put(each, rse)
            parent.children[each["scope"], each["name"]] = None

    def _put(self, file: DidLike, rse: str) -> None:
        """Register a file, if it is not, with a replica there."""
        key = file["scope"], file["name"]
        if key not in self._catalogue.dids:
            did = CatalogueEntry(*key, "FILE", self.account, file["bytes"], file.get("adler32"), file.get("md5"))
            self._set(did, file.get("meta") or {})
            self._catalogue.dids[key] = did
        self._catalogue.dids[key].replicas.setdefault(rse, "AVAILABLE")

    def _add_rule(
        self, dids: Sequence[DidLike], copies: int, expression: str, lifetime: float | None, **options: Any
    ) -> list[str]:
        found = []
        for each in dids:
            key = each["scope"], each["name"]
            if key not in self._catalogue.dids:
                raise exception.DataIdentifierNotFound(f"Data identifier {':'.join(key)} is not valid.")
            found.append(self._catalogue.dids[key])
        elements = self._elements(expression)
        given = {
            "grouping": options.get("grouping", "DATASET"),
            "activity": options.get("activity") or "User Subscriptions",
            "priority": options.get("priority", 3),
            "purge_replicas": options.get("purge_replicas", False),
            "comments": options.get("comment"),
        }
        account = options.get("account") or self.account
        rules = [
            ReplicationRule(did, account, copies, expression, elements, in_seconds(lifetime), dict(given))
            for did in found
        ]
        self._check_quota(rules)
        return [self._catalogue.add_rule(rule) for rule in rules]

    def _check_quota(self, rules: Sequence[ReplicationRule]) -> None:
        """There is room on enough storage elements for what these rules ask for."""
        for rule in rules:
            size = sum(file.bytes or 0 for file in self._catalogue.files(rule.did))
            rule.elements = [each for each in rule.elements if self._room(rule.account, each) >= size]
            if not rule.elements:
                raise exception.InsufficientAccountLimit(
                    "There is insufficient quota on any of the target RSE's to fulfill the operation."
                )

    def _room(self, account: str, rse: str) -> float:
        quotas = self.server.accounts[account].quotas
        limit = quotas.get(rse, quotas.get("*", 0))
        used = sum(
            self._catalogue.dids[key].bytes or 0
            for rule in self._catalogue.rules.values()
            if rule.account == account
            for key, element in rule.locks
            if element == rse
        )
        return float("inf") if limit < 0 else limit - used

    # ---- how things are shown

    def _rse(self, rse: str) -> dict[str, Any]:
        self._known(rse)
        yes = dict.fromkeys(("deterministic", "availability_read", "availability_write", "availability_delete"), True)
        named = {"rse": rse, "id": hashlib.md5(rse.encode(), usedforsecurity=False).hexdigest(), "vo": "def"}
        return {**named, **yes, "volatile": False, "staging_area": False, "rse_type": "DISK", "availability": 7}

    def _protocols(self, rse: str) -> list[dict[str, Any]]:
        near = dict.fromkeys(("read", "write", "delete"), 1)
        far = {**near, "third_party_copy_read": 1, "third_party_copy_write": 1}
        where = {
            "scheme": "file",
            "hostname": "localhost",
            "port": 0,
            "prefix": f"{self.server.root.absolute() / rse}/",
        }
        kind = {"impl": "rucio.rse.protocols.posix.Default", "extended_attributes": None}
        return [{**where, **kind, "domains": {"lan": near, "wan": far}}]

    def _content(self, did: CatalogueEntry) -> dict[str, Any]:
        told = {"scope": did.scope, "name": did.name, "type": did.type}
        return {**told, "bytes": did.bytes, "adler32": did.adler32, "md5": did.md5}

    def _file(self, did: CatalogueEntry) -> dict[str, Any]:
        more = {column: did.columns.get(column) for column in ("guid", "events")}
        return {"scope": did.scope, "name": did.name, "bytes": did.bytes, "adler32": did.adler32, **more}

    def _long(self, did: CatalogueEntry) -> dict[str, Any]:
        return {"scope": did.scope, "name": did.name, "did_type": did.type, "bytes": did.bytes, "length": None}

    def _replicas(
        self, file: CatalogueEntry, schemes: Sequence[str] | None, wanted: Sequence[str] | None, *, all_states: bool
    ) -> dict[str, Any]:
        shown = ("AVAILABLE", "COPYING", "UNAVAILABLE") if all_states else ("AVAILABLE",)
        there = {
            rse: state for rse, state in file.replicas.items() if state in shown and (wanted is None or rse in wanted)
        }
        spoken = there if not schemes or "file" in schemes else {}
        pfns = {
            self.server.pfn(rse, *file.key): {
                "rse": rse, "type": "DISK", "volatile": False, "domain": "wan", "priority": number,
                "client_extract": False, "rse_id": self._rse(rse)["id"],
            }
            for number, rse in enumerate(spoken, 1)
        }  # fmt: skip
        told = {"scope": file.scope, "name": file.name, "bytes": file.bytes, "md5": file.md5, "adler32": file.adler32}
        return {**told, "pfns": pfns, "rses": {each["rse"]: [url] for url, each in pfns.items()}, "states": there}
