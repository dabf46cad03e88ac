"""A warm pool against plain DIRAC jobs, on a testbed that runs: short shards, and cta-irf with its files in Rucio.

    make bench-pool
    python benchmarks/interactive/pool.py [--shards 500] [--seconds 0.5] [--workers 3] [--cores 4] [--jobs 20] [--irf]

GRIDCWL_TESTBED_DIR names the testbed. Shards are jobs of their own: through the pool ``gridcwl --backend pool``, from
start to end; as plain DIRAC jobs DIRAC's own parametric submission of the same command to pilots that run JobWrappers,
until the last is Done, and ``gridcwl --backend dirac``. cta-irf is run by the same command with either backend, on the
inputs of its test; its steps name four images, so the pool's nodes start their containers by the site's engine, as
plain DIRAC jobs do. The wait for the nodes of a pool is printed by itself: it is paid once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from results import note
from shards import SCATTER

from gridcwl.testbed.sites import SITES

TOP = Path(__file__).resolve().parents[2]
SMALL = {"gammas": 400, "protons": 400, "electrons": 150}
BARE = """[
Executable = "/bin/sh"; Arguments = "script.sh %s"; JobName = "bare-%s"; JobGroup = "{group}"; GridCE = {{{pilots}}};
StdOutput = "std.out"; StdError = "std.err"; InputSandbox = {{"{sandbox}"}}; OutputSandbox = {{"std.out", "std.err"}};
Parameters = {number}; ParameterStart = 1; ParameterStep = 1;
]"""
ENDED = ("Done", "Failed", "Killed")


def gridcwl(*words: str) -> tuple[str, float]:
    """What a command prints, and the wall seconds it takes.

    Raises:
        SystemExit: it fails.
    """
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "gridcwl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[-4000:])
        raise SystemExit(f"failed with {done.returncode}: gridcwl {' '.join(words)}")
    return done.stdout, time.perf_counter() - begun


def line(what: str, value: str, **numbers: float) -> None:
    """One line of the table."""
    print(f"{what:<52}{value:>24}", flush=True)
    note(what, **numbers)


@contextmanager
def pool(name: str, workers: int, cores: int, *words: str) -> Iterator[None]:
    """A pool whose nodes have connected."""
    begun = time.perf_counter()
    start = ["pool", "up", "--name", name, "--workers", str(workers), "--cores", str(cores), "--host", "127.0.0.1"]
    gridcwl(*start, "--idle", "10m", "--time", "2h", *words)
    try:
        while not any(row.split()[:2] == [name, str(workers)] for row in gridcwl("pool", "ls")[0].splitlines()):
            if time.perf_counter() - begun > 600:
                raise SystemExit(f"the nodes of the pool do not connect: {gridcwl('pool', 'ls')[0]}")
            time.sleep(0.5)
        took = time.perf_counter() - begun
        line(f"pool up, {workers} nodes of {cores} cores", f"{took:.1f} s", seconds=took)
        yield
    finally:
        gridcwl("pool", "down", name)


def shards(folder: Path, number: int, seconds: float, *words: str) -> float:
    """Wall seconds of a scatter."""
    (folder / "scatter.cwl").write_text(json.dumps(SCATTER))
    (folder / "in.json").write_text(json.dumps({"numbers": list(range(number)), "seconds": f"{seconds:g}"}))
    out = folder / "out"
    text, took = gridcwl("--quiet", *words, "--outdir", str(out), str(folder / "scatter.cwl"), str(folder / "in.json"))
    if len(json.loads(text)["made"]) != number:
        raise SystemExit("outputs are missing")
    shutil.rmtree(out)
    return took


def bare(folder: Path, number: int, seconds: float) -> float:
    """Wall seconds of DIRAC's own jobs with the same command, at pilots that run JobWrappers."""
    from gridcwl.backends.dirac.client import DiracClient

    client = DiracClient()
    script = folder / "script.sh"
    script.write_text(f"sleep {seconds:g}; echo $1\n")
    pilots = ", ".join(f'"ce.{site.name.lower()}"' for site in SITES if not site.banned)
    begun = time.perf_counter()
    sandbox = client.put_sandbox([script])
    group = f"bench-pool-{os.getpid()}"
    numbers = client.submit(BARE.format(group=group, sandbox=sandbox, number=number, pilots=pilots))
    client.confirm(numbers)
    while any(state[0] not in ENDED for state in client.states(numbers).values()):
        time.sleep(0.5)
    return time.perf_counter() - begun


def irf_inputs(folder: Path) -> Path:
    """The inputs of cta-irf's test."""
    from ruamel.yaml import YAML

    beside = TOP / "cwl" / "workflows" / "tests"

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        return {"class": "File", "path": str(beside / value["location"])} if isinstance(value, dict) else value

    given = YAML(typ="safe").load(beside / "cta-irf.yml")
    path = folder / "cta-irf.json"
    path.write_text(json.dumps({name: absolute(value) for name, value in given.items()} | SMALL))
    return path


def irf(folder: Path, backend: str, *words: str) -> float:
    """Wall seconds of cta-irf, with its files in Rucio. Nothing is taken from earlier runs."""
    options = ["--quiet", "--backend", backend, "--store", "rucio", "--no-cache", *words]
    options += ["--outdir", str(folder / f"irf-{backend}")]
    _, took = gridcwl(*options, str(TOP / "cwl" / "workflows" / "cta-irf.cwl"), str(irf_inputs(folder)))
    line(f"cta-irf, --backend {backend} --store rucio", f"{took:.1f} s", seconds=took)
    return took


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=500, help="0 leaves them out")
    parser.add_argument("--seconds", type=float, default=0.5, help="what a shard takes")
    parser.add_argument("--workers", type=int, default=3, help="nodes of the pool")
    parser.add_argument("--cores", type=int, default=4, help="of each")
    parser.add_argument("--jobs", type=int, default=20, help="shards as plain DIRAC jobs")
    parser.add_argument("--irf", action="store_true", help="run cta-irf, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-pool-") as name:
        folder = Path(name)
        os.environ["GRIDCWL_STATE_DIR"] = str(folder / "state")
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
        if given.shards:
            with pool("shards", given.workers, given.cores):
                shards(folder, 2 * given.workers, 0, "--backend", "pool", "--pool", "shards")  # the worker is loaded
                took = shards(folder, given.shards, given.seconds, "--backend", "pool", "--pool", "shards")
            rate = given.shards / took
            line(f"{given.shards} shards of {given.seconds:g} s, pool", f"{took:.1f} s, {rate:.2f}/s", rate=rate)
            for what, seconds in (
                ("DIRAC's own jobs", bare(folder, given.jobs, given.seconds)),
                ("gridcwl --backend dirac", shards(folder, given.jobs, given.seconds, "--backend", "dirac")),
            ):
                plain = given.jobs / seconds
                value = f"{seconds:.1f} s, {plain:.2f}/s"
                line(f"{given.jobs} shards of {given.seconds:g} s, {what}", value, rate=plain)
                line("  the pool's rate by that", f"{rate / plain:.1f}", ratio=rate / plain)
        if given.irf:
            with pool("irf", 3, 2, "--ram", "4096"):
                warm = irf(folder, "pool", "--pool", "irf")
            line("  plain DIRAC jobs by that", f"{irf(folder, 'dirac') / warm:.2f}")
        print(f"load average {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
