"""The engine alone, with a backend that answers at once: time for each shard, growth and memory.

    PYTHONPATH=runner python benchmarks/engine/bench.py

The bare limit is a loop that makes one dict and appends one value to a list for each shard. Each figure is the best of
several rounds of all shapes in turn, each in a process of its own, so that one shape's garbage is not another's memory
and a busy minute does not meet one shape only. Times are CPU times: the engine waits for nothing, so on an idle machine
that is also how long it takes.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from results import note

from gridcwl.engine import Dataflow, Invocation, Leaf, Sink, Step, Workflow


class NoExpressions:
    """The evaluator of workflows that have none."""

    def enter(self, _workflow: Workflow, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return inputs

    def load_contents(self, _step: Step, value: Any) -> Any:
        return value

    def evaluate(self, _step: Step, expression: Any, inputs: Mapping[str, Any], _self_value: Any) -> Any:
        return expression(inputs)


def file(number: int) -> dict[str, Any]:
    """A File as a run has it: what a shard's output costs whoever made it."""
    return {
        "class": "File",
        "location": f"rucio://ctao/shard_{number:06}.h5",
        "basename": f"shard_{number:06}.h5",
        "size": number,
        "checksum": f"sha1${number:040x}",
    }


def identity(inputs: Mapping[str, Any]) -> Any:
    return inputs["x"]


def step(name: str, run: Leaf | Workflow, source: str, **fields: Any) -> Step:
    return Step(name, run, (Sink("x", (source,)),), ("out",), **fields)


def main_workflow(*steps: Step, out: str, inputs: tuple[str, ...] = ("x",)) -> Workflow:
    return Workflow("main", inputs, steps, (Sink("out", (out,)),))


def scatter(n: int, answer: Callable[..., Any] = identity, item: Callable[[int], Any] = int, **fields: Any) -> Any:
    process = main_workflow(step("s", Leaf("t", handle=answer), "x", scatter=("x",), **fields), out="s/out")
    return process, {"x": [item(number) for number in range(n)]}, n


def scatter_of_files(n: int) -> Any:
    return scatter(n, lambda inputs: file(inputs["x"]["size"]), file)


def scatter_with_when(n: int) -> Any:
    return scatter(n, when=lambda inputs: inputs["x"] % 2 == 0)


def scatter_of_sub_workflows(n: int) -> Any:
    leaf = Leaf("t", handle=identity)
    inner = Workflow("inner", ("x",), (step("a", leaf, "x"), step("b", leaf, "a/out")), (Sink("out", ("b/out",)),))
    return main_workflow(step("s", inner, "x", scatter=("x",)), out="s/out"), {"x": list(range(n))}, 2 * n


def chain(n: int) -> Any:
    sources = ["x", *[f"s{number}/out" for number in range(n)]]
    leaf = Leaf("t", handle=identity)
    steps = [step(f"s{number}", leaf, sources[number]) for number in range(n)]
    return main_workflow(*steps, out=sources[-1]), {"x": 1}, n


def grid(n: int) -> Any:
    cell = Step(
        "s",
        Leaf("t", handle=identity),
        (Sink("x", ("x",)), Sink("y", ("y",))),
        ("out",),
        ("x", "y"),
        "nested_crossproduct",
    )
    axis = list(range(n))
    return main_workflow(cell, out="s/out", inputs=("x", "y")), {"x": axis, "y": axis}, n * n


def gather(n: int) -> Any:
    shards = step("s", Leaf("t", handle=lambda inputs: file(inputs["x"])), "x", scatter=("x",))
    merge = step("merge", Leaf("t", handle=lambda inputs: len(inputs["x"])), "s/out")
    return main_workflow(shards, merge, out="merge/out"), {"x": list(range(n))}, n + 1


def deep(n: int) -> Any:
    process: Leaf | Workflow = Leaf("t", handle=identity)
    for level in range(n):
        process = Workflow(f"wf{level}", ("x",), (step("s", process, "x"),), (Sink("out", ("s/out",)),))
    return main_workflow(step("s", process, "x", scatter=("x",)), out="s/out"), {"x": list(range(1000))}, 1000


