"""A small WebDAV server of a folder, with switches for what real ones do wrong."""

from __future__ import annotations

import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Dav:
    """The server's folder, its URL, and what it does wrong."""

    folder: Path
    url: str = ""
    digests: bool = True
    """It says checksums."""
    overwrites: bool = True
    """MOVE replaces what is there."""
    makes_folders: bool = True
    """PUT makes the folders that it needs."""
    damages: int = 0
    """So many files arrive with another byte at their end."""
    cuts: int = 0
    """So many answers end in their middle."""
    drops: int = 0
    """So many connections are closed after a request, without an answer."""
    elsewhere: str = ""
    """GET and PUT are sent there."""
    hears: bool = True
    """It knows ``Expect: 100-continue``; otherwise it waits for the body."""
    knows_expect: bool = True
    """It answers 417 if not."""
    taken: int = 0
    """Bytes of bodies that came."""
    connections: int = 0
    refuses: dict[str, int] = field(default_factory=dict)
    """Methods to statuses."""
    refuses_names: tuple[str, ...] = ()
    """PUT of names with these is answered 507."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    proxies: list[bool] = field(default_factory=list)
    """Whether each request came with a client's certificate."""

    def put(self, name: str, data: bytes) -> str:
        """A file that is there; returns its URL."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"{self.url}{name}"


@contextmanager
def served(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Dav]:
    """Serve a folder as long as the context lives; over https with ``tls``."""
    folder.mkdir(parents=True, exist_ok=True)
    dav = Dav(folder)

    class Handler(_Handler):
        server_dav = dav

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    dav.url = f"http://127.0.0.1:{server.server_address[1]}/"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        dav.url = f"https://localhost:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield dav
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_dav: Dav

    def setup(self) -> None:
        super().setup()
        self.server_dav.connections += 1

    def _path(self, url: str = "") -> Path:
        return self.server_dav.folder / unquote(urlsplit(url or self.path).path).lstrip("/")

    def _noted(self) -> bool:
        """Whether the request was answered, or lost, by one of the switches."""
        dav = self.server_dav
        dav.requests.append((self.command, self.path))
        dav.tokens.append(self.headers.get("Authorization"))
        dav.proxies.append(isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert()))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        dav.taken += len(body)
        self.body = body
        if dav.drops:
            dav.drops -= 1
            self.close_connection = True
            return True
        if self.command in dav.refuses:
            self._answer(dav.refuses[self.command])
            return True
        if dav.elsewhere and self.command in ("GET", "PUT"):
            self._answer(307, headers={"Location": dav.elsewhere + self.path.lstrip("/")})
            return True
        return False

    def handle_expect_100(self) -> bool:
        """As a door: a redirection or a refusal is sent before the body comes, and the door is shut."""
        dav = self.server_dav
        if not dav.hears:
            return True
        if dav.elsewhere and self.command == "PUT":
            dav.requests.append((self.command, self.path))
            self.close_connection = True
            self._answer(307, headers={"Location": dav.elsewhere + self.path.lstrip("/"), "Connection": "close"})
            return False
        if not dav.knows_expect or self.command in dav.refuses:
            dav.requests.append((self.command, self.path))
            self.close_connection = True
            self._answer(dav.refuses.get(self.command, 417), headers={"Connection": "close"})
            return False
        return super().handle_expect_100()

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _about(self, data: bytes) -> dict[str, str]:
        digest = {"Digest": f"adler32={zlib.adler32(data):08x}"} if self.server_dav.digests else {}
        return {"Content-Length": str(len(data)), **digest}

    def do_HEAD(self) -> None:
        if not self._noted():
            path = self._path()
            if path.is_file():
                self._answer(200, headers=self._about(path.read_bytes()))
            else:
                self._answer(404)

    def do_GET(self) -> None:
        if self._noted():
            return
        path, dav = self._path(), self.server_dav
        if not path.is_file():
            self._answer(404)
            return
        data, status = path.read_bytes(), 200
        if asked := self.headers.get("Range"):
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            # as XRootD 5.5 has it: of a range beyond the end, the length that was asked for and nothing else
            data, status = (b"" if last >= len(data) else data[first : last + 1]), 206
            self._answer(status, data, headers={"Content-Length": str(last + 1 - first)})
            return
        if dav.cuts:
            dav.cuts -= 1
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self._answer(status, data)

    def do_PUT(self) -> None:
        if self._noted():
            return
        path, dav = self._path(), self.server_dav
        if any(name in path.name for name in dav.refuses_names):
            self._answer(507)
            return
        if not path.parent.is_dir():
            if not dav.makes_folders:
                self._answer(409)
                return
            path.parent.mkdir(parents=True)
        data = self.body
        if dav.damages:
            dav.damages -= 1
            data = data[:-1] + b"?"
        path.write_bytes(data)
        self._answer(201)

    def do_MKCOL(self) -> None:
        if not self._noted():
            self._path().mkdir(exist_ok=True)
            self._answer(201)

    def do_MOVE(self) -> None:
        if self._noted():
            return
        target = self._path(self.headers["Destination"])
        if target.exists() and not self.server_dav.overwrites:
            self._answer(412)
            return
        self._path().replace(target)
        self._answer(201)

    def do_DELETE(self) -> None:
        if not self._noted():
            path = self._path()
            self._answer(204 if path.exists() else 404)
            path.unlink(missing_ok=True)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""
