"""The output directory of a run: what may be replaced in it, and who may write to it at a time.

A run replaces what an earlier run of the same document has put there, and nothing else without ``--overwrite``.
Conflicts are found before the first job runs where the names of outputs are known, and before the first file moves
otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gridcwl.errors import OutputConflict, RunCancelled, StoreError
from gridcwl.model import RunId
from gridcwl.runs.published import Published, PublishedFile
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.stores.local import explained, sums_of
from gridcwl.stores.transaction import HIDDEN, Moved, recover, refuse_other_kind

log = logging.getLogger("gridcwl.runs")

_SHOWN = 5
_WAIT_S = 0.1
_CHECKING = threading.Lock()
"""Runs of one process that check the same directory would remove it from under each other."""
_NO_LOCK = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
"""What file systems say that cannot lock a folder; NFS is one."""


@dataclass(slots=True)
class OutputFolder:
    """One run's output directory."""

    path: Path
    run: RunId
    document: str
    """The document's URI: runs of the same document replace each other's outputs."""
    state_dir: Path
    overwrite: bool = False
    """Replace whatever is there."""
    replace_own: bool = True
    """Replace what the run itself has put there, also if it was changed since."""
    inputs: frozenset[str] = frozenset()
    """Paths of the run's inputs."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run is cancelled: what is being published is taken back."""
    _began: float = field(init=False, default_factory=time.time)
    _published: Published = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.path.resolve()
        self._published = Published(self.state_dir / "outputs.db")

    def close(self) -> None:
        """Let go of the names that were claimed."""
        with contextlib.suppress(JournalError):
            self._published.release(self.run)
        self._published.close()

    def check_stop(self) -> None:
        """See that the run has not been cancelled.

        Raises:
            RunCancelled: it has.
        """
        if self.stop.is_set():
            raise RunCancelled("The run was stopped while its outputs were published")

    def begin(self, names: Iterable[str]) -> None:
        """Claim the names of outputs that are known before the first job runs, and see that they may be written.

        Args:
            names: those of directories end with ``/``.

        Raises:
            OutputConflict: a file of somebody else has one of the names, or another run is about to write it.
        """
        names = list(names)
        if not names:
            return
        self._recover()
        self.check(names)
        plain = [name.rstrip("/") for name in names]
        try:
            taken = self._published.claim(self.path, self.run, plain, self._is_at_work)
        except JournalError as error:
            log.warning("%s", error.message)
            return
        if taken:
            other = next(iter(taken.values()))
            raise OutputConflict(
                _listed(self.path, taken),
                f"the run {other}, which is active, writes to the same name{'s' if len(taken) > 1 else ''}",
                remedy=f"Wait until {other} has ended, or choose another --outdir.",
                several=len(taken) > 1,
                writer=str(other),
            )

    def _recover(self) -> None:
        """Take back what a process that was killed has moved, of this run's or another's: it would be in the way."""
        with contextlib.suppress(FileNotFoundError):
            if any(name.startswith(HIDDEN) for name in os.listdir(self.path)):  # noqa: PTH208
                with self.locked():
                    return

    def check(self, names: Iterable[str]) -> None:
        """See that files and directories of these names may be written.

        Args:
            names: those of directories end with ``/``.

        Raises:
            OutputConflict: a file of somebody else has one of the names, or a directory is where a file has to go.
        """
        names = [name for name in names if str(self.path / name) not in self.inputs]
        for name in names:
            refuse_other_kind(self.path / name, directory=name.endswith("/"))
        known = self._known(names)
        conflicts = [(name, reason) for name in names if (reason := self._against(name, known)) is not None]
        self._refuse(conflicts)

    def replaceable(self, names: Iterable[str], sha1: Callable[[str], str]) -> set[str]:
        """See that files of these names may be moved into the folder; to be called while it is locked.

        Args:
            names: relative to the folder.
            sha1: of the new file of a name.

        Returns:
            Names of files that are there already, with the same bytes: they stay as they are.

        Raises:
            OutputConflict: one may not be replaced.
        """
        folder = str(self.path)
        there = [name for name in names if os.path.lexists(f"{folder}/{name}")]
        known = self._known(there)
        conflicts: list[tuple[str, str]] = []
        same: set[str] = set()
        for name in there:
            if (reason := self._against(name, known)) is None:
                continue
            if self._has(name, sha1(name)):
                same.add(name)
            else:
                conflicts.append((name, reason))
        self._refuse(conflicts)
        return same

    def stale(self, folders: Iterable[str], names: Container[str]) -> list[str]:
        """Files that an earlier run of the document has put into these folders, and that this run does not make."""
        found: list[str] = []
        with contextlib.suppress(JournalError):
            for folder in folders:
                for file in self._published.below(self.path, folder):
                    mine = file.document == self.document and file.at < self._began
                    if mine and file.name not in names and _untouched(file, self.path / file.name):
                        found.append(file.name)
        return found

    def record(self, files: list[Moved], sha1: Callable[[str], str]) -> None:
        """These are there now."""
        try:
            self._published.record(self.path, self.run, self.document, files, sha1)
        except JournalError as error:
            log.warning("%s: a later run will not know that these outputs are its own to replace", error.message)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is there, for this process; waits for another run that publishes into it.

        The system lets go of it when the process ends, however that happens. What a process that was killed left
        half-moved is taken back.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not _lock(descriptor, self.path, self.check_stop):
                os.close(descriptor)
                descriptor = os.open(self._lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                _lock(descriptor, self.path, self.check_stop)
            for run in recover(self.path):
                log.warning("%s: outputs that the run %s had published when it was killed are removed", self.path, run)
            yield
        finally:
            os.close(descriptor)

    def _lock_file(self) -> Path:
        """The lock of a folder on a file system that does not lock folders."""
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:32]
        return self.state_dir / f"outdir-{digest}.lock"

    def _is_at_work(self, run: str) -> bool:
        return RunFolder(self.state_dir / "runs" / run).alive

    def _against(self, name: str, published: Mapping[str, PublishedFile]) -> str | None:
        """Why the file of this name may not be replaced; None if it may, or if there is none."""
        try:
            about = os.lstat(f"{self.path}/{name.rstrip('/')}")
        except OSError:
            return None
        if stat.S_ISDIR(about.st_mode):
            return None  # files go into it, one by one
        known = published.get(name)
        reason = None
        if known is None:
            reason = None if self.overwrite else "it existed before, and gridcwl did not write it"
        elif known.run != self.run and known.at >= self._began:
            reason = f"the run {known.run} wrote it after this run started"
        elif self.overwrite or (known.run == self.run and self.replace_own):
            reason = None
        elif not known.is_untouched(about) and not self._has(name, known.sha1):
            reason = f"it was changed since the run {known.run} wrote it"
        elif known.document != self.document:
            reason = f"the run {known.run} of another document wrote it ({known.document.removeprefix('file://')})"
        return reason

    def _known(self, names: Sequence[str]) -> Mapping[str, PublishedFile]:
        """Which of these gridcwl has put there."""
        try:
            return self._published.find(self.path, names)
        except JournalError as error:
            log.warning("%s", error.message)
            return {}

    def _has(self, name: str, sha1: str) -> bool:
        """Whether the file that is there has these bytes."""
        final = self.path / name
        try:
            return final.is_file() and not final.is_symlink() and sums_of(final).sha1 == sha1
        except OSError:
            return False

    def _refuse(self, conflicts: list[tuple[str, str]]) -> None:
        if conflicts:
            (_, reason), *_ = conflicts
            raise OutputConflict(
                _listed(self.path, dict(conflicts)),
                reason,
                remedy="Choose another --outdir, move away what is there, or give --overwrite to replace it.",
                replaceable=True,
                several=len(conflicts) > 1,
            )


