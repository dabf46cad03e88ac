"""What runs cost, added up from their journals: by run, step, site or tool. All attempts count, of all sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gridcwl.errors import StoreError
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.job_records import AttemptRecord, JobRecord
from gridcwl.runs.record.journal_check import explained_damage

By = Literal["run", "step", "site", "tool"]
GROUPS: tuple[str, ...] = get_args(By)


@dataclass(slots=True)
class Cost:
    """What the attempts of one group cost."""

    name: str
    jobs: int = 0
    """Jobs of which an attempt is counted."""
    attempts: int = 0
    failed: int = 0
    """Attempts that did not succeed."""
    wall_s: float = 0.0
    core_s: float = 0.0
    """Wall time times requested cores."""
    cpu_s: float = 0.0
    failed_core_s: float = 0.0
    """Of ``core_s``: of attempts that did not succeed."""
    max_rss_mib: float | None = None
    read_bytes: int = 0
    written_bytes: int = 0
    unmeasured: int = 0
    """Attempts without CPU time: lost ones, and those of machines where nothing is measured."""

    @property
    def busy(self) -> float | None:
        """How much of the requested cores was used; None if nothing was requested."""
        return self.cpu_s / self.core_s if self.core_s else None

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self) | {"busy": self.busy}

    def add(self, attempt: AttemptRecord) -> None:
        """Count an attempt."""
        usage, failed = attempt.usage, attempt.outcome != "success"
        self.attempts += 1
        self.failed += failed
        self.unmeasured += usage is None or usage.cpu_s is None
        if usage is None:
            return
        core_s = usage.wall_s * (attempt.requested.cores if attempt.requested is not None else 1.0)
        self.wall_s += usage.wall_s
        self.core_s += core_s
        self.failed_core_s += core_s if failed else 0.0
        self.cpu_s += usage.cpu_s or 0.0
        self.read_bytes += usage.read_bytes or 0
        self.written_bytes += usage.written_bytes or 0
        if usage.max_rss_mib is not None:
            self.max_rss_mib = max(self.max_rss_mib or 0.0, usage.max_rss_mib)

    def merge(self, other: Cost) -> None:
        """Add another group's."""
        for name in ("jobs", "attempts", "failed", "read_bytes", "written_bytes", "unmeasured"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("wall_s", "core_s", "cpu_s", "failed_core_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        known = [one for one in (self.max_rss_mib, other.max_rss_mib) if one is not None]
        self.max_rss_mib = max(known, default=None)


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of all groups, the dearest first."""

    groups: tuple[Cost, ...]
    total: Cost
    runs: tuple[str, ...]
    """Those of which something is counted."""
    unreadable: tuple[str, ...] = ()
    """Runs whose journals could not be read."""


def costs(state_dir: Path, by: By, *, since: float | None = None, runs: Iterable[RunFolder] | None = None) -> Costs:
    """Add up what runs cost.

    Args:
        state_dir: where runs are recorded.
        by: what is added up.
        since: only attempts that ended since then, in seconds since 1970.
        runs: only these; all if not given.
    """
    found: dict[str, Cost] = {}
    counted, unreadable = [], []
    for folder in all_folders(state_dir) if runs is None else runs:
        try:
            with explained_damage(folder), closing(History(folder.journal)) as history:
                own = _of_run(folder, history, by, since)
        except StoreError:
            unreadable.append(str(folder.run))
            continue
        for name, cost in own.items():
            found.setdefault(name, Cost(name)).merge(cost)
        if own:
            counted.append(str(folder.run))
    return in_order(found.values(), counted, unreadable)


def in_order(found: Iterable[Cost], counted: Iterable[str], unreadable: Iterable[str]) -> Costs:
    """The costs of groups, in order and with their total."""
    groups = sorted(found, key=lambda cost: (-cost.core_s, cost.name))
    total = Cost("total")
    for cost in groups:
        total.merge(cost)
    return Costs(tuple(groups), total, tuple(counted), tuple(unreadable))


def _of_run(folder: RunFolder, history: History, by: By, since: float | None) -> dict[str, Cost]:
    if since is not None and (last := history.sessions()[-1]).ended is not None and last.ended < since:
        return {}  # nothing of it ended later
    found: dict[str, Cost] = {}
    document = Path(str(history.meta("document") or "")).name
    tools: Mapping[int, str] = history.tools() if by == "tool" else {}
    for record in history.records(latest=False):
        if record.how == "cache":
            continue  # another run has paid for it
        names = set()
        for attempt in record.attempts:
            if since is None or attempt.ended >= since:
                name = _name(by, folder, document, record, attempt, tools)
                found.setdefault(name, Cost(name)).add(attempt)
                names.add(name)
        for name in names:
            found[name].jobs += 1
    return found


def _name(
    by: By,
    folder: RunFolder,
    document: str,
    record: JobRecord,
    attempt: AttemptRecord,
    tools: Mapping[int, str],
) -> str:
    if by == "run":
        return str(folder.run)
    if by == "step":
        return f"{document}: {record.step}" if document != record.step else record.step
    if by == "tool":
        return tools.get(record.row, "unknown")
    usage = attempt.usage
    return (usage.site or usage.host if usage is not None else "") or record.place or "unknown"


def labels(state_dir: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """For each of these runs its name, or else its document."""
    for name in names:
        folder = RunFolder(state_dir / "runs" / name)
        try:
            with explained_damage(folder), closing(History(folder.journal)) as history:
                document = str(history.meta("document") or "")
        except StoreError:
            document = ""
        yield name, folder.name or document
