"""An ESAP gateway with the responses of the real one: user profiles and their shopping baskets.

with FakeEsap({"alice": "token"}) as esap:
    esap.cart("alice").append(...)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from gridcwl.testbed.fakes.web import FakeWebService

PROFILES = "/esap-api/accounts/user-profiles/"


class FakeEsap(FakeWebService):
    """The gateway. A context manager; listens on a free port of this machine."""

    def __init__(self, users: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            users: tokens by user name.
        """
        self._users = dict(users)
        self._carts: dict[str, list[Any]] = {user: [] for user in users}
        self.requests: list[str] = []
        """Methods and paths, in their order."""
        super().__init__(_Handler, "fake-esap")

    @property
    def url(self) -> str:
        """Of the gateway, with a slash at its end."""
        return f"{self.origin}/"

    def cart(self, user: str) -> list[Any]:
        """The items of a user, as plain values."""
        return self._carts[user]

    def user_of(self, header: str) -> str | None:
        """Who has the token of an ``Authorization`` header."""
        return next((user for user, token in self._users.items() if header == f"Bearer {token}"), None)

    def profile(self, user: str) -> dict[str, Any]:
        """A profile as the gateway gives it out, the user's tokens in it."""
        cart = [{"item_data": json.dumps(item), "user_profile": user} for item in self._carts[user]]
        return {
            "user_name": user,
            "full_name": user.title(),
            "user_email": f"{user}@example.org",
            "oidc_id_token": "id-token-of-" + user,
            "oidc_access_token": self._users[user],
            "id_token_expiration": "2099-01-01T00:00:00Z",
            "query_schema": [],
            "software_repositories": [],
            "compute_resources": [],
            "shopping_cart": cart,
        }

    def replace_cart(self, user: str, items: list[Any]) -> None:
        """What PATCH does: the whole basket is replaced."""
        self._carts[user][:] = items


class _Handler(BaseHTTPRequestHandler):
    service: FakeEsap

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        """The profile of whoever asks."""
        user = self._user()
        if user is not None and self.path == PROFILES:
            self._answer(200, {"count": 1, "next": None, "previous": None, "results": [self.service.profile(user)]})
        elif user is not None:
            self._answer(404, {"detail": "Not found."})

    def do_PATCH(self) -> None:
        """Replace the basket."""
        user = self._user()
        if user is None:
            return
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path != f"{PROFILES}{user}/":
            self._answer(404, {"detail": "Not found."})
            return
        self.service.replace_cart(user, body["shopping_cart"])
        self._answer(200, self.service.profile(user))

    def _user(self) -> str | None:
        self.service.requests.append(f"{self.command} {self.path}")
        user = self.service.user_of(self.headers.get("Authorization", ""))
        if user is None:
            self._answer(401, {"detail": "Authentication credentials were not provided."})
        return user

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
