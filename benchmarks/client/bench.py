"""The whole client with a backend that answers at once: time for each job, growth and peak memory.

    make bench BENCH=client
    python benchmarks/client/bench.py [--shapes scatter-10000 ...] [--limit-s 600]

Everything is as in a run from the command line, with documents and input objects read from files, jobs resolved, the
journal written and the output object printed; only the jobs do not run: each is answered in the moment in which it is
submitted, with one output file that lies elsewhere. Each shape runs in a process of its own, whose CPU seconds and peak
memory are printed. Growth is the CPU time for each job against that at a tenth of the size.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TOOL = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["cat"],
    "inputs": {"x": {"type": "File", "inputBinding": {}}},
    "outputs": {"out": {"type": "File", "outputBinding": {"glob": "out.txt"}}},
    "stdout": "out.txt",
}
GATHER = {**TOOL, "inputs": {"x": {"type": "File[]", "inputBinding": {}}}}
PAIR = {**TOOL, "inputs": {"x": {"type": "File", "inputBinding": {}}, "y": {"type": "File", "inputBinding": {}}}}
FEATURES = ("ScatterFeatureRequirement", "SubworkflowFeatureRequirement")
Cwl = dict[str, Any]


def file(number: int) -> Cwl:
    name = f"shard_{number:06}.h5"
    return {"class": "File", "location": f"srm://storage.example/ctao/{name}", "basename": name, "size": number}


def workflow(inputs: Cwl, outputs: Cwl, steps: Cwl) -> Cwl:
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "requirements": {name: {} for name in FEATURES},
        "inputs": inputs,
        "outputs": outputs,
        "steps": steps,
    }


def step(run: Cwl | str, source: str, **fields: Any) -> Cwl:
    return {"run": run, "in": {"x": source}, "out": ["out"], **fields}


def scatter(n: int) -> tuple[Cwl, Cwl, int]:
    out = {"out": {"type": "File[]", "outputSource": "s/out"}}
    made = workflow({"x": "File[]"}, out, {"s": step(TOOL, "x", scatter="x")})
    return made, {"x": [file(number) for number in range(n)]}, n


def chain(n: int) -> tuple[Cwl, Cwl, int]:
    sources = ["x", *[f"s{number}/out" for number in range(n)]]
    steps = {f"s{number}": step("tool.cwl", sources[number]) for number in range(n)}
    return workflow({"x": "File"}, {"out": {"type": "File", "outputSource": sources[-1]}}, steps), {"x": file(1)}, n


def grid(n: int) -> tuple[Cwl, Cwl, int]:
    cell = {
        "run": PAIR,
        "in": {"x": "x", "y": "y"},
        "out": ["out"],
        "scatter": ["x", "y"],
        "scatterMethod": "nested_crossproduct",
    }
    rows = {"type": "array", "items": {"type": "array", "items": "File"}}
    made = workflow({"x": "File[]", "y": "File[]"}, {"out": {"type": rows, "outputSource": "s/out"}}, {"s": cell})
    axis = [file(number) for number in range(n)]
    return made, {"x": axis, "y": axis}, n * n


def gather(n: int) -> tuple[Cwl, Cwl, int]:
    steps = {"s": step(TOOL, "x", scatter="x"), "merge": step(GATHER, "s/out")}
    made = workflow({"x": "File[]"}, {"out": {"type": "File", "outputSource": "merge/out"}}, steps)
    return made, {"x": [file(number) for number in range(n)]}, n + 1


def deep(levels: int) -> tuple[Cwl, Cwl, int]:
    made = TOOL
    for _ in range(levels):
        made = workflow({"x": "File"}, {"out": {"type": "File", "outputSource": "s/out"}}, {"s": step(made, "x")})
    out = {"out": {"type": "File[]", "outputSource": "s/out"}}
    outer = workflow({"x": "File[]"}, out, {"s": step(made, "x", scatter="x")})
    return outer, {"x": [file(number) for number in range(100)]}, 100


Shape = tuple[Callable[[int], tuple[Cwl, Cwl, int]], int, str]
SHAPES: dict[str, Shape] = {
    "scatter-1000": (scatter, 1_000, ""),
    "scatter-10000": (scatter, 10_000, ""),
    "scatter-100000": (scatter, 100_000, "scatter-10000"),
    "chain-1000": (chain, 1_000, ""),
    "crossproduct-300x300": (grid, 300, ""),
    "gather-10000": (gather, 10_000, ""),
    "levels-50": (deep, 50, ""),
}


class AtOnce:
    """A backend whose jobs have ended when they are submitted."""

    def __init__(self, keep: Callable[..., None]) -> None:
        from gridcwl.backends.base import Capabilities

        self.capabilities = Capabilities(containers=True, survives_client=False, batch_size=100, window=1000)
        self._keep = keep
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def check(self, _samples: Sequence[Any]) -> None:
        """Everything could run."""

    async def settled(self) -> None:
        """Nothing is under way."""

    async def submit(self, jobs: Sequence[Any]) -> None:
        from gridcwl.model import JobEvent, JobResult, JobState, Outcome, ProducedFile, Usage

        for job in jobs:
            digest = hashlib.sha1(job.id.encode()).hexdigest()
            made = ProducedFile("out.txt", "file", f"srm://storage.example/ctao/{job.id}.txt", 1000, digest)
            usage = Usage("2026-01-01T00:00:00Z", 1.0, 1.0, 1.0, "nowhere")
            result = JobResult(job.id, Outcome.SUCCESS, 0, files=(made,), usage=usage)
            self._keep(job, result)
            self._events.put_nowait(JobEvent(job.id, JobState.RUNNING))
            self._events.put_nowait(JobEvent(job.id, JobState.DONE, result))

    async def results(self) -> AsyncIterator[Any]:
        while (event := await self._events.get()) is not None:
            yield event

    async def cancel(self, _job_ids: Collection[Any], *, running: bool = True) -> None:
        """Nothing runs."""

    async def recover(self, _run: Any) -> Mapping[Any, Any]:
        return {}

    async def close(self) -> None:
        self._events.put_nowait(None)


def client(arguments: list[str]) -> int:
    """gridcwl's command line, with that backend instead of a real one."""
    from gridcwl.cli import main
    from gridcwl.runs import session

    session.open_backend = lambda _choice, place: AtOnce(place.keep)  # type: ignore[assignment,return-value]
    return main.main(arguments)


