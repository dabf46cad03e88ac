"""Which backend and which store a run uses: from the name that the user gives to the thing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from gridcwl import imports
from gridcwl.backends.base import Backend
from gridcwl.backends.dirac.matching import Wishes
from gridcwl.model import Job, JobResult, RunId
from gridcwl.worker.engine import ContainerSettings

if TYPE_CHECKING:
    from gridcwl.backends.dirac.options import FindArchives
    from gridcwl.backends.dirac.server import Server

BackendName: TypeAlias = Literal["local", "dirac", "diracx"]
ServerName: TypeAlias = Literal["dirac", "diracx", "dirac-local"]
"""Who takes DIRAC jobs: DIRAC by its own client, DiracX, or DIRAC's local mode."""
StoreName: TypeAlias = Literal["local", "rucio"]

BACKENDS: tuple[BackendName, ...] = ("local", "dirac", "diracx")
STORES: tuple[StoreName, ...] = ("local", "rucio")

_ASK_HERE_S = (0.1, 1.0)
"""How often the local mode is asked how jobs stand: while things happen, and at least."""


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
    archives: FindArchives | None = None
    """Finds images in Rucio, where the run uses it."""


@dataclass(frozen=True, slots=True)
class LocalChoice:
    """Jobs run on this machine."""

    engine: str = "docker"
    reuse_containers: bool = False
    max_jobs: int | None = None
    limit_memory: bool = False
    limit_cores: bool = False
    capabilities: tuple[str, ...] = ()
    """Linux capabilities that containers keep."""
    processes: int | None = None
    """The most processes in a container."""
    containers: ContainerSettings = field(default_factory=ContainerSettings)
    leave_tmpdir: bool = False


@dataclass(frozen=True, slots=True)
class DiracChoice:
    """Jobs are DIRAC jobs."""

    server: ServerName = "dirac"
    max_jobs: int | None = None
    """At a time, in the local mode."""
    site: str = ""
    """Where this machine is, in the local mode."""
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
        capabilities=choice.capabilities,
        processes=choice.processes,
        containers=choice.containers,
        recycle=not choice.leave_tmpdir,
    )
    return LocalBackend(options, reveal=session.reveal, keep=session.keep)


@asynccontextmanager
async def _dirac_backend(choice: DiracChoice, session: Session) -> AsyncIterator[Backend]:
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions

    options = DiracOptions(
        folder=session.working,
        wishes=choice.wishes,
        pack=choice.pack,
        sites=choice.sites,
        archives=session.archives,
        poll_top_s=choice.poll_top_s,
        stalled_s=choice.stalled_s,
        window=choice.window,
        leave=choice.leave,
    )
    if choice.server == "dirac-local":  # to ask is nothing, there
        options = replace(options, poll_first_s=_ASK_HERE_S[0], poll_top_s=_ASK_HERE_S[1])
    with server(choice.server, session.working / "dirac", max_jobs=choice.max_jobs, site=choice.site) as jobs:
        backend = DiracBackend(jobs, options, run=session.run, reveal=session.reveal, keep=session.keep)
        async with backend:
            yield backend


@contextmanager
def server(
    name: ServerName, folder: Path | None = None, *, max_jobs: int | None = None, site: str = ""
) -> Iterator[Server]:
    """Who takes DIRAC jobs, until it is left.

    Args:
        name: who.
        folder: for the local mode, which runs nothing without one.
        max_jobs: see :class:`DiracChoice`.
        site: see :class:`DiracChoice`.

    Raises:
        ConfigError: what it needs is not installed or not configured; saying what to do.
    """
    if name == "dirac":
        from gridcwl.backends.dirac.client import DiracClient

        yield DiracClient()
    elif name == "diracx":
        imports.require("httpx", "DiracX")
        from gridcwl.backends.dirac.diracx.server import from_environment

        with closing(from_environment()) as diracx:
            yield diracx
    else:
        from gridcwl.backends.dirac.local_server import LocalServer

        with closing(LocalServer(folder, max_jobs=max_jobs, site=site)) as local:
            yield local


def server_of(backend: str, mode: str) -> ServerName | None:
    """Who takes the jobs that a run's options mean; None where they run here without anybody."""
    if backend == "dirac":
        return "dirac-local" if mode == "local" else "dirac"
    return "diracx" if backend == "diracx" else None


def saved_server(options: Any) -> ServerName | None:
    """The same for the options that a run's journal has."""
    grid = (options or {}).get("grid") or {}
    return server_of(str(grid.get("backend", "local")), str(grid.get("dirac_mode", "wms")))


def stop_elsewhere(name: ServerName | None, run: RunId) -> int:
    """Stop all jobs of a run that nobody follows any more; returns how many there were.

    Raises:
        BackendError: the place does not answer.
    """
    if name is None or name == "dirac-local":  # these end with whoever started them
        return 0
    from gridcwl.backends.dirac.reconcile import stop

    with server(name) as jobs:
        return stop(jobs, run)