def check_outdir(outdir: Path) -> None:
    """Find out before a run begins whether outputs can go there: by making a folder there, which goes at once.

    Raises:
        OutputConflict: it is a file, or lies below one.
        StoreError: it cannot be made or written to.
    """
    outdir = outdir.absolute()
    with _CHECKING:
        _check_outdir(outdir)


def _check_outdir(outdir: Path) -> None:
    made = [folder for folder in (outdir, *outdir.parents) if not folder.exists()]
    there = made[-1].parent if made else outdir
    if not there.is_dir():
        raise OutputConflict(str(outdir), f"{there} is a file, not a directory", remedy="Choose another --outdir.")
    try:
        with explained(outdir):
            outdir.mkdir(parents=True, exist_ok=True)
            os.rmdir(tempfile.mkdtemp(prefix=".gridcwl-", dir=outdir))  # noqa: PTH106
    except StoreError as error:
        error.remedy = "Choose another --outdir."
        raise
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _lock(descriptor: int, path: Path, check: Callable[[], None]) -> bool:
    """Lock; False where that cannot be done. ``check`` raises when waiting is to end."""
    waiting = False
    while True:
        check()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                log.warning("waiting for another run that publishes into %s", path)
            waiting = True
            time.sleep(_WAIT_S)
        except OSError as error:
            if error.errno in _NO_LOCK:
                return False
            raise
        else:
            return True


def _untouched(file: PublishedFile, path: Path) -> bool:
    try:
        return file.is_untouched(path.lstat())
    except OSError:
        return False


def _listed(folder: Path, names: Mapping[str, str]) -> str:
    shown = [str(folder / name) for name in list(names)[:_SHOWN]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shown) + more
