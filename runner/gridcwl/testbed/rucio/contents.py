"""What the testbed's Rucio holds: accounts, scopes, storage elements, quotas. Pure values, from the sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl.testbed.pki import SUBJECT
from gridcwl.testbed.sites import Site

_GB = 10**9


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody whom Rucio knows; by a password, a certificate and a token."""

    name: str
    type: str
    admin: bool
    scopes: tuple[str, ...]
    quotas: Mapping[str, int]
    """Bytes by storage element, ``*`` for the others; -1 for no limit."""


ACCOUNTS = (
    Account("root", "SERVICE", admin=True, scopes=("test",), quotas={"*": -1}),
    Account("runner", "SERVICE", admin=True, scopes=("runner", "user.runner"), quotas={"*": -1}),
    # an ordinary user: may add replicas only on what is called ..._USERDISK, as the generic policy has it
    Account("alice", "USER", admin=False, scopes=("user.alice",), quotas={"*": _GB, "ORSAY_USERDISK": 10 * _GB}),
    Account("bob", "USER", admin=False, scopes=("user.bob",), quotas={"*": _GB}),
)


def contents(
    sites: Sequence[Site],
    passwords: Mapping[str, str],
    *,
    issuer: str | None,
    posix: Path,
    davs: str | None,
    transfer_tool: str,
) -> dict[str, Any]:
    """What ``server/fill.py`` is to see to.

    Args:
        sites: whose storage elements there are; those that speak davs only with an XRootD.
        passwords: by account.
        issuer: the token issuer, if there is one.
        posix: the folder with a folder for each posix storage element.
        davs: where XRootD keeps Rucio's files, if there is one.
        transfer_tool: the name of the tool that copies between them.
    """
    storage = [_storage(site, posix, davs, transfer_tool) for site in sites if site.protocol == "posix" or davs]
    return {
        "accounts": [_account(each, passwords[each.name], issuer) for each in ACCOUNTS],
        "storage": storage,
    }


def _account(account: Account, password: str, issuer: str | None) -> dict[str, Any]:
    identities = [["USERPASS", account.name, password], ["X509", SUBJECT + account.name, None]]
    if issuer:
        identities.append(["OIDC", f"SUB={account.name}, ISS={issuer}", None])
    return {
        "name": account.name,
        "type": account.type,
        "email": f"{account.name}@localhost",
        "admin": account.admin,
        "scopes": list(account.scopes),
        "quotas": dict(account.quotas),
        "identities": identities,
    }


def _storage(site: Site, posix: Path, davs: str | None, transfer_tool: str) -> dict[str, Any]:
    attributes = {
        "site": site.name,
        "transfertool": transfer_tool,
        "verify_checksum": True,
        "greedyDeletion": True,
    }
    return {"name": site.storage, "attributes": attributes, "protocols": _protocols(site, posix, davs)}


def _protocols(site: Site, posix: Path, davs: str | None) -> list[dict[str, Any]]:
    if site.protocol == "posix":
        prefix = f"{posix / site.storage}/"
        kind = "rucio.rse.protocols.posix.Default"
        where = {"hostname": "localhost", "port": 0, "prefix": prefix}
        return [{"scheme": "file", **where, "impl": kind, "domains": _domains(1)}]
    assert davs is not None
    parts = urlsplit(davs)
    where = {"hostname": parts.hostname, "port": parts.port, "prefix": f"{parts.path}/"}
    # davs comes first, as in production, where clients have gfal2; https is for Rucio's client without it
    return [
        {"scheme": "davs", **where, "impl": "rucio.rse.protocols.gfal.Default", "domains": _domains(1)},
        {"scheme": "https", **where, "impl": "rucio.rse.protocols.webdav.Default", "domains": _domains(2)},
    ]


def _domains(priority: int) -> dict[str, dict[str, int]]:
    """What the protocol is good for, near and far: all."""
    near = dict.fromkeys(("read", "write", "delete"), priority)
    return {"lan": near, "wan": near | dict.fromkeys(("third_party_copy_read", "third_party_copy_write"), priority)}
