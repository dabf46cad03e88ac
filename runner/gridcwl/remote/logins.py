"""Logins at services: the device flow (RFC 8628), and the tokens that it gives, in files that only this user reads.

A service tells which issuer its users log in at. The tokens go to that service and to the issuer's token endpoint, and
nowhere else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl import imports
from gridcwl.config import private_folder
from gridcwl.errors import BackendError, ConfigError

_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_PATIENCE_S = 30
_MARGIN_S = 60.0
"""A token that ends within this is renewed."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Login:
    """What a login has given. Never shown."""

    server: str
    token_endpoint: str
    client_id: str
    ends: float
    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)


def log_in(server: str, how: Mapping[str, Any], show: Callable[[str, str], None]) -> Login:
    """Log in at a service's issuer by the device flow; returns once somebody has agreed there.

    Args:
        server: the service's URL.
        how: what the service tells of its issuer.
        show: is given the page to open and the code to type there.

    Raises:
        BackendError: the issuer refuses, or does not answer in time.
        ConfigError: it has no device flow, or is not reached by https.
    """
    issuer, client = str(how["issuer"]), str(how["client_id"])
    described = _described(issuer)
    endpoints = [str(described.get(f"{name}_endpoint", "")) for name in ("device_authorization", "token")]
    if not all(endpoints):
        raise ConfigError(
            f"The issuer {issuer} has no device flow",
            remedy="Get a token another way, and give it by BEARER_TOKEN or BEARER_TOKEN_FILE.",
        )
    for endpoint in endpoints:
        _check_encrypted(endpoint)
    asked = {"client_id": client, "scope": str(how.get("scope") or "openid")}
    if how.get("audience"):
        asked["audience"] = str(how["audience"])
    begun = _post(endpoints[0], asked, issuer)
    try:
        code, pause = str(begun["device_code"]), float(begun.get("interval", 5))
        patience = time.monotonic() + float(begun.get("expires_in", 600))
        show(str(begun.get("verification_uri_complete") or begun["verification_uri"]), str(begun["user_code"]))
    except (KeyError, TypeError, ValueError):
        raise BackendError(f"The issuer {issuer} answers with what is no device code") from None
    while time.monotonic() < patience:
        time.sleep(pause)
        answer = _post(
            endpoints[1], {"grant_type": _DEVICE, "device_code": code, "client_id": client}, issuer, asking=True
        )
        if "access_token" in answer:
            return _login(server, endpoints[1], client, answer)
        pause += 5 if answer.get("error") == "slow_down" else 0
    raise BackendError("Nobody has agreed to the login in time", remedy="Run gridcwl login again.")


def save(login: Login) -> Path:
    """Keep a login, for this user only; returns where."""
    file = _file(login.server)
    private_folder(file.parent)
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o600)
        json.dump(asdict(login), stream)
    new.replace(file)
    return file


def forget(server: str) -> bool:
    """Log out; False if there was no login."""
    file = _file(server)
    there = file.exists()
    file.unlink(missing_ok=True)
    return there


def token_for(server: str) -> str:
    """The access token of a login at a service, renewed if it is about to end; empty if there is no login.

    Raises:
        ConfigError: the login has ended.
        BackendError: the issuer does not answer, and the token has ended.
    """
    login = _read(server)
    if login is None:
        return ""
    if login.ends - time.time() > _MARGIN_S:
        return login.access
    with _file(server).with_suffix(".lock").open("w") as lock:  # a refresh token works once
        fcntl.flock(lock, fcntl.LOCK_EX)
        login = _read(server)
        if login is None or login.ends - time.time() > _MARGIN_S:
            return "" if login is None else login.access
        return _renewed(login).access


def _renewed(login: Login) -> Login:
    ended = ConfigError(f"The login at {login.server} has ended", remedy=f"gridcwl login --server {login.server}")
    if not login.refresh:
        if login.ends > time.time():
            return login
        raise ended
    asked = {"grant_type": "refresh_token", "refresh_token": login.refresh, "client_id": login.client_id}
    try:
        answer = _post(login.token_endpoint, asked, urlsplit(login.token_endpoint).netloc, asking=True)
    except BackendError:
        if login.ends > time.time():
            return login
        raise
    if "access_token" not in answer:
        raise ended
    made = _login(login.server, login.token_endpoint, login.client_id, {"refresh_token": login.refresh} | answer)
    save(made)
    return made


def _login(server: str, endpoint: str, client: str, answer: Mapping[str, Any]) -> Login:
    lasts = answer.get("expires_in")
    ends = time.time() + (float(lasts) if isinstance(lasts, int | float) else 300.0)
    return Login(server, endpoint, client, ends, str(answer["access_token"]), str(answer.get("refresh_token") or ""))


def _read(server: str) -> Login | None:
    file = _file(server)
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(f"Others can read the login in {file}", remedy=f"chmod 600 {file}")
        login = Login(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise ConfigError(f"The login in {file} cannot be read", remedy="Log in again: gridcwl login.") from None
    return login if login.server == server else None


def _file(server: str) -> Path:
    from gridcwl.plugins import configuration

    digest = hashlib.sha256(server.encode()).hexdigest()[:16]
    return configuration().state() / "logins" / f"{digest}.json"


def _described(issuer: str) -> dict[str, Any]:
    _check_encrypted(issuer)
    return _answer("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", issuer, {})[1]


def _post(url: str, fields: Mapping[str, str], issuer: str, *, asking: bool = False) -> dict[str, Any]:
    """What a POST is answered with.

    Args:
        url: of an endpoint.
        fields: of the form.
        issuer: for messages.
        asking: give back a refusal that may pass, or that its caller handles.

    Raises:
        BackendError: the issuer refuses, or does not answer.
    """
    code, answer = _answer("POST", url, issuer, {"data": dict(fields)})
    error = str(answer.get("error", ""))
    if code == 200 or (asking and error in ("authorization_pending", "slow_down", "invalid_grant")):
        return answer
    about = str(answer.get("error_description") or error or code)[:200]
    raise BackendError(f"The issuer {issuer} refuses: {about}")


def _answer(method: str, url: str, issuer: str, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    imports.load("requests")
    import requests

    from gridcwl.cwl.anonymous import AnonymousSession

    try:
        response = AnonymousSession().request(method, url, timeout=_PATIENCE_S, allow_redirects=False, **options)
        answer = response.json()
    except requests.RequestException:
        raise BackendError(f"The issuer {issuer} does not answer") from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise BackendError(f"The issuer {issuer} answers with what is no JSON object")
    return response.status_code, answer


def _check_encrypted(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise ConfigError(f"{url} is not an https URL, and tokens would be readable on the way")
