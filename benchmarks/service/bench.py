"""The service under load: many runs at a time, long lists, many clients.

    make bench BENCH=service
    python benchmarks/service/bench.py [--parts runs list clients] [--runs 500] [--steps 20] [--listed 100000]
                                       [--clients 200] [--seconds 600] [--db postgresql://...]
    python benchmarks/service/bench.py --short

The service is a process of its own, with a backend that answers at once: a job has ended when it is submitted. All
else is real: requests, the database, documents read and checked, journals, outputs.

``runs``: so many runs of so many steps at a time in one process. Throughput, how long ``GET /runs`` takes meanwhile,
and the peak memory of the process.
``list``: a database with so many finished runs: the first page, one from the middle, by state, by a search, and the
page for people.
``clients``: so many clients for so many seconds: lists, states, run logs, tasks, and now and then a new run. Errors,
how long requests take, and memory, open files, threads and the size of the database over the time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from instant import InstantBackend
from results import note

WES = "/ga4gh/wes/v1"
ENDS = frozenset({"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"})
_TEXT = b"text\n"
_SHA1 = hashlib.sha1(_TEXT).hexdigest()
TOOL = {
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"text": {"type": "File", "inputBinding": {}}},
    "outputs": {"out": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
    "stdout": "out.txt",
}


def serve(arguments: list[str]) -> int:
    """``gridcwl serve`` with a backend that answers at once."""
    from gridcwl import plugins
    from gridcwl.cli import main
    from gridcwl.model import ProducedFile
    from gridcwl.model.job import folder_name

    def written(folder: Path, job: Any) -> ProducedFile:
        out = folder / folder_name(job) / "out"
        out.mkdir(parents=True)
        (out / "out.txt").write_bytes(_TEXT)
        return ProducedFile("out.txt", "file", (out / "out.txt").as_uri(), len(_TEXT), _SHA1)

    def opened(_choice: Any, context: Any) -> InstantBackend:
        return InstantBackend(partial(written, context.folder))

    plugins.open_backend = opened  # type: ignore[assignment]
    return main.main(["serve", *arguments])


def chain(steps: int) -> dict[str, Any]:
    """A workflow of steps one after the other."""
    made: dict[str, Any] = {}
    before = "text"
    for number in range(1, steps + 1):
        made[f"step{number}"] = {"run": TOOL, "in": {"text": before}, "out": ["out"]}
        before = f"step{number}/out"
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "inputs": {"text": "File"},
        "outputs": {"out": {"type": "File", "outputSource": before}},
        "steps": made,
    }


class Service:
    """A service that is running."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._pid = pid

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Its memory now, or its peak (``VmHWM``), in 10^6 bytes."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e6

    def descriptors(self) -> int:
        """Files and sockets that it has open."""
        return len(os.listdir(f"/proc/{self._pid}/fd"))  # noqa: PTH208

    def threads(self) -> int:
        """Its threads."""
        return len(os.listdir(f"/proc/{self._pid}/task"))  # noqa: PTH208

    def cpu_s(self) -> float:
        """CPU seconds of the process so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(folder: Path, db: str, **settings: Any) -> Iterator[Service]:
    """Start a service, and stop it."""
    config = folder / "service.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    config.write_text("\n".join([*lines, "[runs]", 'default_container = "debian:stable-slim"', ""]))
    command = [sys.executable, __file__, "--serve", "--port", "0", "--dir", str(folder / "service")]
    command += ["--config", str(config), "--quiet", *(["--db", db] if db else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            sys.exit("the service did not start")
        yield Service(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def form(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A request to run a document, for httpx."""
    plain = {
        **{"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"},
        **{"workflow_params": json.dumps({"text": {"class": "File", "location": "text.txt"}})},
        "tags": json.dumps({"name": name}),
    }
    files = [
        ("workflow_attachment", ("main.cwl", json.dumps(document).encode())),
        ("workflow_attachment", ("text.txt", b"text\n")),
    ]
    return {"data": plain, "files": files}


