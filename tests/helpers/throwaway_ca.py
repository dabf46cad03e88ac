"""A throw-away certificate authority: servers on this machine that TLS clients believe, and a user's proxy."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder


def server_context(authority: Authority) -> ssl.SSLContext:
    """Of a server that asks for a certificate and does without; proxies are certificates, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.host_cert, authority.host_key)
    context.load_verify_locations(cafile=authority.ca_certificate)
    context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


class Tls:
    """Certificates of servers, and environment variables of clients."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(InstallFolder(folder / "box"))
        user = self.authority.certificate("alice", "alice")
        self.proxy = self.authority.proxy(user, folder / "proxy.pem", timedelta(hours=1))

    def server(self) -> ssl.SSLContext:
        """Of a server on localhost and 127.0.0.1 that asks for a certificate and does without."""
        return server_context(self.authority)

    def for_clients(self, patch: pytest.MonkeyPatch) -> None:
        """Clients trust the authority, and have a token and a proxy."""
        patch.setenv("X509_CERT_DIR", str(self.authority.ca_dir))
        patch.setenv("SSL_CERT_FILE", str(self.authority.ca_certificate))
        patch.setenv("REQUESTS_CA_BUNDLE", str(self.authority.ca_certificate))
        patch.setenv("BEARER_TOKEN", "secret-token")
        patch.setenv("X509_USER_PROXY", str(self.proxy))
