"""Where the service keeps what belongs to a run: uploads, outputs, and the messages of its session."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder
from gridcwl.model import RunId, paths
from gridcwl.runs.record.folder import RunFolder

HOME = "home"
"""The file that names the run's folder on the machine that has received it."""
_RECEIVING = ".receiving"
"""Of files that are locked while a run's folder is being filled."""


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """The service's folder."""

    path: Path

    @property
    def state(self) -> Path:
        """Journals, as ``gridcwl --state-dir`` takes it."""
        return self.path / "state"

    @property
    def cache(self) -> Path:
        """What may be lost."""
        return self.path / "cache"

    @property
    def work(self) -> Path:
        """Working folders of runs."""
        return self.path / "work"

    def make(self) -> None:
        """Make it, for this user only."""
        for folder in (self.path, self.state, self.cache, self.work, self.path / "runs", self.path / "locks"):
            private_folder(folder)

    def scratch(self) -> Path:
        """A new folder for what is made for one request; its caller removes it."""
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix="request-", dir=self.work))

    def run(self, run: str) -> SubmittedFolder:
        """The folder of one run."""
        return SubmittedFolder(self.path / "runs" / run)

    def restored(self, engine: str) -> SubmittedFolder:
        """The folder of one run, with what its client has sent, whichever machine has received that."""
        return self.run(engine)

    def added(self, engine: str, files: Iterable[Path]) -> None:
        """Files below the folder of a run were made or changed by a driver."""

    def submitted(self, engine: str) -> None:
        """All that a client has sent is in the folder."""

    def keep(self, engine: str, run: str, outputs: Any) -> None:
        """The run has ended: let other machines have its messages, logs and outputs."""

    def fetch(self, engine: str, name: str) -> None:
        """Fetch a file of another machine, if there is none of this name below the run's folder."""

    def record(self, engine: str) -> RunFolder:
        """The folder that holds a run's journal."""
        return RunFolder(self.state / "runs" / RunId(engine))

    def records(self, engines: Iterable[str]) -> dict[str, RunFolder]:
        """The folders of many runs."""
        return {engine: self.record(engine) for engine in engines}


@dataclass(frozen=True, slots=True)
class SubmittedFolder:
    """What a client has sent for one run, and what it gets back."""

    path: Path
    fetch: Callable[[str], None] | None = None
    """Fetches a file from another machine by its name below the folder, if it is not there."""

    @property
    def files(self) -> Path:
        """The attachments."""
        return self.path / "files"

    @property
    def outputs(self) -> Path:
        """The final outputs."""
        return self.path / "outputs"

    def messages(self, run: str) -> Path:
        """What gridcwl reported of a run, as the command line prints it on stderr."""
        return self.file(f"messages-{run}.log")

    def output(self, path: str) -> Path:
        """An output by its path below the output directory.

        Raises:
            UnsafePath: the path leads elsewhere.
        """
        paths.inside(self.outputs, path, "The path of an output")
        return self.file(f"outputs/{path}")

    def file(self, name: str) -> Path:
        """A file by its name below the folder.

        Raises:
            UnsafePath: the name leads elsewhere.
        """
        found = paths.inside(self.path, name, "The name of a file")
        if self.fetch is not None and not found.exists():
            self.fetch(name)
        return found

    @property
    def params(self) -> Path:
        """The input object, as it was accepted."""
        return self.path / "params.json"

    def read_params(self) -> Any:
        """The input object."""
        return json.loads(self.here(self.params.read_text("utf-8")))

    def here(self, text: str) -> str:
        """A text that names attachments, with their places on this machine."""
        with suppress(FileNotFoundError):
            home = (self.path / HOME).read_text("utf-8")
            return text.replace(f"{home}/", f"{self.path}/") if home != str(self.path) else text
        return text


@contextmanager
def received(folder: SubmittedFolder) -> Iterator[None]:
    """Make a run's folder for what a client sends; without the run it is removed, also if this process is killed.

    See :func:`remove_unfinished`.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = folder.path.with_name(f".{folder.path.name}{_RECEIVING}")
    descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder.path.mkdir(mode=0o700)
        yield
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    finally:
        mark.unlink(missing_ok=True)
        os.close(descriptor)


def remove_unfinished(folder: ServiceFolder, is_known: Callable[[str], bool]) -> None:
    """Remove what processes that were killed had received of runs that there are not.

    Args:
        folder: the service's.
        is_known: whether there is a run.
    """
    for mark in (folder.path / "runs").glob(f".*{_RECEIVING}"):
        with suppress(OSError):  # another process has removed it
            descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # that of a process that is there is held
                run = mark.name[1 : -len(_RECEIVING)]
                if not is_known(run):
                    shutil.rmtree(folder.run(run).path, ignore_errors=True)
                mark.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def stored_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # removed meanwhile
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118
    return total


def is_resumable(folder: Path) -> bool:
    """Whether a run's journal says what the run is."""
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.history import History
    from gridcwl.runs.record.journal_file import JournalError

    try:
        with closing(History(RunFolder(folder).journal)) as history:
            return history.meta("options") is not None
    except JournalError:
        return False
