"""What gridcwl adds to DIRAC: submission, following and fetching against DIRAC's own API doing the same, in one run.

    make bench BENCH=dirac
    python benchmarks/dirac/bench.py [--jobs 1000] [--end-to-end 100] [--light-pilots 4]

Brings up a testbed of its own with a real DIRAC, unless GRIDCWL_TESTBED_DIR names one. Submission: one bare parametric
submission of /bin/true by DIRAC's JobManagerClient and SandboxStoreClient, then the same number of shards by the
backend. Status: seconds to look at all of them once. End to end: jobs of /bin/true by light pilots, bare and as
gridcwl's jobs, each with its output sandbox fetched; CPU is that of this process over the whole life of the jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    from gridcwl.testbed.service import Options
    from gridcwl.testbed.testbed import Testbed

    named = os.environ.get("GRIDCWL_TESTBED_DIR")
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-dirac-") as folder:
        options = Options(services=("dirac",), pilots=0, light_pilots=light_pilots, max_parametric_jobs=10_000)
        bed = Testbed(Path(named)) if named else Testbed(Path(folder) / "testbed", options)
        bed.ensure(("dirac",), lambda _text: None)
        os.environ.update(bed.exports())
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
    from gridcwl.model import Job, JobId, OutputRules, RunId

    return [
        Job(JobId(f"{run}-1-{n}"), RunId(run), f"true[{n}]", ("/bin/true",), outputs=OutputRules(()))
        for n in range(1, number + 1)
    ]


async def backend_submission(client: Any, number: int, folder: Path) -> float:
    """The same number of shards through the backend: seconds until all are confirmed. They are killed afterwards."""
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
    from gridcwl.runs.run import new_run_id

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
    from gridcwl.runs.run import new_run_id

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
    parser.add_argument("--end-to-end", type=int, default=100)
    parser.add_argument("--light-pilots", type=int, default=4)
    given = parser.parse_args()
    with testbed(given.light_pilots), tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as folder:
        measure(given, Path(folder))


def measure(given: argparse.Namespace, folder: Path) -> None:
    """All of it."""
    from gridcwl.backends.dirac.client import DiracClient

    client = Counted(DiracClient())
    client.most_jobs()
    group = f"bench-{os.getpid()}"
    most = min(given.jobs, client.most_jobs() or given.jobs)
    bare = ours = status = 0.0
    for turn in ("bare", "ours", "ours", "bare"):  # what the server still does of one counts against the next
        if turn == "ours":
            ours += asyncio.run(backend_submission(client, most, folder)) / 2
            continue
        numbers, took = bare_submission(client, group, most, folder)
        bare += took / 2
        begun = time.perf_counter()
        client.states(numbers)
        status = time.perf_counter() - begun
        while left := [
            n for n, state in client.states(numbers).items() if state[0] not in ("Done", "Failed", "Killed")
        ]:
            client.kill(left)
            time.sleep(0.5)
    line("submission, bare", f"{most / bare:7.0f} jobs/s")
    line("submission, gridcwl", f"{most / ours:7.0f} jobs/s", bare / ours)
    line(f"status of {most} jobs", f"{status:7.3f} s, 1 call")
    some = given.end_to_end
    alone = bare_end_to_end(client, group + "e", some, folder)
    client.calls.clear()
    wall, cpu = asyncio.run(backend_end_to_end(client, some, folder))
    line("end to end, bare", f"{some / alone:7.2f} jobs/s")
    line("end to end, gridcwl", f"{some / wall:7.2f} jobs/s", alone / wall)
    line("client's CPU", f"{1000 * cpu / some:7.1f} ms a job")
    for name, took in sorted(client.calls.items()):
        line(f"  calls of {name}", f"{len(took):7d}, {1000 * sum(took) / len(took):.0f} ms each")
    line("peak memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB")


def line(name: str, value: str, ratio: float | None = None) -> None:
    """One line of the table."""
    print(f"{name:28} {value}" + (f"   {ratio:.2f} of bare" if ratio is not None else ""), flush=True)


if __name__ == "__main__":
    main()