@dataclass(frozen=True, slots=True)
class Cost:
    wall_s: float
    cpu_s: float
    peak_mb: float
    """Of the process itself, in 10^6 bytes."""


def measure(command: list[str], environment: Mapping[str, str], limit_s: float) -> Cost | str:
    """What a whole process cost; or why there is nothing to say."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        while time.perf_counter() - begun < limit_s:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        else:
            process.kill()
            process.wait()
            return f"not finished after {limit_s:g} s"
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            return f"failed with {process.returncode}: {said.read()[-500:].decode(errors='replace').strip()}"
    return Cost(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def write(folder: Path, shape: str) -> tuple[list[str], int]:
    """The shape's document and input object as files; the words that name them, and how many jobs there are."""
    make, size, _ = SHAPES[shape]
    document, inputs, jobs = make(size)
    (folder / "tool.cwl").write_text(json.dumps(TOOL))
    (folder / f"{shape}.cwl").write_text(json.dumps(document))
    (folder / f"{shape}.json").write_text(json.dumps(inputs))
    return [str(folder / f"{shape}.cwl"), str(folder / f"{shape}.json")], jobs


def command(folder: Path, shape: str) -> tuple[list[str], int]:
    """What runs a shape, and how many jobs it has."""
    words, jobs = write(folder, shape)
    options = ["--quiet", "--no-container", "--outdir", str(folder / "out"), "--tmpdir-prefix", f"{folder}/w-"]
    return [sys.executable, __file__, "--client", *options, *words], jobs


def report(shapes: Sequence[str], limit_s: float, repeat: int) -> None:
    print(f"The whole client, jobs answered at once, best of {repeat}")
    print(f"{'':<22}{'jobs':>8}{'wall s':>8}{'CPU s':>8}{'us/job':>8}{'jobs/s':>8}{'growth':>8}{'peak MB':>9}")
    each: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as name:
        folder = Path(name)
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "GRIDCWL_STATE_DIR": str(folder / "state")}
        measure(command(folder, "scatter-1000")[0], os.environ | own, limit_s)  # brings CWL's schemas into the cache
        for shape in shapes:
            words, jobs = command(folder, shape)
            found = [measure(words, os.environ | own, limit_s) for _ in range(repeat)]
            costs = [one for one in found if isinstance(one, Cost)]
            if not costs:
                print(f"{shape:<22}{jobs:>8} {found[0]}", flush=True)
                continue
            cost = min(costs, key=lambda one: one.cpu_s)
            each[shape] = cost.cpu_s / jobs
            smaller = SHAPES[shape][2]
            growth = f"{each[shape] / each[smaller]:.2f}" if smaller in each else ""
            peak = max(one.peak_mb for one in costs)
            print(
                f"{shape:<22}{jobs:>8}{cost.wall_s:>8.2f}{cost.cpu_s:>8.2f}{each[shape] * 1e6:>8.0f}"
                f"{jobs / cost.cpu_s:>8.0f}{growth:>8}{peak:>9.0f}",
                flush=True,
            )


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        sys.exit(client(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--limit-s", type=float, default=900.0, help="for one run")
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    report(given.shapes, given.limit_s, given.repeat)


if __name__ == "__main__":
    main()
