"""The issuer's keys and tokens: JSON Web Tokens as IAM makes them, with the WLCG profile's claims."""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID = "testbed-1"
STORAGE_SCOPES = "storage.read:/ storage.modify:/ storage.create:/"
SCOPES = f"openid profile offline_access {STORAGE_SCOPES}"
AUDIENCES = ("rucio", "https://wlcg.cern.ch/jwt/v1/any")


class BadToken(Exception):
    """A token that is not this issuer's, or not good any more; says why."""


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Signs and checks tokens in one issuer's name."""

    url: str
    key: rsa.RSAPrivateKey

    def access_token(
        self, subject: str, lifetime: timedelta, *, scope: str = SCOPES, audience: str | None = None
    ) -> str:
        """A bearer token for this user; one that has expired if the lifetime is negative."""
        aud: object = audience.split() if audience else list(AUDIENCES)
        return self.signed(self._claims(subject, lifetime) | {"scope": scope, "aud": aud, "wlcg.ver": "1.0"})

    def id_token(self, subject: str, lifetime: timedelta, client: str, nonce: str | None) -> str:
        """What tells a client who has logged in."""
        claims = self._claims(subject, lifetime) | {"aud": client}
        return self.signed(claims | ({"nonce": nonce} if nonce else {}))

    def refresh_token(self, subject: str, lifetime: timedelta, scope: str, audience: str | None) -> str:
        """What gets a new access token; good once."""
        return self.signed(self._claims(subject, lifetime) | {"use": "refresh", "scope": scope, "for": audience})

    def signed(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims."""
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        text = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{text}.{_encoded(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def checked(self, token: str) -> dict[str, Any]:
        """A token's claims.

        Raises:
            BadToken: somebody else signed it, or it has expired.
        """
        try:
            text, _, signature = token.rpartition(".")
            self.key.public_key().verify(_decoded(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims: dict[str, Any] = json.loads(_decoded(text.partition(".")[2]))
        except (InvalidSignature, ValueError) as error:
            raise BadToken("the signature is not this issuer's") from error
        if claims["exp"] <= time.time():
            raise BadToken("it has expired")
        return claims

    def jwks(self) -> dict[str, Any]:
        """The public key, for those who check signatures."""
        numbers = self.key.public_key().public_numbers()
        exponent, modulus = (_encoded(each.to_bytes((each.bit_length() + 7) // 8)) for each in (numbers.e, numbers.n))
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "e": exponent, "n": modulus}]}

    def _claims(self, subject: str, lifetime: timedelta) -> dict[str, Any]:
        now = int(time.time())
        until = now + int(lifetime.total_seconds())
        issued = min(now, until)
        return {
            "iss": self.url, "sub": subject, "iat": issued, "nbf": issued, "exp": until, "jti": str(uuid.uuid4()),
        }  # fmt: skip


def issuer(url: str, key_file: Path) -> TokenSigner:
    """The issuer with this key; a new key is made if the file is not there."""
    if not key_file.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        kind = serialization.PrivateFormat.PKCS8
        text = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
        written = key_file.with_suffix(".new")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(text)
        written.replace(key_file)
    loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return TokenSigner(url, loaded)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
