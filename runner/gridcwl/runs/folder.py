"""Where runs are kept: a folder for each below the user's state directory, and the lock that a living client holds."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridcwl.config import private_folder
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import RunId
from gridcwl.suggest import did_you_mean
from gridcwl.worker.removing import remove_tree

JOURNAL = "journal.db"


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
                yield
        except BlockingIOError:
            raise ConfigError(
                f"The run {self.run} is still going on", remedy=f"Wait for it, or stop it: gridcwl cancel {self.run}."
            ) from None

    def wait(self) -> None:
        """Block until no client holds the run."""
        with _locked(self.path / "lock", block=True):
            return

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        remove_tree(self.path)


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
        names = sorted((path.name for path in (state_dir / "runs").iterdir()), reverse=True)
    except FileNotFoundError:
        return []
    return [RunFolder(state_dir / "runs" / name) for name in names]


def find(state_dir: Path, name: str) -> RunFolder:
    """The run that the user means: its id, the only one that begins so, or ``last``.

    Raises:
        ConfigError: there is none, or more than one.
    """
    folders = all_folders(state_dir)
    if name == "last" and folders:
        return folders[0]
    found = [folder for folder in folders if folder.run.startswith(name)]
    exact = [folder for folder in found if folder.run == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        close = did_you_mean(name, ["last", *(folder.run for folder in folders)])
        remedy = f"{close} gridcwl runs lists them.".lstrip()
        raise ConfigError(f"There is no run {name} in {state_dir / 'runs'}", remedy=remedy)
    listed = ", ".join(folder.run for folder in found[:5]) + (" ..." if len(found) > 5 else "")
    raise ConfigError(f"{name} can be any of {len(found)} runs: {listed}", remedy="Write more of the id.")
