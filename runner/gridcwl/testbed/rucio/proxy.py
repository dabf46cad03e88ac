"""Something that stands in front of a Rucio: it counts requests, keeps what they asked, and holds those that it should.

For benchmarks, which have to know what a client costs its server, and for tests of clients that die at a bad moment.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client."""

    method: str
    path: str
    body: bytes


class Proxy:
    """Passes requests on. Made by :func:`in_front_of`."""

    def __init__(self, url: str, authority: Path) -> None:
        self.url = ""
        """Where clients find it: plain http, for it is on this machine."""
        self.count = 0
        """Requests so far."""
        self.seen: list[Request] = []
        """What was asked, if ``keeps``."""
        self.keeps = False
        self.hold_before: Callable[[Request], bool] | None = None
        """Those that never reach the server: their client waits until :meth:`release`, and its connection is closed."""
        self.hold_after: Callable[[Request], bool] | None = None
        """Those that the server answers, and the client never hears of it."""
        self.held = threading.Event()
        """Set when one is held."""
        self._go_on = threading.Event()
        self._target = urlsplit(url)
        self._context = ssl.create_default_context(cafile=authority)
        self._open = threading.local()

    def release(self) -> None:
        """Let go of what is held, and hold nothing more."""
        self.hold_before = self.hold_after = None
        self._go_on.set()

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        """Pass one request on, and its answer back."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(handler.command, handler.path, body)
        self.count += 1
        if self.keeps:
            self.seen.append(request)
        if self.hold_before is not None and self.hold_before(request):
            self._hold(handler)
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        answer, data = self._asked(request, headers)
        if self.hold_after is not None and self.hold_after(request):
            self._hold(handler)
            return
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _hold(self, handler: BaseHTTPRequestHandler) -> None:
        self.held.set()
        self._go_on.wait()
        handler.close_connection = True

    def _asked(self, request: Request, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        if not hasattr(self._open, "connection"):
            self._open.connection = http.client.HTTPSConnection(
                self._target.hostname or "", self._target.port, context=self._context
            )
        connection: http.client.HTTPSConnection = self._open.connection
        connection.request(request.method, request.path, body=request.body or None, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()


@contextlib.contextmanager
def in_front_of(url: str, authority: Path) -> Iterator[Proxy]:
    """Stand in front of a server as long as the context lives.

    Args:
        url: of the server, ``https``.
        authority: the certificate that its own is signed with.
    """
    proxy = Proxy(url, authority)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            proxy.forward(self)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.release()
        server.shutdown()
        server.server_close()


__all__ = ["Proxy", "Request", "in_front_of"]
