"""The service next to sapporo 2.4.0 (PyPI), both as WES servers with SQLite or files; and pages of 100,000 tasks.

    make bench BENCH=wes
    python benchmarks/wes/bench.py [--runs 1000] [--requests 1000] [--tasks 100000]
    python benchmarks/wes/bench.py --short

Both servers get the same requests of eight clients, one server after the other: an ExpressionTool from POST to RUNNING,
reading a run's state and a page of the list, and many runs at once, of which the servers make what they will: gridcwl
has a queue, sapporo starts a process for each. So its processes do nothing but wait there; elsewhere cwltool runs the
tool. sapporo is installed into an environment of its own, below ``build``, where it is not there yet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx

PREFIX = "/ga4gh/wes/v1"
PEER = Path(__file__).parents[2] / "build" / "sapporo"
CLIENTS = 8
TOOL = {
    "cwlVersion": "v1.2",
    "class": "ExpressionTool",
    "requirements": {"InlineJavascriptRequirement": {}},
    "inputs": {"number": "int"},
    "outputs": {"twice": "int"},
    "expression": "${ return {twice: 2 * inputs.number}; }",
}
BEGUN = ("RUNNING", "COMPLETE", "EXECUTOR_ERROR")


@contextmanager
def gridcwl(folder: Path, *, waiting: bool) -> Iterator[str]:
    """``gridcwl serve``; ``waiting``: of many runs it works on one at a time."""
    config = folder / "service.toml"
    config.write_text(f"max_active = {1 if waiting else 8}\nmax_queued = 100000\n")
    command = [sys.executable, "-m", "gridcwl", "serve", "--port", "0", "--dir", str(folder / "service")]
    with _process([*command, "--config", str(config)], folder) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextmanager
def sapporo(folder: Path, *, waiting: bool) -> Iterator[str]:
    """sapporo, with cwltool of this environment in place of its container; ``waiting``: runs only wait."""
    script = next((PEER / "lib").glob("python*/site-packages/sapporo/run.sh")).read_text()
    run = f'local -a cmd_arr=({Path(sys.executable).parent / "cwltool"} --outdir "${{outputs_dir}}")'
    run = "local -a cmd_arr=(sleep 3600)" if waiting else f'{run}\n    cmd_arr+=("${{wf_url}}" "${{wf_params}}")'
    body = f'function run_cwltool() {{\n    {run}\n    cd "${{exe_dir}}"\n    _write_and_run cmd_arr\n}}\n'
    own, runs = folder / "run.sh", folder / "runs"
    runs.mkdir()
    own.write_text(re.sub(r"function run_cwltool\(\) \{\n.*?\n\}\n", lambda _: body, script, count=1, flags=re.DOTALL))
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PEER / "bin" / "sapporo", "--host", "127.0.0.1", "--port", str(port), "--url-prefix", PREFIX]
    with _process([*map(str, command), "--run-dir", str(runs), "--run-sh", str(own)], folder) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            try:
                httpx.get(f"{url}{PREFIX}/service-info")
            except httpx.HTTPError:
                if process.poll() is not None:
                    sys.exit("sapporo did not start")
                time.sleep(0.1)
            else:
                break
        yield url


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server; it and all that it started end with the block."""
    environment = {**os.environ, "PATH": f"{PEER / 'bin'}:{os.environ['PATH']}"}
    scope = {"start_new_session": True, "env": environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **scope)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end_below(folder)


def _end_below(folder: Path) -> None:
    """End the processes of sapporo's runs, which have sessions of their own: they work in folders below this one."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder.resolve()):
                os.kill(int(entry.name), signal.SIGTERM)


def submit(client: httpx.Client, engine: str, number: int = 1) -> str:
    """POST a run."""
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
    fields |= {"workflow_params": json.dumps({"number": number}), "workflow_engine": engine}
    answer = client.post("/runs", data=fields, files=[("workflow_attachment", ("main.cwl", json.dumps(TOOL)))])
    answer.raise_for_status()
    return str(answer.json()["run_id"])


def to_running(client: httpx.Client, engine: str) -> float:
    """Seconds from POST to RUNNING."""
    begun = time.perf_counter()
    run = submit(client, engine)
    while client.get(f"/runs/{run}/status").json()["state"] not in BEGUN:
        time.sleep(0.01)
    return time.perf_counter() - begun


def per_second(count: int, action: Callable[[int], object]) -> float:
    """How many actions eight clients do in a second."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(action, range(count)))
    return count / (time.perf_counter() - begun)


