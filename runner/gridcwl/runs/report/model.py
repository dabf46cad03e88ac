"""A report's contents as values: what a run is, how its steps stand and what they used, its timeline and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridcwl.runs.outline import OutlineStep
from gridcwl.runs.record.counts import StepCounts
from gridcwl.stores.reports import RunReport


@dataclass(frozen=True, slots=True)
class Spread:
    """How a number is spread over the jobs of a step. All are in one unit."""

    count: int
    least: float
    median: float
    p95: float
    """95 % of the jobs have at most this."""
    most: float
    total: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of these numbers; None if there are none."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    return Spread(
        len(ordered),
        ordered[0],
        ordered[last // 2],
        ordered[min(last, -(-95 * len(ordered) // 100) - 1)],
        ordered[last],
        sum(ordered),
    )


@dataclass(frozen=True, slots=True)
class Requested:
    """What the jobs of a step asked for, at least and at most."""

    cores: tuple[float, float]
    ram_mib: tuple[int, int]
    disk_mib: tuple[int, int]
    """``outdirMin`` and ``tmpdirMin`` together."""
    time_limit_s: int | None
    """The longest; None if any of them has no limit."""


@dataclass(frozen=True, slots=True)
class StepUsage:
    """What the jobs of one step asked for and used. Only jobs that ended well count for what was used."""

    name: str
    counts: StepCounts
    requested: Requested | None
    wall_s: Spread | None
    cpu_s: Spread | None
    busy_cores: Spread | None
    """CPU time by wall time, of jobs that ran for some seconds."""
    max_rss_mib: Spread | None
    read_bytes: Spread | None
    written_bytes: Spread | None
    disk_mib: Spread | None
    queued_s: Spread | None
    core_s: float
    """Requested cores times wall time, of all attempts."""
    spent_cpu_s: float
    """CPU time of all attempts."""
    attempts: int
    resumed: int
    """Results of earlier sessions of this run."""
    cached: int
    """Results of other runs."""
    images: tuple[str, ...]
    """Digests."""
    sites: Mapping[str, int]
    """Jobs by site, or by host where there are no sites."""
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt on the timeline. Times are seconds since 1970."""

    start: float
    end: float
    step: int
    """Its place in ``RunDetails.steps``."""
    site: int
    """Its place in ``RunDetails.sites``."""
    cores: float
    outcome: str
    """``running`` if it has not ended."""
    name: str = ""
    """Of the job; empty if there are too many."""


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Failures of one kind."""

    step: str
    count: int
    outcome: str
    exit_code: int | None
    reason: str
    jobs: tuple[tuple[str, str], ...]
    """The first ones: name, and inputs in words."""
    stderr: str
    """The last lines that the first of them wrote."""
    stream: str
    """``stderr`` or ``stdout``: some programs complain there."""
    logs: str
    """The folder of its logs."""


@dataclass(frozen=True, slots=True)
class Value:
    """An input or an output of the run that is no file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class FileDetails:
    """A file or directory among the run's inputs or outputs."""

    name: str
    """Of the input or output."""
    place: str
    """A path, a URL, or a DID."""
    kind: str
    """``File`` or ``Directory``."""
    size: int | None
    checksum: str
    replicas: tuple[str, ...] = ()
    """Storage elements that have it, as far as known."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The first ones of a list, and how many there are."""

    values: tuple[Value, ...] = ()
    files: tuple[FileDetails, ...] = ()
    number: int = 0
    """Files in all."""
    size: int = 0
    """Bytes in all, as far as known."""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """All that a report shows."""

    about: Mapping[str, Any]
    """As ``gridcwl status --json`` has it: ``run``, ``state``, ``document``, ``started`` and so on."""
    at: float
    """When this was read."""
    backend: str
    store: str
    version: str
    sessions: int
    steps: tuple[StepUsage, ...]
    outline: tuple[OutlineStep, ...]
    sites: tuple[str, ...]
    bars: tuple[Bar, ...]
    failures: tuple[FailureDetails, ...]
    more_failures: int
    inputs: Listed
    outputs: Listed
    origins: Mapping[str, int]
    """Other runs whose results were taken, with their numbers."""
    stored: RunReport | None = None
    """What Rucio has of it."""
    notes: tuple[str, ...] = field(default=())
    """What could not be read."""

    @property
    def suggestions(self) -> tuple[str, ...]:
        """Those of all steps."""
        return tuple(text for step in self.steps for text in step.suggestions)

    def total(self, name: str) -> float:
        """The sum of a spread over all steps."""
        spreads = (getattr(step, name) for step in self.steps)
        return float(sum(one.total for one in spreads if one is not None))
