"""Disk forecast: how much of a worker's disk a job of each step takes at most, known before any job has run.

It is the inputs that are transferred to the worker, and what the tool writes: as much as jobs of the same step wrote in
an earlier run of the document, in proportion to their inputs; or else what the tool requests (``outdirMin`` and
``tmpdirMin``), which is an upper bound. A step whose inputs come from others is in proportion to the inputs of the run;
what stays the same, such as an image, shows when there are earlier runs of two sizes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.runs.reuse.forecast import earlier_runs
from gridcwl.runs.units import amount

if TYPE_CHECKING:
    from gridcwl.model import Job
    from gridcwl.runs.planning import PlannedStep
    from gridcwl.runs.record.history import History

_SAMPLES = 2000
_PARTS = 1000
"""Shares are counted in these, so that they are whole numbers."""
_ALIKE = 0.05
"""Inputs whose sizes differ by less than this do not show what depends on them."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What a job of an earlier run had on its disk, in bytes."""

    inputs: int
    """All that it read; 0 is unknown."""
    fetched: int
    """Of the inputs what was transferred to its disk."""
    written: int


@dataclass(frozen=True, slots=True)
class DiskForecast:
    """The job of a step that takes the most space.

    Attributes:
        inputs: bytes that are transferred to its disk.
        written: bytes that it writes.
        run: the earlier run that this rests on; empty if it is only what the tool requests.
    """

    inputs: int
    written: int
    run: str = ""

    def __str__(self) -> str:
        """For the plan."""
        total = amount(self.inputs + self.written)
        read = f"{amount(self.inputs)} of inputs and " if self.inputs else ""
        if self.run:
            return f"{total} for one job: {read}{amount(self.written)} written, going by run {self.run}"
        return f"up to {total} for one job: {read}{amount(self.written)} requested; no earlier run is known"


@dataclass(slots=True)
class DiskForecaster:
    """Looks steps up in the earlier runs of a document.

    Attributes:
        document: of the run.
        state_dir: of the run records.
        steps: all steps of the plan.
        remote: jobs run elsewhere, so that all inputs are transferred.
    """

    document: str
    state_dir: Path
    steps: Sequence[PlannedStep]
    remote: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)
    _runs: list[_EarlierRun] | None = None

    def of(self, step: PlannedStep) -> DiskForecast:
        """The forecast for a step."""
        runs = [run for run in self._earlier() if run.samples(step.name)]
        if not runs:
            asked = (each.resources for each in (job for job in (*step.jobs, step.sample)))
            most = max((resources.out_mib + resources.tmp_mib) << 20 for resources in asked)
            return DiskForecast(max(map(self._transferred, step.jobs), default=0), most)
        if not step.jobs:
            return self._downstream(step, runs)
        samples = runs[0].samples(step.name)
        fetched = [replace(sample, written=sample.fetched) for sample in samples]
        found = [
            DiskForecast(expected(size, fetched), expected(size, samples), runs[0].name)
            for size in map(input_bytes, step.jobs)
        ]
        return max(found, key=lambda each: each.inputs + each.written)

    def close(self) -> None:
        """Close the journals."""
        self._stack.close()

    def _downstream(self, step: PlannedStep, runs: Sequence[_EarlierRun]) -> DiskForecast:
        """Of a step whose inputs come from others: by the share of the run's inputs that falls to each of its jobs.

        Inputs are counted in bytes, or in jobs that read them where an earlier run does not have their sizes.
        """
        first = [each for each in self.steps if each.jobs]
        ready = [input_bytes(job) for each in first for job in each.jobs]
        before = [run.inputs(each.name for each in first) for run in runs]
        sized = all(ready) and all(all(sizes) for sizes in before)
        loads = [sum(sizes) if sized else len(sizes) for sizes in (ready, *before)]
        grown = len(ready) / (len(before[0]) or len(ready) or 1)
        jobs = step.number or max(1, round(len(runs[0].samples(step.name)) * grown))
        shares = []
        for run, load in zip(runs, loads[1:], strict=True):
            samples = run.samples(step.name)
            most = max(samples, key=lambda sample: sample.fetched + sample.written)
            shares.append(DiskUse(_PARTS * load // len(samples), most.fetched, most.written))
        fetched = [replace(share, written=share.fetched) for share in shares]
        share = _PARTS * loads[0] // jobs
        return DiskForecast(expected(share, fetched), expected(share, shares), runs[0].name)

    def _transferred(self, job: Job) -> int:
        return sum(
            entry.size or 0
            for entry in job.staged
            if entry.sources and (self.remote or not any(_is_local(source) for source in entry.sources))
        )

    def _earlier(self) -> list[_EarlierRun]:
        if self._runs is None:
            found = earlier_runs(self.document, self.state_dir, self._stack)
            self._runs = [_EarlierRun(name, history) for name, history in found]
        return self._runs


@dataclass(slots=True)
class _EarlierRun:
    """What the jobs of an earlier run took, step by step."""

    name: str
    history: History
    _samples: dict[str, list[DiskUse]] = field(default_factory=dict)

    def inputs(self, steps: Iterable[str]) -> list[int]:
        """What the jobs of these steps read, in bytes; 0 is unknown."""
        return [sample.inputs for step in steps for sample in self.samples(step)]

    def samples(self, step: str) -> list[DiskUse]:
        """Those of a step."""
        if step not in self._samples:
            self._samples[step] = list(_measured(self.history, step))
        return self._samples[step]


def expected(inputs: int, samples: Sequence[DiskUse]) -> int:
    """Bytes that a job with inputs of this size writes, if it is like the samples: on a line through them.

    Where all samples have inputs of one size, what is written is in proportion to it.
    """
    known = [sample for sample in samples if sample.inputs]
    most = max(sample.written for sample in samples)
    if not inputs or not known:
        return most
    least, largest = min(known, key=lambda one: one.inputs), max(known, key=lambda one: one.inputs)
    if largest.inputs < least.inputs * (1 + _ALIKE):
        return round(max(sample.written / sample.inputs for sample in known) * inputs)
    slope = (largest.written - least.written) / (largest.inputs - least.inputs)
    above = max(sample.written - slope * sample.inputs for sample in known)
    return max(0, round(above + slope * inputs))


def _measured(history: History, step: str) -> Iterator[DiskUse]:
    rows = history.jobs(step=step, where="outcome = 'success' AND reused IS NULL", newest_first=True)
    for row, _ in zip((row for row in rows if row.step == step), range(_SAMPLES), strict=False):
        usage = history.result(row.row, row.attempt).usage
        if usage is None or usage.disk_bytes is None or usage.fetched_bytes is None:
            continue
        read = _described_bytes(history.description(row.row).own) or usage.fetched_bytes
        yield DiskUse(read, usage.fetched_bytes, usage.disk_bytes)


def _described_bytes(own: bytes) -> int:
    """The size of a recorded job's inputs; 0 if one of them is unknown."""
    total = 0
    for words in json.loads(own).get("inputs", {}).values():
        if not isinstance(words, list) or words[:1] == ["directory"]:
            if isinstance(words, list) and len(words) > 1:
                return 0  # a directory that is known as a whole
            continue
        if not isinstance(words[-1], int):
            return 0
        total += words[-1]
    return total


def input_bytes(job: Job) -> int:
    """The size of all inputs that have to be fetched, as far as it is known."""
    return sum(entry.size or 0 for entry in job.staged if entry.sources)


def _is_local(source: str) -> bool:
    return source.startswith("file://") or "://" not in source