Server = Callable[..., AbstractContextManager[str]]


@contextmanager
def connected(server: Server, *, waiting: bool) -> Iterator[httpx.Client]:
    """A client of a server that runs while the block does."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        server(Path(folder), waiting=waiting) as url,
        httpx.Client(base_url=f"{url}{PREFIX}", timeout=300) as client,
    ):
        yield client


def measured(server: Server, engine: str, runs: int, requests: int) -> dict[str, float]:
    """All that is measured of one server."""
    made: dict[str, float] = {}
    with connected(server, waiting=False) as client:
        to_running(client, engine)  # the first one loads what the others need
        made["POST to RUNNING, s"] = statistics.median(to_running(client, engine) for _ in range(5))
        run = submit(client, engine)
        made["GET status, per s"] = per_second(requests, lambda _: client.get(f"/runs/{run}/status"))
    with connected(server, waiting=True) as client:
        made[f"POST of {runs} runs, per s"] = per_second(runs, lambda number: submit(client, engine, number))
        times = []
        for _ in range(20):
            begun = time.perf_counter()
            client.get("/runs", params={"page_size": 100}).raise_for_status()
            times.append((time.perf_counter() - begun) * 1000)
        made["GET of 100 of them, ms"] = statistics.median(times)
    return made


def pages_of_tasks(count: int) -> Iterator[tuple[str, float]]:
    """Milliseconds for a page of 100 tasks at the beginning, in the middle and at the end of a run's tasks."""
    from gridcwl.model import JobId, JobResult, Outcome, RunId
    from gridcwl.model.codec import to_json
    from gridcwl.runs.record import journal_file
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.service import tasks

    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / RunId("20260101-000000-aaaaaa"))
        folder.path.mkdir()
        journal_file.make(folder.journal)
        with closing(journal_file.connect(folder.journal)) as db:
            db.execute("INSERT INTO commons VALUES (1, '{}')")
            own = json.dumps({"command": ["echo", "hello"]}).encode()
            result = to_json(JobResult(JobId("x"), Outcome.SUCCESS, 0))
            names = "id, session, step, name, key, common, own, job, outcome, attempt"
            rows = ((n, 1, "s", f"s[{n}]", b"k", 1, own, f"j{n}", "success", 1) for n in range(1, count + 1))
            db.executemany(f"INSERT INTO jobs ({names}) VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
            names = "job, attempt, outcome, exit_code, reason, folder, ended, wall_s, result"
            rows = ((n, 1, "success", 0, "", f"j{n}-1", 1.0, 1.0, result) for n in range(1, count + 1))
            db.executemany(f"INSERT INTO attempts ({names}) VALUES (?,?,?,?,?,?,?,?,?)", rows)
            db.commit()
        for where, after in (("first", 0), ("middle", count // 2), ("last", count - 100)):
            times = []
            for _ in range(20):
                begun = time.perf_counter()
                found, _more = tasks.page(folder, 100, after, lambda task, stream: f"{task}/{stream}")
                times.append((time.perf_counter() - begun) * 1000)
                assert len(found) == 100, len(found)
            yield where, statistics.median(times)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--short", action="store_true", help="20 runs, 50 requests, 500 tasks")
    given = parser.parse_args()
    if given.short:
        given.runs, given.requests, given.tasks = 20, 50, 500
    uv = Path(sys.executable).parent / "uv"
    if not (PEER / "bin" / "sapporo").exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, PEER], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", PEER / "bin" / "python", "sapporo==2.4.0"], check=True
        )
    ours = measured(gridcwl, "gridcwl", given.runs, given.requests)
    theirs = measured(sapporo, "cwltool", given.runs, given.requests)
    print(f"{'eight clients':28}{'gridcwl':>10}{'sapporo':>10}{'ratio':>8}")
    for name, value in ours.items():
        print(f"{name:28}{value:10.3g}{theirs[name]:10.3g}{value / theirs[name]:8.2f}")
    print(f"\nA page of 100 tasks of {given.tasks}")
    for where, value in pages_of_tasks(given.tasks):
        print(f"{where:28}{value:10.3g} ms")


if __name__ == "__main__":
    main()
