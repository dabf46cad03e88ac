"""How soon a step starts and its result is back: on this machine, on Dask, by DIRAC, and by cwltool.

    make bench BENCH=interactive
    python benchmarks/interactive/bench.py [--steps 100] [--shards 1000] [--seconds 0.1]

The first table is of one step after the other, each when the one before has ended, in a session that is open:
milliseconds from submitting a job to its result; "beyond" is without what the worker measured of the job (folders,
tool, outputs). cwltool has no such session: its row is of whole processes. DIRAC, and a pool of DIRAC jobs, are
measured where GRIDCWL_TESTBED_DIR names a running testbed; without one, the pool's nodes are processes of this machine.

The second is a scatter of short shards on two workers against ``xargs -P2`` with the same commands, whole processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))

from dask_processes import DaskProcesses
from pool_nodes import NodesHere
from results import note
from shards import SCATTER, TOOL

from gridcwl import plugins
from gridcwl.backends import Backend
from gridcwl.backends.base import BackendContext, JobOptions
from gridcwl.backends.dask import pool as pools
from gridcwl.backends.dask.plugin import DaskSettings, PoolSettings
from gridcwl.backends.dask.pool import Pool
from gridcwl.model import Image, Job, JobId, OutputRules
from gridcwl.testing.backends import ended, new_run_id

IMAGE = Image("docker.io/debian:stable-slim", pull="docker.io/debian:stable-slim")


async def latencies(backend: AbstractAsyncContextManager[Backend], jobs: list[Job]) -> tuple[list[float], list[float]]:
    """Seconds from submitting to the result, and what of that the worker did not measure; the first job is left out."""
    whole, beyond = [], []
    async with backend as opened:
        for job in jobs:
            begun = time.perf_counter()
            await opened.submit([job])
            ((event),) = await ended(opened, 1)
            took = time.perf_counter() - begun
            if event.result is None or event.result.usage is None or event.result.outcome != "success":
                raise SystemExit(f"a job failed: {event.result}")
            whole.append(took)
            beyond.append(took - event.result.usage.wall_s)
    return whole[1:], beyond[1:]


@contextmanager
def pool(folder: Path, nodes: int) -> Iterator[str]:
    """A warm pool of nodes of one core each; gives what they are."""
    folder.mkdir()
    os.environ["GRIDCWL_STATE_DIR"] = str(folder / "state")
    here = not os.environ.get("GRIDCWL_TESTBED_DIR")
    if here:
        made = pools.create(Pool(name="default", id="", host="127.0.0.1", bind="127.0.0.1"))
        (folder / "sandbox").mkdir()
        made = pools.add_workers(made, nodes, NodesHere(folder / "nodes"), folder / "sandbox")  # type: ignore[arg-type]
    else:
        words = ["pool", "up", "--workers", str(nodes), "--host", "127.0.0.1", "--time", "2h"]
        _timed([sys.executable, "-m", "gridcwl", *words])
        made = pools.load("default")
    try:
        while len(pools.workers(made)) < nodes:
            time.sleep(0.2)
        yield "here" if here else "DIRAC jobs, testbed"
    finally:
        if here:
            pools.end(made, None)
        else:
            _timed([sys.executable, "-m", "gridcwl", "pool", "down"])


def row(what: str, seconds: list[float], beyond: list[float] | None = None) -> None:
    """One line of the first table."""
    cells = [f"{value * 1000:>9.1f}" for series in (seconds, beyond or []) if series for value in _quantiles(series)]
    print(f"{what:<34}{len(seconds):>6}{''.join(cells)}", flush=True)
    numbers = dict(zip(("p50_ms", "p99_ms"), (value * 1000 for value in _quantiles(seconds)), strict=True))
    note(what, **numbers)


def _quantiles(series: list[float]) -> tuple[float, float]:
    ordered = sorted(series)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def steps(folder: Path, number: int, stack: ExitStack) -> None:
    """The first table."""
    print(f"{'one step, ms':<34}{'steps':>6}{'p50':>9}{'p99':>9}{'beyond':>9}{'p99':>9}")

    def measured(what: str, name: str, settings: object, count: int, image: Image | None = None) -> None:
        run = new_run_id()
        context = BackendContext(run, folder / what.replace(" ", "-").replace("/", "-"))
        context.folder.mkdir()
        jobs = [
            Job(JobId(f"{run}-1-{one}"), run, "step", ("sh", "-c", "echo > out.txt"), image=image,
                outputs=OutputRules(("out.txt",)))
            for one in range(1, count + 2)
        ]  # fmt: skip
        opened = plugins.open_backend(plugins.BackendChoice(name, settings, JobOptions(keep_folders=True)), context)
        row(what, *asyncio.run(latencies(opened, jobs)))

    measured("local, bare command", "local", None, number)
    measured("Dask of this process", "dask", DaskSettings(), number)
    cluster = stack.enter_context(DaskProcesses(folder))
    measured("Dask, TLS, no shared files", "dask", cluster.settings(folder=str(folder / "remote")), number)
    if shutil.which("docker"):
        measured("local, docker", "local", None, min(number, 20), IMAGE)
        measured("Dask of this process, docker", "dask", DaskSettings(), min(number, 20), IMAGE)
    with pool(folder / "pool-steps", 1) as where:
        measured(f"pool, {where}", "pool", PoolSettings(), number)
    if os.environ.get("GRIDCWL_TESTBED_DIR"):
        measured("DIRAC, testbed", "dirac", None, 5)
    (folder / "tool.cwl").write_text(json.dumps(TOOL))
    command = ["cwltool", "--quiet", "--no-container", "--outdir", str(folder / "cwltool"), str(folder / "tool.cwl")]
    row("cwltool, a process each", [_timed([*command, "--seconds", "0", "--number", "1"]) for _ in range(3)])


def _timed(command: list[str]) -> float:
    """Wall seconds of a process.

    Raises:
        SystemExit: it failed.
    """
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stderr[-4000:])
        raise SystemExit(f"failed with {done.returncode}: {' '.join(command)}")
    return time.perf_counter() - begun


def scatter(folder: Path, shards: int, seconds: float) -> None:
    """The second table. Each row is of whole processes, but for the pool's nodes, which are there before."""
    print(f"\n{shards} shards of {seconds:g} s on two workers, wall seconds and ratio to xargs -P2")
    (folder / "tool.cwl").write_text(json.dumps(TOOL))
    (folder / "scatter.cwl").write_text(json.dumps(SCATTER))
    (folder / "in.json").write_text(json.dumps({"numbers": list(range(shards)), "seconds": f"{seconds:g}"}))
    (folder / "xargs").mkdir()
    pause = f"&& sleep {seconds:g}" if seconds else ""
    script = f'mkdir "{folder}/xargs/$0" && cd "{folder}/xargs/$0" {pause} && echo "$0" > out.txt'
    numbers = " ".join(map(str, range(shards)))
    limit = _timed(["sh", "-c", 'echo "$1" | xargs -P2 -n1 sh -c "$0"', script, numbers])
    print(f"{'xargs -P2':<34}{limit:>8.2f}{1:>8.2f}", flush=True)
    os.environ["GRIDCWL_STATE_DIR"] = str(folder / "state")
    for what, words in (
        ("gridcwl --backend local", ["--no-container", "--max-jobs", "2"]),
        ("gridcwl --backend dask", ["--backend", "dask", "--dask-workers", "2"]),
        ("gridcwl --backend pool", ["--backend", "pool"]),
    ):
        command = [
            sys.executable,
            "-m",
            "gridcwl",
            "--quiet",
            *words,
            "--outdir",
            str(folder / what.rpartition(" ")[2]),
        ]
        with pool(folder / "pool-shards", 2) if what.endswith("pool") else nullcontext():
            took = _timed([*command, str(folder / "scatter.cwl"), str(folder / "in.json")])
        print(f"{what:<34}{took:>8.2f}{took / limit:>8.2f}", flush=True)
        note(f"{shards} x {seconds:g} s, {what}", seconds=took, x_limit=took / limit)


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--shards", type=int, default=1000, help="0 leaves the scatter out")
    parser.add_argument("--seconds", type=float, nargs="*", default=[0, 0.1], help="what a shard takes")
    given = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name, ExitStack() as stack:
        steps(Path(name), given.steps, stack)
        for seconds in given.seconds if given.shards else ():
            folder = Path(name) / f"shards-{seconds:g}"
            folder.mkdir()
            scatter(folder, given.shards, seconds)


if __name__ == "__main__":
    main()