SHAPES: dict[str, tuple[Callable[[int], Any], int, str]] = {
    "scatter 1,000": (scatter, 1_000, ""),
    "scatter 10,000": (scatter, 10_000, ""),
    "scatter 100,000": (scatter, 100_000, "scatter 10,000"),
    "scatter 1,000,000": (scatter, 1_000_000, "scatter 100,000"),
    "scatter 10,000 Files": (scatter_of_files, 10_000, ""),
    "scatter 100,000 Files": (scatter_of_files, 100_000, "scatter 10,000 Files"),
    "scatter 100,000 with when": (scatter_with_when, 100_000, ""),
    "scatter 10,000 sub-workflows of 2 steps": (scatter_of_sub_workflows, 10_000, ""),
    "scatter 100,000 sub-workflows of 2 steps": (
        scatter_of_sub_workflows,
        100_000,
        "scatter 10,000 sub-workflows of 2 steps",
    ),
    "chain of 1,000 steps": (chain, 1_000, ""),
    "chain of 10,000 steps": (chain, 10_000, "chain of 1,000 steps"),
    "nested crossproduct 300 x 300": (grid, 300, ""),
    "gather of 10,000 Files": (gather, 10_000, ""),
    "50 levels of sub-workflow, 1,000 times": (deep, 50, ""),
}


def finish(process: Workflow, inputs: Mapping[str, Any], window: int) -> Dataflow:
    """Run to the end on a backend that answers at once, so many invocations at a time."""
    flow = Dataflow(process, inputs, NoExpressions())
    while not flow.done:
        batch: list[Invocation] = flow.take(window)
        for invocation in batch:
            flow.succeed(invocation.id, {"out": invocation.leaf.handle(invocation.inputs)})  # type: ignore[operator]
    if flow.status != "success":
        raise SystemExit(str(flow.errors[0]))
    return flow


def bare(process: Workflow, inputs: Mapping[str, Any], count: int) -> float:
    """The same calls of the same function, and nothing but a list to keep what comes back."""
    run = process.steps[0].run
    answer = run.handle if isinstance(run, Leaf) else identity
    values = inputs["x"] if isinstance(inputs["x"], list) else [inputs["x"]]
    start = time.process_time()
    kept: list[Any] = []
    for number in range(count):
        kept.append(answer({"x": values[number % len(values)]}))  # type: ignore[operator]
    return time.process_time() - start


def measure(shape: str, window: int, traced: bool) -> dict[str, float]:
    make, size, _ = SHAPES[shape]
    process, inputs, count = make(size)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if traced:
        tracemalloc.start()
        finish(process, inputs, window)
        return {"traced_mb": tracemalloc.get_traced_memory()[1] / 1e6}
    start = time.process_time()
    flow = finish(process, inputs, window)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del flow
    return {
        "us": seconds / count * 1e6,
        "bare_us": bare(process, inputs, count) / count * 1e6,
        "count": count,
        "grown_mb": (peak - before) / 1e3,
        "peak_mb": peak / 1e3,
    }


def apart(shape: str, window: int, *flags: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--only", shape, "--window", str(window), *flags]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def report(rounds: int, window: int) -> None:
    print(f"Python {sys.version.split()[0]}, window of {window} invocations, best of {rounds} rounds\n")
    columns = ("us/shard", "shards/s", "x bare", "growth", "traced MB", "process MB")
    print(f"{'':42}" + "".join(f"{name:>12}" for name in columns))
    measured: dict[str, list[dict[str, float]]] = {shape: [] for shape in SHAPES}
    for _ in range(rounds):
        for shape, found in measured.items():
            found.append(apart(shape, window))
    times: dict[str, float] = {}
    for shape, (_, _, smaller) in SHAPES.items():
        found = measured[shape]
        traced = apart(shape, window, "--traced")["traced_mb"]
        us = times[shape] = min(one["us"] for one in found)
        limit = min(one["bare_us"] for one in found)
        growth = f"{us / times[smaller]:.2f}" if smaller else ""
        peak = max(one["peak_mb"] for one in found)
        print(f"{shape:42}{us:12.2f}{1e6 / us:12,.0f}{us / limit:12.1f}{growth:>12}{traced:12.1f}{peak:12.0f}")
        note(shape, us_per_shard=us, x_bare=us / limit, traced_mb=traced, peak_mb=peak)
    print(
        "\ngrowth: time for each shard against that at a tenth of the size. traced MB: peak of what the run allocated."
    )
    print(
        "process MB: peak of the whole process, with the input object. x bare: against appending to a list in a loop."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=int, default=64, help="invocations in flight at most")
    parser.add_argument("--only", choices=SHAPES, help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.window, options.traced)))
    else:
        report(options.rounds, options.window)


if __name__ == "__main__":
    main()
