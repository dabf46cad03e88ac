"""An OpenID provider in this process: the testbed's, on plain HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from gridcwl.testbed.oidc.server import Handler, Provider
from gridcwl.testbed.oidc.tokens import TokenSigner

SECRET = "the-secret-of-the-client"


class Provided:
    """The provider, and what it has been asked."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def url(self) -> str:
        """The issuer."""
        return self.provider.issuer.url

    def token(self, subject: str = "ann", seconds: float = 600, **claims: Any) -> str:
        """An access token for the service."""
        issuer = self.provider.issuer
        about = issuer._claims(subject, timedelta(seconds=seconds))
        return issuer.signed(about | {"scope": "openid", "aud": "gridcwl"} | claims)

    def bearer(self, subject: str = "ann", **claims: Any) -> dict[str, str]:
        """The header with it."""
        return {"Authorization": f"Bearer {self.token(subject, **claims)}"}

    def auth(self, folder: Path, **settings: Any) -> dict[str, Any]:
        """The service's table ``[auth]``."""
        (folder / "client-secret").write_text(f"{SECRET}\n")
        client = {"client_id": "gridcwl", "client_secret_file": str(folder / "client-secret")}
        return {"issuer": self.url, "audience": "gridcwl", **client, **settings}


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def issuing(lifetime: timedelta = timedelta(hours=1)) -> Iterator[Provided]:
    """An issuer that answers."""
    provider = Provider(TokenSigner("", _key()), {"gridcwl": SECRET, "gridcwl-cli": ""}, lifetime)

    class Answers(Handler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    Answers.provider = provider
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    provider.issuer = TokenSigner(f"http://127.0.0.1:{server.server_port}/", _key())
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield Provided(provider)
    finally:
        server.shutdown()
        server.server_close()
