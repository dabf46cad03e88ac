"""Runs in a list: what each is, how it stands, what it takes of the disk; and which one a word means."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.errors import ConfigError, StoreError
from gridcwl.runs.record.cleanup import is_working_folder
from gridcwl.runs.record.counts import step_counts, summary
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.runs.units import seconds_of

STATES = ("running", "detached", "success", "failed", "cancelled", "killed", "broken")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are wanted; what is None or empty does not matter."""

    states: tuple[str, ...] = ()
    since: float | None = None
    """Started after, in seconds since 1970."""
    ended_before: float | None = None
    name: str = ""
    """A pattern with ``*`` and ``?``."""
    document: str = ""
    """A pattern; for a document's path or the end of it."""

    def wants(self, about: dict[str, Any]) -> bool:
        """Whether a run is one of these."""
        document = str(about["document"] or "")
        return (
            (not self.states or about["state"] in self.states)
            and (self.since is None or (about["started"] or 0) >= self.since)
            and (self.ended_before is None or about["ended"] < self.ended_before)
            and (not self.name or fnmatch.fnmatch(about["name"], self.name))
            and (not self.document or any(
                fnmatch.fnmatch(text, self.document) for text in (document, Path(document).name)
            ))
        )  # fmt: skip


def listed_runs(state_dir: Path, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The runs that are wanted, the latest first, one by one."""
    for folder in all_folders(state_dir):
        about = about_folder(folder)
        if wanted.wants(about):
            yield about


def about_folder(folder: RunFolder) -> dict[str, Any]:
    """What a run is and how it stands, also if its journal is broken."""
    try:
        with explained_damage(folder), closing(History(folder.journal)) as history:
            return about_run(folder, history)
    except StoreError as error:
        return _nothing(folder) | {"message": error.message}


def about_run(folder: RunFolder, history: History) -> dict[str, Any]:
    """What a run is and how it stands."""
    sessions = history.sessions()
    if not sessions:
        return _nothing(folder)
    last = sessions[-1]
    alive = folder.alive
    state = ("running" if alive else "killed") if last.status == "running" else last.status
    now = time.time() if alive else _last_sign(folder)
    counted = history.meta("summary") if last.ended is not None else None
    return _nothing(folder) | {
        "state": state,
        "document": history.meta("document"),
        "started": sessions[0].started,
        "ended": last.ended or now,
        "seconds": sum(
            (session.ended or now) - session.started for session in sessions if session.ended or session is last
        ),
        "message": last.message,
    } | (counted or summary(step_counts(history, alive=state in ("running", "detached"))))  # fmt: skip


def _nothing(folder: RunFolder) -> dict[str, Any]:
    return {
        "run": folder.run,
        "name": folder.name,
        "state": "broken",
        "document": None,
        "started": None,
        "ended": folder.path.stat().st_mtime,
        "seconds": None,
        "done": 0,
        "failed": 0,
        "shards": 0,
        "message": "",
    }


def _last_sign(folder: RunFolder) -> float:
    """When a client that was killed last wrote."""
    return max((path.stat().st_mtime for path in folder.path.glob("journal.db*")), default=0.0)


def working_of(folder: RunFolder) -> str | None:
    """The run's working folder, if it still has one: as its journal names it, or else as its folder does."""
    try:
        with explained_damage(folder), closing(History(folder.journal)) as history:
            named = history.meta("working")
    except StoreError:
        named = None
    for working in (Path(str(named)) if named is not None else None, folder.working):
        if working is not None and is_working_folder(working, folder.run):
            return str(working)
    return None


def disk_use(folder: RunFolder, working: str | None) -> int:
    """Bytes that a run takes: journal, logs and working folder, but not what was published. Links count once."""
    seen: set[tuple[int, int]] = set()
    return sum(_size(str(path), seen) for path in (folder.path, working) if path)


def _size(top: str, seen: set[tuple[int, int]]) -> int:
    total = 0
    folders = [top]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif about.st_nlink == 1 or (about.st_dev, about.st_ino) not in seen:
                    total += about.st_blocks * 512
                    if about.st_nlink > 1:
                        seen.add((about.st_dev, about.st_ino))
    return total


def age(text: str) -> float:
    """Seconds, from ``30d``, ``12h``, ``90min``; a number alone counts days.

    Raises:
        ConfigError: it is none of these.
    """
    seconds = seconds_of(text, "d")
    if seconds is None:
        raise ConfigError(f"{text} is not a length of time", remedy="Write it as in 30d, 12h or 90min.")
    return seconds


def point(text: str) -> float:
    """Seconds since 1970, from an age (``2d``: two days ago) or a date (``2026-11-23``, ``2026-11-23 14:00``).

    Raises:
        ConfigError: it is neither.
    """
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    try:
        return time.time() - age(text)
    except ConfigError:
        raise ConfigError(
            f"{text} is neither a date nor a length of time", remedy="Write it as in 2026-11-23 or 2d."
        ) from None
