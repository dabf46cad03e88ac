"""Checks of ``gridcwl doctor`` that plugins share: a server answers, a credential lasts, the clock is right.

A plugin's hook ``health(settings, needed)`` gives such checks.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from gridcwl.errors import GridCWLError

State = Literal["ok", "warning", "error", "unused"]

PATIENCE_S = 10
"""How long a check waits for an answer."""
_SHORT_S = 12 * 3600
"""A credential that ends within this is worth a warning."""
_CLOCK_WARNING_S, _CLOCK_ERROR_S = 10.0, 120.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What one check found.

    Attributes:
        check: its name.
        state: "unused" is for what is absent and not needed by the configuration.
        text: what was found.
        remedy: what to do; empty if there is nothing to do.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def server_check(name: str, ask: Callable[[], str]) -> HealthCheck:
    """Whether a server answers: ``ask`` returns what is worth showing of its answer."""
    try:
        return HealthCheck(name, "ok", ask())
    except GridCWLError as error:
        return HealthCheck(name, "error", error.message, error.remedy)


def credential(name: str, ask: Callable[[], tuple[str, datetime, str]]) -> HealthCheck:
    """Whose a credential is and how long it lasts; ``ask`` returns the owner, the end, and how to renew it."""
    try:
        whose, ends, renewal = ask()
    except GridCWLError as error:
        return HealthCheck(name, "error", error.message, error.remedy)
    left = (ends - datetime.now(UTC)).total_seconds()
    what = f"{whose}, " if whose else ""
    if left <= 0:
        return HealthCheck(name, "error", f"{what}ended {ends:%Y-%m-%d %H:%M} UTC", f"Renew it: {renewal}")
    hours, minutes = divmod(int(left) // 60, 60)
    text = f"{what}valid for {hours} h {minutes:02d} min"
    return (
        HealthCheck(name, "warning", text, f"Renew it: {renewal}") if left < _SHORT_S else HealthCheck(name, "ok", text)
    )


def clock(name: str, url: str) -> HealthCheck:
    """This machine's clock next to that of a server."""
    offset = clock_offset(url)
    check = f"clock ({name})"
    if offset is None:
        return HealthCheck(check, "warning", f"{url} reports no time", "Check the network and the URL.")
    size = abs(offset)
    text = f"{size:.0f} s {'behind' if offset > 0 else 'ahead of'} the server" if size >= 2 else "as the server's"
    state: State = "error" if size > _CLOCK_ERROR_S else "warning" if size > _CLOCK_WARNING_S else "ok"
    return HealthCheck(check, state, text, "" if state == "ok" else "Synchronise it: timedatectl set-ntp true")


def clock_offset(url: str) -> float | None:
    """How many seconds this clock is behind the server's; None if it does not answer. No credential is sent."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return None
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # only the time is read
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=PATIENCE_S, context=trusting)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
    try:
        begun = time.time()
        connection.request("HEAD", parts.path or "/")
        date = connection.getresponse().getheader("Date")
        middle = (begun + time.time()) / 2
        return parsedate_to_datetime(date).timestamp() + 0.5 - middle if date else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
