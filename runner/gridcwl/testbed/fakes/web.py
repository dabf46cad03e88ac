"""A fake service over HTTP: on a free port of this machine, within a block."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class FakeWebService:
    """Serves in a thread while its block is entered."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], name: str) -> None:
        """Prepare.

        Args:
            handler: answers requests; its class attribute ``service`` is this object.
            name: of the thread.
        """
        bound = type("Handler", (handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """The beginning of its URLs, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"
