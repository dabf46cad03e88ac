"""Requests to addresses that everybody can reach, and to no private network.

A host's name may lead elsewhere when it is looked up again, so the address that a connection has is looked at, too,
before anything is sent.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gridcwl.cwl.anonymous import AnonymousSession


class NotPublicError(Exception):
    """A connection that led into a private network."""


class PublicSession(AnonymousSession):
    """A session whose connections lead to public addresses; environment variables name no proxy for it."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())


def is_public(url: str) -> bool:
    """Whether all addresses of a URL's host are public ones."""
    parts = urlsplit(url)
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(parts.hostname, parts.port or 443)}
        return bool(found) and all(map(_is_global, found))
    except (OSError, ValueError, UnicodeError):
        return False


def _is_global(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global and not address.is_multicast)


def _checked(connected: socket.socket) -> socket.socket:
    if not _is_global(str(connected.getpeername()[0])):
        connected.close()
        raise NotPublicError
    return connected


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _Encrypted(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _EncryptedPool}
