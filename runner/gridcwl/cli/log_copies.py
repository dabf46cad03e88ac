"""``--log-dir``: what tools wrote to stdout and stderr, copied to a folder for each job."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from gridcwl.errors import UnsafePath
from gridcwl.model import Job, JobResult
from gridcwl.model.paths import file_path, inside

log = logging.getLogger("gridcwl")


class LogCopies:
    """Copies each job's streams when it has ended, under the names that the document gives them.

    A stream without a name becomes ``stdout.log`` or ``stderr.log``, if the tool wrote to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._warned = False

    def copy(self, job: Job, result: JobResult) -> None:
        """Copy what there is on this machine; one that cannot be copied is a warning."""
        made = {file.path: file.location for file in result.files if file.kind == "file"}
        streams = (("stdout", job.stdout, result.stdout_log), ("stderr", job.stderr, result.stderr_log))
        for stream, name, kept in streams:
            location = made.get(name or "", "")
            try:
                source = Path(file_path(location, "output") if location.startswith("file://") else kept or "")
                if source.is_file() and (name or source.stat().st_size):
                    self._copy(source, job.name, name or f"{stream}.log")
            except (OSError, UnsafePath) as error:
                if not self._warned:
                    log.warning("Logs cannot be copied to %s: %s", self._folder, error)
                self._warned = True

    def _copy(self, source: Path, job: str, name: str) -> None:
        target = inside(self._folder, f"{job}/{name}", "log")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
