"""Files into Rucio and out of it: gridcwl's store and Rucio's own clients, on the testbed, in one run.

    make bench BENCH=rucio
    python benchmarks/rucio/bench.py [--files 1000] [--theirs 1000] [--size 100000] [--dids 10000] [--dir DIR]

A real Rucio with PostgreSQL and a mounted storage element, from ``gridcwl testbed``; ``--dir`` names one that is up.
All requests of both go through a proxy in front of the server, which counts them. ``--theirs`` is how many files its
own clients get: they take a while, and their time for each file does not depend on how many there are.

Targets: publish at least 15 times faster than UploadClient, at most 1 request for 250 files; 10,000 DIDs resolved in at
most 25 requests; memory of the client flat.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import logging
import os
import resource
import ssl
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ELEMENT = "LYON-DISK"
SCOPE = "user.runner"


class Proxy:
    """Stands in front of the server and counts."""

    def __init__(self, url: str, authority: Path) -> None:
        self.requests = 0
        self._target = urlsplit(url)
        self._context = ssl.create_default_context(cafile=authority)
        self._open = threading.local()

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        if not hasattr(self._open, "connection"):
            self._open.connection = http.client.HTTPSConnection(
                self._target.hostname or "", self._target.port, context=self._context
            )
        connection = self._open.connection
        connection.request(handler.command, handler.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@contextlib.contextmanager
def counted(url: str, authority: Path) -> Iterator[tuple[Proxy, str]]:
    """A proxy for a server, and its URL."""
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
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


class Stopwatch:
    """Seconds, requests and the growth of this process's memory."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    @contextlib.contextmanager
    def measuring(self) -> Iterator[dict[str, float]]:
        found: dict[str, float] = {}
        before, requests, begun = _peak_mib(), self._proxy.requests, time.perf_counter()
        yield found
        found["seconds"] = time.perf_counter() - begun
        found["requests"] = self._proxy.requests - requests
        found["grew_mib"] = _peak_mib() - before


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_files(folder: Path, count: int, size: int) -> list[Path]:
    """Files with bytes of their own."""
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        path = folder / f"file{number:05d}.dat"
        path.write_bytes(os.urandom(32).ljust(size, b"x"))
        paths.append(path)
    return paths


def publish_and_fetch(watch: Stopwatch, paths: list[Path], run: str, into: Path) -> tuple[Any, Any]:
    """gridcwl's store."""
    from gridcwl.model.files import NewFile
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.elements import find_elements
    from gridcwl.stores.rucio.names import Naming
    from gridcwl.stores.rucio.settings import RucioSettings
    from gridcwl.stores.rucio.store import RucioStore

    with contextlib.closing(RucioClient()) as client:
        elements = asyncio.run(find_elements(client, RucioSettings(elements=ELEMENT)))
        store = RucioStore(client, elements, Naming(SCOPE, "{run}/{step}", run))
        with watch.measuring() as published:
            refs = asyncio.run(store.publish([NewFile(str(path), path.name) for path in paths], f"{run}/bench"))
        with watch.measuring() as fetched:
            asyncio.run(store.fetch(refs, into))
    return published, fetched


def upload_and_download(watch: Stopwatch, paths: list[Path], run: str, into: Path) -> tuple[Any, Any]:
    """Rucio's own clients."""
    from rucio.client import Client
    from rucio.client.downloadclient import DownloadClient
    from rucio.client.uploadclient import UploadClient

    silent = logging.getLogger("bench.silent")
    silent.setLevel(logging.CRITICAL + 1)
    client = Client()
    items = [
        {
            "path": str(path), "rse": ELEMENT, "did_scope": SCOPE, "did_name": f"{run}.theirs.{path.name}",
            "dataset_scope": SCOPE, "dataset_name": f"{run}.theirs",
        }
        for path in paths
    ]  # fmt: skip
    with watch.measuring() as uploaded:
        UploadClient(_client=client, logger=silent).upload(items)
    with watch.measuring() as downloaded:
        DownloadClient(client=client, logger=silent).download_dids(
            [{"did": f"{SCOPE}:{run}.theirs", "base_dir": str(into)}], num_threads=2
        )
    return uploaded, downloaded


