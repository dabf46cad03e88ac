"""The whole client on workflows that are wide, long or deep, alone and next to cwltool and StreamFlow.

    make bench BENCH=client
    python benchmarks/client/bench.py [--shapes scatter-10000 ...] [--peers gather-1000 ...] [--limit-s 300]
                                      [--telemetry ROUNDS]

First, with a backend that answers at once: time for each job, growth and peak memory.
Everything is as in a run from the command line, with documents and input objects read from files, jobs resolved, the
journal written and the output object printed; only the jobs do not run: each is answered in the moment in which it is
submitted, with one output file that lies elsewhere. Each shape runs in a process of its own, whose CPU seconds and peak
memory are printed. Growth is the CPU time for each job against that at a tenth of the size.

Then each runner runs the same shapes in earnest, on this machine without containers, one after another; the jobs are
``cat`` of small files. A run that takes longer than the limit is stopped, and listed as not finished. StreamFlow is
installed into an environment of its own, below ``build``, where it is not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from instant import InstantBackend
from results import note
from shapes import SHAPES, write

STREAMFLOW = Path(__file__).parents[2] / "build" / "streamflow"
SMALLER = {"scatter-100000": "scatter-10000"}
ALONE = ("scatter-10000", "scatter-100000", "chain-1000", "crossproduct-300x300", "gather-10000", "levels-50")
PEERS = (
    *("scatter-1000", "scatter-2000", "chain-100", "chain-1000", "crossproduct-30x30", "gather-1000", "gather-10000"),
    *("levels-10", "levels-50"),
)


def client(arguments: list[str], *, calls: int | None = None) -> int:
    """gridcwl's command line, with that backend instead of a real one.

    Args:
        arguments: of gridcwl.
        calls: for each job, so many calls of a server that telemetry is asked about; None: it is never asked.
    """
    from gridcwl import plugins, telemetry
    from gridcwl.cli import main
    from gridcwl.model import ProducedFile

    def elsewhere(job: Any) -> ProducedFile:
        for _ in range(calls or 0):
            with telemetry.call("benchmark", "job"):
                telemetry.carried(elsewhere)
        digest = hashlib.sha1(job.id.encode()).hexdigest()
        return ProducedFile("out.txt", "file", f"srm://storage.example/ctao/{job.id}.txt", 1000, digest)

    if calls is None:
        from gridcwl.runs.prepared import PreparedRun

        PreparedRun._traced = lambda _run, watcher: nullcontext(watcher)  # type: ignore[method-assign]
    plugins.open_backend = lambda _choice, _context: InstantBackend(elsewhere)  # type: ignore[assignment,return-value]
    return main.main(arguments)


@dataclass(frozen=True, slots=True)
class Cost:
    wall_s: float
    cpu_s: float
    """With that of processes which it started."""
    peak_mb: float
    """Of the process itself, in 10^6 bytes."""


def measure(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> Cost | str:
    """What a whole process cost; or why there is nothing to say."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=messages, env=environment, start_new_session=True
        )
        while time.perf_counter() - begun < limit_s:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not finished after {limit_s:g} s"
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            messages.seek(0)
            last = messages.read()[-500:].decode(errors="replace").strip().rpartition("\n")[2]
            return f"failed with {process.returncode}: {last[:100]}"
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def alone(folder: Path, environment: Mapping[str, str], shapes: Sequence[str], limit_s: float, repeat: int) -> None:
    """The table of gridcwl with jobs that are answered at once."""
    print(f"The whole client, jobs answered at once, best of {repeat}")
    print(f"{'':<22}{'jobs':>8}{'wall s':>8}{'CPU s':>8}{'us/job':>8}{'jobs/s':>8}{'growth':>8}{'peak MB':>9}")
    program = [sys.executable, __file__, "--client", "--quiet", "--no-container", "--tmpdir-prefix", f"{folder}/w-"]
    each: dict[str, float] = {}
    for shape in shapes:
        words, jobs = write(folder, shape, really=False)
        command = [*program, "--outdir", str(folder / "out"), *words]
        found = [measure(command, environment, limit_s) for _ in range(repeat)]
        costs = [one for one in found if isinstance(one, Cost)]
        if not costs:
            print(f"{shape:<22}{jobs:>8} {found[0]}", flush=True)
            continue
        cost = min(costs, key=lambda one: one.cpu_s)
        each[shape] = cost.cpu_s / jobs
        smaller = SMALLER.get(shape)
        growth = f"{each[shape] / each[smaller]:.2f}" if smaller in each else ""
        peak = max(one.peak_mb for one in costs)
        print(
            f"{shape:<22}{jobs:>8}{cost.wall_s:>8.2f}{cost.cpu_s:>8.2f}{each[shape] * 1e6:>8.0f}"
            f"{jobs / cost.cpu_s:>8.0f}{growth:>8}{peak:>9.0f}",
            flush=True,
        )
        note(shape, wall_s=cost.wall_s, cpu_s=cost.cpu_s, us_per_job=each[shape] * 1e6, peak_mb=peak)


