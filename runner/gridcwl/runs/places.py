"""Which backend and which store a run uses: from the name that the user gives to the thing itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl.backends.base import Backend
from gridcwl.model import Job, JobResult, RunId

BackendName: TypeAlias = Literal["local", "dirac", "diracx"]
StoreName: TypeAlias = Literal["local", "rucio"]

BACKENDS: tuple[BackendName, ...] = ("local", "dirac", "diracx")
STORES: tuple[StoreName, ...] = ("local", "rucio")


@dataclass(frozen=True, slots=True)
class Session:
    """What a backend has to know of the run that uses it."""

    run: RunId
    working: Path
    """A folder of this machine for whatever the backend keeps; each job has one of its own below."""
    reveal: Callable[[Any], Any]
    """Puts secrets in place of their stand-ins; never for what leaves this machine."""
    keep: Callable[[Job, JobResult], None]
    """Told of every result before anybody else."""


@dataclass(frozen=True, slots=True)
class LocalChoice:
    """Jobs run on this machine."""

    engine: str = "docker"
    reuse_containers: bool = False
    max_jobs: int | None = None
    limit_memory: bool = False
    limit_cores: bool = False
    leave_tmpdir: bool = False


BackendChoice: TypeAlias = LocalChoice


def open_backend(choice: BackendChoice, session: Session) -> AbstractAsyncContextManager[Backend]:
    """The backend that was chosen, for one session of a run.

    Raises:
        ConfigError: what it needs is not installed or not configured; saying what to do.
    """
    from gridcwl.backends.local.backend import LocalBackend, LocalOptions

    options = LocalOptions(
        folder=session.working,
        engine=choice.engine,
        reuse_containers=choice.reuse_containers,
        max_jobs=choice.max_jobs,
        limit_memory=choice.limit_memory,
        limit_cores=choice.limit_cores,
        recycle=not choice.leave_tmpdir,
    )
    return LocalBackend(options, reveal=session.reveal, keep=session.keep)
