"""Page tokens: each stands for the last entry of a page, and belongs to one list."""

from __future__ import annotations

import base64
import binascii

from gridcwl.service.problems import BadRequest

MOST_NUMBER = (1 << 63) - 1


def token(what: str, number: int) -> str:
    """A token for the page of a list that follows an entry."""
    return base64.urlsafe_b64encode(f"{what}:{number}".encode()).decode().rstrip("=")


def position(given: str | None, what: str) -> int | None:
    """The number of the entry that a list's token stands for; None for the first page.

    Raises:
        BadRequest: it is another list's token, or none at all.
    """
    if not given:
        return None
    try:
        padded = given.encode("ascii") + b"=" * (-len(given) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    kind, _, number = text.rpartition(":")
    if kind != what or not number.isdigit() or int(number[:20]) > MOST_NUMBER:
        raise BadRequest("page_token is none that this list has given; leave it out for the first page")
    return int(number)