def percentile(values: list[float], part: float) -> float:
    """So much of the values is below it."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def many_runs(folder: Path, db: str, runs: int, steps: int) -> None:
    """So many runs at a time in one process."""
    with running(folder, db, max_active=runs, max_queued=runs + 1) as service:
        document = chain(steps)
        took: list[float] = []
        ended = asyncio.Event()
        async with httpx.AsyncClient(base_url=service.url, timeout=300) as http:

            async def look() -> None:
                while not ended.is_set():
                    begun = time.perf_counter()
                    (await http.get(f"{WES}/runs", params={"page_size": 100})).raise_for_status()
                    took.append(1000 * (time.perf_counter() - begun))
                    await asyncio.sleep(0.05)

            before = service.memory_mb()
            looking = asyncio.create_task(look())
            begun = time.perf_counter()
            limit = asyncio.Semaphore(16)

            async def submit(number: int) -> None:
                async with limit:
                    (await http.post(f"{WES}/runs", **form(document, f"run{number}"))).raise_for_status()

            await asyncio.gather(*map(submit, range(runs)))
            submitted = time.perf_counter() - begun
            while True:
                counts = (await http.get(f"{WES}/service-info")).json()["system_state_counts"]
                if sum(counts.get(state, 0) for state in ENDS) == runs:
                    break
                await asyncio.sleep(0.2)
            wall = time.perf_counter() - begun
            ended.set()
            await looking
            failed = runs - counts.get("COMPLETE", 0)
            print(f"\n{runs} runs of {steps} steps at a time in one process")
            print(f"{'submitted in s':>16}{'wall s':>9}{'runs/s':>9}{'jobs/s':>9}{'failed':>8}", end="")
            print(f"{'GET /runs ms':>14}{'p99':>8}{'MB before':>11}{'peak MB':>9}")
            print(f"{submitted:>16.1f}{wall:>9.1f}{runs / wall:>9.1f}{runs * steps / wall:>9.0f}{failed:>8}", end="")
            print(f"{statistics.median(took):>14.1f}{percentile(took, 0.99):>8.1f}", end="")
            print(f"{before:>11.0f}{service.memory_mb('VmHWM'):>9.0f}")
            print(f"CPU seconds of the process: {service.cpu_s():.1f}")
            note(f"{runs} runs", wall_s=wall, cpu_s=service.cpu_s(), failed=failed, peak_mb=service.memory_mb("VmHWM"))


def fill(url: str, runs: int) -> None:
    """Finished runs, straight into the database."""
    from sqlalchemy import insert

    from gridcwl.service.db import Database
    from gridcwl.service.schema import runs as table

    database = Database(url)
    request = {"workflow_url": "main.cwl", "workflow_params": {"text": {"class": "File", "location": "text.txt"}}}
    states = ["COMPLETE"] * 8 + ["EXECUTOR_ERROR", "CANCELED"]
    with database.engine.begin() as connection:
        for start in range(0, runs, 1000):
            rows = [
                {
                    **{"id": f"20260101-000000-{number:06x}", "engine": f"20260101-000000-{number:06x}"},
                    **{"owner": f"user{number % 100}", "state": states[number % 10], "created": 1.8e9 + number},
                    **{"started": 1.8e9 + number, "ended": 1.8e9 + number + 60, "exit_code": 0},
                    **{"tags": {"name": f"run{number}"}, "request": request, "document": "/w/main.cwl"},
                    **{"settings": {}, "outputs": {"out": None}},
                }
                for number in range(start, min(start + 1000, runs))
            ]
            connection.execute(insert(table), rows)
    database.close()


async def long_list(folder: Path, db: str, listed: int) -> None:
    """Lists of a database with many finished runs."""
    from gridcwl.service.paging import token

    (folder / "service").mkdir(mode=0o700)
    fill(db or f"sqlite:///{folder / 'service' / 'service.db'}", listed)
    middle = token("runs", listed // 2)
    asked = {
        "first page of 100": f"{WES}/runs?page_size=100",
        "a page of 100 from the middle": f"{WES}/runs?page_size=100&page_token={middle}",
        "a page of 1000": f"{WES}/runs?page_size=1000",
        "one run": f"{WES}/runs/20260101-000000-{listed // 2:06x}",
        "service-info, which counts": f"{WES}/service-info",
        "for gridcwl runs --server": "/api/v1/runs?limit=100",
        "the page for people": "/",
        "the page, failed runs": "/?state=EXECUTOR_ERROR",
        "the page, a search": "/?search=run777",
        "metrics": "/metrics",
    }
    with running(folder, db) as service:
        print(f"\n{listed} finished runs, milliseconds of 30 requests")
        print(f"{'':<34}{'median':>8}{'p99':>8}")
        async with httpx.AsyncClient(base_url=service.url, timeout=300) as http:
            for what, path in asked.items():
                took = []
                for _ in range(30):
                    begun = time.perf_counter()
                    (await http.get(path)).raise_for_status()
                    took.append(1000 * (time.perf_counter() - begun))
                print(f"{what:<34}{statistics.median(took):>8.1f}{percentile(took, 0.99):>8.1f}")
                note(f"{listed} runs, {what}", median_ms=statistics.median(took), p99_ms=percentile(took, 0.99))


def database_mb(folder: Path, db: str) -> float:
    """The size of the database, in 10^6 bytes."""
    if db:
        import psycopg

        with psycopg.connect(db) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(row[0]) / 1e6 if row is not None else 0.0
    return sum(path.stat().st_size for path in (folder / "service").glob("service.db*")) / 1e6


async def many_clients(folder: Path, db: str, clients: int, seconds: float) -> None:
    """Clients that keep asking; now and then one submits a run."""
    with running(folder, db, max_queued=100_000) as service:
        document = chain(2)
        took: dict[str, list[float]] = {"list": [], "status": [], "log": [], "tasks": [], "submit": []}
        errors: Counter[str] = Counter()
        known: list[str] = []
        numbers = itertools.count(1)
        end = time.perf_counter() + seconds
        seen: list[tuple[float, int, int, float]] = []

        async def watch() -> None:
            while time.perf_counter() < end:
                size = await asyncio.to_thread(database_mb, folder, db)
                seen.append((service.memory_mb(), service.descriptors(), service.threads(), size))
                await asyncio.sleep(min(1.0, seconds / 20))

        async def act(http: httpx.AsyncClient, what: str) -> None:
            run = random.choice(known[-200:]) if known else ""
            begun = time.perf_counter()
            if what == "submit":
                answer = await http.post(f"{WES}/runs", **form(document, f"run{next(numbers)}"))
            elif what == "list" or not run:
                answer = await http.get(f"{WES}/runs", params={"page_size": 50})
            else:
                path = {"status": "/status", "tasks": "/tasks", "log": ""}[what]
                answer = await http.get(f"{WES}/runs/{run}{path}")
            took[what].append(1000 * (time.perf_counter() - begun))
            if answer.status_code != 200:
                errors[f"{what}: {answer.status_code}"] += 1
            elif what == "submit":
                known.append(answer.json()["run_id"])

        async def client() -> None:
            limits = httpx.Limits(max_connections=1)
            async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as http:
                while time.perf_counter() < end:
                    what = random.choices(("list", "status", "log", "tasks", "submit"), (30, 40, 15, 14, 1))[0]
                    try:
                        await act(http, what)
                    except httpx.HTTPError as error:
                        errors[f"{what}: {type(error).__name__}"] += 1
                    await asyncio.sleep(random.uniform(0.5, 1.5))

        await asyncio.gather(watch(), *(client() for _ in range(clients)))
        print(f"\n{clients} clients for {seconds:g} s, {len(known)} runs submitted")
        print(f"{'':<10}{'requests':>10}{'median ms':>11}{'p99 ms':>9}")
        for what, values in took.items():
            if values:
                print(f"{what:<10}{len(values):>10}{statistics.median(values):>11.1f}{percentile(values, 0.99):>9.1f}")
                median = statistics.median(values)
                note(f"{clients} clients, {what}", median_ms=median, p99_ms=percentile(values, 0.99))
        counts = (await asyncio.to_thread(httpx.get, f"{service.url}{WES}/service-info", timeout=120)).json()
        print(f"errors: {dict(errors) or 'none'}; runs: {counts['system_state_counts']}")
        print(f"{'':<10}{'memory MB':>10}{'files':>7}{'threads':>9}{'database MB':>13}")
        for what, at in (("1/4", len(seen) // 4), ("1/2", len(seen) // 2), ("3/4", 3 * len(seen) // 4), ("end", -1)):
            print(f"{what:<10}{seen[at][0]:>10.0f}{seen[at][1]:>7}{seen[at][2]:>9}{seen[at][3]:>13.1f}")


def main() -> int:
    """See the module."""
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["runs", "list", "clients"], choices=["runs", "list", "clients"])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--listed", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--db", default="", help="an empty database for each part, with {part} in its URL")
    parser.add_argument("--short", action="store_true", help="20 runs, 2,000 listed runs, 20 clients for 5 seconds")
    given = parser.parse_args()
    if given.short:
        given.runs, given.listed, given.clients, given.seconds = 20, 2000, 20, 5
    os.environ.pop("GRIDCWL_ENGINE", None)
    for part in given.parts:
        with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name:
            folder, db = Path(name), given.db.replace("{part}", part)
            os.environ["GRIDCWL_STATE_DIR"] = name
            if part == "runs":
                asyncio.run(many_runs(folder, db, given.runs, given.steps))
            elif part == "list":
                asyncio.run(long_list(folder, db, given.listed))
            else:
                asyncio.run(many_clients(folder, db, given.clients, given.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
