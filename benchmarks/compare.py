"""Two checkouts of gridcwl against each other, in turns, in one run: is the new one slower?

    python benchmarks/compare.py OLD [NEW] [--cases start scatter docker client dirac rucio] [--rounds 5] [--json FILE]
    python benchmarks/compare.py OLD.json NEW.json [--noise 0.1]

OLD and NEW are folders of checkouts in which ``make install`` has run; NEW is this one unless given. Each case is a
whole process of ``gridcwl`` on the same document and inputs; the processes take turns (old, new, new, old, ...), so
that a busy minute on the machine meets both alike. Printed are the medians of wall and CPU seconds (of the process and
its children), the ratio new / old of the medians, the spread of the pairwise CPU ratios, and whether that is a change:
``same`` where some pair says that the new one is quicker, and another that it is slower. Exit code 1 if a ratio of CPU
seconds exceeds ``--limit``.

Two files that ``make bench`` wrote are compared number by number; those that differ by more than ``--noise`` are
printed.

The cases ``dirac`` and ``rucio`` need a testbed: the one that GRIDCWL_TESTBED_DIR names, with its environment already
exported (``eval "$(gridcwl testbed env)"``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
IMAGE = "docker.io/debian:stable-slim"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkouts, with a cache and a state folder of its own."""

    name: str
    checkout: Path
    folder: Path

    @property
    def gridcwl(self) -> str:
        return str(self.checkout / ".venv" / "bin" / "gridcwl")

    @property
    def python(self) -> str:
        return str(self.checkout / ".venv" / "bin" / "python")

    def environment(self) -> Mapping[str, str]:
        # For quick tests the testbed sets a short pause between polls, which versions before 0.2 do not read.
        inherited = {name: value for name, value in os.environ.items() if name != "GRIDCWL_DIRAC_LONGEST_PAUSE"}
        own = {"XDG_CACHE_HOME": str(self.folder / "cache"), "GRIDCWL_STATE_DIR": str(self.folder / "state")}
        return inherited | own | {"PYTHONPYCACHEPREFIX": str(self.folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}


@dataclass(slots=True)
class Costs:
    """Seconds of every round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


Command = Callable[[Side], list[str]]


def scatter(size: int, *options: str) -> Command:
    """A scatter over echo, from ``benchmarks/scatter``."""

    def command(side: Side) -> list[str]:
        inputs = side.folder / f"{size}.json"
        if not inputs.exists():
            inputs.write_text(json.dumps({"numbers": list(range(size))}))
        outdir = ["--outdir", str(side.folder / "-".join(["out", str(size), *options]).replace("/", "_"))]
        return [side.gridcwl, "--quiet", *options, *outdir, str(HERE / "scatter" / "scatter.cwl"), str(inputs)]

    return command


def start(side: Side) -> list[str]:
    """One tool; its document is in the cache after the warm-up."""
    words = ["--quiet", "--no-container", "--outdir", str(side.folder / "one")]
    return [side.gridcwl, *words, str(HERE / "scatter" / "echo.cwl"), "--number", "1"]


def client(side: Side) -> list[str]:
    """The whole client with jobs that are answered at once: each checkout's own ``benchmarks/client``."""
    bench = side.checkout / "benchmarks" / "client"
    made = side.folder / "shape"
    if not made.exists():
        made.mkdir()
        script = "import sys; sys.path.insert(0, sys.argv[1]); import shapes, pathlib; "
        script += "print('\\n'.join(shapes.write(pathlib.Path(sys.argv[2]), 'scatter-10000', really=False)[0]))"
        done = subprocess.run(
            [side.python, "-c", script, str(bench), str(made)], capture_output=True, text=True, check=True
        )
        (made / "words").write_text(done.stdout)
    words = (made / "words").read_text().split("\n")[:-1]
    options = [
        "--quiet",
        "--no-container",
        "--tmpdir-prefix",
        f"{side.folder}/w-",
        "--outdir",
        str(side.folder / "out"),
    ]
    return [side.python, str(bench / "bench.py"), "--client", *options, *words]


CASES: Mapping[str, Command] = {
    "start": start,
    "scatter": scatter(2000, "--no-container"),
    "docker": scatter(40, "--default-container", IMAGE),
    "client": client,
    "dirac": scatter(100, "--no-container", "--backend", "dirac"),
    "rucio": scatter(200, "--no-container", "--store", "rucio"),
}


def measure(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a whole process and its children.

    Raises:
        SystemExit: it failed.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            message = errors.read()[-4000:].decode(errors="replace")
            raise SystemExit(f"exit code {process.returncode} of {' '.join(command)}\n{message}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


def alternate(command: Command, sides: tuple[Side, Side], rounds: int) -> dict[str, Costs]:
    """Run both, in turns, after one run of each that is not counted."""
    for side in sides:
        measure(command(side), side.environment())
    costs = {side.name: Costs() for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            wall, cpu = measure(command(side), side.environment())
            costs[side.name].wall.append(wall)
            costs[side.name].cpu.append(cpu)
    return costs


def verdict(pairs: list[float]) -> str:
    """Whether the new side is quicker or slower beyond noise, by the sorted ratios of its CPU seconds to the old's."""
    if pairs[-1] < 1:
        return "quicker"
    return "slower" if pairs[0] > 1 else "same"


def changes(old: Mapping[str, Any], new: Mapping[str, Any], noise: float) -> list[tuple[str, str, float, float]]:
    """What differs by more than the noise between the results of two benchmarks: row, number, old and new."""
    found = []
    for row, numbers in new["rows"].items():
        before = old["rows"].get(row, {})
        for name, value in numbers.items():
            was = before.get(name)
            if isinstance(value, int | float) and isinstance(was, int | float) and abs(value - was) > noise * abs(was):
                found.append((row, name, was, value))
    return found


def compare_results(old: Path, new: Path, noise: float) -> int:
    """Print what differs between two files of results."""
    found = changes(json.loads(old.read_text()), json.loads(new.read_text()), noise)
    for row, name, was, now in found:
        ratio = f"{now / was:8.2f}" if was else f"{'-':>8}"
        print(f"{row:<48}{name:<18}{was:>12.4g}{now:>12.4g}{ratio}")
    if not found:
        print(f"Nothing differs by more than {noise:.0%}.")
    return 0


def report(case: str, costs: dict[str, Costs]) -> dict[str, float]:
    """Print one line; return its numbers."""
    old, new = costs["old"], costs["new"]
    median = statistics.median
    pairs = sorted(n / o for n, o in zip(new.cpu, old.cpu, strict=True))
    numbers = {
        "old_wall_s": median(old.wall),
        "new_wall_s": median(new.wall),
        "wall_ratio": median(new.wall) / median(old.wall),
        "old_cpu_s": median(old.cpu),
        "new_cpu_s": median(new.cpu),
        "cpu_ratio": median(new.cpu) / median(old.cpu),
        "cpu_ratio_least": pairs[0],
        "cpu_ratio_most": pairs[-1],
    }
    spread = f"{pairs[0]:.2f}..{pairs[-1]:.2f}"
    columns = [f"{numbers[name]:9.2f}" for name in list(numbers)[:6]]
    print(f"{case:<10}{''.join(columns)}   {spread:<12}{verdict(pairs)}", flush=True)
    return numbers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout with .venv, or results of make bench")
    parser.add_argument("new", type=Path, nargs="?", default=HERE.parent)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=("start", "scatter", "docker", "client"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1.03, help="of the ratio of CPU seconds")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--noise", type=float, default=0.1, help="differences of results that mean nothing")
    given = parser.parse_args()
    if given.old.is_file():
        return compare_results(given.old, given.new, given.noise)
    found: dict[str, dict[str, float]] = {}
    print(f"{'':<10}{'old wall':>9}{'new wall':>9}{'ratio':>9}{'old CPU':>9}{'new CPU':>9}{'ratio':>9}   pairs, CPU")
    with tempfile.TemporaryDirectory(prefix="gridcwl-compare-", ignore_cleanup_errors=True) as name:
        made = []
        for side, checkout in (("old", given.old), ("new", given.new)):
            folder = Path(name, side)
            folder.mkdir()
            made.append(Side(side, checkout.resolve(), folder))
        for case in given.cases:
            found[case] = report(case, alternate(CASES[case], (made[0], made[1]), given.rounds))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    slower = [case for case, numbers in found.items() if numbers["cpu_ratio"] > given.limit]
    for case in slower:
        print(f"{case}: slower than {given.limit:.2f} times the old one", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
