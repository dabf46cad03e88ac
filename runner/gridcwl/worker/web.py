"""Requests to storage elements over HTTP and WebDAV, with a bearer token or a proxy certificate where they may go.

Connections are kept open, one for each thread and server. What may be sent again after a connection was lost is.
Python's HTTP client is imported with the first request: most jobs on a user's own machine send none.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Dict, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from gridcwl.worker.credentials import NOBODY, Trusted, bearer_token, proxy_file
from gridcwl.worker.failure import SourceUnavailable

if TYPE_CHECKING:
    import email.message
    import http.client
    import ssl

_TIMEOUT_S = 60.0  # of silence
_EXPECTED_S = 1.0  # for a server to say that it wants a body
_LITTLE = 64 * 1024  # bytes that are sent unasked
_HOPS = 5
_SECURE = {"https": True, "davs": True, "http": False, "dav": False}

_AUTHORITIES = ("X509_CERT_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR")

_connections = threading.local()


class Response(NamedTuple):
    """The answer of a server; the body has to be read, or closed with its connection."""

    status: int
    reason: str
    headers: email.message.Message
    body: http.client.HTTPResponse
    stranger: str = ""
    """The server that a redirection led to and that got neither token nor proxy; empty if there is none."""


def shown_url(url: str) -> str:
    """A URL for a sentence: a user's name and password are left out, and what comes behind ``?``, which may be one."""
    bare = url.partition("?")[0]
    scheme, separator, rest = bare.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}" if separator else bare


