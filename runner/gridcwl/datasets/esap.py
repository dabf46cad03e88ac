"""ESAP's shopping basket: read with a user's token, and extended by what runs made.

The profile that a gateway answers with holds the user's tokens: nothing of it but the basket is kept or shown.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from gridcwl import imports
from gridcwl.datasets.items import Item, as_written, item_of
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import limits

HOST = "http://localhost:5555/"
"""Where ESAP's own client looks if nobody says."""
_PROFILES = "esap-api/accounts/user-profiles/"
_MARGIN_S = 10
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PATIENCE_S = (15, 60)


class Esap:
    """An ESAP gateway, for one user."""

    def __init__(
        self, host: str = "", token: str = "", *, ask: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            host: its URL; empty for ``$ESAP_HOST``, or that of ESAP's own client.
            token: of the user; empty to look where ESAP's own client looks.
            ask: ask for a token on the terminal if there is none.
            environment: where tokens are looked for; None for this process's.

        Raises:
            ConfigError: it is no URL, or a token would be readable on the way.
        """
        url = (host or os.environ.get("ESAP_HOST", "") or HOST).rstrip("/") + "/"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url} is not the URL of an ESAP gateway", remedy="Write it as https://HOST/.")
        if parts.scheme == "http" and parts.hostname not in _LOCAL:
            raise ConfigError(f"{url} is not reached by https, and a token would be readable on the way")
        self.url = url
        self._token = token
        self._ask = ask
        self._environment = environment

    def basket(self) -> tuple[list[Item], list[tuple[int, str]]]:
        """The items, and those that are none with the reason.

        Raises:
            ConfigError: no token was found, or it is refused.
            StoreError: the gateway does not answer, or not as ESAP does.
        """
        items: list[Item] = []
        wrong: list[tuple[int, str]] = []
        for number, written in enumerate(self._cart()[1], 1):
            made = item_of(written, number)
            if isinstance(made, Item):
                items.append(made)
            else:
                wrong.append((number, made))
        return items, wrong

    def add(self, items: Sequence[Item]) -> int:
        """Put items into the basket; those that are there already are left alone.

        Returns:
            How many are new.

        Raises:
            ConfigError, StoreError: as :meth:`basket`.
        """
        user, cart = self._cart()
        before = [_unwrapped(one) for one in cart]
        new = [one for one in map(as_written, items) if one not in before]
        if new:
            self._send("PATCH", f"{_PROFILES}{quote(user, safe='')}/", json={"shopping_cart": [*before, *new]})
        return len(new)

    def _cart(self) -> tuple[str, list[Any]]:
        answer = self._send("GET", _PROFILES)
        try:
            profile = answer["results"][0]
            return str(profile["user_name"]), list(profile.get("shopping_cart") or ())
        except (KeyError, IndexError, TypeError):
            raise StoreError(
                f"The ESAP gateway {self.url} knows no profile of this user", remedy="Log in to ESAP once in a browser."
            ) from None

    def _send(self, method: str, path: str, **options: Any) -> Any:
        imports.load("requests")
        import requests

        token = self._token = find_token(self._token, ask=self._ask, environment=self._environment)
        session = requests.Session()
        session.trust_env = False  # no .netrc
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        try:
            with session.request(
                method, urljoin(self.url, path), headers=headers, timeout=_PATIENCE_S, allow_redirects=False,
                stream=True, **options,
            ) as response:  # fmt: skip
                return self._answer(response)
        except requests.RequestException as error:
            raise StoreError(
                f"The ESAP gateway {self.url} does not answer", remedy="Check --host, and that it runs."
            ) from error

    def _answer(self, response: Any) -> Any:
        if response.status_code in (401, 403):
            raise ConfigError(
                f"The ESAP gateway {self.url} refuses the token",
                remedy="Get a new one: log in to ESAP, or in the notebook server again.",
            )
        if response.status_code not in (200, 201, 204):
            raise StoreError(f"The ESAP gateway {self.url} answers {response.status_code} {response.reason}".rstrip())
        data = b""
        for chunk in response.iter_content(1 << 16):
            data += chunk
            if len(data) > limits.TEXT_BYTES:
                raise StoreError(f"The ESAP gateway {self.url} sends more than {limits.TEXT_BYTES >> 20} MiB")
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise StoreError(f"The ESAP gateway {self.url} answers with what is not JSON") from None


def _unwrapped(written: Any) -> Any:
    """An item of a basket without the text that the gateway wraps it into."""
    if isinstance(written, Mapping) and "item_data" in written:
        try:
            return json.loads(written["item_data"]) if isinstance(written["item_data"], str) else written["item_data"]
        except ValueError:
            return written["item_data"]
    return written


def find_token(
    given: str = "",
    *,
    ask: bool = False,
    environment: Mapping[str, str] | None = None,
    now: Callable[[], float] = time.time,
) -> str:
    """A token for ESAP, in the order in which ESAP's own client looks: given, JupyterHub, a file, the terminal.

    Args:
        given: by the user; used as long as it is valid.
        ask: on the terminal, if there is no other.
        environment: of this process.
        now: seconds since 1970.

    Raises:
        ConfigError: there is none.
    """
    environment = os.environ if environment is None else environment
    if given and is_valid(given, now()):
        return given
    hub, hub_token = environment.get("JUPYTERHUB_API_URL", ""), environment.get("JUPYTERHUB_API_TOKEN", "")
    if hub and hub_token and (token := _of_hub(hub, hub_token)):
        return token
    if path := environment.get("RUCIO_OIDC_FILE_NAME", ""):
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                token = file.readline(limits.TEXT_BYTES).strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"The token file {path} (RUCIO_OIDC_FILE_NAME) cannot be read") from None
        if token:
            return token
    if ask and sys.stdin.isatty() and (token := getpass.getpass("ESAP token: ").strip()):
        return token
    what = "The token for ESAP has expired" if given else "There is no token for ESAP"
    raise ConfigError(
        what,
        remedy="Give one with --token-file, let RUCIO_OIDC_FILE_NAME name a file with one, or run in JupyterHub.",
    )


def is_valid(token: str, now: float) -> bool:
    """Whether a token does not expire in the next seconds; one that is no JWT says nothing, and counts as valid."""
    parts = token.split(".")
    if len(parts) != 3:
        return True
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"]) > now + _MARGIN_S
    except (ValueError, KeyError, TypeError):
        return True


def _of_hub(hub: str, hub_token: str) -> str:
    """The token that JupyterHub exchanged for its user; empty if it has none."""
    imports.load("requests")
    import requests

    try:
        session = requests.Session()
        session.trust_env = False
        answer = session.get(
            f"{hub.rstrip('/')}/user",
            headers={"Authorization": f"token {hub_token}"},
            timeout=_PATIENCE_S,
            allow_redirects=False,
        )
        return str(answer.json()["auth_state"]["exchanged_tokens"]["rucio"])
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return ""
