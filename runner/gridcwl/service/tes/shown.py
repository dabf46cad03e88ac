"""A task as its client sees it: ``tesTask`` in one of three views, with logs from the journal of its run."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal

from gridcwl.model import JobResult
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.service.db import StoredRun
from gridcwl.service.states import State
from gridcwl.service.times import iso

View = Literal["MINIMAL", "BASIC", "FULL"]
TASK = "task"
WARNINGS = "warnings"
"""Fields of the stored request."""


def minimal(run: StoredRun) -> dict[str, Any]:
    """The view MINIMAL."""
    return {"id": run.id, "state": str(run.state)}


def whole(run: StoredRun, record: RunFolder, view: View) -> dict[str, Any]:
    """The views BASIC and FULL.

    Args:
        run: the task's.
        record: its journal.
        view: which.
    """
    task = dict(run.request[TASK])
    for name in ("inputs", "outputs"):
        if name in task:
            task[name] = [_entry(entry, view) for entry in task[name]]
    made = minimal(run) | task | {"creation_time": iso(run.created)}
    logs = _logs(run, record)
    if view == "BASIC":
        for log in logs:
            log.pop("system_logs", None)
            for one in log["logs"]:
                one.pop("stdout", None)
                one.pop("stderr", None)
    return made | {"logs": logs}


def _entry(entry: dict[str, Any], view: View) -> dict[str, Any]:
    shown = {"type": "FILE", **entry}
    if view == "BASIC":
        shown.pop("content", None)
    return shown


def _logs(run: StoredRun, record: RunFolder) -> list[dict[str, Any]]:
    """One for each attempt of the job; the last one has what the service itself reports."""
    logs = _attempts(record)
    own = [*run.request.get(WARNINGS, ())]
    if run.state is State.QUEUED:
        own.append(run.reason or "It waits for its turn")
    own += run.message.splitlines()
    if not logs:
        if run.started is None and not own:
            return []
        logs = [{"logs": [], "outputs": []}]
    last = logs[-1]
    last["system_logs"] = [*last.get("system_logs", ()), *own]
    if run.started is not None:
        logs[0].setdefault("start_time", iso(run.started))
    if run.ended is not None:
        last["end_time"] = iso(run.ended)
    if isinstance(run.outputs, list):
        last["outputs"] = run.outputs
    return logs


def _attempts(record: RunFolder) -> list[dict[str, Any]]:
    try:
        with closing(History(record.journal)) as history:
            row = next(history.jobs(after=0), None)
            return [] if row is None else _of_job(history, row)
    except JournalError:
        return []


def _of_job(history: History, row: JobRow) -> list[dict[str, Any]]:
    made = []
    for attempt in history.attempts(row.row):
        result = history.result(row.row, attempt.attempt)
        log: dict[str, Any] = {
            "logs": [_executor_log(result, number) for number in range(len(result.processes))],
            "outputs": [],
            "metadata": _metadata(result),
            "system_logs": [f"attempt {attempt.attempt}: {attempt.outcome}", *filter(None, [result.reason])],
            "end_time": iso(attempt.ended),
        }
        if result.usage is not None:
            log["start_time"] = result.usage.started
        made.append(log)
    if row.outcome is None:  # it runs, or waits at its site
        log = {
            "logs": [],
            "outputs": [],
            "system_logs": list(filter(None, [row.place and f"site: {row.place}", row.detail])),
        }
        made.append(log | ({"start_time": iso(row.started)} if row.started is not None else {}))
    return made


def _executor_log(result: JobResult, number: int) -> dict[str, Any]:
    process = result.processes[number]
    return {
        "start_time": process.started,
        "end_time": process.ended,
        "exit_code": process.exit_code,
        "stdout": process.stdout,
        "stderr": process.stderr,
    }


def _metadata(result: JobResult) -> dict[str, str]:
    usage = result.usage
    made = {"image": result.image}
    if usage is not None:
        made |= {"host": usage.host, "site": usage.site, "batch_job": usage.batch_job}
    return {name: value for name, value in made.items() if value}


def last_result(record: RunFolder) -> JobResult | None:
    """The result of the last attempt of a task's job; None if it has none."""
    try:
        with closing(History(record.journal)) as history:
            row = next(history.jobs(after=0), None)
            attempts = [] if row is None else history.attempts(row.row)
            return history.result(row.row, attempts[-1].attempt) if row is not None and attempts else None
    except JournalError:
        return None


def executor_failed(result: JobResult | None, ignoring: list[bool]) -> bool:
    """Whether an executor has ended a task by its exit code.

    Args:
        result: of the task's job.
        ignoring: for each executor, whether its errors are ignored.
    """
    ended = result.processes if result is not None else ()
    return any(one.exit_code and not ignored for one, ignored in zip(ended, ignoring, strict=False))
