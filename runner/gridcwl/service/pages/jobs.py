"""The jobs of a run: by site, as a list that can be filtered, and each with its logs."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gridcwl.runs.record.history import FAILED, History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.journal_rows import JobRow, PlaceTally
from gridcwl.service import tasks
from gridcwl.service.db import StoredRun
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, page, shown
from gridcwl.service.problems import NotFound
from gridcwl.service.web import Service
from gridcwl.service.wes import PREFIX, visible

STATES = {
    "waiting": "outcome IS NULL AND started IS NULL",
    "running": "outcome IS NULL AND started IS NOT NULL",
    "done": "outcome IS 'success'",
    "failed": FAILED,
    "cancelled": "outcome IS 'cancelled'",
}
"""States of jobs for people, with their conditions in SQL."""
_PAGE = 50
_TAIL = 64 << 10
"""Bytes of a log that a page begins with."""
_LONGEST_COMMAND = 4000

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a run are shown."""

    step: str = ""
    site: str = ""
    state: str = ""
    after: int = 0

    @property
    def filtered(self) -> bool:
        """Whether some are left out."""
        return bool(self.step or self.site or self.state)

    def link(self, **changes: Any) -> str:
        """The query of a page with other jobs."""
        fields = {"step": self.step, "site": self.site, "state": self.state} | changes
        return "?" + urlencode({name: value for name, value in fields.items() if value}) + "#jobs"


@dataclass(frozen=True, slots=True)
class Tail:
    """The last part of a text file."""

    text: str
    begins: int
    """How many bytes there are before it."""
    ends: int


def listed(history: History, wanted: JobFilter) -> dict[str, Any]:
    """A page of jobs, and where the next one begins."""
    where = f"{history.of_run} AND {STATES.get(wanted.state, '1')}"
    found = history.jobs(step=wanted.step or None, where=where, after=wanted.after, place=wanted.site or None)
    rows = list(islice(found, _PAGE + 1))
    return {
        "jobs": [_summary(history, row) for row in rows[:_PAGE]],
        "next": rows[_PAGE - 1].row if len(rows) > _PAGE else None,
    }


def by_site(history: History) -> list[PlaceTally]:
    """How the jobs of each site stand."""
    return history.by_place()


def state_of(row: JobRow) -> str:
    """The state of a job for people."""
    if row.outcome is None:
        return "waiting" if row.started is None else "running"
    if row.outcome == "success":
        return "done" if row.reused is None else "reused"
    return "cancelled" if row.outcome == "cancelled" else "failed"


def _summary(history: History, row: JobRow) -> dict[str, Any]:
    attempts = history.attempts(row.row)
    last = attempts[-1] if attempts else None
    return {
        "task": str(row.row),
        "name": row.name,
        "state": state_of(row),
        "site": row.place or "",
        "detail": row.detail or "",
        "started": row.started,
        "attempts": len(attempts),
        "seconds": last.wall_s if last is not None and row.outcome is not None else None,
        "exit_code": last.exit_code if last is not None and row.outcome is not None else None,
        "reason": last.reason if last is not None and row.outcome != "success" else "",
    }


@router.get("/runs/{run_id}/jobs/{task_id}")
def job_page(request: Request, run_id: str, task_id: str, service: TheService, viewer: TheViewer) -> Response:
    """One job: its command, its attempts, and what it has written."""
    run = visible(service, run_id, viewer)
    with _row(service, run, task_id) as (history, row):
        about = _summary(history, row)
        attempts = history.attempts(row.row)
        command = tasks.command_of(history, row)
    record = service.folder.record(run.engine)
    fetch = partial(service.folder.fetch, run.engine)
    logs = [(stream, tail(tasks.log_file(record, task_id, stream, fetch)[1])) for stream in tasks.STREAMS]
    return page(
        request,
        "job.html",
        run=run,
        title=run.tags.get("name") or run.id,
        job=about,
        attempts=attempts,
        command=shlex.join(command)[:_LONGEST_COMMAND],
        logs=logs,
        active=row.outcome is None and not run.state.is_terminal,
        base=f"{PREFIX}/runs/{run.id}/tasks/{quote(task_id)}",
        may_submit=viewer.may_submit,
    )


@contextlib.contextmanager
def _row(service: Service, run: StoredRun, task: str) -> Iterator[tuple[History, JobRow]]:
    try:
        history = History(service.folder.record(run.engine).journal)
    except JournalError:
        raise NotFound(f"The run {run.id} has no job {task[:80]}") from None
    with contextlib.closing(history):
        row = tasks.row_of(history, task)
        if row is None:
            raise NotFound(f"The run {run.id} has no job {task[:80]}")
        yield history, row


def tail(path: Path | None) -> Tail:
    """The last lines of a text file; an empty text if there is none."""
    with contextlib.suppress(OSError):
        if path is not None:
            size = path.stat().st_size
            begins = max(0, size - _TAIL)
            data, _ = read_from(path, begins, _TAIL)
            if begins:
                line = data.find(b"\n") + 1
                begins, data = begins + line, data[line:]
            return Tail(shown(data.decode("utf-8", "replace")), begins, begins + len(data))
    return Tail("", 0, 0)


def read_from(path: Path, offset: int, most: int) -> tuple[bytes, int]:
    """Bytes of a file from an offset on, and the offset after them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(offset)
        data = file.read(most)
    return data, offset + len(data)
