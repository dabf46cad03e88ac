"""What a request is refused for: each is answered with its status and WES's ErrorResponse."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not done; the message is for the client."""

    status = 400

    def __init__(self, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = headers


class BadRequest(Refused):
    """The request is malformed, or asks for what is not supported."""


class Unauthenticated(Refused):
    """The request has no valid token."""

    status = 401


class Forbidden(Refused):
    """The caller may not do this."""

    status = 403


class NotFound(Refused):
    """There is no such run, task or file, or the caller may not see it."""

    status = 404


class Conflict(Refused):
    """The run is in a state in which this cannot be done."""

    status = 409


class TooLarge(Refused):
    """The request has more bytes or files than are accepted."""

    status = 413


class Busy(Refused):
    """The queue is full, or a rate limit is reached."""

    status = 429


class Unavailable(Refused):
    """Another server that is needed does not answer."""

    status = 503
