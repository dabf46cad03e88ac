"""What people ask of runs that are kept: ``runs``, ``status``, ``logs`` and ``explain``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.cli.grid_commands import print_pending
from gridcwl.cli.tables import duration, moment, show
from gridcwl.cli.terminal import print_file
from gridcwl.errors import ConfigError, StoreError
from gridcwl.runs.explain import Answer, explained
from gridcwl.runs.folder import RunFolder, all_folders, find
from gridcwl.runs.history import History

if TYPE_CHECKING:
    from gridcwl.runs.history import JobRow

_FIRST_SHARDS = 20
_FAILURES = 20


def runs(given: argparse.Namespace) -> int:
    """List all runs."""
    about = [_about(folder) for folder in all_folders(given.state_dir)]
    if given.json:
        print(json.dumps(about, indent=2))
        return 0
    show(
        ("run", "state", "started", "took", "shards", "document"),
        [
            (
                one["run"],
                one["state"],
                moment(one["started"]),
                duration(one["seconds"]),
                _of(one["done"], one["shards"]),
                one["document"] or "",
            )
            for one in about
        ],
        right=("took", "shards"),
    )
    return 0


def status(given: argparse.Namespace) -> int:
    """How a run stands."""
    folder = find(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        about = _about(folder) | {
            "sessions": [
                {
                    "started": s.started,
                    "ended": s.ended,
                    "status": s.status,
                    "message": s.message,
                    "host": s.host,
                    "pid": s.pid,
                }
                for s in history.sessions()
            ],
            "steps": _steps(history),
            "failures": [_failure(history, row) for row in history.failures(_FAILURES)],
            "events": [{"at": at, "kind": kind, "text": text} for at, _, kind, text in history.events(20)],
            "working": history.meta("working"),
        }
    if given.json:
        print(json.dumps(about, indent=2))
        return 0
    print(f"run       {about['run']}")
    print(f"document  {about['document']}")
    print(f"state     {about['state']}" + (f": {about['message']}" if about["message"] else ""))
    print(f"started   {moment(about['started'])}, took {duration(about['seconds'])}")
    if len(about["sessions"]) > 1:
        print(f"resumed   {len(about['sessions']) - 1} time(s)")
    print()
    columns = ("step", "done", "failed", "open", "of", "reused", "attempts")
    show(columns, [[step[name] for name in columns] for step in about["steps"]], right=columns[1:])
    if about["failures"]:
        print()
        heads = ("failed", "attempts", "exit code", "why")
        rows = [
            (f["name"], f["attempts"], f["exit_code"] if f["exit_code"] is not None else "", f["reason"])
            for f in about["failures"]
        ]
        show(heads, rows, right=heads[1:3])
        print(f"\nWhat they said: gridcwl logs {about['run']}")
    if about["state"] == "detached":
        print(f"\nTo go on: gridcwl attach {about['run']}")
    if about["state"] in ("failed", "killed", "cancelled"):
        print(f"\nTo go on: gridcwl resume {about['run']}")
    return 0


def logs(given: argparse.Namespace) -> int:
    """What tools wrote to stdout and stderr."""
    from gridcwl.runs.places import saved_server

    folder = find(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        _check_step(history, given.step)
        said = 0
        failed = "outcome IS NOT NULL AND outcome <> 'success'"
        for where in (failed, f"NOT ({failed})"):
            for row in history.jobs(step=given.step, where=where):
                said += _print_logs(folder, history, row)
        at = saved_server(history.meta("options"))
        said += print_pending(at, folder, history.jobs(step=given.step, where="outcome IS NULL"))
    if not said:
        print("gridcwl: none of them wrote anything", file=sys.stderr)
    return 0


def explain(given: argparse.Namespace) -> int:
    """Why jobs ran, or where their results came from."""
    folder = find(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        _check_step(history, given.step)
        answers = explained(history, folder, given.step, given.state_dir)
        if given.json:
            print(json.dumps([answer.plain() for answer in answers], indent=2))
            return 0
        number = 0
        for number, answer in enumerate(answers, 1):
            if number > _FIRST_SHARDS and not given.all:
                print("... and more: --all shows them")
                break
            _print_answer(answer)
    return 0


def _print_answer(answer: Answer) -> None:
    print(f"{answer.name}: {answer.said}")
    for name, now, before in answer.differences:
        print(f"    {name}: {_short(before)} -> {_short(now)}")


def _short(value: str | None) -> str:
    if value is None:
        return "(not there)"
    return value if len(value) <= 200 else value[:200] + " ..."


def _about(folder: RunFolder) -> dict[str, Any]:
    about: dict[str, Any] = {
        "run": folder.run,
        "state": "broken",
        "document": None,
        "started": None,
        "seconds": None,
        "done": 0,
        "failed": 0,
        "shards": 0,
        "message": "",
    }
    try:
        with closing(History(folder.journal)) as history:
            return about | _of_journal(folder, history)
    except StoreError as error:
        return about | {"message": error.message}


def _of_journal(folder: RunFolder, history: History) -> dict[str, Any]:
    sessions = history.sessions()
    if not sessions:
        return {}
    last = sessions[-1]
    alive = folder.alive
    state = ("running" if alive else "killed") if last.status == "running" else last.status
    now = time.time() if alive else _last_sign(folder)
    counts = history.summary()
    return {
        "state": state,
        "document": history.meta("document"),
        "started": sessions[0].started,
        "seconds": sum(
            (session.ended or now) - session.started for session in sessions if session.ended or session is last
        ),
        "message": last.message,
    } | counts


def _last_sign(folder: RunFolder) -> float:
    """When a client that was killed last wrote."""
    return max(path.stat().st_mtime for path in folder.path.glob("journal.db*"))


def _steps(history: History) -> list[dict[str, Any]]:
    totals = {step["step"]: step["total"] for step in history.meta("progress") or ()}
    return [
        {
            "step": count.step,
            "done": count.done,
            "failed": count.failed,
            "open": count.open,
            "of": max(totals.get(count.step) or 0, count.done + count.failed + count.open),
            "reused": count.reused,
            "attempts": count.attempts,
        }
        for count in history.counts()
    ]


def _failure(history: History, row: JobRow) -> dict[str, Any]:
    attempts = history.attempts(row.row)
    last = attempts[-1] if attempts else None
    return {
        "name": row.name,
        "attempts": len(attempts),
        "outcome": row.outcome,
        "exit_code": last.exit_code if last else None,
        "reason": (last.reason or f"exit code {last.exit_code}") if last else "",
    }


def _check_step(history: History, step: str | None) -> None:
    if step is None or next(history.jobs(step=step), None) is not None:
        return
    known = history.steps()
    raise ConfigError(
        f"The run has no jobs of a step {step}", remedy=f"It has: {', '.join(sorted(known)[:30])}." if known else ""
    )


def _print_logs(folder: RunFolder, history: History, row: JobRow) -> int:
    """Print what the attempts of a job said; returns how many said something."""
    said = 0
    for attempt in history.attempts(row.row):
        result = history.result(row.row, attempt.attempt)
        streams = [
            (name, path)
            for name, log in (("stdout", result.stdout_log), ("stderr", result.stderr_log))
            if log is not None and (path := _found(Path(log), folder.logs / attempt.folder / f"{name}.log")) is not None
        ]
        if not streams and attempt.outcome == "success":
            continue
        said += 1
        ended = attempt.outcome + (f", exit code {attempt.exit_code}" if attempt.exit_code is not None else "")
        print(f"==> {row.name}, attempt {attempt.attempt}: {ended}")
        if attempt.reason:
            print(attempt.reason)
        for name, path in streams:
            print(f"--- {name}", flush=True)
            print_file(path)
        print(flush=True)
    return said


def _found(log: Path, kept: Path) -> Path | None:
    """A log that says something, where it was or where it is kept."""
    return next((path for path in (log, kept) if path.is_file() and path.stat().st_size), None)


def _of(done: int, shards: int) -> str:
    return str(shards) if done == shards else f"{done} of {shards}"
