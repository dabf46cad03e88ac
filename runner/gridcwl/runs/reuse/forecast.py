"""Reuse forecast: which results a run would reuse, looked up for the jobs that are known before it starts."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.cwl.session import CwlSession
from gridcwl.errors import StoreError
from gridcwl.model import Job
from gridcwl.runs.record.folder import all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.record.journal_file import connect
from gridcwl.runs.reuse.checksums import ChecksumCache, declared_checksums
from gridcwl.runs.reuse.keys import JobDescription, describe, differences, secret_masks, unidentified

_RUNS = 10
_CANDIDATES = 50
_LAST = 1 << 62


@dataclass(frozen=True, slots=True)
class ReuseForecast:
    """Whether the result of a job would be reused from an earlier run, and from which, or why not."""

    name: str
    reused: bool
    reason: str


@dataclass(slots=True)
class ReuseForecaster:
    """Looks jobs up. Writes nothing but checksums of inputs."""

    session: CwlSession
    inputs: Any
    document: str
    state_dir: Path
    sums: Path
    cache: Path | None

    def of(self, jobs: Sequence[Job]) -> list[ReuseForecast]:
        """The forecast for each job."""
        with ExitStack() as stack:
            sums = ChecksumCache(self.sums, by_content=self.cache is not None)
            stack.callback(sums.close)
            earlier = list(earlier_runs(self.document, self.state_dir, stack))
            masks = secret_masks(self.session.secrets.secrets, self.state_dir)
            own = declared_checksums(self.inputs)
            found = []
            for job in jobs:
                what = describe(job, sums.identify(unidentified(job, own)), masks)
                found.append(self._one(job, what, earlier))
            return found

    def _one(self, job: Job, what: JobDescription, earlier: list[tuple[str, History]]) -> ReuseForecast:
        if self.cache is not None and (kept := _cached(self.cache, what.key)) is not None:
            return ReuseForecast(job.name, True, f"run {kept[0]}, {kept[1]}")
        for run, history in earlier:
            if history.find(what.key, job.name, _LAST, set()) is None:
                continue
            if self.cache is None:
                return ReuseForecast(job.name, False, f"run {run} has its result, but --cache is not set")
            return ReuseForecast(job.name, False, f"run {run} did the same, but kept no result for others (--cache)")
        nearest: tuple[int, str] | None = None
        for run, history in earlier:
            step = job.name.partition("[")[0]
            rows = history.jobs(step=step, where="outcome = 'success'", newest_first=True)
            for row, _ in zip(rows, range(_CANDIDATES), strict=False):
                parts = [part for part, _, _ in differences(what, history.description(row.row))]
                if nearest is None or len(parts) < nearest[0]:
                    nearest = len(parts), f"differs from run {run}, {row.name}, in: {_listed(parts)}"
        return ReuseForecast(job.name, False, nearest[1] if nearest else "no earlier run has such a job")


def earlier_runs(document: str, state_dir: Path, stack: ExitStack) -> Iterator[tuple[str, History]]:
    """The journals of the last runs of the same document, the newest first; ``stack`` closes them."""
    number = 0
    for folder in all_folders(state_dir):
        try:
            with explained_damage(folder):
                history = History(folder.journal)
                stack.callback(history.close)
                recorded = str(history.meta("document"))
        except StoreError:
            continue
        if Path(recorded).name == Path(document).name:
            number += 1
            yield folder.run, history
        if number == _RUNS:
            return


def _cached(cache: Path, key: bytes) -> tuple[str, str] | None:
    """The run and the job whose result is in the cache."""
    path = cache / "results.db"
    if not path.is_file():
        return None
    with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(path)) as db:
        found: tuple[str, str] | None = db.execute("SELECT run, name FROM results WHERE key=?", (key,)).fetchone()
        return found
    return None


def _listed(parts: Sequence[str], most: int = 3) -> str:
    rest = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {rest} more" if rest > 0 else "")
