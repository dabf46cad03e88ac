"""Where the service keeps what belongs to a run: uploads, outputs, and the messages of its session."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridcwl.config import private_folder
from gridcwl.model import RunId
from gridcwl.runs.record.folder import RunFolder


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
        for folder in (self.path, self.state, self.cache, self.work, self.path / "runs"):
            private_folder(folder)

    def scratch(self) -> Path:
        """A new folder for what is made for one request; its caller removes it."""
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix="request-", dir=self.work))

    def run(self, run: str) -> SubmittedFolder:
        """The folder of one run."""
        return SubmittedFolder(self.path / "runs" / run)

    def record(self, engine: str) -> RunFolder:
        """The folder that holds a run's journal."""
        return RunFolder(self.state / "runs" / RunId(engine))


@dataclass(frozen=True, slots=True)
class SubmittedFolder:
    """What a client has sent for one run, and what it gets back."""

    path: Path

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
        return self.path / f"messages-{run}.log"

    @property
    def params(self) -> Path:
        """The input object, as it was accepted."""
        return self.path / "params.json"

    def read_params(self) -> Any:
        """The input object."""
        return json.loads(self.params.read_text("utf-8"))
