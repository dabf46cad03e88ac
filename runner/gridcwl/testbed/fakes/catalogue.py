"""The state of the fake Rucio: DIDs and what is in them, replicas, rules with their locks; no permissions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rucio.common.exception import (
    DataIdentifierNotFound,
    DuplicateRule,
    FileConsistencyMismatch,
    InsufficientTargetRSEs,
    RuleNotFound,
    UnsupportedOperation,
)

Key = tuple[str, str]
"""Scope and name."""

# what every DID has in Rucio's table, and nobody here sets
_COLUMNS = (
    "datatype", "panda_id", "constituent", "run_number", "lumiblocknr", "access_cnt", "complete", "stream_name",
    "provenance", "phys_group", "deleted_at", "prod_step", "accessed_at", "events", "version", "closed_at", "guid",
    "campaign", "eol_at", "length", "task_id", "is_archive",
)  # fmt: skip
COLUMNS = frozenset(_COLUMNS) | {"md5", "adler32", "bytes", "project"}
"""Metadata that are columns; all others are free, and kept as JSON."""


def now() -> datetime:
    """As Rucio has it: UTC, without a zone, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@dataclass(slots=True)
class CatalogueEntry:
    """A file, dataset or container."""

    scope: str
    name: str
    type: str
    account: str
    bytes: int | None = None
    adler32: str | None = None
    md5: str | None = None
    open: bool = True
    expired_at: datetime | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    columns: dict[str, Any] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)
    """Metadata that are no columns."""
    children: dict[Key, None] = field(default_factory=dict)
    replicas: dict[str, str] = field(default_factory=dict)
    """Storage element -> AVAILABLE, COPYING or UNAVAILABLE."""

    @property
    def key(self) -> Key:
        """Scope and name."""
        return self.scope, self.name

    @property
    def is_file(self) -> bool:
        """It holds bytes, not DIDs."""
        return self.type == "FILE"

    def metadata(self) -> dict[str, Any]:
        """The columns, as Rucio tells them."""
        return {
            **dict.fromkeys(_COLUMNS),
            **self.columns,
            "scope": self.scope,
            "name": self.name,
            "did_type": self.type,
            "account": self.account,
            "bytes": self.bytes,
            "adler32": self.adler32,
            "md5": self.md5,
            "is_open": None if self.is_file else self.open,
            "expired_at": self.expired_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "project": self.columns.get("project", "user"),
            "availability": "AVAILABLE",
            **dict.fromkeys(("hidden", "obsolete", "transient", "suppressed", "monotonic"), False),
            **dict.fromkeys(("is_new", "purge_replicas"), True),
        }


@dataclass(slots=True)
class ReplicationRule:
    """A wish for copies of a DID, with a lock for each of its files."""

    did: CatalogueEntry
    account: str
    copies: int
    rse_expression: str
    elements: list[str]
    expires_at: datetime | None
    options: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    locks: dict[tuple[Key, str], str] = field(default_factory=dict)
    """(file, storage element) -> OK or REPLICATING."""

    def told(self) -> dict[str, Any]:
        """As Rucio tells it."""
        states = list(self.locks.values())
        absent = (
            "subscription_id", "source_replica_expression", "weight", "child_rule_id", "stuck_at", "eol_at", "meta",
            "error", "deleted_at",
        )  # fmt: skip
        return {
            **dict.fromkeys(absent),
            "id": self.id,
            "scope": self.did.scope,
            "name": self.did.name,
            "did_type": self.did.type,
            "account": self.account,
            "copies": self.copies,
            "rse_expression": self.rse_expression,
            "expires_at": self.expires_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "state": "REPLICATING" if "REPLICATING" in states else "OK",
            "locks_ok_cnt": states.count("OK"),
            "locks_replicating_cnt": states.count("REPLICATING"),
            "locks_stuck_cnt": 0,
            "notification": "NO",
            **dict.fromkeys(("locked", "split_container", "ignore_availability", "ignore_account_limit"), False),
            **self.options,
        }


