"""Why a job ran, or where its result came from: keys compared part by part with those of the nearest earlier job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.errors import StoreError
from gridcwl.runs.folder import RunFolder, all_folders
from gridcwl.runs.history import History, JobRow
from gridcwl.runs.keys import Description, differences

_RUNS = 10
_CANDIDATES = 200

Difference = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be said of one job."""

    name: str
    reused: bool
    said: str
    differences: tuple[Difference, ...] = ()
    """Parts of the key: name, value now, value of the nearest earlier job."""

    def plain(self) -> dict[str, Any]:
        """For machines."""
        parts = [{"part": name, "now": now, "before": before} for name, now, before in self.differences]
        return {"name": self.name, "reused": self.reused, "said": self.said, "differences": parts}


def explained(history: History, folder: RunFolder, step: str, state_dir: Path) -> Iterator[Answer]:
    """The answer for every job of a step, one by one.

    Args:
        history: of the run.
        folder: of the run.
        step: or one job.
        state_dir: where earlier runs are.
    """
    with ExitStack() as stack:
        others = _earlier_runs(history, folder, state_dir, stack)
        last = history.last_with_jobs()
        for row in history.jobs(step=step, where=f"session = {last}"):
            yield _answer(history, others, row)


def _answer(history: History, others: list[tuple[str, History]], row: JobRow) -> Answer:
    if row.reused:
        return Answer(row.name, True, f"its result was taken from {row.reused}")
    if row.session > row.made_in:
        return Answer(row.name, True, "it ended in an earlier session of this run, and its result was taken")
    mine = history.description(row.row)
    nearest: tuple[int, str, list[Difference]] | None = None
    for where, other, candidate in _candidates(history, others, row):
        parts = differences(mine, candidate)
        if nearest is None or len(parts) < nearest[0]:
            nearest = (len(parts), f"{where}, {other}", parts)
        if not parts:
            break
    if nearest is None:
        return Answer(row.name, False, "it ran: no earlier run of this document has such a job")
    if nearest[0]:
        return Answer(
            row.name, False, f"it ran: it differs from the nearest earlier one ({nearest[1]}) in", tuple(nearest[2])
        )
    return Answer(
        row.name, False, f"it ran, although the same job ended well before ({nearest[1]}): {_why_not(history)}"
    )


def _why_not(history: History) -> str:
    options = history.meta("options") or {}
    if not options.get("cache"):
        return "results of other runs are only taken with --cache"
    return "its tool forbids reuse (WorkReuse), that run kept nothing (--cache), or what it kept was damaged or removed"


def _candidates(
    history: History, others: list[tuple[str, History]], row: JobRow
) -> Iterator[tuple[str, str, Description]]:
    """Earlier jobs of the same step that ended well: the latest run's first, and in each the same shard's."""
    for where, journal in [("this run before", history), *others]:
        only = f"outcome = 'success' AND step = {_quoted(row.step)}"
        if journal is history:
            only += f" AND (id >> 32) < {row.made_in}"
        for found in (
            *journal.jobs(step=row.name, where=only, newest_first=True),
            *_first(journal.jobs(where=only, newest_first=True), _CANDIDATES),
        ):
            yield where, found.name, journal.description(found.row)


def _first(rows: Iterator[JobRow], most: int) -> Iterator[JobRow]:
    for _ in range(most):
        row = next(rows, None)
        if row is None:
            return
        yield row


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _earlier_runs(history: History, folder: RunFolder, state_dir: Path, stack: ExitStack) -> list[tuple[str, History]]:
    """Journals of the last runs of the same document before this one."""
    document = (history.meta("cwd"), history.meta("document"))
    found: list[tuple[str, History]] = []
    for other in all_folders(state_dir):
        if other.run >= folder.run or len(found) == _RUNS:
            continue
        try:
            journal = History(other.journal)
        except StoreError:
            continue
        stack.callback(journal.close)
        if (journal.meta("cwd"), journal.meta("document")) == document or Path(
            str(journal.meta("document"))
        ).name == Path(str(document[1])).name:
            found.append((f"run {other.run}", journal))
    return found
