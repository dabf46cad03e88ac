"""``gridcwl logs``: what tools wrote, of jobs that ended and of jobs that run; once, or as it comes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gridcwl.cli.grid_commands import Pending, open_pending
from gridcwl.cli.run_list import chosen
from gridcwl.cli.terminal import print_file
from gridcwl.runs.options import saved_grid
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import FAILED, History
from gridcwl.runs.record.journal_rows import JobRow
from gridcwl.runs.record.logs import check_step, found_log, running_logs

_LOOK_EVERY_S = 0.3
_MARGIN_S = 2.0
"""Between a job's beginning and its being in the journal."""


def logs(given: argparse.Namespace) -> int:
    """What tools wrote to stdout and stderr."""
    folder = chosen(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        if given.follow:
            return _follow(folder, history, given.step)
        check_step(history, given.step)
        if not _print_all(folder, history, given.step):
            print("gridcwl: No job has written anything to stdout or stderr", file=sys.stderr)
    return 0


def _print_all(folder: RunFolder, history: History, step: str | None) -> int:
    """Failed jobs first, then those that run, then those that ended well, and what has been superseded."""
    printed = 0
    for row in history.jobs(step=step, where=f"{FAILED} AND {history.latest}"):
        printed += _print_ended(folder, history, row)
    running = list(history.jobs(step=step, where=f"outcome IS NULL AND {history.latest}"))
    working = Path(str(history.meta("working")))
    with open_pending(saved_grid(history.meta("options")), folder) as pending:
        for row in running:
            printed += _print_running(working, history, row, pending)
    for row in history.jobs(step=step, where=f"NOT ({FAILED}) AND outcome IS NOT NULL AND {history.latest}"):
        printed += _print_ended(folder, history, row)
    for row in history.jobs(step=step, where=f"{FAILED} AND NOT {history.latest}"):
        printed += _print_ended(folder, history, row, " (superseded: the job ran again)")
    return printed


def _print_ended(folder: RunFolder, history: History, row: JobRow, note: str = "") -> int:
    """Print the output of the attempts of a job; returns how many wrote anything."""
    printed = 0
    for attempt in history.attempts(row.row):
        result = history.result(row.row, attempt.attempt)
        streams = [
            (name, path)
            for name, log in (("stdout", result.stdout_log), ("stderr", result.stderr_log))
            if log is not None
            and (path := found_log(Path(log), folder.logs / attempt.folder / f"{name}.log")) is not None
        ]
        if not streams and attempt.outcome == "success":
            continue
        printed += 1
        ended = attempt.outcome + (f", exit code {attempt.exit_code}" if attempt.exit_code is not None else "")
        print(f"==> {row.name}, attempt {attempt.attempt}: {ended}{note}")
        if attempt.reason:
            print(attempt.reason)
        for name, path in streams:
            print(f"--- {name}", flush=True)
            print_file(path)
        print(flush=True)
    return printed


def _print_running(working: Path, history: History, row: JobRow, pending: Pending) -> int:
    """What a job has written that has not ended, and its attempts before; returns 1 if anything is known of it."""
    where, texts = pending.of(row)
    streams = list(running_logs(working, history, row))
    if row.started is None and not where and not texts:
        return 0
    since = f" for {int(time.time() - row.started)} s" if row.started is not None else ""
    place = f" at {row.place}" if row.place else ""
    state = where or (f"running{place}{since}" if row.started is not None else "waiting")
    print(f"==> {row.name}, attempt {row.attempt or 1}: {state}")
    for name, path in streams:
        if path.stat().st_size:
            print(f"--- {name}", flush=True)
            print_file(path)
    for name, text in texts:
        print(f"--- {name}\n{text}")
    print(flush=True)
    return 1


@dataclass(slots=True)
class _Followed:
    """What has been printed of a job's attempt."""

    row: JobRow
    shown: dict[str, int] = field(default_factory=dict)
    """Bytes of each stream."""


def _follow(folder: RunFolder, history: History, step: str | None) -> int:
    """Print what jobs write while they run, until the run ends."""
    follower = _Follower(folder, history, step)
    with open_pending(saved_grid(history.meta("options")), folder) as pending:
        while True:
            alive = folder.alive
            detached = not alive and history.current_status() == "detached"
            looked = time.monotonic()
            follower.look(pending, detached=detached)
            if detached and pending.idle:
                where = (
                    f"The jobs at {pending.title} have ended"
                    if pending.title
                    else "Nobody follows the jobs of this run"
                )
                message = f"{where}; gridcwl attach {folder.run} fetches their outputs"
                print(f"gridcwl: {message}", file=sys.stderr)
                return 0
            if not alive and not detached:
                if not follower.printed:
                    message = f"The run has ended; gridcwl logs {folder.run} shows what its jobs wrote"
                    print(f"gridcwl: {message}", file=sys.stderr)
                return 0
            time.sleep(max(_LOOK_EVERY_S, 4 * (time.monotonic() - looked)))  # a large journal takes its time


class _Follower:
    def __init__(self, folder: RunFolder, history: History, step: str | None) -> None:
        self._folder = folder
        self._history = history
        self._step = step
        self._jobs: dict[tuple[int, int], _Followed] = {}
        self._told: Collection[tuple[int, int]] = ()
        """Jobs whose end has been printed and that began since."""
        self._since = time.time()
        self._last = ""
        self._in_line = False
        """What was printed last does not end its line."""
        self.printed = False
        """Whether anything has been printed."""

    def look(self, pending: Pending, *, detached: bool = False) -> None:
        """Print what has come since the last look. Nobody notes which jobs of a detached run have begun."""
        working = Path(str(self._history.meta("working")))
        now = time.time()
        seen = f"started IS NOT NULL AND (outcome IS NULL OR started >= {self._since!r})"
        if detached:
            seen = f"outcome IS NULL AND {self._history.latest}"
        elif not self._history.knows_running:
            seen = "0"
        rows = list(self._history.jobs(step=self._step, where=seen))
        running = {(row.row, row.attempt): row for row in rows if row.outcome is None}
        for key, row in running.items():
            followed = self._jobs.setdefault(key, _Followed(row))
            for name, path in running_logs(working, self._history, row):
                self._print(followed, name, path)
            for name, text in pending.of(row)[1]:
                self._print_text(followed, name, text)
        ended = {(row.row, row.attempt): row for row in rows if row.outcome is not None}
        gone = [key for key in self._jobs if key not in running]
        for key in gone:
            self._end(self._jobs.pop(key))
        for key, row in ended.items():  # began and ended between two looks
            if key not in self._told and key not in gone:
                self._end(_Followed(row))
        self._told = ended.keys()
        self._since = now - _MARGIN_S

    def _end(self, followed: _Followed) -> None:
        row = followed.row
        for attempt in self._history.attempts(row.row):
            if attempt.attempt != row.attempt:
                continue
            result = self._history.result(row.row, attempt.attempt)
            for name, log in (("stdout", result.stdout_log), ("stderr", result.stderr_log)):
                kept = self._folder.logs / attempt.folder / f"{name}.log"
                if log is not None and (path := found_log(Path(log), kept)) is not None:
                    self._print(followed, name, path)
            ended = attempt.outcome + (f": {attempt.reason}" if attempt.reason else "")
            self._print_heading(f"==> {row.name}: {ended}")
            self._last = ""

    def _print(self, followed: _Followed, name: str, path: Path) -> None:
        start = followed.shown.get(name, 0)
        try:
            if path.stat().st_size <= start:
                return
            self._head(followed.row, name)
            followed.shown[name] = end = print_file(path, start)
            self._in_line = not _ends_a_line(path, end)
        except OSError:  # the job has just ended, and its log is somewhere else: next time
            return

    def _print_text(self, followed: _Followed, name: str, text: str) -> None:
        start = followed.shown.get(name, 0)
        if len(text) > start:
            self._head(followed.row, name)
            print(text[start:], end="", flush=True)
            followed.shown[name] = len(text)
            self._in_line = not text.endswith("\n")

    def _head(self, row: JobRow, name: str) -> None:
        head = f"==> {row.name}, {name}"
        if head != self._last:
            self._print_heading(head)
            self._last = head

    def _print_heading(self, text: str) -> None:
        print(f"\n{text}" if self._in_line else text, flush=True)
        self._in_line, self.printed = False, True


def _ends_a_line(path: Path, end: int) -> bool:
    with path.open("rb") as file:
        file.seek(end - 1)
        return file.read(1) == b"\n"
