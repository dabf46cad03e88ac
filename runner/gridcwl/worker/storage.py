"""Ways to storage: by the file system, over WebDAV, and with the grid's own tools where these are installed.

A way looks at a file, brings it here, puts one there under a temporary name and gives it its final one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import zlib
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, Sequence, Type
from urllib.parse import urlsplit

from gridcwl.worker import credentials, web
from gridcwl.worker.credentials import NOBODY, Trusted
from gridcwl.worker.failure import SourceUnavailable
from gridcwl.worker.paths import RefusedPath, file_path, file_url

_CHUNK = 1 << 20

Check = Callable[[], None]
"""Called again and again while bytes move; raises to stop."""


class Known(NamedTuple):
    """What is known of a file's bytes; None for what is not."""

    size: Optional[int] = None
    adler32: Optional[str] = None
    sha1: Optional[str] = None

    def mismatch(self, other: "Known") -> str:
        """How the other differs, as a part of a sentence; empty if nothing speaks against its being the same."""
        if None not in (self.size, other.size) and self.size != other.size:
            return f"has {other.size} bytes, and not {self.size}"
        for kind in ("adler32", "sha1"):
            mine, its = getattr(self, kind), getattr(other, kind)
            if mine is not None and its is not None and mine.lower() != its.lower():
                return f"has the {kind} checksum {its}, and not {mine}"
        return ""


class Way:
    """How files of one kind of URL are reached. Every method raises ``SourceUnavailable`` or OSError.

    Credentials are sent only to what is ``trusted``.
    """

    def __init__(self, trusted: Trusted = NOBODY) -> None:
        self._trusted = trusted

    def look(self, url: str) -> Optional[Known]:
        """Size and adler32 of what is there; None if nothing is."""
        raise NotImplementedError

    def get(self, url: str, path: str, check: Check) -> Known:
        """Bring a file to ``path``, and say what came."""
        raise NotImplementedError

    def first(self, url: str, count: int) -> bytes:
        """The first bytes of a file, at most ``count``."""
        raise NotImplementedError

    def put(self, path: str, url: str, check: Check) -> Known:
        """Put a file there, making the folders that it needs, and say what has arrived."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        """Give a file its final name; what has it goes."""
        raise NotImplementedError

    def remove(self, url: str) -> None:
        """Remove a file that may not be there."""
        raise NotImplementedError

    def ready(self, prefix: str) -> None:
        """See whether anything can be put below this URL."""


class FileWay(Way):
    """Storage that is mounted on this machine."""

    def look(self, url: str) -> Optional[Known]:
        """See ``Way.look``; the file is read."""
        try:
            return sums(path_of(url), _never)
        except FileNotFoundError:
            return None

    def get(self, url: str, path: str, check: Check) -> Known:
        """See ``Way.get``."""
        return _copied(path_of(url), path, check)

    def first(self, url: str, count: int) -> bytes:
        """See ``Way.first``."""
        with open(path_of(url), "rb") as file:
            return file.read(count)

    def put(self, path: str, url: str, check: Check) -> Known:
        """See ``Way.put``. What arrived is what was read: in one pass over the bytes."""
        target = path_of(url)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return _copied(path, target, check)

    def rename(self, old: str, new: str) -> None:
        """See ``Way.rename``."""
        os.replace(path_of(old), path_of(new))

    def remove(self, url: str) -> None:
        """See ``Way.remove``."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path_of(url))

    def ready(self, prefix: str) -> None:
        """See ``Way.ready``: a storage that is not mounted here must not become a folder of this machine's disk."""
        path = path_of(prefix)
        if not os.path.isdir(path):
            raise SourceUnavailable(f"{path} is not mounted here")
        if not os.access(path, os.W_OK | os.X_OK):
            raise SourceUnavailable(f"{path} may not be written to")


