"""Opens the DIRAC backends: their servers, their options from settings, and what is done without a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl import imports
from gridcwl.backends.base import AccountedUsage, Backend, BackendContext, JobOptions, QueueOffer, SiteOffer
from gridcwl.backends.dirac.accounting import By
from gridcwl.backends.dirac.matching import Wishes
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.placements import placement_from_table
from gridcwl.backends.dirac.plugin import DiracSettings, DiracxSettings
from gridcwl.backends.dirac.server import Server
from gridcwl.backends.dirac.sites import DiracSite
from gridcwl.backends.nodes import NodeHost, PoolHost
from gridcwl.backends.views import BatchJobs, Planner
from gridcwl.health import HealthCheck
from gridcwl.model import Placement, RunId

ServerName: TypeAlias = Literal["dirac", "diracx", "dirac-local"]
"""Who takes DIRAC jobs: DIRAC by its own client, DiracX, or DIRAC's local mode."""

_LOCAL_POLL_S = (0.1, 1.0)
"""Intervals of the local mode, where a query costs nothing."""


@asynccontextmanager
async def open_backend(settings: DiracxSettings, context: BackendContext) -> AsyncIterator[Backend]:
    """The DIRAC backend for one session of a run.

    Raises:
        ConfigError: DIRAC or DiracX is not configured; with what to do.
    """
    from gridcwl.backends.dirac.backend import DiracBackend

    options = options_of(settings, context.jobs, context.folder)
    name = server_name(settings)
    if name == "dirac-local":
        options = replace(options, poll_first_s=_LOCAL_POLL_S[0], poll_top_s=_LOCAL_POLL_S[1])
    jobs = context.jobs
    with open_server(name, context.folder / "dirac", max_jobs=jobs.max_jobs, site=jobs.site) as server:
        backend = DiracBackend(server, options, run=context.run, secrets=context.secrets)
        async with backend:
            yield backend


def options_of(settings: DiracxSettings, jobs: JobOptions, folder: Path) -> DiracOptions:
    """What settings and the options of a run mean for the backend."""
    return DiracOptions(
        folder=folder,
        wishes=wishes_of(settings),
        pack=settings.pack,
        sites=_site_settings(settings, jobs),
        poll_top_s=float(settings.longest_pause),
        stalled_s=float(settings.stalled_after),
        window=settings.window,
        leave=jobs.detach,
    )


def wishes_of(settings: DiracxSettings) -> Wishes:
    """What settings mean for matching."""
    return Wishes(
        placement=Placement(
            settings.sites, settings.banned, settings.tags, settings.platform, settings.priority, settings.job_type
        ),
        steps={step: placement_from_table(step, about) for step, about in settings.placement.items()},
        cpu_time_s=settings.cpu_time,
        locality=settings.locality,
        local_bytes=settings.local_mib << 20,
        local_wait_s=float(settings.local_wait),
    )


def _site_settings(settings: DiracxSettings, jobs: JobOptions) -> dict[str, Any]:
    """Container settings for the workers of each site; ``*`` is every site."""
    found: dict[str, dict[str, Any]] = {}
    for key, table in (("engines", settings.engines), ("images", settings.images)):
        for site, words in table.items():
            found.setdefault(site, {})[key] = list(words)
    if jobs.capabilities:
        found.setdefault("*", {})["cap_add"] = list(jobs.capabilities)
    if jobs.processes is not None:
        found.setdefault("*", {})["pids_limit"] = jobs.processes
    return found


def server_name(settings: DiracxSettings) -> ServerName:
    """Who takes the jobs of a run with these settings."""
    if isinstance(settings, DiracSettings):
        return "dirac-local" if settings.mode == "local" else "dirac"
    return "diracx"


def _grid_name(settings: DiracxSettings) -> ServerName:
    """Who answers for the grid itself: DIRAC's local mode is for runs, and has neither sites nor nodes."""
    return "dirac" if isinstance(settings, DiracSettings) else "diracx"