def telemetry_off(folder: Path, environment: Mapping[str, str], shape: str, limit_s: float, rounds: int) -> None:
    """What telemetry costs while it is off: with three calls of a server for each job, and without any, in turns."""
    words, jobs = write(folder, shape, really=False)
    cpu_s: dict[str, list[float]] = {"--client-without-telemetry": [], "--client-calling": []}
    for _ in range(rounds):
        for how, found in cpu_s.items():
            program = [sys.executable, __file__, how, "--quiet", "--no-container", "--tmpdir-prefix", f"{folder}/w-"]
            cost = measure([*program, "--outdir", str(folder / "out"), *words], environment, limit_s)
            if isinstance(cost, str):
                raise SystemExit(cost)
            found.append(cost.cpu_s)
    without, off = (statistics.median(found) for found in cpu_s.values())
    print(f"\nTelemetry that is off, {jobs} jobs, median CPU seconds of {rounds} rounds in turns")
    print(f"without its calls {without:.2f}, with three calls for each job {off:.2f}: {off / without:.3f}")


def streamflow() -> Path:
    """StreamFlow's CWL runner, installed if it is not there."""
    runner = STREAMFLOW / "bin" / "cwl-runner"
    if not runner.exists():
        venv.create(STREAMFLOW, with_pip=True)
        pip = [STREAMFLOW / "bin" / "pip", "install", "streamflow"]
        installed = subprocess.run(pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if installed.returncode:
            raise SystemExit(f"StreamFlow cannot be installed:\n{installed.stdout[-2000:]}")
    return runner


def beside_peers(folder: Path, environment: Mapping[str, str], shapes: Sequence[str], limit_s: float) -> None:
    """The table of all runners on the same shapes, in earnest."""
    here = Path(sys.executable).parent
    runners = {
        "gridcwl": [str(here / "gridcwl"), "--quiet", "--no-container"],
        "cwltool": [str(here / "cwltool"), "--quiet", "--no-container", "--parallel"],
        "StreamFlow": [str(streamflow()), "--quiet"],
    }
    print("\nIn earnest, without containers, once")
    print(f"{'':<22}{'':<12}{'jobs':>8}{'wall s':>8}{'CPU s':>8}{'x gridcwl':>11}{'peak MB':>9}")
    for shape in shapes:
        words, jobs = write(folder, shape, really=True)
        ours: float | None = None
        for name, program in runners.items():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                cost = measure([*program, "--outdir", out, *words], environment, limit_s)
            if isinstance(cost, str):
                print(f"{shape:<22}{name:<12}{jobs:>8} {cost}", flush=True)
                continue
            ours = ours or cost.wall_s
            print(
                f"{shape:<22}{name:<12}{jobs:>8}{cost.wall_s:>8.2f}{cost.cpu_s:>8.2f}"
                f"{cost.wall_s / ours:>11.2f}{cost.peak_mb:>9.0f}",
                flush=True,
            )
            note(f"{shape}, {name}", wall_s=cost.wall_s, cpu_s=cost.cpu_s, peak_mb=cost.peak_mb)


def main() -> None:
    calls = {"--client": 0, "--client-without-telemetry": None, "--client-calling": 3}
    if sys.argv[1:2] and sys.argv[1] in calls:
        sys.exit(client(sys.argv[2:], calls=calls[sys.argv[1]]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=ALONE, help="for gridcwl alone")
    parser.add_argument("--peers", nargs="*", choices=SHAPES, default=PEERS, help="for all runners, in earnest")
    parser.add_argument("--limit-s", type=float, default=300.0, help="for one run")
    parser.add_argument("--repeat", type=int, default=1, help="of gridcwl alone")
    parser.add_argument("--telemetry", type=int, default=0, metavar="ROUNDS", help="what it costs while it is off")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name:
        folder = Path(name)
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "GRIDCWL_STATE_DIR": str(folder / "state")}
        # brings CWL's schemas into the cache
        measure(
            [sys.executable, "-m", "gridcwl", "--validate", write(folder, "chain-100", really=False)[0][0]],
            os.environ | own,
            given.limit_s,
        )
        if given.shapes:
            alone(folder, os.environ | own, given.shapes, given.limit_s, given.repeat)
        if given.telemetry:
            telemetry_off(folder, os.environ | own, "scatter-10000", given.limit_s, given.telemetry)
        if given.peers:
            beside_peers(folder, os.environ | own, given.peers, given.limit_s)


if __name__ == "__main__":
    main()
