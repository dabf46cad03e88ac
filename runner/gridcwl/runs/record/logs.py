"""What the tools of a run wrote to stdout and stderr: of jobs that ended, and of jobs that run on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gridcwl.errors import ConfigError
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import FAILED, History
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.suggest import near

_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class JobLog:
    """What one attempt of a job wrote."""

    name: str
    """The step with its scatter indices."""
    attempt: int
    outcome: str | None
    """None while it runs."""
    exit_code: int | None
    reason: str
    """Why it failed; may be empty."""
    stdout: Path | None
    """The file; None if the tool wrote nothing there, or if the stream is one of its outputs."""
    stderr: Path | None

    def text(self) -> str:
        """Both files, decoded; bytes that are not UTF-8 are escaped."""
        return "".join(path.read_text("utf-8", "backslashreplace") for path in (self.stdout, self.stderr) if path)


def logs(folder: RunFolder, history: History, step: str | None = None) -> Iterator[JobLog]:
    """The logs of a run: failed jobs first, then those that run, then those that ended well, then superseded ones."""
    for row in history.jobs(step=step, where=f"{FAILED} AND {history.latest}"):
        yield from _ended(folder, history, row)
    working = Path(str(history.meta("working")))
    for row in history.jobs(step=step, where=f"outcome IS NULL AND {history.latest}"):
        found = dict(running_logs(working, history, row))
        if row.started is not None:
            yield JobLog(row.name, row.attempt or 1, None, None, "", found.get("stdout"), found.get("stderr"))
    for row in history.jobs(step=step, where=f"NOT ({FAILED}) AND outcome IS NOT NULL AND {history.latest}"):
        yield from _ended(folder, history, row)
    for row in history.jobs(step=step, where=f"{FAILED} AND NOT {history.latest}"):
        yield from _ended(folder, history, row)


def _ended(folder: RunFolder, history: History, row: JobRow) -> Iterator[JobLog]:
    for attempt in history.attempts(row.row):
        result = history.result(row.row, attempt.attempt)
        found = {
            name: found_log(Path(log), folder.logs / attempt.folder / f"{name}.log")
            for name, log in (("stdout", result.stdout_log), ("stderr", result.stderr_log))
            if log is not None
        }
        yield JobLog(
            row.name,
            attempt.attempt,
            attempt.outcome,
            attempt.exit_code,
            attempt.reason,
            found.get("stdout"),
            found.get("stderr"),
        )


def running_logs(working: Path, history: History, row: JobRow) -> Iterator[tuple[str, Path]]:
    """The files that a job of this machine writes now: its logs, or outputs that its streams go to."""
    folder = _folder_of(working, row)
    if folder is None:
        return
    description = history.description(row.row)
    own, common = json.loads(description.own), json.loads(description.common)
    out = str(common["directories"]["out"]).rstrip("/") + "/"
    for name in _STREAMS:
        path = folder / f"{name}.log"
        if own.get(name):
            path = folder / "out" / str(own[name]).removeprefix(out)
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            yield name, path


def _folder_of(working: Path, row: JobRow) -> Path | None:
    """The folder in which a job of this machine runs; None where another program has chosen it."""
    own = working / f"{row.job}-{row.attempt}"
    return own if own.is_dir() else None


def found_log(log: Path, kept: Path) -> Path | None:
    """A log that is not empty, where it was or where it is kept."""
    return next((path for path in (log, kept) if path.is_file() and path.stat().st_size), None)


def check_step(history: History, step: str | None) -> None:
    """Refuse the name of a step that the run does not have.

    Raises:
        ConfigError: naming those there are, the likely ones first.
    """
    if step is None or next(history.jobs(step=step), None) is not None:
        return
    known = sorted({*history.steps(), *(str(one["step"]) for one in history.progress())})
    if step in known:
        return
    name, bracket, shard = step.partition("[")
    if bracket and name in known:
        raise ConfigError(
            f"The step {name} has no job {step}", remedy=f"gridcwl explain RUN {name} lists those it has."
        )
    close = [f"{one}{bracket}{shard}" for one in near(name, known)]
    remedy = f"Did you mean {' or '.join(close)}?" if close else ""
    if known:
        remedy = f"{remedy} It has: {', '.join(known[:30])}.".strip()
    raise ConfigError(f"The run has no jobs of a step {step}", remedy=remedy)
