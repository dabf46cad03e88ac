"""The issuer's server: discovery, keys, and the flows that Rucio and its client use.

Everybody may log in as whoever they say they are (``/authorize?...&user=alice``, or ``login_hint``): that is what a
testbed is for. Devices are let in at ``/device?user_code=CODE&user=alice``.

    python -m gridcwl.testbed.oidc.server CONFIGURATION.json
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import sys
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from gridcwl.testbed.oidc.tokens import SCOPES, BadToken, TokenSigner, issuer

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  the name of a kind
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_REFRESH_LIFETIME = timedelta(days=1)
_LOGIN = "alice"


class _Refused(Exception):
    """A request that gets an OAuth error: its code, and a word about it."""


@dataclass(slots=True)
class Provider:
    """The issuer's state: who may ask, what was handed out. Pure but for that."""

    issuer: TokenSigner
    clients: dict[str, str]
    """Client id -> secret."""
    lifetime: timedelta
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    devices: dict[str, dict[str, str]] = field(default_factory=dict)
    """Device code -> what was asked for, and, once somebody has agreed, the user."""

    def discovery(self) -> dict[str, Any]:
        """What ``/.well-known/openid-configuration`` says."""
        url = self.issuer.url
        endpoints = {
            "authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwk",
            "introspection_endpoint": "introspect", "userinfo_endpoint": "userinfo",
            "device_authorization_endpoint": "devicecode",
        }  # fmt: skip
        return {
            "issuer": url,
            **{name: url + path for name, path in endpoints.items()},
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                _EXCHANGE,
                _DEVICE,
            ],
            "scopes_supported": SCOPES.split(),
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Where a browser is sent after logging in."""
        code = uuid.uuid4().hex
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked.get('state', '')})}"

    def token(self, asked: dict[str, str], client: str) -> dict[str, Any]:
        """Answer the token endpoint."""
        match asked.get("grant_type"):
            case "authorization_code":
                given = self.codes.pop(asked.get("code", ""), None)
                if given is None:
                    raise _Refused("invalid_grant", "there is no such code")
                _check_challenge(given, asked)
                user = given.get("user") or given.get("login_hint") or _LOGIN
                answer = self._tokens(user, given.get("scope", SCOPES), given.get("audience"))
                return answer | {"id_token": self.issuer.id_token(user, self.lifetime, client, given.get("nonce"))}
            case grant if grant == _DEVICE:
                given = self._let_in(asked.get("device_code", ""))
                return self._tokens(given["user"], given.get("scope") or SCOPES, given.get("audience"))
            case "refresh_token":
                old = self._refreshing(asked.get("refresh_token", ""))
                return self._tokens(old["sub"], asked.get("scope") or old["scope"], old["for"])
            case "client_credentials":
                subject = client
            case grant if grant == _EXCHANGE:
                # RFC 8693; with offline_access the token that it gives can be renewed, as IAM has it
                subject = self._claims(asked.get("subject_token", ""))["sub"]
                answer = self._tokens(subject, asked.get("scope") or SCOPES, asked.get("audience"))
                return answer | {"issued_token_type": _ACCESS_TOKEN}
            case grant:
                raise _Refused("unsupported_grant_type", str(grant))
        scope = asked.get("scope") or SCOPES
        token = self.issuer.access_token(subject, self.lifetime, scope=scope, audience=asked.get("audience"))
        return {"access_token": token, "scope": scope} | self._kind()

    def device(self, asked: dict[str, str]) -> dict[str, Any]:
        """Begin to let a device in (RFC 8628)."""
        device, user = uuid.uuid4().hex, uuid.uuid4().hex[:8].upper()
        self.devices[device] = asked | {"user_code": user}
        page = f"{self.issuer.url}device"
        return {
            **{"device_code": device, "user_code": user, "verification_uri": page, "expires_in": 600, "interval": 1},
            "verification_uri_complete": f"{page}?user_code={user}",
        }

    def agree(self, user_code: str, user: str) -> bool:
        """A user lets the device with this code in."""
        for given in self.devices.values():
            if given["user_code"] == user_code:
                given["user"] = user or _LOGIN
                return True
        return False

    def _let_in(self, device: str) -> dict[str, str]:
        given = self.devices.get(device)
        if given is None:
            raise _Refused("expired_token", "there is no such device code")
        if "user" not in given:
            raise _Refused("authorization_pending", "nobody has agreed yet")
        return self.devices.pop(device)

    def introspect(self, token: str) -> dict[str, Any]:
        """What a token says, if it is good."""
        try:
            return self.issuer.checked(token) | {"active": True}
        except BadToken:
            return {"active": False}

    def knows(self, client: str, secret: str) -> bool:
        """The client has shown its secret."""
        return self.clients.get(client) == secret

    def _tokens(self, user: str, scope: str, audience: str | None) -> dict[str, Any]:
        answer = {"access_token": self.issuer.access_token(user, self.lifetime, scope=scope, audience=audience)}
        if "offline_access" in scope.split():
            answer["refresh_token"] = self.issuer.refresh_token(user, _REFRESH_LIFETIME, scope, audience)
        return answer | {"scope": scope} | self._kind()

    def _kind(self) -> dict[str, Any]:
        return {"token_type": "Bearer", "expires_in": int(self.lifetime.total_seconds())}

    def _refreshing(self, token: str) -> dict[str, Any]:
        claims = self._claims(token)
        if claims.get("use") != "refresh" or claims["jti"] in self.spent:
            raise _Refused("invalid_grant", "the refresh token was used before")
        self.spent.add(claims["jti"])
        return claims

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return self.issuer.checked(token)
        except BadToken as error:
            raise _Refused("invalid_grant", str(error)) from error


def _check_challenge(given: dict[str, str], asked: dict[str, str]) -> None:
    """PKCE (RFC 7636): whoever brings a code knows what it was asked for with."""
    challenge = given.get("code_challenge")
    if challenge is None:
        return
    digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
    if base64.urlsafe_b64encode(digest).decode().rstrip("=") != challenge:
        raise _Refused("invalid_grant", "the code verifier does not fit the challenge")
    if asked.get("redirect_uri") != given.get("redirect_uri"):
        raise _Refused("invalid_grant", "the code was given to another page")


class Handler(BaseHTTPRequestHandler):
    """HTTP in front of the provider."""

    provider: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Discovery, keys, logging in, who am I."""
        where = urlsplit(self.path)
        match where.path:
            case "/.well-known/openid-configuration":
                self._answer(200, self.provider.discovery())
            case "/jwk":
                self._answer(200, self.provider.issuer.jwks())
            case "/authorize":
                self._answer(302, {}, {"Location": self.provider.authorize(dict(parse_qsl(where.query)))})
            case "/device":
                given = dict(parse_qsl(where.query))
                found = self.provider.agree(given.get("user_code", ""), given.get("user", ""))
                self._answer(200 if found else 404, {"device": "is let in" if found else "is unknown"})
            case "/userinfo":
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                claims = self.provider.introspect(token)
                self._answer(200 if claims["active"] else 401, {"sub": claims.get("sub")})
            case _:
                self._answer(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        """Tokens, for clients that show their secret."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        client, secret = self._who(asked)
        if not self.provider.knows(client, secret):
            self._answer(401, {"error": "invalid_client"}, {"WWW-Authenticate": "Basic"})
            return
        try:
            match urlsplit(self.path).path:
                case "/token":
                    self._answer(200, self.provider.token(asked, client), {"Cache-Control": "no-store"})
                case "/devicecode":
                    self._answer(200, self.provider.device(asked), {"Cache-Control": "no-store"})
                case "/introspect":
                    self._answer(200, self.provider.introspect(asked.get("token", "")))
                case _:
                    self._answer(404, {"error": "there is no such page"})
        except _Refused as error:
            code, about = error.args
            self._answer(400, {"error": code, "error_description": about})

    def _who(self, asked: dict[str, str]) -> tuple[str, str]:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return asked.get("client_id", ""), asked.get("client_secret", "")
        try:
            client, _, secret = base64.b64decode(given).decode().partition(":")
        except ValueError:
            return "", ""
        return client, secret

    def _answer(self, code: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ARG002 - the base class's names
        """One line a request, without its query: codes are no business of a log's."""
        print(self.command, urlsplit(self.path).path, args[1] if len(args) > 1 else "", flush=True)


class TlsServer(ThreadingHTTPServer):
    """TLS is spoken in the connection's own thread: who opens one and says nothing stops nobody."""

    daemon_threads = True
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then serve."""
        request.settimeout(60)
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's names
        """A client that does not like our certificate is not worth a traceback."""
        print("a connection ended early:", sys.exception(), flush=True)


def main(configuration: Path) -> None:
    """Serve until the end."""
    given = json.loads(configuration.read_text())
    Handler.provider = Provider(
        issuer(given["url"], Path(given["key"])), given["clients"], timedelta(seconds=given["token_lifetime_s"])
    )
    server = TlsServer(("127.0.0.1", given["port"]), Handler)
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(given["certificate"], given["certificate_key"])
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
