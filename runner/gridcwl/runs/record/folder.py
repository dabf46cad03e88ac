"""Folders of runs: one for each below the user's state directory, and the lock that a living client holds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import RunId
from gridcwl.suggest import did_you_mean
from gridcwl.worker.removing import remove_tree

JOURNAL = "journal.db"
_ORIGIN = "origin.json"
_ORIGIN_BYTES = 1 << 20
"""Of that file, no more are read."""
_CANCEL = "cancel"
_WORKING = "working.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder. What is in it is the user's alone: inputs may be confidential."""

    path: Path

    @property
    def run(self) -> RunId:
        """The run's id."""
        return RunId(self.path.name)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / JOURNAL

    @property
    def logs(self) -> Path:
        """Logs of jobs whose working folders have been removed."""
        return self.path / "logs"

    @property
    def tool_logs(self) -> Path:
        """What tools have logged of their own provenance, in files that may have been removed."""
        return self.path / "provenance"

    @property
    def origin(self) -> dict[str, Any]:
        """Where the run was started or last resumed: ``terminal``, ``cwd``; and its ``name``, if it has one."""
        try:
            read = json.loads(_small_file(self.path / _ORIGIN))
        except (OSError, ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def name(self) -> str:
        """What the user calls it; empty if nothing."""
        return str(self.origin.get("name") or "")

    def note_origin(self, name: str | None = None, cwd: Path | None = None) -> None:
        """Keep which terminal and folder the run is of now, and its name, if that is new."""
        noted = {"name": name or self.name, "terminal": this_terminal(), "cwd": str(cwd or _this_folder())}
        unfinished = self.path / f"{_ORIGIN}.new"
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
            unfinished.write_text(json.dumps(noted))
            unfinished.replace(self.path / _ORIGIN)

    @property
    def working(self) -> Path | None:
        """The working folder, as noted in addition to the journal: for a run whose journal cannot be read."""
        try:
            noted = json.loads(_small_file(self.path / _WORKING))
        except (OSError, ValueError, RecursionError):
            return None
        return Path(noted) if isinstance(noted, str) else None

    def note_working(self, working: Path) -> None:
        """Keep where the working folder is."""
        with contextlib.suppress(OSError):
            (self.path / _WORKING).write_text(json.dumps(str(working)))

    @property
    def cancel_requested(self) -> bool:
        """Another process wants the run to stop."""
        return (self.path / _CANCEL).exists()

    def request_cancel(self) -> None:
        """Ask the process that works on the run to stop it."""
        (self.path / _CANCEL).touch()

    @property
    def alive(self) -> bool:
        """A client is at work on the run now."""
        try:
            with _locked(self.path / "lock"):
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run for this process; the system lets go of it when the process ends, however that happens.

        Raises:
            ConfigError: another client holds it.
        """
        (self.path / "lock").touch()
        try:
            with _locked(self.path / "lock"):
                (self.path / _CANCEL).unlink(missing_ok=True)  # it was meant for whoever held the run before
                yield
        except BlockingIOError:
            raise ConfigError(
                f"The run {self.run} is still active", remedy=f"Wait for it, or stop it: gridcwl cancel {self.run}."
            ) from None

    def lift_hold(self) -> None:
        """Let this process hold the run, whoever holds it: a service knows that the run is another's no more."""
        if self.alive:
            (self.path / "lock").unlink(missing_ok=True)

    def wait(self) -> None:
        """Block until no client holds the run."""
        with _locked(self.path / "lock", block=True):
            return

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        remove_tree(self.path)


def _small_file(path: Path) -> bytes:
    """The contents of a file; what is no file, like a pipe, is empty."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123
        return stream.read(_ORIGIN_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


@contextmanager
def _locked(path: Path, *, block: bool = False) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # not handed down: a tool must not hold it after our death
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def new_folder(state_dir: Path, run: RunId) -> RunFolder:
    """Make the folder of a new run.

    Raises:
        StoreError: there is no room, or no permission.
    """
    path = state_dir / "runs" / run
    try:
        private_folder(path.parent)
        path.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(
            f"The folder for the run's journal, {path}, cannot be made: {error.strerror}",
            remedy="Choose another place: --state-dir DIR, or GRIDCWL_STATE_DIR in the environment.",
        ) from error
    return RunFolder(path)


def all_folders(state_dir: Path) -> list[RunFolder]:
    """The folders of all runs, the latest first; ids sort by time."""
    try:
        with os.scandir(state_dir / "runs") as found:
            names = sorted((entry.name for entry in found if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return []
    return [RunFolder(state_dir / "runs" / name) for name in names]


@dataclass(frozen=True, slots=True)
class FoundRun:
    """The run that a word means, and why that one, if it could be another."""

    folder: RunFolder
    why: str = ""


def find(state_dir: Path, word: str) -> FoundRun:
    """The run that the user means: its id or name, the only one that begins so, or ``last``.

    ``last`` is the latest run of this terminal, or else of this folder, or else of all.

    Raises:
        ConfigError: there is none, or more than one.
    """
    if _ID.fullmatch(word) and (state_dir / "runs" / word).is_dir():  # whoever has many runs names them so
        return FoundRun(RunFolder(state_dir / "runs" / word))
    folders = all_folders(state_dir)
    if word == "last" and folders:
        return _last(folders)
    if exact := [folder for folder in folders if folder.run == word]:
        return FoundRun(exact[0])
    if named := [folder for folder in folders if folder.name == word]:
        return FoundRun(named[0], f"the latest of {len(named)} runs of that name" if len(named) > 1 else "")
    found = [folder for folder in folders if word and (folder.run.startswith(word) or folder.name.startswith(word))]
    if len(found) == 1:
        return FoundRun(found[0])
    if not found:
        likely = did_you_mean(word, ["last", *(folder.name for folder in folders if folder.name)] if folders else [])
        raise ConfigError(
            f"There is no run {word} in {state_dir / 'runs'}", remedy=f"{likely} gridcwl runs lists them.".strip()
        )
    shown = ", ".join(folder.run + (f" ({folder.name})" if folder.name else "") for folder in found[:5])
    listed = shown + (" ..." if len(found) > 5 else "")
    raise ConfigError(f"{word} can be any of {len(found)} runs: {listed}", remedy="Write more of the id.")


def _last(folders: list[RunFolder]) -> FoundRun:
    terminal, here = this_terminal(), _this_folder()
    origins = [(folder, folder.origin) for folder in folders]
    for key, mine, why in (
        ("terminal", terminal, "the latest of this terminal"),
        ("cwd", here, "the latest of this folder"),
    ):
        for folder, origin in origins:
            if mine and origin.get(key) == mine:
                return FoundRun(folder, "" if folder is folders[0] else f"{why}; {folders[0].run} is later")
    known = origins[0][1].get("cwd")
    return FoundRun(folders[0], f"it was started in another terminal, in {known}" if known else "")


def _this_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return ""


def this_terminal() -> str:
    """What tells this terminal's session from all others of this machine, also those of earlier days."""
    leader = os.getsid(0)
    try:
        started = Path(f"/proc/{leader}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        started = ""
    return f"{socket.gethostname()}:{leader}:{started}"


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def checked_id(run: str) -> RunId:
    """The id of a run.

    Raises:
        ConfigError: it has another form.
    """
    if not _ID.fullmatch(run):
        raise ConfigError(f"{run!r} cannot be the id of a run", remedy="gridcwl.new_run_id() gives one.")
    return RunId(run)


def checked_run_name(name: str) -> str:
    """A name for a run.

    Raises:
        ConfigError: it could be mistaken for something else, or cannot be typed easily.
    """
    if name == "last" or _ID.match(name) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"A run cannot be called {name!r}",
            remedy="Use letters, digits, '.', '_' and '-', at most 100, and neither 'last' nor a run's id.",
        )
    return name


def new_run_id() -> RunId:
    """A name for a run: sorts by time (to 1/4096 s), is unique, and is safe in file, container and job names."""
    now = datetime.now(UTC)
    return RunId(f"{now:%Y%m%d-%H%M%S}-{now.microsecond * 4096 // 1_000_000:03x}{secrets.randbelow(4096):03x}")
