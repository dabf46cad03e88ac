"""HTTP without credentials: for documents, and for inputs that are named by URLs.

``requests`` takes names and passwords from ``.netrc`` for any host that a URL, or a redirection, leads to. Here only a
name and password that the URL itself holds are sent, and only to its own server; https never leads to http.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_auth_from_url

from gridcwl.errors import UnsafePath
from gridcwl.model import confinement, limits

_PATIENCE_S = 60.0
_CHUNK = 1 << 16


class NotEncrypted(requests.exceptions.InvalidSchema):
    """A redirection that leads away from https."""


class NotAllowed(requests.exceptions.InvalidURL):
    """A URL, or a redirection to one, that the service does not fetch from."""


class BodyTooLarge(requests.exceptions.RequestException):
    """A body that has more bytes than are read."""


class AnonymousSession(requests.Session):
    """A session that sends no credentials of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _FromUrl()

    def send(self, request: Any, **options: Any) -> Any:
        """As requests'; a body that is wanted at once has a limit, and its server may be silent for a minute.

        Raises:
            TooLarge: it has more.
            NotAllowed: the URL, or one that the server redirects to, is none that an untrusted document may name.
        """
        try:
            confinement.check_url(str(request.url), "The URL")
        except UnsafePath as error:
            raise NotAllowed(error.message) from None
        wanted = not options.get("stream")
        options = {**options, "stream": True, "timeout": options.get("timeout") or _PATIENCE_S}
        response = super().send(request, **options)
        if wanted:
            _read(response)
        return response

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """As requests', but without looking into ``.netrc`` for the new host."""
        headers = prepared_request.headers
        before, after = (urlsplit(str(one.url)) for one in (response.request, prepared_request))
        if (before.scheme, before.hostname, before.port) != (after.scheme, after.hostname, after.port):
            headers.pop("Authorization", None)

    def get_redirect_target(self, resp: Any) -> str | None:
        """Where a redirection leads.

        Raises:
            NotEncrypted: from https to anything else.
        """
        target: str | None = super().get_redirect_target(resp)
        if target is not None:
            resp._content = b""  # requests would read all of it
        if target is not None and urlsplit(resp.url).scheme == "https":
            there = urlsplit(urljoin(resp.url, target))
            if there.scheme != "https":
                where = f"{there.scheme}://{there.netloc.rpartition('@')[2]}{there.path}"
                raise NotEncrypted(f"the server redirects to {where}, which is not encrypted")
        return target


def _read(response: Any) -> None:
    parts, size = [], 0
    for part in response.iter_content(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > limits.TEXT_BYTES:
            response.close()
            raise BodyTooLarge(f"it is larger than {limits.TEXT_BYTES >> 20} MiB")
    response._content = b"".join(parts)  # where requests itself keeps it


class _FromUrl(AuthBase):
    def __call__(self, request: Any) -> Any:
        name, password = get_auth_from_url(request.url)
        return HTTPBasicAuth(name, password)(request) if name or password else request