def resolve(watch: Stopwatch, count: int, run: str) -> tuple[Any, Any]:
    """Register so many names, and look them up as inputs of a run."""
    from gridcwl.stores.rucio.asking import Asking
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.names import Did
    from gridcwl.stores.rucio.registering import NewReplica, Registrar

    dids = [Did(SCOPE, f"{run}.did{number:06d}") for number in range(count)]
    with contextlib.closing(RucioClient()) as client:
        replicas = [NewReplica(did, 1, "00000001", ELEMENT, Did(SCOPE, f"{run}.many")) for did in dids]
        with watch.measuring() as registered:
            asyncio.run(Registrar(client).register(replicas))
        with watch.measuring() as resolved:
            found = Asking(client).find([did.url for did in dids])
        assert len(found) == count
    return registered, resolved


def line(what: str, count: int, found: Any) -> None:
    """One line of the table."""
    print(
        f"{what:34} {count:7d} {found['seconds']:9.2f} {count / found['seconds']:10.0f} {found['requests']:9.0f}"
        f" {found['requests'] / count:12.4f} {found['grew_mib']:10.1f}"
    )


def measure(arguments: argparse.Namespace, scratch: Path, watch: Stopwatch) -> dict[str, Any]:
    """Everything, printed as it comes."""
    run = f"bench-{uuid.uuid4().hex[:10]}"
    ours = make_files(scratch / "ours", arguments.files, arguments.size)
    theirs = make_files(scratch / "theirs", arguments.theirs, arguments.size)
    print(f"{'':34} {'files':>7} {'seconds':>9} {'files/s':>10} {'requests':>9} {'requests/file':>12} {'grew MiB':>10}")
    results: dict[str, Any] = {}
    results["publish"], results["fetch"] = publish_and_fetch(watch, ours, run, scratch / "fetched")
    line("publish: gridcwl", len(ours), results["publish"])
    results["upload"], results["download"] = upload_and_download(watch, theirs, run, scratch / "downloaded")
    line("publish: UploadClient", len(theirs), results["upload"])
    line("fetch: gridcwl", len(ours), results["fetch"])
    line("fetch: DownloadClient", len(theirs), results["download"])
    results["register"], results["resolve"] = resolve(watch, arguments.dids, run)
    line("register names: gridcwl", arguments.dids, results["register"])
    line("resolve names: gridcwl", arguments.dids, results["resolve"])
    for name, (mine, others) in {"publish": ("publish", "upload"), "fetch": ("fetch", "download")}.items():
        ratio = (results[others]["seconds"] / len(theirs)) / (results[mine]["seconds"] / len(ours))
        print(f"{name}: {ratio:.1f} times faster for each file")
        results[f"{name}_ratio"] = ratio
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--theirs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=100_000, help="bytes of each file")
    parser.add_argument("--dids", type=int, default=10_000)
    parser.add_argument("--dir", type=Path, help="a testbed that is up; otherwise one is made and removed")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    from gridcwl.testbed.testbed import Testbed

    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-", ignore_cleanup_errors=True) as folder:
        testbed = Testbed(arguments.dir or Path(folder, "testbed"))
        Path(folder).chmod(0o755)
        testbed.ensure(("oidc", "xrootd", "rucio"), lambda text: print(text, file=sys.stderr))
        rucio: Any = testbed.service("rucio")
        try:
            os.environ.update(rucio.clients.exports("runner"))
            with counted(rucio.url, Path(os.environ["X509_CERT_DIR"]) / "testbed-ca.pem") as (proxy, url):
                os.environ["RUCIO_CONFIG"] = str(rucio.clients.configuration("runner", url=url))
                results = measure(arguments, Path(folder), Stopwatch(proxy))
        finally:
            if arguments.dir is None:
                testbed.down(lambda _text: None, wipe=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