def request(
    method: str,
    url: str,
    headers: Optional[Mapping[str, str]] = None,
    body: Optional[Callable[[], BinaryIO]] = None,
    size: Optional[int] = None,
    trusted: Trusted = NOBODY,
) -> Response:
    """Send a request and follow redirections with the same method; never from https to http.

    Args:
        method: as HTTP has it.
        url: ``https``, ``davs``, ``http`` or ``dav``.
        headers: beside those for access and length.
        body: opens what is sent, from its beginning.
        size: bytes of the body.
        trusted: where the token and the proxy may be sent, also after a redirection.

    Raises:
        Unavailable: the server cannot be reached, or sends us round in circles.
    """
    first = url
    for _ in range(_HOPS):
        parts = urlsplit(url)
        if parts.scheme not in _SECURE:
            raise SourceUnavailable(f"{shown_url(url)}: not a URL for HTTP")
        sent = dict(headers or {})
        known = _SECURE[parts.scheme] and trusted.covers(url)
        if known and (token := bearer_token()):
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Length"] = str(size)
        answer = _sent(method, url, sent, body, known=known)
        if answer.status not in (301, 302, 303, 307, 308) or "Location" not in answer.headers:
            if url is first or known or not trusted.covers(first):
                return answer
            return answer._replace(stranger=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/")
        drained(answer)
        there = _redirected(url, answer.headers["Location"])
        if urlsplit(there).scheme not in _SECURE:
            raise SourceUnavailable(
                f"{shown_url(url)}: the server redirects to {shown_url(there)}, which is not a URL for HTTP"
            )
        if _SECURE[parts.scheme] and not _SECURE.get(urlsplit(there).scheme, True):
            raise SourceUnavailable(
                f"{shown_url(url)}: the server redirects to {shown_url(there)}, which is not encrypted"
            )
        url = there
    raise SourceUnavailable(f"{shown_url(url)}: the server redirects without end")


def drained(answer: Response) -> None:
    """Read what is left of a body, so that its connection can be used again."""
    if (answer.body.length or 0) > 1 << 20:
        answer.body.close()
        _forget()
    else:
        answer.body.read()


def explained(answer: Response, url: str) -> SourceUnavailable:
    """What a refusal means."""
    drained(answer)
    if answer.stranger and answer.status in (401, 403):
        return SourceUnavailable(
            f"{shown_url(url)}: HTTP {answer.status} {answer.reason} from {answer.stranger}, where it redirects to; "
            "no token or proxy was sent there (trusted_storage can name it)"
        )
    hint = {
        401: " (is there a valid token or proxy?)",
        403: " (the token or proxy does not allow it)",
        507: " (it is full)",
    }.get(answer.status, "")
    return SourceUnavailable(f"{shown_url(url)}: HTTP {answer.status} {answer.reason}{hint}")


def _redirected(url: str, location: str) -> str:
    """Where a redirection leads. ``urljoin`` knows nothing of ``davs``."""
    scheme, separator, rest = url.partition("://")
    try:
        there = urljoin({"davs": "https", "dav": "http"}.get(scheme, scheme) + separator + rest, location)
        urlsplit(there).port  # noqa: B018  it raises if there is something else
    except ValueError:
        raise SourceUnavailable(f"{shown_url(url)}: the server redirects to what is not a URL") from None
    return there


def _sent(
    method: str, url: str, headers: Dict[str, str], body: Optional[Callable[[], BinaryIO]], *, known: bool
) -> Response:
    import http.client
    import ssl

    lost = (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError, ConnectionResetError)
    for last in (False, True):
        connection, old = _connection(url, known=known)
        try:
            return _exchanged(connection, method, url, headers, body, _key(url, known=known))
        except lost as error:
            _forget(_key(url, known=known))
            if last or not old:
                raise SourceUnavailable(f"{shown_url(url)}: the connection was lost") from error
        except ssl.SSLError as error:
            _forget(_key(url, known=known))
            raise SourceUnavailable(f"{shown_url(url)}: {error.reason or error}") from error
        except (OSError, http.client.HTTPException) as error:
            _forget(_key(url, known=known))
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceUnavailable(f"{shown_url(url)}: {reason}") from error
    raise AssertionError("not reached")


def _exchanged(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    headers: Dict[str, str],
    body: Optional[Callable[[], BinaryIO]],
    key: str,
) -> Response:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if body is None:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
    else:
        with body() as stream:
            if int(headers["Content-Length"]) > _LITTLE:
                response = _asked_first(connection, method, target, headers, stream, key)
            else:
                connection.request(method, target, body=stream, headers=headers)
                response = connection.getresponse()
    return Response(response.status, response.reason, response.headers, response)


def _asked_first(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Dict[str, str],
    stream: BinaryIO,
    key: str,
) -> http.client.HTTPResponse:
    """Send the headers, and the body only if the server wants it: one that redirects closes the connection instead.

    A server that says nothing for a second gets the body; so does one that does not know the question.
    """
    import socket

    pouring = _Pouring(connection, stream)
    connection.putrequest(method, target)
    for name, value in {**headers, "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.sock.settimeout(_EXPECTED_S)
    connection.response_class = pouring.response  # type: ignore[assignment]
    try:
        response = connection.getresponse()
    except socket.timeout:
        pouring.pour()
        response = connection.getresponse()
    finally:
        del connection.response_class
        if connection.sock is not None:
            connection.sock.settimeout(_TIMEOUT_S)
    if not pouring.begun:  # what was announced never came: nobody knows where the next request would begin
        _connections.__dict__.get("open", {}).pop(key, None)
    if response.status == 417:
        response.read()
        connection.close()
        connection.request(method, target, body=stream, headers=headers)
        response = connection.getresponse()
    return response


class _Pouring:
    """A body that is sent when the server says that it may come."""

    def __init__(self, connection: http.client.HTTPConnection, stream: BinaryIO) -> None:
        self._connection = connection
        self._stream = stream
        self.begun = False

    def pour(self) -> None:
        """Send it, once. A server that closes the connection meanwhile may have sent the reason."""
        if not self.begun:
            self.begun = True
            self._connection.sock.settimeout(_TIMEOUT_S)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(self._stream)

    def response(self, *given: Any, **named: Any) -> http.client.HTTPResponse:
        """An answer that has the body sent when it begins with ``100 Continue``."""
        import http.client

        pouring = self

        class Response(http.client.HTTPResponse):
            def _read_status(self) -> Tuple[str, int, str]:
                status: Tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
                if status[1] == 100:
                    pouring.pour()
                return status

        return Response(*given, **named)


def _connection(url: str, *, known: bool) -> Tuple[http.client.HTTPConnection, bool]:
    """The connection to a server, and whether it was open before. Only one that is known is shown the proxy."""
    import http.client

    opened: Dict[str, Tuple[http.client.HTTPConnection, object]] = _connections.__dict__.setdefault("open", {})
    parts = urlsplit(url)
    key = _key(url, known=known)
    identity = _identity(known=known)
    if key in opened:
        if opened[key][1] == identity:
            connection = opened[key][0]
            return connection, connection.sock is not None
        _forget(key)
    host = parts.hostname or "localhost"
    if _SECURE[parts.scheme]:
        made: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port or 443, timeout=_TIMEOUT_S, context=_context(proxy_file() if known else "")
        )
    else:
        made = http.client.HTTPConnection(host, parts.port or 80, timeout=_TIMEOUT_S)
    made.blocksize = 1 << 18
    opened[key] = (made, identity)
    return made, False


def _identity(*, known: bool) -> object:
    """What a connection is made with: a proxy that was renewed, or another one, takes a new connection."""
    authorities = tuple(map(os.environ.get, _AUTHORITIES))
    proxy = proxy_file() if known else ""
    try:
        return authorities, proxy, os.stat(proxy).st_mtime_ns if proxy else 0
    except OSError:  # gone meanwhile
        return authorities, "", 0


def _forget(key: str = "") -> None:
    opened: Dict[str, Tuple[http.client.HTTPConnection, object]] = _connections.__dict__.get("open", {})
    for one in [key] if key else list(opened):
        if one in opened:
            opened.pop(one)[0].close()


def _key(url: str, *, known: bool) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + (" known" if known else "")


def _context(proxy: str) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)  # grid authorities are older than its rules
    folder = os.environ.get("X509_CERT_DIR") or "/etc/grid-security/certificates"
    if os.path.isdir(folder):
        context.load_verify_locations(capath=folder)
    if proxy:
        try:
            context.load_cert_chain(proxy)
        except (ssl.SSLError, OSError) as error:
            raise SourceUnavailable(f"the proxy {proxy} cannot be used: {error}") from error
    return context
