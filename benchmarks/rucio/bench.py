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
import json
import logging
import os
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from results import note

from gridcwl.testbed.rucio.proxy import Proxy, in_front_of

ELEMENT = "LYON-DISK"
SCOPE = "user.runner"


class Stopwatch:
    """Seconds, requests and the growth of this process's memory."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    @contextlib.contextmanager
    def measuring(self) -> Iterator[dict[str, float]]:
        found: dict[str, float] = {}
        before, requests, begun = _peak_mib(), self._proxy.count, time.perf_counter()
        yield found
        found["seconds"] = time.perf_counter() - begun
        found["requests"] = self._proxy.count - requests
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


def carry(watch: Stopwatch, count: int, run: str) -> Any:
    """Register what so many jobs of a scattered step have made, with the metadata of a run."""
    from gridcwl.model import Image, Job, JobId, JobResult, Outcome, OutputRules, ProducedFile, RunId
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.run_files import open_run_files
    from gridcwl.stores.rucio.settings import RucioSettings
    from gridcwl.worker.naming import name_of, url_of

    run = f"20261123-000000-{run[-6:]}"
    rules = OutputRules(None, (), {"out": ("a.txt",)})
    with contextlib.closing(RucioClient()) as client:
        run_files = asyncio.run(open_run_files(RucioSettings(elements=ELEMENT), run, "bench", client=client))
        run_files.descriptions.keys = lambda makers: {maker: f"{maker.number:040x}" for maker in makers}
        made = []
        for number in range(count):
            one = Job(JobId(f"{run}-1-{number}"), RunId(run), f"step[{number}]", ("true",), Image("x"), outputs=rules)
            job = run_files.equipped(one)
            assert job.storage is not None
            url = url_of(job.storage.scope, name_of(job.storage.prefix, "a.txt"))
            file = ProducedFile("a.txt", "file", url, 1, "0" * 40, "00000001")
            result = JobResult(job.id, Outcome.SUCCESS, 0, files=(file,), element=ELEMENT, image="sha256:1")
            made.append((job, result))

        async def work() -> None:
            assert not await run_files.register(made)
            keys = [f"{number:040x}".encode() for number in range(count)]
            await run_files.registrar.add_metadata(run_files.descriptions.completed(lambda _step: keys))

        with watch.measuring() as carried:
            asyncio.run(work())
    return carried


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
    from gridcwl.stores.rucio.client import RucioClient
    from gridcwl.stores.rucio.did_resolver import DidResolver
    from gridcwl.stores.rucio.names import Did
    from gridcwl.stores.rucio.registering import NewReplica, Registrar

    dids = [Did(SCOPE, f"{run}.did{number:06d}") for number in range(count)]
    with contextlib.closing(RucioClient()) as client:
        replicas = [NewReplica(did, 1, "00000001", ELEMENT, Did(SCOPE, f"{run}.many")) for did in dids]
        with watch.measuring() as registered:
            asyncio.run(Registrar(client).register(replicas))
        with watch.measuring() as resolved:
            found = DidResolver(client).find([did.url for did in dids])
        assert len(found) == count
    return registered, resolved


def line(what: str, count: int, found: Any) -> None:
    """One line of the table."""
    print(
        f"{what:34} {count:7d} {found['seconds']:9.2f} {count / found['seconds']:10.0f} {found['requests']:9.0f}"
        f" {found['requests'] / count:12.4f} {found['grew_mib']:10.1f}"
    )
    note(
        what,
        ms_per_file=1000 * found["seconds"] / count,
        requests_per_file=found["requests"] / count,
        grew_mib=found["grew_mib"],
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
    results["carry"] = carry(watch, arguments.files, run)
    results["upload"], results["download"] = upload_and_download(watch, theirs, run, scratch / "downloaded")
    line("publish: UploadClient", len(theirs), results["upload"])
    line("register results: gridcwl", arguments.files, results["carry"])
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
            with in_front_of(rucio.url, rucio.clients.ca) as proxy:
                os.environ["RUCIO_CONFIG"] = str(rucio.clients.configuration("runner", url=proxy.url))
                results = measure(arguments, Path(folder), Stopwatch(proxy))
        finally:
            if arguments.dir is None:
                testbed.down(lambda _text: None, wipe=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
