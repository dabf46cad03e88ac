"""What a backend is: it moves a Job to a machine and a JobResult back. No CWL here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gridcwl.model import Job, JobEvent, JobId, JobState, Resources, RunId
from gridcwl.settings import NoSettings
from gridcwl.worker.engine import ContainerSettings


@dataclass(frozen=True, slots=True)
class BackendPlugin:
    """A backend, as an entry point of the group ``gridcwl.backends`` declares it."""

    name: str
    summary: str
    """For ``--help``: what follows "NAME: "."""
    module: str
    """Imported when the backend is opened; its ``open_backend(settings, context)`` returns an asynchronous context
    manager that gives a :class:`Backend`."""
    settings: type = NoSettings
    """A frozen ``msgspec.Struct``; see ``gridcwl.settings``. Every field has a default."""
    table: str = ""
    """The table of the configuration file that holds the settings."""
    packages: tuple[str, ...] = ()
    """Packages that have to be installed, as they are imported."""
    install: str = ""
    """What to do if they are not; empty: gridcwl's extra that brings them."""
    title: str = ""
    """For messages: "DIRAC"; empty: its name."""
    remote: bool = False
    """Jobs run on other machines; see ``Capabilities.survives_client`` for how long."""
    reads: frozenset[str] = frozenset()
    """Which options of the command line it reads, in addition to its settings; see :class:`JobOptions`."""
    hooks: frozenset[str] = frozenset()
    """Optional functions of the module:

    - ``start_ahead(containers)``: begin what takes long, before the document is read;
    - ``preload(settings)``: the same, while it is read;
    - ``stop(settings, run)``: stop jobs that no client monitors any more; returns how many there were;
    - ``offers(settings)``: what its sites offer: ``SiteOffer`` values;
    - ``sites(settings)``: the same of all its sites, whichever of them the settings choose, for ``gridcwl sites``;
    - ``open_batch_jobs(settings, run)``: a context manager that gives the ``BatchJobs`` of ``gridcwl.backends.views``,
      for ``gridcwl logs`` of a run that is active;
    - ``open_planner(settings)``: one that gives a ``Planner`` of that module, for ``gridcwl plan`` with sites;
    - ``machine_planner(settings)``: a ``MachinePlanner`` of that module, for ``gridcwl plan`` with one machine; a
      backend that has neither is planned as this machine;
    - ``accounting(settings, runs, by, since)``: what the jobs of these runs used as its accounting has it, by "run" or
      "site": ``AccountedUsage`` values;
    - ``open_nodes(settings)``: a context manager that gives a ``NodeHost`` of ``gridcwl.backends.nodes``, for
      ``gridcwl shell --at`` and Jupyter kernels;
    - ``open_pool_nodes(settings)``: one that gives a ``PoolHost`` of that module, for ``gridcwl pool up --backend``;
    - ``pools()``: the warm pools, as ``WarmPools`` of that module;
    - ``health(settings, needed)``: for ``gridcwl doctor``: ``HealthCheck`` values of ``gridcwl.health``; ``needed`` if
      the configuration chooses this backend.

    The local backend has its own for what a killed client left on this machine.
    """
    local_mode: Callable[[Any], bool] = lambda _settings: False
    """Whether these settings of a remote backend keep jobs on this machine, where they end with the client."""
    local_option: str = ""
    """The option that does so, as it is typed."""
    local_reads: frozenset[str] = frozenset()
    """As ``reads``, for that mode."""


@dataclass(frozen=True, slots=True)
class QueueOffer:
    """One kind of place for a job at a site. None is for: nobody says."""

    name: str = ""
    cores: float | None = None
    ram_mib: int | None = None
    gpus: int | None = None
    cpu_time_s: int | None = None
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    """Only jobs that request one of these come here."""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class SiteOffer:
    """What a site offers to jobs, for people; a backend without a choice of sites has one."""

    site: str
    queues: tuple[QueueOffer, ...] = ()
    status: str = "Active"
    is_open: bool = True
    """Jobs are sent there now."""
    storage: tuple[str, ...] = ()
    """Storage elements at the site."""
    hints_give_way: bool = False
    """Jobs that a hint asks more for than there is run with what there is."""


