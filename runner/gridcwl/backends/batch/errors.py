"""Errors of calls to a batch system, by what can be done about them. A backend derives its own from these."""

from __future__ import annotations

from gridcwl.errors import BackendError


class Unreachable(BackendError):
    """A service does not answer now: the same call may work in a moment."""


class CredentialMissing(BackendError):
    """There is no valid credential: nothing works until it is renewed."""


class RequestRefused(BackendError):
    """The batch system understood the request, and refused it."""