class RucioCatalogue:
    """What the server of a fake Rucio keeps."""

    def __init__(self) -> None:
        self.dids: dict[Key, CatalogueEntry] = {}
        self.rules: dict[str, ReplicationRule] = {}
        self._of: dict[Key, list[str]] = {}
        self._once_locked: set[tuple[Key, str]] = set()

    def did(self, scope: str, name: str) -> CatalogueEntry:
        """The DID.

        Raises:
            DataIdentifierNotFound: there is none.
        """
        try:
            return self.dids[scope, name]
        except KeyError:
            raise DataIdentifierNotFound(f"Data identifier '{scope}:{name}' not found") from None

    def files(self, did: CatalogueEntry) -> Iterator[CatalogueEntry]:
        """The files in it, however deep; each once; a file itself."""
        return (each for each, _ in self.files_with_parents(did))

    def files_with_parents(self, did: CatalogueEntry) -> Iterator[tuple[CatalogueEntry, CatalogueEntry]]:
        """The files in it, each with what it lies in."""
        if did.is_file:
            yield did, did
            return
        seen: set[Key] = set()
        for child in (self.dids[key] for key in did.children):
            for file, parent in [(child, did)] if child.is_file else self.files_with_parents(child):
                if file.key not in seen:
                    seen.add(file.key)
                    yield file, parent

    def agree(self, known: CatalogueEntry, given: Mapping[str, Any]) -> None:
        """A file that is registered, and its metadata now.

        Raises:
            FileConsistencyMismatch: they differ.
        """
        for column in ("bytes", "adler32", "md5"):
            value = given.get(column)
            if value is not None and value != getattr(known, column):
                where = f"'{known.scope}:{known.name}'"
                raise FileConsistencyMismatch(f"{column} mismatch for {where}: {value}!={getattr(known, column)}")

    def fit(self, parent: CatalogueEntry, child: CatalogueEntry) -> None:
        """Datasets hold files, containers hold the others.

        Raises:
            UnsupportedOperation: this one does not hold that one, or is closed.
        """
        if parent.is_file:
            raise DataIdentifierNotFound(f"Data identifier '{parent.scope}:{parent.name}' not found")
        if not parent.open:
            raise UnsupportedOperation(f"Data identifier '{parent.scope}:{parent.name}' is closed")
        one, other = f"{child.scope}:{child.name}", f"{parent.scope}:{parent.name}"
        if parent.type == "CONTAINER" and child.is_file:
            raise UnsupportedOperation(f"Adding a file ({one}) to a container ({other}) is forbidden")
        if parent.type == "DATASET" and not child.is_file:
            raise UnsupportedOperation(f"Data identifier {one} of type {child.type} cannot be added to a dataset")

    def add_rule(self, rule: ReplicationRule) -> str:
        """Keep a rule, with its locks; returns its id.

        Raises:
            DuplicateRule: this account has the same one.
            InsufficientTargetRSEs: more copies than storage elements.
        """
        if rule.copies > len(rule.elements):
            much = f"{rule.copies} copies requested, RSE set size {len(rule.elements)}"
            raise InsufficientTargetRSEs(f"Target RSE set not sufficient for number of copies. ({much})")
        same = (rule.account, rule.copies, rule.rse_expression)
        for other in self.rules_of(rule.did):
            if (other.account, other.copies, other.rse_expression) == same:
                raise DuplicateRule("duplicate key value violates unique constraint")
        self.rules[rule.id] = rule
        self._of.setdefault(rule.did.key, []).append(rule.id)
        self.lock(rule)
        return rule.id

    def rules_of(self, did: CatalogueEntry) -> list[ReplicationRule]:
        """The rules on this very DID."""
        return [self.rules[each] for each in self._of.get(did.key, [])]

    def rule(self, rule_id: str) -> ReplicationRule:
        """The rule.

        Raises:
            RuleNotFound: there is none.
        """
        try:
            return self.rules[rule_id]
        except KeyError:
            raise RuleNotFound(f"No rule with the id {rule_id} found") from None

    def lock(self, rule: ReplicationRule) -> None:
        """Give files a lock that have none: where they are, as far as the rule lets them; else where they are to go."""
        for file in self.files(rule.did):
            if any(key == file.key for key, _ in rule.locks):
                continue
            there = [element for element in rule.elements if file.replicas.get(element) == "AVAILABLE"]
            others = [element for element in rule.elements if element not in there]
            for element in [*there, *others][: rule.copies]:
                rule.locks[file.key, element] = "OK" if element in there else "REPLICATING"
                file.replicas.setdefault(element, "COPYING")
                self._once_locked.add((file.key, element))

    def drop_rule(self, rule: ReplicationRule) -> None:
        """Forget a rule."""
        del self.rules[rule.id]
        self._of[rule.did.key].remove(rule.id)

    def expire(self, moment: datetime) -> None:
        """Drop rules whose time is over, and DIDs, too."""
        for rule in [each for each in self.rules.values() if each.expires_at and each.expires_at < moment]:
            self.drop_rule(rule)
        for did in [each for each in self.dids.values() if each.expired_at and each.expired_at < moment]:
            for rule in self.rules_of(did):
                self.drop_rule(rule)
            for other in self.dids.values():
                other.children.pop(did.key, None)
            del self.dids[did.key]

    def unlocked(self) -> list[tuple[CatalogueEntry, str]]:
        """Replicas that a rule has asked for once, and none does any more."""
        locked = {lock for rule in self.rules.values() for lock in rule.locks}
        return [
            (did, element)
            for did in self.dids.values()
            for element in list(did.replicas)
            if (did.key, element) not in locked and (did.key, element) in self._once_locked
        ]


def in_seconds(lifetime: float | None) -> datetime | None:
    """The moment when a lifetime is over."""
    return None if lifetime is None else now() + timedelta(seconds=lifetime)
