"""How long one tool takes from start to end: gridcwl's first and second run of a document, and cwltool's.

    make bench BENCH=start
    python benchmarks/start/bench.py [--repeat 9]

The document is a tool that runs ``echo``, without containers. The first run has the schemas in the cache but has never
seen the document, which is a new file each time; the second has. All take turns, so that a busy minute meets all alike.
Printed are medians of wall seconds, and their ratio to cwltool's: with all modules compiled, as pip leaves them, and in
this environment as it is, in which Python may not be allowed to keep compiled modules (``PYTHONDONTWRITEBYTECODE``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import program
from results import note

TOOL = Path(__file__).parent.parent / "scatter" / "echo.cwl"


def seconds(command: list[str], environment: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return time.perf_counter() - begun


def measure(folder: Path, repeat: int, environment: Mapping[str, str]) -> dict[str, list[float]]:
    words = ["--quiet", "--no-container", "--outdir"]
    kept = folder / "kept.cwl"
    shutil.copy(TOOL, kept)
    found: dict[str, list[float]] = {"cwltool": [], "gridcwl, first run": [], "gridcwl, second run": []}
    for number in range(repeat + 1):
        new = folder / f"new-{number}.cwl"
        shutil.copy(TOOL, new)
        turns = {
            "cwltool": [program("cwltool"), str(kept)],
            "gridcwl, first run": [program("gridcwl"), str(new)],
            "gridcwl, second run": [program("gridcwl"), str(kept)],
        }
        for name, (command, document) in turns.items():
            out = str(folder / f"{name}-{number}")  # gridcwl leaves alone what another document or program wrote
            took = seconds([command, *words, out, document, "--number", "1"], environment)
            if number:  # the first turn compiles modules, and keeps schemas and the document
                found[name].append(took)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name:
        folder = Path(name)
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "GRIDCWL_STATE_DIR": str(folder / "state")}
        as_it_is = os.environ | own
        compiled = {key: value for key, value in as_it_is.items() if key != "PYTHONDONTWRITEBYTECODE"}
        compiled["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        ways = {"all modules compiled": compiled, "as this environment is": as_it_is}
        for way, environment in ways.items():
            print(f"\nOne tool without containers, {way}, median of {repeat}")
            print(f"{'':<22}{'wall s':>8}{'least s':>9}{'x cwltool':>11}")
            found = measure(folder, repeat, environment)
            theirs = statistics.median(found["cwltool"])
            for what, times in found.items():
                median = statistics.median(times)
                print(f"{what:<22}{median:>8.2f}{min(times):>9.2f}{median / theirs:>11.2f}", flush=True)
                note(f"{what}, {way}", wall_s=median, least_wall_s=min(times), x_cwltool=median / theirs)


if __name__ == "__main__":
    main()
