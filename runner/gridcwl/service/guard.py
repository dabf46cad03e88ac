"""Checks before any route: the size of a request's body; and on an open service, that no web page made the request.

A service without authentication serves whoever reaches it from this machine. That is also each web page that its user's
browser shows: such a request names the page in ``Origin``, or the service by another host's name (DNS rebinding).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gridcwl.service.problems import TooLarge
from gridcwl.service.settings import is_loopback

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


_MOST_IN_MEMORY = 64 << 20
"""Of a body that is no form with files."""


class BodyLimit:
    """Refuses bodies with more bytes than a request may have, also where their length is not announced."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # all but the files of a form is kept in memory
        is_form = headers.get("content-type", "").lstrip().lower().startswith("multipart/form-data")
        most = self._most if is_form else min(self._most, _MOST_IN_MEMORY)
        message = f"The request has more than {most >> 20} MiB, which is the most that this service accepts"
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced[:20]) > most:
            await _refuse(scope, receive, send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > most:
                raise TooLarge(message)
            return part

        await self._app(scope, limited, send)


class SameOrigin:
    """Refuses requests that a web page of another origin has made."""

    def __init__(self, app: ASGIApp, public_url: str = "", *, any_host: bool = False) -> None:
        self._app = app
        self._any_host = any_host  # no browser reaches a socket of this machine but through a proxy, which checks
        self._hosts = _LOCAL | ({urlsplit(public_url).hostname or ""} if public_url else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            name = urlsplit(f"//{host}").hostname or "" if "@" not in host else "@"
            if not self._any_host and name not in self._hosts and not _is_address(name):
                message = f"The service is not known as {host[:80]}; set public_url in its configuration"
                await _refuse(scope, receive, send, HTTPStatus.FORBIDDEN, message)
                return
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host:
                await _refuse(scope, receive, send, HTTPStatus.FORBIDDEN, "A page of another site made this request")
                return
        await self._app(scope, receive, send)


def _is_address(name: str) -> bool:
    """Whether a name is a loopback address; other names are not looked up."""
    return name.replace(".", "").isdigit() and is_loopback(name)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    body: dict[str, Any] = {"msg": message, "status_code": int(status)}
    await JSONResponse(body, status, headers={"Connection": "close"})(scope, receive, send)