@dataclass(frozen=True, slots=True)
class AccountedUsage:
    """What the accounting of a batch system has of one group of jobs: those of a run, or of a site."""

    name: str
    jobs: int = 0
    """Batch jobs: several jobs of gridcwl may be in one."""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    """Wall time times processors."""
    norm_cpu_hours: float = 0.0
    """CPU hours times the benchmark of the machine; 0 if unknown."""
    input_bytes: float = 0.0
    output_bytes: float = 0.0
    """Of files that the batch system moved; gridcwl's workers move their own."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options of a run that hold whatever the backend; a backend's plugin says which of them it reads."""

    engine: str = "docker"
    """The container engine for jobs with an image: docker, podman, apptainer, singularity or udocker."""
    max_jobs: int | None = None
    """At most so many at a time; None leaves it to cores and memory."""
    capabilities: tuple[str, ...] = ()
    """Linux capabilities that containers keep, without ``CAP_``."""
    processes: int | None = None
    """The most processes in a container; None is the worker's default, 0 no limit."""
    containers: ContainerSettings = field(default_factory=ContainerSettings)
    keep_folders: bool = False
    """Leave the folders of jobs that have ended."""
    detach: bool = False
    """When the backend is closed, its jobs keep running."""
    site: str = ""
    """Where this machine is."""


@dataclass(frozen=True, slots=True)
class BackendContext:
    """The run that a backend is opened for."""

    run: RunId
    folder: Path
    """A folder of this machine for whatever the backend stores; each job has one of its own below."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """By their stand-ins in jobs: see ``gridcwl.model.codec.with_secrets``; never for what leaves this machine. More
    may come while the run is active."""
    jobs: JobOptions = field(default_factory=JobOptions)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, so that the run need not guess."""

    containers: bool
    """Jobs can run in container images. If not, a document that needs them is refused before any job runs."""
    survives_client: bool
    """Jobs keep running when the client dies, and ``recover`` finds them. If not, ``--submit-only`` is refused."""
    batch_size: int
    """How many jobs one ``submit`` should carry."""
    window: int
    """How many jobs may be under way or waiting in the backend before the run holds back the rest."""
    largest: Resources | None = None
    """The most that one job can be given; None where only the server knows."""
    sees_files: bool = True
    """Jobs can read the files of this machine."""
    image_places: tuple[str, ...] = ()
    """Where its sites look for container images in the run's store: ``rucio:scope:name``, with ``{image}`` or
    ``{file}`` in it. If there are any, the backend is a :class:`StoreImages` as well."""


class Recovered(NamedTuple):
    """A job that an earlier session submitted, and that the backend still has: active, or ended and not collected."""

    state: JobState
    attempt: int = 1


class StoreImages(Protocol):
    """In addition, of a backend whose sites fetch container images from the run's store.

    The run looks the images up before it submits jobs: a backend calls no store.
    """

    def missing_images(self, jobs: Sequence[Job]) -> Sequence[str]:
        """Names in the store that the images of these jobs may have, and of which nothing is known yet."""

    def add_images(self, found: Mapping[str, Any]) -> None:
        """What the store has of them, by name: see ``StoreSession.archives``. Those that it lacks are left out."""


class Backend(Protocol):
    """Where jobs run. Used as an asynchronous context manager: leaving it stops and removes what still runs here."""

    capabilities: Capabilities

    async def check(self, samples: Sequence[Job]) -> None:
        """Refuse what could never run here, before anything is submitted.

        Args:
            samples: stand for jobs that will come for certain; only their resources and placement say anything.

        Raises:
            BackendError: one of them cannot run; naming the requirement.
        """

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Take the jobs; returns when they are accepted, not when they ran.

        Raises:
            ResourcesExceeded: a job asks for more than the place can ever give; none of the batch is taken.
            BackendError: the place does not answer.
        """

    def results(self) -> AsyncIterator[JobEvent]:
        """State changes and results as they happen, in any order; ends when the backend is closed.

        What was not taken before it was closed, or while it was, is still given: the run records it.
        """

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """Stop these jobs; each still ends with an event. Jobs that have ended are ignored.

        Args:
            job_ids: which.
            running: those that run, too; if False, only those that have not begun.
        """

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:
        """After a restart: the run's active jobs.

        One of these that is submitted again is not started again: its result comes as if it had just been submitted.
        """

    async def settled(self) -> None:
        """Wait until all jobs that were submitted are where they can outlive us, if they can."""

    async def close(self) -> None:
        """Stop everything that runs and release what is held; safe to call twice."""