class WebWay(Way):
    """WebDAV as dCache, EOS, StoRM, XRootD and others speak it."""

    def look(self, url: str) -> Optional[Known]:
        """See ``Way.look``."""
        answer = self._request("HEAD", url, {"Want-Digest": "adler32"})
        if answer.status == 404:
            web.drained(answer)
            return None
        if answer.status != 200:
            raise web.explained(answer, url)
        web.drained(answer)
        return Known(_number(answer.headers.get("Content-Length")), _digest(answer.headers.get("Digest", "")))

    def get(self, url: str, path: str, check: Check) -> Known:
        """See ``Way.get``."""
        import http.client

        answer = self._request("GET", url)
        if answer.status != 200:
            raise web.explained(answer, url)
        length = _number(answer.headers.get("Content-Length"))
        with open(path, "wb") as target:
            try:
                got = _pumped(answer.body.read, target.write, check)
            except (OSError, http.client.HTTPException) as error:
                answer.body.close()
                raise SourceUnavailable(f"{web.shown_url(url)}: {error or type(error).__name__}") from error
        if length is not None and got.size != length:
            raise SourceUnavailable(f"{web.shown_url(url)}: the connection was lost after {got.size} of {length} bytes")
        return got

    def first(self, url: str, count: int) -> bytes:
        """See ``Way.first``."""
        # Not a range of it: of one that goes beyond a file's end XRootD (5.5) sends no byte at all.
        answer = self._request("GET", url)
        if answer.status != 200:
            raise web.explained(answer, url)
        data = answer.body.read(count)
        web.drained(answer)
        return data

    def put(self, path: str, url: str, check: Check) -> Known:
        """See ``Way.put``."""
        check()
        size = os.path.getsize(path)
        answer = self._request("PUT", url, body=lambda: _opened(path), size=size)
        if answer.status in (404, 409):  # some servers want the folders to be there
            web.drained(answer)
            self._make_folders(url)
            answer = self._request("PUT", url, body=lambda: _opened(path), size=size)
        if answer.status not in (200, 201, 204):
            raise web.explained(answer, url)
        web.drained(answer)
        arrived = self.look(url)
        if arrived is None:
            raise SourceUnavailable(f"{web.shown_url(url)}: the server took the file, and does not have it")
        return arrived if arrived.adler32 else self._read_back(url, check)

    def rename(self, old: str, new: str) -> None:
        """See ``Way.rename``."""
        parts = urlsplit(new)
        destination = new if parts.scheme.startswith("http") else f"https://{parts.netloc}{parts.path}"
        for again in (False, True):
            answer = self._request("MOVE", old, {"Destination": destination, "Overwrite": "T"})
            if answer.status in (201, 204) or (answer.status == 200):
                web.drained(answer)
                return
            if again or answer.status not in (403, 409, 412, 500):
                raise web.explained(answer, new)
            web.drained(answer)
            self.remove(new)  # some servers never overwrite

    def remove(self, url: str) -> None:
        """See ``Way.remove``."""
        answer = self._request("DELETE", url)
        if answer.status not in (200, 202, 204, 404):
            raise web.explained(answer, url)
        web.drained(answer)

    def _make_folders(self, url: str) -> None:
        parts = urlsplit(url)
        folders = parts.path.strip("/").split("/")[:-1]
        # The folders around a storage element's own are on the same server, and may have to be made, too.
        server = Trusted([f"{parts.scheme}://{parts.netloc}/"]) if self._trusted.covers(url) else NOBODY
        for end in range(1, len(folders) + 1):
            place = parts._replace(path="/" + "/".join(folders[:end]) + "/", query="").geturl()
            web.drained(web.request("MKCOL", place, trusted=server))

    def _request(self, method: str, url: str, headers: Optional[Dict[str, str]] = None, **more: Any) -> web.Response:
        return web.request(method, url, headers, trusted=self._trusted, **more)

    def _read_back(self, url: str, check: Check) -> Known:
        answer = self._request("GET", url)
        if answer.status != 200:
            raise web.explained(answer, url)
        return _pumped(answer.body.read, lambda _: None, check)


