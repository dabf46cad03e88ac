"""HTTP to a service. Blocking: callers use threads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from gridcwl import imports
from gridcwl.errors import BackendError, ConfigError, StoreError
from gridcwl.remote.logins import token_for
from gridcwl.worker.credentials import bearer_token

if TYPE_CHECKING:
    import requests

WES = "/ga4gh/wes/v1"
NATIVE = "/api/v1"
_PATIENCE_S = (15, 300)
_SILENCE_S = (15, 60)
"""Of a stream of events: the service says something each 15 s."""
_CHUNK = 1 << 20
_NOTHING_THERE = 416
"""A range that begins at the end."""
_MOST_BYTES = 256 << 20
_LOCAL = ("localhost", "127.0.0.1", "::1")


_LONGEST = 400
"""Characters that are shown of what a service says."""


class ServiceAnswer(dict[str, Any]):
    """An object in a service's answer. What it lacks is the service's mistake."""

    def __missing__(self, name: str) -> Any:
        raise not_understood("A service", f": it has no {name!r}")


def not_understood(who: str, why: str = "") -> BackendError:
    """The error of an answer that is not what a service of gridcwl answers."""
    return BackendError(
        f"{who} answers with what gridcwl does not understand{why}",
        remedy="Check that the URL is that of gridcwl serve, and that its version is not older than this one.",
    )


class Connection:
    """A service by its URL."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is sent.

        Raises:
            ConfigError: it is no URL of a service.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(f"{url} is not the URL of a service", remedy="Write it as in http://127.0.0.1:8080.")
        self.url = url.rstrip("/")
        self._encrypted = parts.scheme == "https" or parts.hostname in _LOCAL

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what reads and shows an answer, and nothing else: one of another shape is an error of the service.

        Raises:
            BackendError: the answer is not what it should be.
        """
        try:
            yield
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise not_understood(f"The service {self.url}") from error

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path."""
        return self._json(self._send("GET", path, params={name: value for name, value in query.items() if value}))

    def text(self, path: str, begin: int = 0, last: int = 0, **query: Any) -> bytes:
        """The bytes at a path, at most 256 MiB of them.

        Args:
            path: of a log or a report.
            begin: leave out so many bytes.
            last: only so many bytes of its end; 0 for all.
            query: of the URL.
        """
        headers = {"Range": f"bytes=-{last}" if last else f"bytes={begin}-"} if begin or last else {}
        response = self._send("GET", path, params=query, headers=headers, stream=True, empty=bool(headers))
        with response:
            if response.status_code == _NOTHING_THERE:
                return b""
            data = b""
            for chunk in self._chunks(response):
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise StoreError(f"The service {self.url} sends more than {_MOST_BYTES >> 20} MiB")
            return data

    def post(self, path: str, **options: Any) -> Any:
        """The JSON that a POST is answered with; ``options`` are those of requests."""
        return self._json(self._send("POST", path, **options))

    def delete(self, path: str) -> Any:
        """The JSON that a DELETE is answered with."""
        return self._json(self._send("DELETE", path))

    def public(self, path: str) -> Any:
        """The JSON at a path that needs no token; none is sent."""
        return self._json(self._send("GET", path, public=True))

    def send_secret(self, method: str, path: str, content: Any = None) -> Any:
        """The JSON that a request with a secret in its body is answered with; only where nobody can read it on the way.

        Raises:
            ConfigError: the service is not reached by https.
        """
        self.check_encrypted("what is sent")
        return self._json(self._send(method, path, json=content))

    def download(self, url: str, target: Path) -> None:
        """Write what a URL of the service holds to a file.

        Raises:
            StoreError: it is another server's, or does not come whole.
        """
        if not url.startswith(f"{self.url}/"):
            raise StoreError(f"The service {self.url} names {url}, which is not its own")
        response = self._send("GET", url[len(self.url) :], stream=True)
        with response, target.open("wb") as stream:
            for chunk in self._chunks(response):
                stream.write(chunk)

    def events(self, run: str) -> Iterator[dict[str, Any]]:
        """The events of a run, until it has ended or the connection breaks."""
        response = self._send("GET", f"{NATIVE}/runs/{quote(run)}/events", stream=True, timeout=_SILENCE_S)
        with response:
            for line in response.iter_lines():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        empty: bool = False,
        public: bool = False,
        **options: Any,
    ) -> requests.Response:
        imports.load("requests")
        import requests

        from gridcwl.cwl.anonymous import AnonymousSession

        session = AnonymousSession()
        sent = dict(headers or {})
        if token := "" if public else bearer_token() or token_for(self.url):
            self.check_encrypted("a token")
            sent["Authorization"] = f"Bearer {token}"
        options.setdefault("timeout", _PATIENCE_S)
        try:
            response = session.request(
                method, f"{self.url}{path}", headers=sent, auth=_as_given, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise self._silent(error) from error
        fine = {200, 206, *([_NOTHING_THERE] if empty else [])}
        if response.status_code not in fine:
            with response:
                raise _refused(self.url, response)
        return response

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(_CHUNK)
        except requests_errors() as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> BackendError:
        return BackendError(
            f"The service {self.url} does not answer: {_reason(error)}", remedy="Check the URL, and that it runs."
        )

    def check_encrypted(self, what: str) -> None:
        """Refuse to send what others must not read.

        Raises:
            ConfigError: the service is not reached by https.
        """
        if not self._encrypted:
            raise ConfigError(
                f"The service {self.url} is not reached by https, and {what} would be readable on the way",
                remedy="Use its https URL.",
            )

    def _json(self, response: requests.Response) -> Any:
        try:
            answer = response.json(object_hook=ServiceAnswer)
        except (ValueError, RecursionError):
            raise not_understood(f"The service {self.url}", ": it is not JSON") from None
        if not isinstance(answer, dict):
            raise not_understood(f"The service {self.url}", ": it is not an object of JSON")
        return answer


def _as_given(request: Any) -> Any:
    """Keeps requests from replacing the header by what ``.netrc`` has."""
    return request


def _refused(url: str, response: requests.Response) -> BackendError | ConfigError:
    status = response.status_code
    try:
        message = str(response.json()["msg"])
    except (ValueError, KeyError, TypeError, RecursionError, requests_errors()):
        message = response.reason or "it gives no reason"
    message = " ".join(message.split())
    message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ..."
    if status in _REFUSALS:
        return ConfigError(f"The service {url} refuses this: {message}", remedy=_REFUSALS[status])
    remedy = "Try again later; if it stays so, whoever runs the service finds the reason in its log."
    if status == 401:
        remedy = f"Log in: gridcwl login --server {url}; or give a token by BEARER_TOKEN or BEARER_TOKEN_FILE."
    elif status == 403:
        remedy = "Use an account that may do this: whoever runs the service grants it."
    elif 300 <= status < 400:
        remedy = "It redirects, which gridcwl does not follow: give the URL where the service itself is."
    elif status < 500:
        remedy = "Check that the URL is that of gridcwl serve."
    return BackendError(f"The service {url} answers {status}: {message}", remedy=remedy)


_REFUSALS = {
    400: "Correct what it names, and try again.",
    404: "Check the URL, and the run: gridcwl runs --server URL lists those that there are.",
    409: "Look at its state first: gridcwl status --server URL RUN.",
    413: "Send less, or ask whoever runs the service for more room.",
}
"""Answers to requests that are wrong themselves, and what to do."""


def requests_errors() -> type[Exception]:
    """The base of what requests raises: a body may break off."""
    imports.load("requests")
    import requests

    return requests.RequestException


def _reason(error: Exception) -> str:
    inner: BaseException = error
    while (next_ := inner.__cause__ or inner.__context__) is not None:
        inner = next_
    return str(getattr(inner, "strerror", None) or inner) or "the connection failed"


def form_of(
    fields: Mapping[str, str], attachments: Mapping[str, Path | bytes]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """A multipart form as requests takes it."""
    for name, value in fields.items():
        yield name, (None, value)
    for name, content in attachments.items():
        data = content if isinstance(content, bytes) else content.open("rb")
        yield "workflow_attachment", (name, data, "application/octet-stream")
