"""Webhooks: changes of runs' states, queued in the database with the change, and delivered with a signature.

A delivery is repeated, ever more slowly, until it is answered with 2xx, or for a day; those of one webhook and one run
come in order. URLs are those that the operator allows; redirections are not followed, and addresses of private networks
are not connected to unless the operator says so. Blocking, but for the loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from gridcwl import imports
from gridcwl.model.confinement import Confinement
from gridcwl.service.problems import BadRequest, Conflict
from gridcwl.service.schema import deliveries, delivery_attempts, runs, webhooks
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
_PRIVATE = "The URL's host is not known, or has an address in a private network"
_ATTEMPTS = 10
"""That are kept of each webhook."""
TEST = "TEST"
"""The state that a test names."""


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
                for table in (deliveries, delivery_attempts):
                    connection.execute(delete(table).where(table.c.hook == hook))
            return there

    def attempts(self, owner: str, hook: str) -> list[dict[str, Any]]:
        """What became of the last deliveries of a user's webhook, the latest first."""
        columns = (delivery_attempts.c[name] for name in ("run", "state", "sent", "problem"))
        query = select(*columns).join(webhooks, webhooks.c.id == delivery_attempts.c.hook)
        query = query.where(webhooks.c.owner == owner, webhooks.c.id == hook)
        with self._engine.connect() as connection:
            found = connection.execute(query.order_by(delivery_attempts.c.number.desc()).limit(_ATTEMPTS))
            return [dict(row._mapping) for row in found]

    def waiting(self, owner: str) -> dict[str, int]:
        """How many deliveries are still to be sent to a user's webhooks, by their ids."""
        query = select(deliveries.c.hook, func.count()).join(webhooks, webhooks.c.id == deliveries.c.hook)
        query = query.where(webhooks.c.owner == owner).group_by(deliveries.c.hook)
        with self._engine.connect() as connection:
            return {hook: int(count) for hook, count in connection.execute(query)}

    def test(self, owner: str, hook: str) -> str | None:
        """Send a test to a user's webhook at once: what went wrong, empty if nothing; None if there is no such one."""
        query = select(webhooks).where(webhooks.c.owner == owner, webhooks.c.id == hook)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        now = time.time()
        body = {"run_id": "", "state": TEST, "time": now, "tags": {}, "message": "A test of this webhook"}
        problem, _ = self._sent(hook, row.url, row.sealed, json.dumps(body), f"test-{secrets.token_hex(8)}")
        with self._engine.begin() as connection:
            _note(connection, hook, "", TEST, problem)
        return problem

    def check(self, url: str) -> None:
        """See that a URL may be called.

        Raises:
            BadRequest: the operator does not allow it, or it is in a private network.
        """
        if len(url) > 2000 or not self._allowed.allows_url(url):
            raise BadRequest("The URL is none that this service calls: its operator allows some by [webhooks] urls")
        if self._settings.private:
            return
        imports.load("requests")
        from gridcwl.service.public_session import is_public

        if not is_public(url):
            raise BadRequest(_PRIVATE)

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
        problem, gone = self._sent(one.hook, one.url, one.sealed, one.body, str(one.number))
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
            _note(connection, one.hook, one.run, one.state, problem)
            connection.execute(update(webhooks).where(webhooks.c.id == one.hook).values(failed=problem))

    def _sent(self, hook: str, url: str, sealed: str, body: str, number_of_delivery: str) -> tuple[str, bool]:
        """What went wrong, empty if nothing; and whether the receiver wants no more."""
        imports.load("requests")
        import requests

        from gridcwl.cwl.anonymous import AnonymousSession
        from gridcwl.service.public_session import NotPublicError, PublicSession

        try:
            self.check(url)
            number, secret = json.loads(self._keys.decrypt(sealed.encode()))
        except BadRequest as problem:
            return problem.message, False
        except (InvalidToken, ValueError):
            number, secret = "", ""
        if number != hook:
            return "its secret cannot be decrypted: make the webhook again", False
        headers = {
            **{"Content-Type": "application/json", DELIVERY: number_of_delivery},
            SIGNATURE: signature(secret, body, int(time.time())),
        }
        options: dict[str, Any] = {"timeout": _PATIENCE_S, "allow_redirects": False, "stream": True}
        try:
            session = AnonymousSession() if self._settings.private else PublicSession()
            with session, session.post(url, data=body.encode(), headers=headers, **options) as answer:
                code = answer.status_code
        except NotPublicError:
            return _PRIVATE, False
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


def _note(connection: Connection, hook: str, run: str, state: str, problem: str) -> None:
    """Keep what became of a delivery, and forget all but the last ones of its webhook."""
    mine = delivery_attempts.c.hook == hook
    values = {"hook": hook, "run": run, "state": state, "sent": time.time(), "problem": problem}
    connection.execute(delivery_attempts.insert().values(**values))
    number = delivery_attempts.c.number
    last = select(number).where(mine).order_by(number.desc()).offset(_ATTEMPTS).limit(1)
    if (old := connection.execute(last).scalar()) is not None:
        connection.execute(delete(delivery_attempts).where(mine, number <= old))


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.number, row.hook, row.run, row.url, row.sealed, row.body, State(row.state), row.created, row.tries,
        row.only is not None,
    )  # fmt: skip


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "url", "run", "states", "created", "failed")}
