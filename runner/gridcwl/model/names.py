"""Names that users give to what lasts longer than a run: schedules and productions."""

from __future__ import annotations

import re

from gridcwl.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}")


def checked_name(name: str, what: str) -> str:
    """A name, as it was given.

    Args:
        name: as typed, or as a client sent it.
        what: of what it is the name: "schedule".

    Raises:
        ConfigError: it has other characters than letters, digits and ``. _ -``, or is too long.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a {what}",
            remedy="It begins with a letter and has letters, digits and . _ - after it, 64 at most.",
        )
    return name
