"""Webhooks: changes of runs' states, queued in the database with the change, and delivered with a signature.

A delivery is repeated, ever more slowly, until it is answered with 2xx, or for a day; those of one webhook and one run
come in order. URLs are those that the operator allows; redirections are not followed, and addresses of private networks
are not connected to unless the operator says so. Blocking, but for the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import random
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from gridcwl import imports
from gridcwl.model.confinement import Confinement
from gridcwl.service.problems import BadRequest, Conflict
from gridcwl.service.schema import deliveries, runs, webhooks
from gridcwl.service.settings import WebhookSettings
from gridcwl.service.states import State

log = logging.getLogger("gridcwl.service")

SIGNATURE = "X-Gridcwl-Signature"
DELIVERY = "X-Gridcwl-Delivery"
_MOST_HOOKS = 100
_AT_A_TIME = 8
_LOOK_EVERY_S = 1.0
_PATIENCE_S = (5, 10)
_LEASE_S = 60.0
_FIRST_S, _LONGEST_S, _GIVE_UP_S = 5.0, 3600.0, 86_400.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class Delivery:
    """One change that is to be sent."""

    number: int
    hook: str
    run: str
    url: str
    sealed: str
    body: str
    state: State
    created: float
    tries: int
    of_run: bool
    """The webhook is of this run only."""


class Webhooks:
    """The tables of webhooks and deliveries."""

    def __init__(self, engine: Engine, keys: MultiFernet, settings: WebhookSettings) -> None:
        self._engine = engine
        self._keys = keys
        self._settings = settings
        self._allowed = Confinement(urls=settings.urls)

    def add(self, owner: str, url: str, run: str | None, states: Sequence[str]) -> dict[str, Any]:
        """Make a webhook; returns it with its secret, which is shown this once.

        Raises:
            BadRequest: the URL is not allowed, or there is no such state.
            Conflict: the user has too many.
        """
        self.check(url)
        if unknown := [state for state in states if state not in list(State)]:
            raise BadRequest(f"There is no state {unknown[0][:40]!r}: there are {', '.join(State)}")
        number, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {"id": number, "owner": owner, "run": run, "url": url, "states": list(states), "created": time.time()}
        sealed = self._keys.encrypt(json.dumps([number, secret]).encode()).decode()
        with self._engine.begin() as connection:
            count = select(func.count()).select_from(webhooks).where(webhooks.c.owner == owner)
            if connection.execute(count).scalar_one() >= _MOST_HOOKS:
                raise Conflict(f"You have {_MOST_HOOKS} webhooks, the most that a user may have: remove one")
            connection.execute(webhooks.insert().values(**row, sealed=sealed, failed=""))
        return _shown(row | {"failed": ""}) | {"secret": secret}

    def all_of(self, owner: str) -> list[dict[str, Any]]:
        """The webhooks of a user, without their secrets."""
        query = select(webhooks).where(webhooks.c.owner == owner).order_by(webhooks.c.created)
        with self._engine.connect() as connection:
            return [_shown(dict(row._mapping)) for row in connection.execute(query)]

    def remove(self, owner: str | None, hook: str) -> bool:
        """Remove a webhook, and what is still to be sent there; False if the user has none of this id."""
        where = [webhooks.c.id == hook] + ([] if owner is None else [webhooks.c.owner == owner])
        with self._engine.begin() as connection:
            there = bool(connection.execute(delete(webhooks).where(*where)).rowcount)
            if there:
                connection.execute(delete(deliveries).where(deliveries.c.hook == hook))
            return there

    def check(self, url: str) -> None:
        """See that a URL may be called.

        Raises:
            BadRequest: the operator does not allow it, or it is in a private network.
        """
        if len(url) > 2000 or not self._allowed.allows_url(url):
            raise BadRequest("The URL is none that this service calls: its operator allows some by [webhooks] urls")
        if not self._settings.private and not _is_public(url):
            raise BadRequest("The URL's host is not known, or has an address in a private network")

    def due(self) -> list[Delivery]:
        """What is to be sent now, by this process: the first of each webhook and run, if its time has come."""
        now = time.time()
        firsts = select(func.min(deliveries.c.number)).group_by(deliveries.c.hook, deliveries.c.run)
        query = (
            select(deliveries, webhooks.c.url, webhooks.c.sealed, webhooks.c.run.label("only"))
            .join(webhooks, webhooks.c.id == deliveries.c.hook)
            .where(deliveries.c.number.in_(firsts), deliveries.c.due <= now, deliveries.c.leased <= now)
            .order_by(deliveries.c.due)
            .limit(_AT_A_TIME)
        )
        with self._engine.connect() as connection:
            ready = connection.execute(query).all()
        return [_delivery(row) for row in ready if self._lease(row.number, now)]

    def _lease(self, number: int, now: float) -> bool:
        query = update(deliveries).where(deliveries.c.number == number, deliveries.c.leased <= now)
        with self._engine.begin() as connection:
            return bool(connection.execute(query.values(leased=now + _LEASE_S)).rowcount)

    def deliver(self, one: Delivery) -> None:
        """Send it once, and record what became of it."""
        problem, gone = self._sent(one)
        over = one.of_run and one.state.is_terminal
        now = time.time()
        if gone or (over and (not problem or now - one.created > _GIVE_UP_S)):
            self.remove(None, one.hook)
            return
        with self._engine.begin() as connection:
            mine = deliveries.c.number == one.number
            if not problem:
                connection.execute(delete(deliveries).where(mine))
            elif now - one.created > _GIVE_UP_S:
                log.warning("The webhook %s was not called for a day, %s is left out: %s", one.hook, one.state, problem)
                connection.execute(delete(deliveries).where(mine))
            else:
                pause = min(_LONGEST_S, _FIRST_S * 2**one.tries) * (0.75 + random.random() / 2)  # noqa: S311
                connection.execute(
                    update(deliveries).where(mine).values(tries=one.tries + 1, due=now + pause, leased=0.0)
                )
            connection.execute(update(webhooks).where(webhooks.c.id == one.hook).values(failed=problem))

    def _sent(self, one: Delivery) -> tuple[str, bool]:
        """What went wrong, empty if nothing; and whether the receiver wants no more."""
        imports.load("requests")
        import requests

        from gridcwl.cwl.anonymous import AnonymousSession

        try:
            self.check(one.url)
            number, secret = json.loads(self._keys.decrypt(one.sealed.encode()))
        except BadRequest as problem:
            return problem.message, False
        except (InvalidToken, ValueError):
            number, secret = "", ""
        if number != one.hook:
            return "its secret cannot be decrypted: make the webhook again", False
        headers = {
            **{"Content-Type": "application/json", DELIVERY: str(one.number)},
            SIGNATURE: signature(secret, one.body, int(time.time())),
        }
        try:
            with AnonymousSession().post(
                one.url,
                data=one.body.encode(),
                headers=headers,
                timeout=_PATIENCE_S,
                allow_redirects=False,
                stream=True,
            ) as answer:
                code = answer.status_code
        except requests.RequestException:
            return "the receiver does not answer", False
        return ("" if 200 <= code < 300 else f"the receiver answers {code}"), code == _GONE


def signature(secret: str, body: str, when: int) -> str:
    """The signature of a delivery: ``t=SECONDS,v1=HEX``, HMAC-SHA256 of ``SECONDS.BODY``."""
    digest = hmac.new(secret.encode(), f"{when}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={when},v1={digest}"


def record(connection: Connection, run: str, state: State) -> None:
    """Queue the deliveries of a change, in its transaction."""
    of_run = or_(webhooks.c.run == run, and_(webhooks.c.run.is_(None), webhooks.c.owner == runs.c.owner))
    query = select(webhooks.c.id, webhooks.c.states, runs.c.tags, runs.c.reason, runs.c.message).where(
        runs.c.id == run, of_run
    )
    now = time.time()
    for row in connection.execute(query).all():
        if row.states and state not in row.states:
            continue
        body = {"run_id": run, "state": str(state), "time": now, "tags": row.tags, "message": row.reason or row.message}
        connection.execute(
            deliveries.insert().values(
                hook=row.id, run=run, state=state, body=json.dumps(body), created=now, due=now, tries=0, leased=0.0
            )
        )


async def deliver_all(hooks: Webhooks) -> None:
    """Deliver what is due, until this is cancelled."""
    while True:
        try:
            found = await asyncio.to_thread(hooks.due)
            await asyncio.gather(*(asyncio.to_thread(hooks.deliver, one) for one in found))
        except Exception:
            log.exception("Webhooks were not called")
            found = []
        if not found:
            await asyncio.sleep(_LOOK_EVERY_S)


def _is_public(url: str) -> bool:
    """Whether all addresses of a URL's host are public ones."""
    parts = urlsplit(url)
    try:
        found = {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(parts.hostname, parts.port or 443)}
        return bool(found) and all(_is_global(ipaddress.ip_address(one)) for one in found)
    except (OSError, ValueError, UnicodeError):
        return False


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global and not address.is_multicast)


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.number, row.hook, row.run, row.url, row.sealed, row.body, State(row.state), row.created, row.tries,
        row.only is not None,
    )  # fmt: skip


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "url", "run", "states", "created", "failed")}
