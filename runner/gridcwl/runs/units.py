"""Numbers for people: bytes, times and spans of time."""

from __future__ import annotations

import re
import time


def amount(number: int) -> str:
    """A number of bytes for people: ``12 bytes``, ``3.4 GB``."""
    if number < 1000:
        return f"{number} byte{'' if number == 1 else 's'}"
    size, unit = float(number), ""
    for unit in ("kB", "MB", "GB", "TB", "PB"):  # noqa: B007  the last one is used
        size /= 1000
        if size < 999.5:
            break
    return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"


def moment(seconds: float | None) -> str:
    """A time as people write it, in their time zone."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def duration(seconds: float | None) -> str:
    """How long something took."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{max(0.0, seconds):.1f} s"
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock


def roughly(seconds: float | None) -> str:
    """A span of time in its largest unit: ``45 s``, ``3 min``, ``2 h``, ``5 d``."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= (2 * size if unit == "d" else size):
            return f"{whole // size} {unit}"
    return f"{whole} s"


_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w|)\s*")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str, unit: str = "s") -> float | None:
    """A span of time as people type it, in seconds: ``90s``, ``15m``, ``6h``, ``1.5d``, ``2w``; None if it is none.

    Args:
        text: as typed.
        unit: of a number alone.
    """
    found = _SPAN.fullmatch(text) if text.isascii() else None
    return None if found is None else float(found[1]) * _SECONDS[found[2] or unit]