class ToolWay(Way):
    """``root://`` with the tools of XRootD, or else those of gfal."""

    def look(self, url: str) -> Optional[Known]:
        """See ``Way.look``."""
        printed = self._run(
            ["gfal-sum", url, "ADLER32"] if self._gfal() else [*_xrdfs(url, "query", "checksum")], url, fails=True
        )
        words = (printed or "").split()
        return Known(None, words[-1].zfill(8)) if len(words) >= 2 else None

    def get(self, url: str, path: str, check: Check) -> Known:
        """See ``Way.get``."""
        check()
        if self._gfal():
            self._run(["gfal-copy", "-f", "-p", url, file_url(path)], url)
        else:
            self._run(["xrdcp", "-f", "-s", url, path], url)
        return sums(path, check)

    def first(self, url: str, count: int) -> bytes:
        """See ``Way.first``."""
        command = ["gfal-cat", url] if self._gfal() else ["xrdcp", "-s", "-f", url, "-"]
        pipe, env = subprocess.PIPE, self._environment([url])
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env) as got:
            assert got.stdout is not None and got.stderr is not None  # noqa: PT018
            data = got.stdout.read(count)
            if len(data) == count:
                got.kill()
            elif got.wait():
                printed = got.stderr.read().decode("utf-8", "replace").strip().splitlines() or ["it failed"]
                raise SourceUnavailable(f"{command[0]}: {printed[-1]}")
            return data

    def put(self, path: str, url: str, check: Check) -> Known:
        """See ``Way.put``."""
        check()
        if self._gfal():
            self._run(["gfal-copy", "-f", "-p", "-K", "ADLER32", file_url(path), url], url)
        else:
            self._run(["xrdcp", "-f", "-s", "-p", "--cksum", "adler32:source", path, url], url)
        arrived = self.look(url)
        return sums(path, check) if arrived is None else arrived

    def rename(self, old: str, new: str) -> None:
        """See ``Way.rename``."""
        if self._gfal():
            self._run(["gfal-rename", old, new], old, new)
        else:
            self._run([*_xrdfs(old, "mv"), _xrd_path(new)], old, new)

    def remove(self, url: str) -> None:
        """See ``Way.remove``."""
        self._run(["gfal-rm", url] if self._gfal() else [*_xrdfs(url, "rm")], url, fails=True)

    def ready(self, prefix: str) -> None:  # noqa: ARG002
        """See ``Way.ready``."""
        self._gfal()

    def _gfal(self) -> bool:
        if shutil.which("xrdcp") and shutil.which("xrdfs"):
            return False
        if shutil.which("gfal-copy"):
            return True
        raise SourceUnavailable("root:// needs xrdcp or gfal-copy, and neither is installed here")

    def _environment(self, urls: Sequence[str]) -> Dict[str, str]:
        return credentials.transfer_environment(trusted=all(map(self._trusted.covers, urls)))

    def _run(self, command: List[str], *urls: str, fails: bool = False) -> Optional[str]:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, errors="replace",
            env=self._environment(urls),
        )  # fmt: skip
        if ended.returncode and not fails:
            printed = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
            raise SourceUnavailable(f"{command[0]}: {printed}")
        return None if ended.returncode else ended.stdout


WAYS: Dict[str, Type[Way]] = {
    "file": FileWay,
    "davs": WebWay,
    "https": WebWay,
    "dav": WebWay,
    "http": WebWay,
    "root": ToolWay,
    "roots": ToolWay,
    "xroot": ToolWay,
}
"""By scheme."""


def way_to(url: str, trusted: Trusted = NOBODY) -> Way:
    """The way for a URL.

    Args:
        url: of a file, or the prefix of many.
        trusted: where credentials may be sent.

    Raises:
        Unavailable: this worker knows none.
    """
    scheme = url.partition("://")[0]
    way = WAYS.get(scheme)
    if way is None:
        raise SourceUnavailable(f"{web.shown_url(url)}: this worker cannot reach {scheme}:// URLs")
    if way is ToolWay and not credentials.is_server(urlsplit(url).netloc):
        raise SourceUnavailable(f"{web.shown_url(url)}: this is not the address of a server")
    return way(trusted)


def path_of(url: str) -> str:
    """The path in a ``file://`` URL of this machine, whatever port it names.

    Raises:
        Unavailable: it is one of another machine, or its path is not acceptable.
    """
    try:
        return file_path(url)
    except RefusedPath as refused:
        raise SourceUnavailable(str(refused)) from None


def sums(path: str, check: Check) -> Known:
    """Size and checksums of a file of this machine."""
    with open(path, "rb", buffering=0) as source:
        return _pumped(source.read, lambda _: None, check)


def _copied(source: str, target: str, check: Check) -> Known:
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        return _pumped(reader.read, lambda chunk: _all(writer, chunk), check)


def _all(writer: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[writer.write(rest) :]


def _pumped(read: Callable[[int], bytes], write: Callable[[bytes], object], check: Check) -> Known:
    sha1, adler32, size = hashlib.sha1(), zlib.adler32(b""), 0  # noqa: S324  CWL's checksum
    while chunk := read(_CHUNK):
        check()
        write(chunk)
        sha1.update(chunk)
        adler32 = zlib.adler32(chunk, adler32)
        size += len(chunk)
    return Known(size, f"{adler32:08x}", sha1.hexdigest())


def _opened(path: str) -> BinaryIO:
    return open(path, "rb")  # noqa: SIM115  closed by who asked for it


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and text.isdigit() else None


def _digest(header: str) -> Optional[str]:
    for part in header.split(","):
        kind, _, value = part.strip().partition("=")
        if kind.lower() == "adler32" and value:
            return value.lower().zfill(8)
    return None


def _xrd_path(url: str) -> str:
    return "/" + urlsplit(url).path.lstrip("/")


def _xrdfs(url: str, *verb: str) -> List[str]:
    return ["xrdfs", urlsplit(url).netloc, *verb, _xrd_path(url)]


def _never() -> None:
    """Nothing stops this."""


__all__ = ("WAYS", "Known", "Way", "path_of", "sums", "way_to")