@contextmanager
def open_server(
    name: ServerName, folder: Path | None = None, *, max_jobs: int | None = None, site: str = ""
) -> Iterator[Server]:
    """DIRAC, or what stands for it.

    Args:
        name: who takes jobs.
        folder: for the local mode, which runs nothing without one.
        max_jobs: at a time, in the local mode.
        site: where this machine is, in the local mode.

    Raises:
        ConfigError: what it needs is not installed or not configured; with what to do.
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


@contextmanager
def open_nodes(settings: DiracxSettings) -> Iterator[NodeHost]:
    """Nodes as DIRAC jobs; raises as :func:`open_server`."""
    from gridcwl.backends.dirac.nodes import DiracNodes

    with open_server(server_name(settings)) as server:
        yield DiracNodes(server)


@contextmanager
def open_pool_nodes(settings: DiracxSettings) -> Iterator[PoolHost]:
    """Nodes of warm pools as DIRAC jobs; raises as :func:`open_server`."""
    from gridcwl.backends.dirac.nodes import DiracNodes

    with open_server(_grid_name(settings)) as server:
        yield DiracNodes(server)


def node_sites(settings: DiracxSettings) -> dict[str, Any]:
    """Container settings of each site, for nodes."""
    return _site_settings(settings, JobOptions())


def preload(settings: DiracxSettings) -> None:
    """Import DIRAC's client in the background: it takes its time."""
    if server_name(settings) == "dirac":
        from gridcwl.backends.dirac.client import preload as load

        load()


def stop(settings: DiracxSettings, run: RunId) -> int:
    """Stop all jobs of a run that no client monitors any more; returns how many there were.

    Raises:
        BackendError: DIRAC does not answer.
    """
    name = server_name(settings)
    if name == "dirac-local":  # its jobs end with the client
        return 0
    from gridcwl.backends.dirac.reconcile import stop as stop_all

    with open_server(name) as server:
        return stop_all(server, run)


def offers(settings: DiracxSettings) -> list[SiteOffer]:
    """What each site offers, and whether jobs with these settings go there.

    Raises:
        BackendError: DIRAC does not answer.
        ConfigError: what it needs is not installed or not configured.
    """
    with open_server(server_name(settings)) as server:
        return [_chosen(_offer(one), settings) for one in server.offers()]


def sites(settings: DiracxSettings) -> list[SiteOffer]:
    """What each site of the grid offers, also where jobs with these settings do not go; raises as :func:`offers`."""
    with open_server(_grid_name(settings)) as server:
        return [_offer(one) for one in server.offers()]


@contextmanager
def open_batch_jobs(settings: DiracxSettings, run: RunId) -> Iterator[BatchJobs]:
    """The DIRAC jobs of a run; raises as :func:`open_server`."""
    from gridcwl.backends.dirac.reconcile import DiracJobs

    with open_server(server_name(settings)) as server:
        yield DiracJobs(server, run)


@contextmanager
def open_planner(settings: DiracxSettings) -> Iterator[Planner]:
    """Where jobs with these settings could run; raises as :func:`open_server`."""
    from gridcwl.backends.dirac.planner import DiracPlanner

    name = server_name(settings)
    with open_server(name) as server:
        yield DiracPlanner(server, wishes_of(settings), is_local=name == "dirac-local")


def accounting(
    settings: DiracSettings,  # noqa: ARG001  in DIRAC's local mode there is no accounting: DIRAC's own is meant
    runs: Sequence[str],
    by: By,
    since: float | None,
) -> list[AccountedUsage]:
    """What DIRAC's accounting has of these runs.

    Raises:
        BackendError: DIRAC does not answer.
    """
    from gridcwl.backends.dirac.client import DiracClient

    return DiracClient().accounting(runs, by, since)


def health(settings: DiracxSettings, needed: bool) -> Iterator[HealthCheck]:
    """Whether the server answers, and how long the credential lasts."""
    from gridcwl.backends.dirac import health

    name = server_name(settings)
    if name == "diracx":
        yield from health.diracx(needed=needed)
    else:
        yield from health.dirac(needed=needed and name == "dirac")


def _offer(offer: DiracSite) -> SiteOffer:
    queues = tuple(
        QueueOffer(
            name=queue.name,
            cores=queue.processors,
            ram_mib=queue.ram_mib,
            cpu_time_s=queue.cpu_time_s,
            tags=queue.tags,
            required_tags=queue.required_tags,
            platform=queue.platform or "",
        )
        for queue in offer.queues
    )
    return SiteOffer(offer.site, queues, offer.status, offer.open, offer.storage)


def _chosen(offer: SiteOffer, settings: DiracxSettings) -> SiteOffer:
    """The offer for jobs with these settings."""
    excluded = offer.site in settings.banned or bool(settings.sites and offer.site not in settings.sites)
    return replace(offer, status="Excluded here", is_open=False) if excluded and offer.is_open else offer
