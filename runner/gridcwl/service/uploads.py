"""Credentials as users upload them: what is a proxy or a token, whom it names and when it ends."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from gridcwl.datasets.zooniverse import VARIABLES, account_of
from gridcwl.service.problems import BadRequest
from gridcwl.service.vault import NO_END, Stored

MOST_BYTES = 64 << 10
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{0,64}")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.+?-----END \1PRIVATE KEY-----\n?", re.DOTALL)
_DIRAC_GROUP = x509.ObjectIdentifier("1.2.42.42")
"""DIRAC/Core/Security/m2crypto/__init__.py: a text of ASN.1 with one byte for its length."""
_GROUP = re.compile(rb"[A-Za-z0-9_.-]{1,127}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def read(kind: str, text: str, account: str = "", group: str = "") -> Stored:
    """An uploaded credential, checked.

    Args:
        kind: proxy, token or zooniverse.
        text: what was uploaded.
        account: at Rucio.
        group: the group at DIRAC that a proxy has to be of; empty for any.

    Raises:
        BadRequest: it is none, or its time is over. The message holds nothing of it.
    """
    if len(text) > MOST_BYTES:
        raise BadRequest(f"The {kind} has more than {MOST_BYTES >> 10} KiB")
    if not _ACCOUNT.fullmatch(account):
        raise BadRequest("The account is not a name of an account at Rucio")
    if kind == "proxy":
        stored = _proxy(text, account, group)
    elif kind == "token":
        stored = _token(text.strip(), account)
    elif kind == "zooniverse":
        stored = _zooniverse(text)
    else:
        raise BadRequest(f"There are no credentials of the kind {kind[:40]!r}: there are proxy, token and zooniverse")
    if stored.has_ended():
        raise BadRequest(f"The {kind} ended at {datetime.fromtimestamp(stored.ends, UTC):%Y-%m-%d %H:%M} UTC")
    return stored


def _proxy(text: str, account: str, group: str) -> Stored:
    blocks, key = _CERTIFICATE.findall(text), _KEY.search(text)
    if not blocks or key is None:
        raise BadRequest("The proxy is no PEM file with certificates and a private key")
    try:
        chain = [x509.load_pem_x509_certificate(block.encode()) for block in blocks]
        private = serialization.load_pem_private_key(key[0].encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadRequest("The proxy cannot be read, or its key has a password") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise BadRequest("The private key is not that of the first certificate")
    depth = _depth(chain)
    if not depth:
        raise BadRequest("The file holds a certificate of its own, not a proxy; a proxy ends within days: upload one")
    own = next((found for one in chain[:depth] if (found := _group(one))), "")
    if group and own != group:
        what = f"is of the group {own}" if own else "is of no group at DIRAC"
        raise BadRequest(f"The proxy {what}, but your role here has the group {group}: dirac-proxy-init -g {group}")
    ends = min(one.not_valid_after_utc for one in chain).timestamp()
    about = chain[depth].subject if depth < len(chain) else chain[depth - 1].issuer
    plain = "".join(f"{block.strip()}\n" for block in (blocks[0], key[0], *blocks[1:]))
    return Stored("proxy", plain, ends, f"{_slashed(about)}{f', group {own}' if own else ''}", account)


def _group(certificate: x509.Certificate) -> str:
    """The group at DIRAC that a proxy names; empty if it names none."""
    try:
        value = certificate.extensions.get_extension_for_oid(_DIRAC_GROUP).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    data = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    words = _GROUP.fullmatch(data[2:]) if len(data) > 2 and data[1] == len(data) - 2 else None
    return words[0].decode("ascii") if words else ""


def _depth(chain: Sequence[x509.Certificate]) -> int:
    """How many of the first certificates are proxies: each is named by its issuer's name and one more part."""
    depth = 0
    for one in chain:
        if list(one.subject.rdns)[:-1] != list(one.issuer.rdns):
            break
        depth += 1
    return depth


def _slashed(name: x509.Name) -> str:
    return "".join(f"/{rdn.rfc4514_string()}" for rdn in name.rdns)


def _zooniverse(text: str) -> Stored:
    """An account at Zooniverse: lines as ``PANOPTES_USERNAME=ann``, as panoptes-client's environment has them."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        value = value.strip()
        if value[:1] in "'\"" and value[-1:] == value[:1] and len(value) > 1:
            value = value[1:-1]
        if name.startswith("#") or not line.strip():
            continue
        if not equals or name.strip() not in VARIABLES:
            raise BadRequest(
                f"A line of the account at Zooniverse is none of {', '.join(VARIABLES)}, with = and a value"
            )
        values[name.strip()] = value
    account = account_of(values)
    if not account.is_known:
        raise BadRequest(
            "The account at Zooniverse needs PANOPTES_USERNAME and PANOPTES_PASSWORD, or PANOPTES_CLIENT_ID and "
            "PANOPTES_CLIENT_SECRET"
        )
    return Stored("zooniverse", json.dumps(values), NO_END, (account.user or account.client_id)[:255])


def _token(text: str, account: str) -> Stored:
    if not _TOKEN.fullmatch(text):
        raise BadRequest("The token is no JSON Web Token")
    part = text.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        ends, subject = float(claims["exp"]), str(claims.get("sub", ""))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise BadRequest("The token does not tell when it ends (claim exp)") from None
    if not ends < time.time() + (1 << 32):
        raise BadRequest("The token does not tell when it ends (claim exp)")
    return Stored("token", text, ends, subject[:255], account)
