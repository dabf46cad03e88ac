"""Rucio's own client behind one thread: calls that are tried again where that can help, and errors for people."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from gridcwl import imports, telemetry
from gridcwl.errors import ConfigError, GridCWLError, StoreError
from gridcwl.worker.credentials import Owner, acting_for, own_are_used

log = logging.getLogger("gridcwl.stores.rucio")

CHUNK = 500
"""DIDs in one call. Rucio refuses more than 1000 (its JSON schemas, ``maxItems``), and SQLite breaks near that."""
_LONGEST = 300
"""Characters of a message that are shown: Rucio's hold whole payloads."""
_SERVER_PATIENCE_S = 300.0
_DATABASE_PATIENCE_S = 90.0
_SILENCE_S = (15.0, 100.0)
"""To be connected, and of a server that has a question: its own client waits ten minutes."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_TOKEN_RESERVE_S = 120.0
_RENEWAL_S = 1.0
"""How often credentials that have expired are looked for."""
_FOR_GOOD = ("violates", "duplicate", "UNIQUE", "FOREIGN KEY", "foreign key", "IntegrityError")
"""Words in a database's message that say that the same call will fail again."""

Factory = Callable[[], Any]


class RucioClient:
    """Calls methods of ``rucio.client.Client``. All of them run in one thread: the client is not made for more."""

    def __init__(
        self,
        make: Factory | None = None,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        patient: bool = True,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            make: makes the client; ``rucio.client.Client`` if None.
            chance: spreads pauses.
            clock: seconds that go by.
            patient: try again what may pass.
        """
        owner = acting_for()
        self._owner = owner if owner is not None and owner.rucio else None
        if make is None and owner is None and not own_are_used():
            raise StoreError("Rucio is not used in the name of a service: this run has no owner's credentials")
        self._make = make or partial(_real_client, self._owner)
        self._chance = chance
        self._clock = clock
        self._patient = patient
        self._client: Any = None
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rucio")
        self.calls = 0
        """How many calls were made, repeated ones too."""

    async def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The answer; what comes as a stream comes as a list.

        Raises:
            RucioProblem: Rucio refuses, or cannot be reached.
            ConfigError: the client is not installed or not configured.
        """
        return await asyncio.wrap_future(self._begin(method, arguments, named))

    def call_now(self, method: str, *arguments: Any, **named: Any) -> Any:
        """As :meth:`call`, for those who cannot await."""
        return self._begin(method, arguments, named).result()

    async def account(self) -> str:
        """The account that is used."""
        return str((await self.call("whoami"))["account"])

    def token_ends(self) -> float | None:
        """When the token in use ends, in seconds since 1970; None if there is none that says so."""
        token = getattr(self._client, "auth_token", None)
        return token_end(str(token)) if token and getattr(self._client, "auth_type", "") == "oidc" else None

    def close(self) -> None:
        """Give up what waits for another attempt."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Future[Any]:
        try:
            return self._pool.submit(telemetry.carried(self._repeat), method, arguments, named)
        except RuntimeError as error:
            raise StoreError("No more requests are sent to Rucio: the run ends") from error

    def _repeat(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        begun, pause = self._clock(), _FIRST_PAUSE_S
        while True:
            try:
                return self._once(method, arguments, named)
            except GridCWLError as error:
                if not self._awaits_renewal(error):
                    raise
                continue
            except Exception as error:
                if self._awaits_renewal(error):
                    continue
                patience = patience_with(error) if self._patient else 0.0
                spent = self._clock() - begun
                if spent + pause > patience or self._closing.is_set():
                    raise explained(error, method, spent) from error
                log.warning("Rucio: %s; retrying in %.1f s", shortened(error), pause)
            if self._closing.wait(pause * (0.75 + self._chance() / 2)):
                raise StoreError("The request to Rucio was not repeated: the run ends")
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _awaits_renewal(self, error: Exception) -> bool:
        """Wait for newer credentials of the owner, if theirs have expired; whether the call is to be repeated."""
        owner = self._owner
        if owner is None or not owner.has_expired(owner.rucio):
            return False
        log.warning("The credentials for Rucio have expired; the run continues once its owner has renewed them")
        while owner.has_expired(owner.rucio):
            if self._closing.wait(_RENEWAL_S):
                raise StoreError("The request to Rucio was not repeated: the run ends") from error
        self._client = None  # it is made again, with the new ones
        return True

    def _once(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        with _nobody_to_ask():
            if self._client is None:
                self._client = self._make()
            _renew_token(self._client)
            self.calls += 1
            with telemetry.call("Rucio", method):
                answer = getattr(self._client, method)(*arguments, **named)
                return list(answer) if isinstance(answer, Iterator) else answer


class RucioProblem(StoreError):
    """Rucio refused, or cannot be reached.

    Attributes:
        kind: the name of Rucio's exception: ``DataIdentifierNotFound``, ``AccessDenied`` ...
    """

    def __init__(self, message: str, kind: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


def patience_with(error: Exception) -> float:
    """For how many seconds the same call may still help; zero where it cannot: consistency, access, what is invalid."""
    kind, text = type(error).__name__, str(error)
    if kind in (
        "ServerConnectionException",
        "ConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "ChunkedEncodingError",
    ):
        return _SERVER_PATIENCE_S
    if kind == "DatabaseException":
        return 0.0 if any(word in text for word in _FOR_GOOD) else _DATABASE_PATIENCE_S
    if kind == "RucioException" and ("locked" in text or "http status code: 5" in text):
        return _DATABASE_PATIENCE_S
    return 0.0


def shortened(error: Exception) -> str:
    """Rucio's message in one line of bearable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.removeprefix("An unknown exception occurred.").strip() or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


_REMEDIES = {
    "AccessDenied": "Ask the owner of the scope or storage element, or choose another --rucio-scope or --rucio-rse.",
    "CannotAuthenticate": "See that the credentials in rucio.cfg (or RUCIO_CONFIG) are right: rucio whoami.",
    "ScopeNotFound": "Choose another --rucio-scope: rucio scope list shows them.",
    "InsufficientAccountLimit": "Ask for more quota there, or choose other elements with --rucio-rse.",
    "RSEWriteBlocked": "Choose other elements with --rucio-rse.",
    "RSENotFound": "rucio rse list shows the storage elements.",
    "InvalidRSEExpression": "rucio rse list --rses EXPRESSION tries an expression.",
    "InvalidObject": "Rucio's policy does not allow one of the names: choose another --rucio-name.",
}
_ELSE = "gridcwl doctor checks Rucio and the credentials; if they are fine, ask Rucio's administrators."
_PASSING = "When it answers again, run gridcwl resume."


def explained(error: Exception, method: str, spent_s: float = 0.0) -> StoreError:
    """What went wrong, for people."""
    kind = type(error).__name__
    if isinstance(error, EOFError):
        return RucioProblem(
            "Rucio's client requires an interactive login",
            "CannotAuthenticate",
            remedy="Log in first: rucio whoami; or renew the token that rucio.cfg's auth_token_file_path names.",
        )
    if isinstance(error, ImportError | AttributeError) and "policy" in str(error).lower():
        return _policy_problem(error)
    if patience_with(error):
        waited = f" for {spent_s:.0f} s" if spent_s >= 1 else ""
        what = "Rucio's database fails" if "Database" in kind or "locked" in str(error) else "Rucio cannot be reached"
        return RucioProblem(f"{what}{waited}: {shortened(error)}", kind, remedy=_PASSING)
    return RucioProblem(f"Rucio refuses {method}: {shortened(error)} ({kind})", kind, remedy=_REMEDIES.get(kind, _ELSE))


def _policy_problem(error: Exception) -> StoreError:
    """A policy package that does not fit Rucio's version."""
    return RucioProblem(
        f"The policy package that rucio.cfg names cannot be loaded: {shortened(error)}",
        "PolicyPackage",
        remedy="Install a version of it that fits rucio-clients, or take [policy] package out of rucio.cfg.",
    )


def _real_client(owner: Owner | None = None) -> Any:
    imports.require("rucio", "Rucio")
    try:
        imports.load("rucio")
        from rucio.client import Client
    except Exception as error:
        raise _unloadable(error) from error
    for noisy in ("rucio", "baseclient", "dogpile"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what it says is in its exceptions
    try:
        if owner is not None:
            return _owners_client(Client, owner)
        return Client(logger=_silent(), timeout=_SILENCE_S)
    except EOFError:
        raise
    except Exception as error:
        if patience_with(error):
            raise
        raise _unconfigured(error) from error


def _owners_client(base: type, owner: Owner) -> Any:
    """A client with an owner's credentials; what it keeps is theirs alone, where others' are kept by account."""
    if owner.has_expired(owner.rucio):
        raise RucioProblem(f"The owner's {owner.rucio} for Rucio has expired, or is missing", "CannotAuthenticate")

    class OwnersClient(base):  # type: ignore[misc]
        def _get_auth_tokens(self) -> tuple[str, str, str, str]:
            kept = owner.token_file if owner.rucio == "token" else os.path.join(owner.folder, "rucio-token")  # noqa: PTH118
            return kept, os.path.join(owner.folder, "rucio-token-ends"), kept, owner.folder  # noqa: PTH118

        def _BaseClient__read_token(self) -> bool:  # noqa: N802  its own would take BEARER_TOKEN of this process first
            try:
                with open(self.token_file, encoding="ascii") as file:  # noqa: PTH123
                    self.auth_token = file.readline().strip()
            except (OSError, UnicodeDecodeError):
                return False
            self.auth_oidc_refresh_active = False  # whoever keeps the file renews it
            self.headers["X-Rucio-Auth-Token"] = self.auth_token
            return bool(self.auth_token)

        def _BaseClient__get_token_oidc(self) -> bool:  # noqa: N802  its own asks whoever is at the terminal to log in
            raise RucioProblem(
                "Rucio does not accept the token of the run's owner",
                "CannotAuthenticate",
                remedy="It needs a token with another audience or scope; see that the owner has an account at Rucio.",
            )

    named: dict[str, Any] = {"auth_type": "oidc"}
    if owner.rucio == "proxy":
        named = {"auth_type": "x509_proxy", "creds": {"client_proxy": owner.proxy_file}}
    return OwnersClient(account=owner.account or None, logger=_silent(), timeout=_SILENCE_S, **named)


def _silent() -> logging.Logger:
    silent = logging.getLogger("gridcwl.stores.rucio.client")
    silent.setLevel(logging.CRITICAL)
    return silent


def _unloadable(error: Exception) -> ConfigError:
    return ConfigError(
        f"Rucio's client cannot be loaded: {type(error).__name__}: {shortened(error)}",
        remedy="If rucio.cfg names a policy package, see that it is installed and fits rucio-clients "
        "(escape-rucio-policy-package 0.2.2 does not load with 41.5.1; leave [policy] package out then).",
    )


def _unconfigured(error: Exception) -> GridCWLError:
    kind = type(error).__name__
    if kind == "CannotAuthenticate":
        return RucioProblem(f"Rucio authentication failed: {shortened(error)}", kind, remedy=_REMEDIES[kind])
    if "policy" in kind.lower() or "Policy" in str(error):
        return _unloadable(error)
    named = os.environ.get("RUCIO_CONFIG")
    where = f"RUCIO_CONFIG names {named}" if named else "looked for in $RUCIO_HOME/etc and /opt/rucio/etc"
    return RucioProblem(
        f"Rucio's client cannot be used: {shortened(error)} ({kind}; its rucio.cfg is {where})",
        kind,
        remedy="Let RUCIO_CONFIG name a rucio.cfg with rucio_host, auth_host, auth_type, account; test: rucio whoami.",
    )


@contextmanager
def _nobody_to_ask() -> Iterator[None]:
    """Without a terminal behind it ``input()`` fails at once; with one a run would wait for ever for an answer."""
    before = sys.stdin
    with open(os.devnull, encoding="ascii") as nothing:  # noqa: PTH123
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


def _renew_token(client: Any) -> None:
    """Take a token that somebody has put into the token file meanwhile, before the one in use ends.

    Raises:
        RucioProblem: it has ended, and there is no other.
    """
    if getattr(client, "auth_type", "") != "oidc":
        return  # the client renews its others itself
    ends = token_end(str(getattr(client, "auth_token", "")))
    if ends is None or ends - time.time() > _TOKEN_RESERVE_S:
        return
    try:
        with open(client.token_file, encoding="ascii") as file:  # noqa: PTH123
            newer = file.read().strip()
    except (OSError, UnicodeDecodeError):
        newer = ""
    if newer and (token_end(newer) or 0) > ends:
        client.auth_token = newer
        client.headers["X-Rucio-Auth-Token"] = newer
    elif ends <= time.time() and not getattr(client, "auth_oidc_refresh_active", False):
        raise RucioProblem(
            f"The token for Rucio has expired, and {client.token_file} holds no newer one",
            "CannotAuthenticate",
            remedy="Renew it there (oidc-token, htgettoken, rucio whoami), then run gridcwl resume.",
        )


def token_end(token: str) -> float | None:
    """When a JSON web token ends, in seconds since 1970; None if it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
