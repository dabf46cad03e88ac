"""The tasks of a run as WES has them, page by page from its journal, also while the run is active.

A task is a job of the journal. What a page takes does not grow with the tasks of the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.record.logs import found_log, running_logs
from gridcwl.service.times import iso

STREAMS = ("stdout", "stderr")
_MOST_ROW = (1 << 63) - 1


@contextmanager
def _history(folder: RunFolder) -> Iterator[History | None]:
    """The run's journal; None if it has not begun."""
    try:
        history = History(folder.journal)
    except JournalError:
        yield None
        return
    with closing(history):
        yield history


def page(
    folder: RunFolder, size: int, after: int, link: Callable[[str, str], str]
) -> tuple[list[dict[str, Any]], int | None]:
    """Tasks in their order: at most ``size``, after the one of this number; and the last one's if there may be more.

    Args:
        folder: of the run.
        size: at least 1.
        after: 0 for the first page.
        link: the URL of a task's log, by the task and the name of the stream.
    """
    with _history(folder) as history:
        if history is None:
            return [], None
        rows = list(islice(history.jobs(after=after), size + 1))
        tasks = [_task(history, row, link) for row in rows[:size]]
        return tasks, rows[size - 1].row if len(rows) > size else None


def one(folder: RunFolder, task: str, link: Callable[[str, str], str]) -> dict[str, Any] | None:
    """A task by its id; None if there is none."""
    with _history(folder) as history:
        row = row_of(history, task)
        return None if history is None or row is None else _task(history, row, link)


def log_file(
    folder: RunFolder, task: str, stream: str, fetch: Callable[[str], None] | None = None
) -> tuple[bool, Path | None]:
    """Whether there is such a task, and the file that its stdout or stderr is in; None if it has written nothing.

    Args:
        folder: of the run.
        task: its id.
        stream: ``stdout`` or ``stderr``.
        fetch: fetches a file of the folder by its name, if another machine has it.
    """
    with _history(folder) as history:
        row = row_of(history, task)
        if history is None or row is None:
            return False, None
        if row.outcome is None:
            working = Path(str(history.meta("working")))
            return True, dict(running_logs(working, history, row)).get(stream)
        for attempt in reversed(history.attempts(row.row)):
            result = history.result(row.row, attempt.attempt)
            log = result.stdout_log if stream == "stdout" else result.stderr_log
            if log is not None:
                if fetch is not None:
                    fetch(f"logs/{attempt.folder}/{stream}.log")
                return True, found_log(Path(log), folder.logs / attempt.folder / f"{stream}.log")
        return True, None


def row_of(history: History | None, task: str) -> JobRow | None:
    """The job of a task's id; None if there is none."""
    if history is None or not task.isascii() or not task.isdigit() or int(task[:20]) > _MOST_ROW:
        return None
    number = int(task)
    row = next(history.jobs(after=number - 1), None)
    return row if row is not None and row.row == number and str(number) == task else None


def _task(history: History, row: JobRow, link: Callable[[str, str], str]) -> dict[str, Any]:
    task = str(row.row)
    attempts = history.attempts(row.row)
    last = attempts[-1] if attempts else None
    system = [line for line in (row.place and f"site: {row.place}", row.detail) if line]
    system += [f"attempt {one.attempt}: {one.outcome}{f', {one.reason}' if one.reason else ''}" for one in attempts]
    if row.reused is not None:
        system.append("the result of an earlier job was used")
    made: dict[str, Any] = {
        "id": task,
        "name": row.name,
        "cmd": command_of(history, row),
        "stdout": link(task, "stdout"),
        "stderr": link(task, "stderr"),
        "system_logs": system,
    }
    if row.started is not None:
        made["start_time"] = iso(row.started)
    if last is not None and row.outcome is not None:
        made["end_time"] = iso(last.ended)
        if last.exit_code is not None:
            made["exit_code"] = last.exit_code
    return made


def command_of(history: History, row: JobRow) -> list[str]:
    """The command line of a job."""
    with suppress(TypeError, ValueError, KeyError):  # a journal of an earlier version
        own = json.loads(history.description(row.row).own)
        return [str(word) for word in own["command"]]
    return []
