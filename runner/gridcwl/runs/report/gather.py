"""From a journal to the contents of a report, in one pass over the jobs; the run may be active."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gridcwl.model.objects import entries
from gridcwl.runs.options import saved_grid
from gridcwl.runs.outline import read_outline
from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import FAILED, History
from gridcwl.runs.record.job_records import AttemptRecord, JobRecord
from gridcwl.runs.record.journal_rows import FailureGroup
from gridcwl.runs.record.listing import about_run
from gridcwl.runs.record.logs import found_log
from gridcwl.runs.report.advice import suggestions
from gridcwl.runs.report.model import (
    Bar,
    FailureDetails,
    FileDetails,
    Listed,
    Requested,
    RunDetails,
    Spread,
    StepUsage,
    Value,
    spread,
)
from gridcwl.worker.failure import crossed_out

NAMED_BARS = 1500
"""With more attempts than this, the timeline shows how many cores are busy, and no single job."""
_GROUPS = 20
_OF_A_GROUP = 5
_FILES = 200
_VALUES = 100
_LONGEST_VALUE = 500
_ORIGINS = 20
_TAIL_BYTES = 4096
_BUSY_FROM_S = 2.0
"""Shorter jobs say little of how many cores they keep busy."""


def gathered(folder: RunFolder, history: History, at: float) -> RunDetails:
    """The contents of a report of a run.

    Args:
        folder: of the run.
        history: its journal.
        at: the time now; what runs has run until then.
    """
    about = about_run(folder, history)
    active = about["state"] in ("running", "detached")
    options = history.meta("options") or {}
    grid = saved_grid(options)
    view = _Jobs(until=at if active else float(about["ended"] or at), named=True)
    for record in history.records():
        view.add(record)
    counts = {one.step: one for one in step_counts(history, alive=active)}
    names = list(dict.fromkeys([*counts, *view.steps]))
    order = {name: number for number, name in enumerate(names)}
    steps = [view.usage(name, counts.get(name, StepCounts(name))) for name in names]
    sessions = history.sessions()
    groups = history.failure_groups(_GROUPS)
    partial = history.meta("partial") or {}
    return RunDetails(
        about=about,
        at=at,
        backend=grid.backend,
        store=str((options.get("store") or {}).get("store", "local")),
        version=history.version(),
        sessions=len(sessions),
        steps=tuple(replace(step, suggestions=suggestions(step, remote=grid.is_elsewhere)) for step in steps),
        outline=tuple(read_outline(history.meta("graph"))),
        sites=tuple(view.sites),
        bars=view.bars(order),
        failures=tuple(failure_details(folder, history, group) for group in groups),
        more_failures=max(0, int(about["failed"]) - sum(group.count for group in groups)),
        inputs=listed(history.meta("inputs") or {}),
        outputs=listed(history.meta("outputs") or partial.get("outputs") or {}),
        origins=dict(view.origins.most_common(_ORIGINS)),
    )


@dataclass(slots=True)
class _Step:
    """What is collected of a step: numbers only, so that 100,000 jobs fit."""

    numbers: dict[str, array[float]] = field(default_factory=dict)
    requests: dict[Any, int] = field(default_factory=dict)
    images: Counter[str] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    core_s: float = 0.0
    spent_cpu_s: float = 0.0
    attempts: int = 0
    resumed: int = 0
    cached: int = 0

    def add(self, name: str, value: float | None) -> None:
        if value is not None:
            self.numbers.setdefault(name, array("d")).append(value)


@dataclass(slots=True)
class _Jobs:
    """All jobs of a run, added up."""

    until: float
    named: bool
    steps: dict[str, _Step] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    origins: Counter[str] = field(default_factory=Counter)
    _bars: list[tuple[float, float, str, int, float, str, str]] = field(default_factory=list)

    def add(self, record: JobRecord) -> None:
        step = self.steps.setdefault(record.step, _Step())
        if record.how == "cache":
            step.cached += 1
            self.origins[record.origin.partition(",")[0].removeprefix("run ")] += 1
            return
        if record.how == "resumed":
            step.resumed += 1
        if record.requested is not None:
            step.requests[record.requested] = 1
        for attempt in record.attempts:
            self._add_attempt(step, record, attempt)
        if record.state == "running" and record.started is not None:
            cores = record.requested.cores if record.requested is not None else 1.0
            self._bar(record, record.started, self.until, self._site(record.place), cores, "running")

    def _add_attempt(self, step: _Step, record: JobRecord, attempt: AttemptRecord) -> None:
        usage, asked = attempt.usage, attempt.requested
        step.attempts += 1
        if asked is not None:
            step.requests[asked] = 1
        if attempt.image:
            step.images[attempt.image] += 1
        if usage is None:
            return
        cores = asked.cores if asked is not None else 1.0
        place = usage.site or usage.host or record.place
        step.core_s += cores * usage.wall_s
        step.spent_cpu_s += usage.cpu_s or 0.0
        step.sites[place] += 1
        start = attempt.started
        if start is not None:
            self._bar(record, start, start + usage.wall_s, self._site(place), cores, attempt.outcome)
        if attempt.outcome != "success":
            return
        step.add("wall_s", usage.wall_s)
        step.add("cpu_s", usage.cpu_s)
        step.add("max_rss_mib", usage.max_rss_mib)
        step.add("read_bytes", usage.read_bytes)
        step.add("written_bytes", usage.written_bytes)
        step.add("disk_mib", None if usage.disk_bytes is None else usage.disk_bytes / 2**20)
        step.add("queued_s", attempt.queued_s)
        if usage.cpu_s is not None and usage.wall_s >= _BUSY_FROM_S:
            step.add("busy_cores", usage.cpu_s / usage.wall_s)

    def _site(self, place: str) -> int:
        return self.sites.setdefault(place or "unknown", len(self.sites))

    def _bar(self, record: JobRecord, start: float, end: float, site: int, cores: float, outcome: str) -> None:
        if self.named and len(self._bars) >= NAMED_BARS:
            self.named = False
            self._bars = [(*bar[:-1], "") for bar in self._bars]
        self._bars.append(
            (start, max(start, end), record.step, site, cores, outcome, record.name if self.named else "")
        )

    def bars(self, order: Mapping[str, int]) -> tuple[Bar, ...]:
        return tuple(
            Bar(start, end, order[step], site, cores, outcome, name)
            for start, end, step, site, cores, outcome, name in sorted(self._bars)
        )

    def usage(self, name: str, counts: StepCounts) -> StepUsage:
        step = self.steps.get(name, _Step())

        def of(key: str) -> Spread | None:
            return spread(step.numbers.get(key, array("d")))

        return StepUsage(
            name=name,
            counts=counts,
            requested=_requested(step.requests),
            core_s=step.core_s,
            spent_cpu_s=step.spent_cpu_s,
            attempts=step.attempts,
            resumed=step.resumed,
            cached=step.cached,
            images=tuple(image for image, _ in step.images.most_common(3)),
            sites=dict(step.sites.most_common(20)),
            wall_s=of("wall_s"),
            cpu_s=of("cpu_s"),
            busy_cores=of("busy_cores"),
            max_rss_mib=of("max_rss_mib"),
            read_bytes=of("read_bytes"),
            written_bytes=of("written_bytes"),
            disk_mib=of("disk_mib"),
            queued_s=of("queued_s"),
        )


def _requested(requests: Iterable[Any]) -> Requested | None:
    asked = list(requests)
    if not asked:
        return None
    disks = [one.out_mib + one.tmp_mib for one in asked]
    limits = [one.time_limit_s for one in asked]
    return Requested(
        cores=(min(one.cores for one in asked), max(one.cores for one in asked)),
        ram_mib=(min(one.ram_mib for one in asked), max(one.ram_mib for one in asked)),
        disk_mib=(min(disks), max(disks)),
        time_limit_s=None if None in limits else max(limits),
    )


def failure_details(folder: RunFolder, history: History, group: FailureGroup) -> FailureDetails:
    """Failures of one kind, with the last lines that the first of them wrote."""
    shards = history.failed_shards(group, _OF_A_GROUP)
    stream, words, logs = "stderr", "", ""
    for shard in shards[:1]:
        row = next(history.jobs(step=shard.name, where=f"{FAILED} AND {history.latest}"), None)
        attempts = history.attempts(row.row) if row is not None and row.name == shard.name else []
        if row is not None and attempts:
            result = history.result(row.row, attempts[-1].attempt)
            words, kept = result.stderr_tail.rstrip("\n"), folder.logs / attempts[-1].folder
            written = Path(result.stdout_log) if result.stdout_log else None
            if not words.strip() and written is not None:
                stream, words = "stdout", _end(found_log(written, kept / "stdout.log"))
            logs = str(kept) if kept.is_dir() else ""
    return FailureDetails(
        step=group.step,
        count=group.count,
        outcome=group.outcome,
        exit_code=group.exit_code,
        reason=group.reason or "",
        jobs=tuple((shard.name, ", ".join(f"{key}: {text}" for key, text in shard.inputs.items())) for shard in shards),
        stderr=words,
        stream=stream,
        logs=logs,
    )


def _end(log: Path | None) -> str:
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            return "\n".join(file.read().decode("utf-8", "replace").rstrip("\n").splitlines()[-20:])
    except OSError:
        return ""


def listed(values: Mapping[str, Any]) -> Listed:
    """The values and files of an input or output object."""
    plain: list[Value] = []
    files: list[FileDetails] = []
    number = size = 0
    for name, value in values.items():
        inside = list(entries(value, "File", "Directory"))
        if not inside and value is not None and len(plain) < _VALUES:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            plain.append(
                Value(name, crossed_out(text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} ..."))
            )
        number += len(inside)
        size += sum(int(entry.get("size") or 0) for entry in inside if isinstance(entry.get("size") or 0, int | float))
        files += [_file(name, entry) for entry in islice(inside, max(0, _FILES - len(files)))]
    return Listed(tuple(plain), tuple(files), number, size)


def _file(name: str, entry: Mapping[str, Any]) -> FileDetails:
    location = str(entry.get("location") or entry.get("path") or "")
    if location.startswith("file://"):
        location = unquote(location.removeprefix("file://"))
    place = crossed_out(location) or str(entry.get("basename") or "(literal)")
    size = entry.get("size")
    return FileDetails(
        name,
        place,
        str(entry.get("class")),
        int(size) if isinstance(size, int | float) else None,
        str(entry.get("checksum") or ""),
    )
