"""Bearer tokens: valid ones of the issuer are accepted, and each user sees their own runs and those of their groups."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from joserfc import jwt
from joserfc.jwk import ECKey
from wes import PREFIX, Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service.settings import load

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})


class Issuer(ThreadingHTTPServer):
    """An OpenID provider that serves its keys only."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.keys = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def token(self, subject: str = "ann", key: Any = None, header: Any = None, **claims: Any) -> str:
        key = key or self.keys[-1]
        about = {"iss": self.url, "aud": "gridcwl", "sub": subject, "exp": int(time.time()) + 600} | claims
        about = {name: value for name, value in about.items() if value is not None}
        return jwt.encode(header or {"alg": "ES256", "kid": key.kid}, about, key, algorithms=["ES256", "HS256"])


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        issuer = self.server
        assert isinstance(issuer, Issuer)
        if self.path == "/.well-known/openid-configuration":
            body: Any = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        else:
            issuer.asked += 1
            body = {"keys": [key.as_dict(private=False) for key in issuer.keys]}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    server = Issuer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Wes]:
    roles = [
        {"scope": "runs.read", "may": ["read"]},
        {"scope": "runs.submit", "may": ["read", "submit"]},
        {"group": "operators", "may": ["admin"]},
    ]
    auth = {"issuer": issuer.url, "audience": "gridcwl", "roles": roles}
    with serving(tmp_path_factory.mktemp("service"), auth=auth, host="0.0.0.0") as client:
        yield client


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def submit(wes: Wes, issuer: Issuer, subject: str, **claims: Any) -> str:
    answer = wes.post(TWICE, {"number": 1}, headers=bearer(issuer.token(subject, scope="runs.submit", **claims)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def test_a_request_without_a_token_is_unauthenticated_but_anybody_may_ask_how_to_get_one(wes: Wes, issuer: Issuer):
    answer = wes.get("/runs")
    assert answer.status_code == 401
    assert answer.json().keys() == {"msg", "status_code"}
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert wes.get("/service-info").json()["auth_instructions_url"] == issuer.url


def test_users_see_their_own_runs_and_those_of_their_groups(wes: Wes, issuer: Issuer):
    anns = submit(wes, issuer, "ann")
    bobs = submit(wes, issuer, "bob", groups=["km3net"])

    def seen(subject: str, **claims: Any) -> set[str]:
        headers = bearer(issuer.token(subject, **({"scope": "runs.read"} | claims)))
        listed = {run["run_id"] for run in wes.get("/runs", headers=headers).json()["runs"]}
        for run in (anns, bobs):
            for path in ("", "/status", "/tasks", "/stderr", "/outputs"):
                assert (wes.get(f"/runs/{run}{path}", headers=headers).status_code == 200) == (run in listed)
            native = wes.http.get(f"/api/v1/runs/{run}", headers=headers)
            assert (native.status_code == 200) == (run in listed)
        return listed & {anns, bobs}

    assert seen("ann") == {anns}
    assert seen("bob") == {bobs}
    assert seen("ann", groups=["km3net"]) == {anns, bobs}
    assert seen("eve", groups=["cta"]) == set()
    assert seen("root", groups=["operators"]) == {anns, bobs}


def test_a_token_that_may_only_read_neither_submits_nor_cancels(wes: Wes, issuer: Issuer):
    run = submit(wes, issuer, "ann")
    headers = bearer(issuer.token("ann", scope="openid runs.read"))
    assert wes.post(TWICE, {"number": 1}, headers=headers).status_code == 403
    assert wes.http.post(f"{PREFIX}/runs/{run}/cancel", headers=headers).status_code == 403
    assert wes.http.post(f"/api/v1/runs/{run}/resume", headers=headers).status_code == 403
    assert wes.get("/runs", headers=bearer(issuer.token("ann", scope="other"))).status_code == 403
    eves = bearer(issuer.token("eve", scope="runs.submit"))
    assert wes.http.post(f"{PREFIX}/runs/{run}/cancel", headers=eves).status_code == 404


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another service"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": 1 << 33},
        {"sub": None},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(wes: Wes, issuer: Issuer, claims: dict[str, Any]):
    token = issuer.token(scope="runs.read", **claims)
    assert wes.get("/runs", headers=bearer(token)).status_code == 401


def test_clocks_may_differ_a_little(wes: Wes, issuer: Issuer):
    token = issuer.token(scope="runs.read", exp=int(time.time()) - 20)
    assert wes.get("/runs", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "x" * 100_000, "\u00e9"])
def test_what_is_no_token_is_refused(wes: Wes, text: str):
    headers = {"Authorization": f"Bearer {text}".encode()}
    assert wes.http.get(f"{PREFIX}/runs", headers=headers).status_code == 401


def test_a_token_that_is_signed_by_somebody_else_or_not_at_all_is_refused(wes: Wes, issuer: Issuer):
    forged = issuer.token(key=ECKey.generate_key("P-256", {"kid": "first"}), scope="runs.read")
    genuine, body, _ = issuer.token(scope="runs.read").split(".")
    head = b64(b'{"alg": "HS256", "kid": "first"}')
    digest = hmac.new(issuer.keys[0].as_pem(private=False), f"{head}.{body}".encode(), hashlib.sha256).digest()
    confused = f"{head}.{body}.{b64(digest)}"  # the public key taken for a shared secret
    unsigned = b64(b'{"alg": "none"}') + f".{body}."
    for token in (forged, confused, unsigned, f"{genuine}.{body}."):
        assert wes.get("/runs", headers=bearer(token)).status_code == 401


def test_a_new_key_of_the_issuer_is_fetched_when_a_token_names_it(
    wes: Wes, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gridcwl.service.tokens._AGAIN_S", 0.0)
    assert wes.get("/runs", headers=bearer(issuer.token(scope="runs.read"))).status_code == 200
    issuer.keys.append(ECKey.generate_key("P-256", {"kid": "second"}))
    asked = issuer.asked
    assert wes.get("/runs", headers=bearer(issuer.token(scope="runs.read"))).status_code == 200
    assert issuer.asked == asked + 1


def test_a_service_without_authentication_listens_on_this_machine_only(tmp_path: Path):
    with pytest.raises(ConfigError, match="no authentication"):
        load(None, {"folder": tmp_path, "host": "0.0.0.0"})
    with pytest.raises(ConfigError, match="https"):
        load(None, {"folder": tmp_path, "auth": {"issuer": "http://iam.example.org/", "audience": "x"}})
