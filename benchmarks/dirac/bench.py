"""What gridcwl adds to DIRAC: submission, following and fetching against DIRAC's own API doing the same, in one run.

    make bench BENCH=dirac
    python benchmarks/dirac/bench.py [--jobs 1000] [--turns 2] [--end-to-end 100] [--light-pilots 4] [--memory N ...]

Brings up a testbed of its own with a real DIRAC, unless GRIDCWL_TESTBED_DIR names one. Submission: one bare parametric
submission of /bin/true by DIRAC's JobManagerClient and SandboxStoreClient, and the same number of shards by the
backend, in turns. Status: seconds to look at all of them once. End to end: jobs of /bin/true by light pilots, bare and
as gridcwl's jobs, each with its output sandbox or result fetched, in turns; CPU is that of this process over the whole
life of the jobs. Memory: peaks of processes that see 1,000 and 10,000 jobs through their life, without DIRAC's client.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory import iter_jobs
from results import note

BARE = """[
Executable = "/bin/sh"; Arguments = "-c true %s"; JobName = "bare-%s"; JobGroup = "{group}";
StdOutput = "std.out"; StdError = "std.err"; InputSandbox = {{"{sandbox}"}}; OutputSandbox = {{"std.out", "std.err"}};
Parameters = {number}; ParameterStart = 1; ParameterStep = 1;
]"""
ENDED = ("Done", "Failed", "Killed")


@dataclass
class Counted:
    """DIRAC's client, with the calls counted and the seconds that they took."""

    inner: Any
    calls: dict[str, list[float]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def counted(*words: Any) -> Any:
            begun = time.perf_counter()
            try:
                return found(*words)
            finally:
                self.calls.setdefault(name, []).append(time.perf_counter() - begun)

        return counted


@contextmanager
def testbed(light_pilots: int) -> Iterator[None]:
    """A DIRAC, with its environment in this process."""
    from gridcwl.testbed.service import InstallOptions
    from gridcwl.testbed.testbed import Testbed

    named = os.environ.get("GRIDCWL_TESTBED_DIR")
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-dirac-") as folder:
        options = InstallOptions(services=("dirac",), pilots=0, light_pilots=light_pilots, max_parametric_jobs=10_000)
        bed = Testbed(Path(named)) if named else Testbed(Path(folder) / "testbed", options)
        bed.ensure(("dirac",), lambda _text: None)
        os.environ.update(bed.exports())
        os.environ.pop("GRIDCWL_DIRAC_LONGEST_PAUSE", None)  # measured as a grid's DIRAC is asked
        try:
            yield
        finally:
            if not named:
                bed.down(lambda _text: None, wipe=True)


def bare_submission(client: Any, group: str, number: int, folder: Path) -> tuple[list[int], float]:
    """One parametric submission by DIRAC's own clients: numbers and seconds."""
    begun = time.perf_counter()
    script = folder / "script.sh"
    script.write_text("true\n")
    sandbox = client.put_sandbox([script])
    numbers = client.submit(BARE.format(group=group, sandbox=sandbox, number=number))
    client.confirm(numbers)
    return numbers, time.perf_counter() - begun


def jobs_of(run: str, number: int) -> list[Any]:
    """Shards of /bin/true."""
    return list(iter_jobs(run, number))


async def backend_submission(client: Any, number: int, folder: Path) -> float:
    """The same number of shards through the backend: seconds until all are confirmed. They are killed afterwards."""
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
    from gridcwl.runs.record.folder import new_run_id

    run = new_run_id()
    async with DiracBackend(client, DiracOptions(folder, window=number), run=run) as backend:
        jobs = jobs_of(run, number)
        begun = time.perf_counter()
        await backend.submit(jobs)
        await backend.settled()
        return time.perf_counter() - begun


async def backend_end_to_end(client: Any, number: int, folder: Path) -> tuple[float, float]:
    """Shards from submission to their results: seconds of wall and of this process's CPU."""
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
    from gridcwl.runs.record.folder import new_run_id

    run = new_run_id()
    async with DiracBackend(client, DiracOptions(folder, window=number), run=run) as backend:
        begun, cpu = time.perf_counter(), time.process_time()
        await backend.submit(jobs_of(run, number))
        left = number
        async for event in backend.results():
            if event.result is not None:
                assert event.result.outcome == "success", event.result
                left -= 1
            if not left:
                break
        return time.perf_counter() - begun, time.process_time() - cpu


def bare_end_to_end(client: Any, group: str, number: int, folder: Path) -> float:
    """Bare jobs from submission to their fetched output sandboxes, by DIRAC's own clients: seconds."""
    begun = time.perf_counter()
    waiting: Collection[int]
    waiting, _ = bare_submission(client, group, number, folder)
    while waiting:
        states: Mapping[int, Sequence[str]] = client.states(waiting)
        ended = {n for n, state in states.items() if state[0] in ("Done", "Failed")}
        for one in ended:
            client.sandbox(one)
        waiting = [n for n in waiting if n not in ended]
        time.sleep(1)
    return time.perf_counter() - begun


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=2, help="of bare and ours, each twice in a turn")
    parser.add_argument("--end-to-end", type=int, default=100)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10_000], help="numbers of jobs")
    parser.add_argument("--light-pilots", type=int, default=4)
    given = parser.parse_args()
    measure_memory(given.memory)
    with testbed(given.light_pilots), tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as folder:
        from gridcwl.backends.dirac.client import DiracClient

        client = Counted(DiracClient())
        client.most_jobs()
        if given.jobs:
            measure_submission(client, given, Path(folder))
        if given.end_to_end:
            measure_end_to_end(client, given, Path(folder))
    line("peak memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB")


