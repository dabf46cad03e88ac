"""Where DiracX answers, and what lets the classic services have tokens of it in a user's name."""

from __future__ import annotations

import base64

from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.secrets import secret

PORT = "diracx"


def url(place: InstallFolder) -> str:
    """Where DiracX answers when it is up."""
    return f"http://localhost:{place.port(PORT)}"


def exchange(place: InstallFolder) -> bytes:
    """What opens the exchange of a name for tokens."""
    return secret(place, "diracx-exchange").encode()


def key(place: InstallFolder) -> str:
    """The same as the classic configuration and the request's header have it."""
    return f"diracx:legacy:{base64.urlsafe_b64encode(exchange(place)).decode()}"
