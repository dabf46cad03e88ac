"""How a job can fail for other reasons than its tool: one exception with the outcome and the message."""

from __future__ import annotations

import errno
import os
import re

PERMANENT = "permanent-failure"
TEMPORARY = "temporary-failure"
CANCELLED = "cancelled"
TIME_LIMIT = "time-limit"
OUT_OF_MEMORY = "out-of-memory"
SUCCESS = "success"

_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"<>]+@")
_QUERY = re.compile(r"(?<=://)([^\s?#'\"<>]*\?)([^\s#'\"<>]+)")
_TOKEN = re.compile(
    r"((?:^|[&;])(?:[\w.%-]*(?:token|signature|secret|passw(?:or)?d|credential|api-?_?key)[\w.%-]*|authz|auth|sig|key|pwd?)=)"
    r"[^&;]+",
    re.IGNORECASE,
)

_NO_ROOM = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EFBIG: "The file would be larger than is allowed here",
}


_LONGEST_SHOWN = 1000  # characters of a path in a sentence


class WorkerFailure(Exception):
    """The job cannot continue.

    Attributes:
        outcome: one of ``gridcwl.model.Outcome``'s values.
        reason: one sentence: what happened, to what, why.
    """

    def __init__(self, reason: str, outcome: str = PERMANENT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome = outcome


class SourceUnavailable(Exception):
    """This way to the bytes is closed; another may be open. The message is part of a sentence."""


def is_no_room(error: OSError) -> bool:
    """Whether the error says that there is no room left, by disk, quota or limit."""
    return error.errno in _NO_ROOM


def failure_of(error: OSError, doing: str) -> WorkerFailure:
    """The failure that an error of the operating system means; a full disk may pass, the others stay.

    ``doing`` says what was tried: "staging in data.h5".
    """
    where = f" ({_short(printable(str(error.filename)))})" if error.filename else ""
    detail = error.strerror or str(error)
    if is_no_room(error):
        return WorkerFailure(f"{_NO_ROOM[error.errno or 0]}: {doing} failed{where}: {detail}.", TEMPORARY)
    return WorkerFailure(f"{doing[:1].upper()}{doing[1:]} failed{where}: {detail}.")


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_SHOWN else f"{path[:120]} ... {path[-60:]}"


def printable(name: str) -> str:
    """A file name that need not be UTF-8, for a sentence."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def crossed_out(text: str) -> str:
    """A text in which URLs have no user's name and password, and no token in their query."""
    if "://" not in text:
        return text
    if "@" in text:
        text = _PASSWORD.sub("***@", text)
    if "?" in text:
        text = _QUERY.sub(lambda found: found[1] + _TOKEN.sub(r"\1***", found[2]), text)
    return text
