"""The folder of one trial, and what is seen of it from outside: processes, journal, files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from campaign import witness
from gridcwl.runs.record.folder import RunFolder, all_folders
from gridcwl.runs.record.history import History


@dataclass(frozen=True)
class Process:
    """A process that belongs to a trial."""

    pid: int
    command: str

    def signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def is_tool(self) -> bool:
        """One that a job started, and not gridcwl's own."""
        return "gridcwl" not in self.command.partition("witness start")[0][:200] and "forkserver" not in self.command


@dataclass
class Scene:
    """A trial's folder.

    Attributes:
        root: of the trial: the witness and what clients print.
        small: the desk is a disk of its own, which can be full.
    """

    root: Path
    small: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def desk(self) -> Path:
        """All that gridcwl has: document, state, caches, temporary files, outputs."""
        return self.root / "desk"

    @property
    def witness(self) -> Path:
        return self.root / "witness"

    @property
    def control(self) -> Path:
        """Of the library that is preloaded."""
        return self.root / "control"

    @property
    def state(self) -> Path:
        return self.desk / "state"

    @property
    def tmp(self) -> Path:
        return self.desk / "tmp"

    @property
    def outdir(self) -> Path:
        return self.desk / "out"

    @contextlib.contextmanager
    def open(self, schemas: Path) -> Iterator[Scene]:
        """Make it; afterwards nothing of it runs, and nothing is mounted.

        Args:
            schemas: CWL's parsed schemas, shared by all trials.
        """
        self.desk.mkdir(parents=True)
        if self.small:
            self.small = _mounted(self.desk)
        try:
            for name in ("state", "tmp", "cache/gridcwl", "config"):
                (self.desk / name).mkdir(parents=True)
            (self.desk / "cache" / "gridcwl" / "schemas").symlink_to(schemas)
            self.control.write_bytes(bytes(8))
            self.environment = {
                name: value for name, value in os.environ.items() if not name.startswith(("GRIDCWL_", "LD_", "COV_"))
            } | {
                "GRIDCWL_STATE_DIR": str(self.state),
                "XDG_CACHE_HOME": str(self.desk / "cache"),
                "XDG_CONFIG_HOME": str(self.desk / "config"),
                "TMPDIR": str(self.tmp),
            }  # fmt: skip
            yield self
        finally:
            for process in self.processes():
                process.signal(signal.SIGKILL)
            if self.small:
                subprocess.run(["umount", "--lazy", str(self.desk)], check=False)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    # -- what is seen --------------------------------------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """All processes of the trial, by their environment, their working directory and their command."""
        wanted = os.fsencode(self.root)
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (
                    place.name == str(os.getpid())
                    or (place / "stat").read_bytes().rpartition(b")")[2].split()[0] in b"ZX"
                ):
                    continue
                command = (place / "cmdline").read_bytes()
                texts = (os.fsencode((place / "cwd").readlink()), command, (place / "environ").read_bytes())
                if any(wanted in text for text in texts):
                    found.append(Process(int(place.name), command.replace(b"\0", b" ").decode(errors="replace")))
        return found

    def marks(self) -> witness.Marks:
        """What the tools have left."""
        return witness.read(self.witness)

    def folder(self) -> RunFolder | None:
        """The latest run."""
        return next(iter(all_folders(self.state)), None)

    def resumable(self) -> bool:
        """Whether the run has begun."""
        folder = self.folder()
        if folder is None or not folder.journal.is_file():
            return False
        with contextlib.suppress(Exception), closing(History(folder.journal)) as history:
            return history.meta("options") is not None
        return True  # it cannot be read now: resuming says why

    def recorded(self) -> dict[str, str]:
        """The nonces of the jobs whose success the journal knows, by their names; empty where a log has none."""
        folder = self.folder()
        if folder is None or not folder.journal.is_file():
            return {}
        found = {}
        with closing(History(folder.journal)) as history:
            for row in history.jobs(where="outcome = 'success'"):
                result = history.result(row.row, row.attempt)
                log = Path(result.stderr_log) if result is not None and result.stderr_log else None
                text = ""
                with contextlib.suppress(OSError):
                    text = log.read_text("utf-8", "replace") if log is not None else ""
                found[row.name] = witness.nonce_in(text)
        return found


def _mounted(folder: Path) -> bool:
    """Mount a small disk; False if this user may not."""
    words = ["mount", "-t", "tmpfs", "-o", "size=48m,nr_inodes=6000", "gridcwl-campaign", str(folder)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def unmount_below(root: Path) -> None:
    """Unmount what an earlier campaign that was killed has left."""
    for line in Path("/proc/mounts").read_text().splitlines():
        name, place, *_ = line.split()
        if name == "gridcwl-campaign" and Path(place).is_relative_to(root):
            subprocess.run(["umount", "--lazy", place], check=False)
