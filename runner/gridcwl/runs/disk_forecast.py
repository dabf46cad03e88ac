"""Disk forecast: how much of a worker's disk a job of each step takes at most, known before any job has run.

It is the inputs that are transferred to the worker, and what the tool writes: as much as jobs of the same step wrote in
an earlier run of the document, in proportion to their inputs; or else what the tool requests (``outdirMin`` and
``tmpdirMin``), which is an upper bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.runs.reuse.forecast import earlier_runs
from gridcwl.runs.units import amount

if TYPE_CHECKING:
    from gridcwl.model import Job
    from gridcwl.runs.planning import PlannedStep
    from gridcwl.runs.record.history import History

_SAMPLES = 100
_ALIKE = 0.05
"""Inputs whose sizes differ by less than this do not show what depends on them."""


@dataclass(frozen=True, slots=True)
class Sample:
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
        remote: jobs run elsewhere, so that all inputs are transferred.
    """

    document: str
    state_dir: Path
    remote: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)
    _earlier: list[tuple[str, History]] | None = None

    def of(self, step: PlannedStep) -> DiskForecast:
        """The forecast for a step."""
        run, samples = self._samples(step.name)
        if not step.jobs and samples:
            most = max(samples, key=lambda sample: sample.fetched + sample.written)
            return DiskForecast(most.fetched, most.written, run)
        jobs = step.jobs or (step.sample,)
        found = [
            DiskForecast(self._transferred(job), expected(_input_bytes(job), samples), run)
            if samples
            else DiskForecast(self._transferred(job), (job.resources.out_mib + job.resources.tmp_mib) << 20)
            for job in jobs
        ]
        return max(found, key=lambda each: each.inputs + each.written)

    def close(self) -> None:
        """Close the journals."""
        self._stack.close()

    def _transferred(self, job: Job) -> int:
        return sum(
            entry.size or 0
            for entry in job.staged
            if entry.sources and (self.remote or not any(_is_local(source) for source in entry.sources))
        )

    def _samples(self, step: str) -> tuple[str, list[Sample]]:
        if self._earlier is None:
            self._earlier = list(earlier_runs(self.document, self.state_dir, self._stack))
        for run, history in self._earlier:
            if samples := list(_measured(history, step)):
                return run, samples
        return "", []


def expected(inputs: int, samples: Sequence[Sample]) -> int:
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


def _measured(history: History, step: str) -> Iterator[Sample]:
    rows = history.jobs(step=step, where="outcome = 'success' AND reused IS NULL", newest_first=True)
    for row, _ in zip((row for row in rows if row.step == step), range(_SAMPLES), strict=False):
        usage = history.result(row.row, row.attempt).usage
        if usage is None or usage.disk_bytes is None:
            continue
        fetched = usage.fetched_bytes or 0
        yield Sample(_described_bytes(history.description(row.row).own) or fetched, fetched, usage.disk_bytes)


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


def _input_bytes(job: Job) -> int:
    return sum(entry.size or 0 for entry in job.staged if entry.sources)


def _is_local(source: str) -> bool:
    return source.startswith("file://") or "://" not in source
