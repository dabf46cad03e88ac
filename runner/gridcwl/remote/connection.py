"""HTTP to a service. Blocking: callers use threads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
            for chunk in response.iter_content(_CHUNK):
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise StoreError(f"The service {self.url} sends more than {_MOST_BYTES >> 20} MiB")
            return data

    def post(self, path: str, **options: Any) -> Any:
        """The JSON that a POST is answered with; ``options`` are those of requests."""
        return self._json(self._send("POST", path, **options))

    def public(self, path: str) -> Any:
        """The JSON at a path that needs no token; none is sent."""
        return self._json(self._send("GET", path, public=True))

    def send_secret(self, method: str, path: str, content: Any = None) -> Any:
        """The JSON that a request with a secret in its body is answered with; only where nobody can read it on the way.

        Raises:
            ConfigError: the service is not reached by https.
        """
        self._check_encrypted("what is sent")
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
            for chunk in response.iter_content(_CHUNK):
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
            self._check_encrypted("a token")
            sent["Authorization"] = f"Bearer {token}"
        options.setdefault("timeout", _PATIENCE_S)
        try:
            response = session.request(
                method, f"{self.url}{path}", headers=sent, auth=_as_given, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise BackendError(
                f"The service {self.url} does not answer: {_reason(error)}", remedy="Check the URL, and that it runs."
            ) from error
        fine = {200, 206, *([_NOTHING_THERE] if empty else [])}
        if response.status_code not in fine:
            with response:
                raise _refused(self.url, response)
        return response

    def _check_encrypted(self, what: str) -> None:
        if not self._encrypted:
            raise ConfigError(
                f"The service {self.url} is not reached by https, and {what} would be readable on the way",
                remedy="Use its https URL.",
            )

    def _json(self, response: requests.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise BackendError(f"The service {self.url} answers with what is not JSON") from None


def _as_given(request: Any) -> Any:
    """Keeps requests from replacing the header by what ``.netrc`` has."""
    return request


def _refused(url: str, response: requests.Response) -> BackendError | ConfigError:
    try:
        message = str(response.json()["msg"])
    except (ValueError, KeyError, TypeError):
        message = response.reason
    if response.status_code in (400, 404, 409, 413):
        return ConfigError(f"The service {url} refuses this: {message}")
    remedy = ""
    if response.status_code == 401:
        remedy = f"Log in: gridcwl login --server {url}; or give a token by BEARER_TOKEN or BEARER_TOKEN_FILE."
    return BackendError(f"The service {url} answers {response.status_code}: {message}", remedy=remedy)


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
