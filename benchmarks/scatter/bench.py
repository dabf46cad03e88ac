"""A scatter over echo: gridcwl, cwltool and the bare limit, in one run.

    make bench BENCH=scatter
    python benchmarks/scatter/bench.py [--sizes 100 1000 2000 20000] [--docker 40] [--repeat 3]
                                       [--cwltool-up-to 2000]

The limit is ``xargs -P2`` starting the same commands, each in a folder of its own and with its output in a file, as CWL
asks of a job: no runner can be faster than that. ``xargs -P2 echo`` alone is printed next to it. Wall seconds are those
of the whole process; CPU seconds are its own and its children's. Ratios are to the limit; growth is the time of a size
by that of the size before.
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
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import program
from results import note

HERE = Path(__file__).parent
IMAGE = "docker.io/debian:stable-slim"
PARALLEL = 2
MANY = 10_000
"""From so many shards on, once is enough."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one whole process cost, with its children."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def measure(command: list[str], *, stdin: Path | None = None) -> Cost:
    """Run a command and wait for it.

    Raises:
        SystemExit: it failed.
    """
    begun = time.perf_counter()
    with open(stdin or os.devnull, "rb") as given, open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        process = subprocess.Popen(command, stdin=given, stdout=nowhere, stderr=subprocess.PIPE)
        assert process.stderr is not None
        messages = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.stderr.buffer.write(messages[-4000:])
        raise SystemExit(f"failed with {process.returncode}: {' '.join(command)}")
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def row(what: str, size: int, cost: Cost, limit: Cost | None) -> None:
    """One line of the table."""
    ratio = f"{cost.wall_s / limit.wall_s:8.2f}" if limit else f"{'-':>8}"
    print(f"{what:<28}{size:>7}{cost.wall_s:>9.2f}{cost.cpu_s:>9.2f}{ratio}{cost.peak_mib:>9.0f}", flush=True)
    more = {"x_limit": cost.wall_s / limit.wall_s} if limit else {}
    note(f"{what} {size}", wall_s=cost.wall_s, cpu_s=cost.cpu_s, peak_mib=cost.peak_mib, **more)


def heading() -> None:
    """The table's columns."""
    print(f"{'':<28}{'shards':>7}{'wall s':>9}{'CPU s':>9}{'x limit':>8}{'peak MiB':>9}")


def best(command: list[str], repeat: int, *, stdin: Path | None = None) -> Cost:
    """The quickest of several runs: what disturbs a run only ever makes it slower."""
    return min((measure(command, stdin=stdin) for _ in range(repeat)), key=lambda cost: cost.wall_s)


def bare(folder: Path, sizes: list[int], repeat: int, cwltool_up_to: int) -> None:
    """Without containers."""
    print(f"\nScatter over echo without containers, best of {repeat}")
    heading()
    walls: dict[str, dict[int, float]] = {}
    for size in sizes:
        times = repeat if size < MANY else 1
        inputs = folder / f"{size}.json"
        inputs.write_text(json.dumps({"numbers": list(range(size))}))
        numbers = folder / f"{size}.txt"
        numbers.write_text("".join(f"{number}\n" for number in range(size)))
        row("xargs -P2 echo", size, best(["xargs", f"-P{PARALLEL}", "-n1", "echo"], times, stdin=numbers), None)
        limit = min((measure_limit(folder, numbers) for _ in range(times)), key=lambda cost: cost.wall_s)
        row("limit: in folder, to file", size, limit, None)
        document = str(HERE / "scatter.cwl")
        runners = {"gridcwl": ["--quiet", "--no-container"]}
        if size <= cwltool_up_to:
            runners["cwltool"] = ["--quiet", "--no-container", "--parallel"]
        for name, options in runners.items():
            command = [program(name), *options, "--outdir", str(folder / f"{name}-{size}"), document, str(inputs)]
            cost = best(command, times if name == "gridcwl" else 1)
            row(f"{name} --no-container", size, cost, limit)
            walls.setdefault(name, {})[size] = cost.wall_s
    for name, by_size in walls.items():
        for smaller, larger in zip(list(by_size), list(by_size)[1:], strict=False):
            times = by_size[larger] / by_size[smaller]
            each = times * smaller / larger
            print(f"{name}: {larger} shards take {times:.2f} times what {smaller} take, {each:.2f} times for each")


def measure_limit(folder: Path, numbers: Path) -> Cost:
    """What the jobs are without a runner: each makes its folder and writes its file there, two at a time."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        script = f'mkdir "{place}/$0" && cd "{place}/$0" && exec echo "$0" > out.txt'
        return measure(["xargs", f"-P{PARALLEL}", "-n1", "sh", "-c", script], stdin=numbers)


def containers(folder: Path, size: int, repeat: int) -> None:
    """With docker: each shard a container of its own."""
    print(f"\nScatter over echo in docker containers, best of {repeat}")
    heading()
    inputs = folder / "docker.json"
    inputs.write_text(json.dumps({"numbers": list(range(size))}))
    numbers = folder / "docker.txt"
    numbers.write_text("".join(f"{number}\n" for number in range(size)))
    docker = shutil.which("docker") or "/usr/bin/docker"
    limit_command = ["xargs", f"-P{PARALLEL}", "-n1", docker, "run", "--rm", "--net=none", IMAGE, "echo"]
    limit = best(limit_command, repeat, stdin=numbers)
    row("limit: xargs -P2 docker run", size, limit, None)
    document = str(HERE / "scatter.cwl")
    runners = (("gridcwl", []), ("gridcwl", ["--reuse-containers"]), ("cwltool", ["--parallel"]))
    for name, options in runners:
        outdir = str(folder / "".join([name, "-docker", *options]))
        command = [program(name), "--quiet", "--default-container", IMAGE, *options, "--outdir", outdir, document]
        what = " ".join([name, *(option for option in options if "reuse" in option)])
        row(what, size, best([*command, str(inputs)], repeat if name == "gridcwl" else 1), limit)


def start(folder: Path, repeat: int) -> None:
    """One tool, once: what it costs to begin."""
    print(f"\nOne tool without containers, best of {repeat}")
    for name in ("gridcwl", "cwltool"):
        command = [program(name), "--quiet", "--no-container", "--outdir", str(folder / f"{name}-one")]
        cost = best([*command, str(HERE / "echo.cwl"), "--number", "1"], repeat)
        print(f"{name:<12}{cost.wall_s:>7.2f} s wall {cost.cpu_s:>7.2f} s CPU")
        note(f"{name}, one tool", wall_s=cost.wall_s, cpu_s=cost.cpu_s)


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 2000, 20000])
    parser.add_argument("--docker", type=int, default=40, help="shards in containers; 0 leaves them out")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cwltool-up-to", type=int, default=2000, help="cwltool's time grows with the square")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name:
        folder = Path(name)
        start(folder, given.repeat)
        bare(folder, given.sizes, given.repeat, given.cwltool_up_to)
        if given.docker:
            containers(folder, given.docker, given.repeat)


if __name__ == "__main__":
    main()
