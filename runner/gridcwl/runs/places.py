"""Which backend and which store a run uses: from the name that the user gives to the thing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl.backends.base import Backend
from gridcwl.backends.dirac.matching import Wishes
from gridcwl.model import Job, JobResult, RunId

BackendName: TypeAlias = Literal["local", "dirac"]
StoreName: TypeAlias = Literal["local", "rucio"]

BACKENDS: tuple[BackendName, ...] = ("local", "dirac")
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


@dataclass(frozen=True, slots=True)
class DiracChoice:
    """Jobs are DIRAC jobs."""

    wishes: Wishes = field(default_factory=Wishes)
    pack: int | Literal["auto"] = 1
    sites: Mapping[str, Any] = field(default_factory=dict)
    """Container engines and image places by site."""
    poll_top_s: float = 30.0
    stalled_s: float = 3600.0
    window: int = 2000
    leave: bool = False


BackendChoice: TypeAlias = LocalChoice | DiracChoice


def open_backend(choice: BackendChoice, session: Session) -> AbstractAsyncContextManager[Backend]:
    """The backend that was chosen, for one session of a run.

    Raises:
        ConfigError: what it needs is not installed or not configured; saying what to do.
    """
    if isinstance(choice, DiracChoice):
        return _dirac_backend(choice, session)
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


def _dirac_backend(choice: DiracChoice, session: Session) -> AbstractAsyncContextManager[Backend]:
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
    from gridcwl.backends.dirac.client import DiracClient

    options = DiracOptions(
        folder=session.working,
        wishes=choice.wishes,
        pack=choice.pack,
        sites=choice.sites,
        poll_top_s=choice.poll_top_s,
        stalled_s=choice.stalled_s,
        window=choice.window,
        leave=choice.leave,
    )
    return DiracBackend(DiracClient(), options, run=session.run, reveal=session.reveal, keep=session.keep)


def stop_elsewhere(backend: str, run: RunId) -> int:
    """Stop all jobs of a run that nobody follows any more; returns how many there were.

    Raises:
        BackendError: the place does not answer.
    """
    if backend != "dirac":
        return 0
    from gridcwl.backends.dirac.client import DiracClient
    from gridcwl.backends.dirac.leftovers import stop

    return stop(DiracClient(), run)