def measure_submission(client: Any, given: argparse.Namespace, folder: Path) -> None:
    """Submission and status. Bare and ours take turns: what the server still does of one counts against the next."""
    group = f"bench-{os.getpid()}"
    most = min(given.jobs, client.most_jobs() or given.jobs)
    taken: dict[str, list[float]] = {"bare": [], "ours": []}
    status = 0.0
    for turn in ("bare", "ours", "ours", "bare") * given.turns:
        if turn == "ours":
            taken[turn].append(asyncio.run(backend_submission(client, most, folder)))
        else:
            numbers, took = bare_submission(client, group, most, folder)
            taken[turn].append(took)
            begun = time.perf_counter()
            client.states(numbers)
            status = time.perf_counter() - begun
            kill(client, numbers)
        time.sleep(3)
    bare, ours = (sum(taken[which]) / len(taken[which]) for which in ("bare", "ours"))
    line("submission, bare", f"{most / bare:7.0f} jobs/s", every=taken["bare"])
    line("submission, gridcwl", f"{most / ours:7.0f} jobs/s", bare / ours, every=taken["ours"])
    line(f"status of {most} jobs", f"{status:7.3f} s, 1 call")


def kill(client: Any, numbers: Sequence[int]) -> None:
    """Kill jobs, and wait until they are dead."""
    while left := [n for n, state in client.states(numbers).items() if state[0] not in ENDED]:
        client.kill(left)
        time.sleep(0.5)


def measure_end_to_end(client: Any, given: argparse.Namespace, folder: Path) -> None:
    """From submission to results, in turns, and what that costs here."""
    some = given.end_to_end
    alone: list[float] = []
    walls: list[float] = []
    cpu = 0.0
    client.calls.clear()
    for number, turn in enumerate(("bare", "ours", "ours", "bare") * given.turns):
        if turn == "bare":
            calls = dict(client.calls)
            alone.append(bare_end_to_end(client, f"bench-{os.getpid()}-{number}", some, folder))
            client.calls = calls
            continue
        wall, spent = asyncio.run(backend_end_to_end(client, some, folder))
        walls.append(wall)
        cpu += spent
    every = some * len(walls)
    line("end to end, bare", f"{every / sum(alone):7.2f} jobs/s", every=alone)
    line("end to end, gridcwl", f"{every / sum(walls):7.2f} jobs/s", sum(alone) / sum(walls), every=walls)
    line("client's CPU", f"{1000 * cpu / every:7.1f} ms a job")
    for name, took in sorted(client.calls.items()):
        line(f"  calls of {name}", f"{len(took):7d}, {1000 * sum(took) / len(took):.0f} ms each")


def measure_memory(numbers: Sequence[int]) -> None:
    """Peak memory of a process over the whole life of so many jobs, without DIRAC's own client, each by itself."""
    for number in numbers:
        words = [sys.executable, str(Path(__file__).with_name("memory.py")), str(number)]
        printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        line(
            f"life of {number} jobs",
            f"{printed[0]:>7} MiB at most, {printed[1]} ms of CPU a job without DIRAC's client",
        )


def line(name: str, value: str, ratio: float | None = None, every: Sequence[float] = ()) -> None:
    """One line of the table."""
    seconds = f"   ({', '.join(f'{each:.2f}' for each in every)} s)" if every else ""
    print(f"{name:28} {value}" + (f"   {ratio:.2f} of bare" if ratio is not None else "") + seconds, flush=True)
    note(name, **({} if ratio is None else {"x_bare": ratio}), text=" ".join(value.split()))


if __name__ == "__main__":
    main()
