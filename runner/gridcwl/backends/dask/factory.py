"""Opens the Dask backend: its cluster, its options from settings."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.backends.base import BackendContext, JobOptions, QueueOffer, SiteOffer
from gridcwl.backends.dask.plugin import DaskSettings
from gridcwl.backends.dask.tasks import TaskOptions
from gridcwl.model import RunId

if TYPE_CHECKING:
    from gridcwl.backends.dask.backend import DaskBackend


@asynccontextmanager
async def open_backend(settings: DaskSettings, context: BackendContext) -> AsyncIterator[DaskBackend]:
    """The Dask backend for one session of a run.

    Raises:
        ConfigError: something is not installed or not set; with what to do.
        BackendError: the cluster does not answer.
    """
    from gridcwl.backends.dask.backend import DaskBackend
    from gridcwl.backends.dask.clusters import Machine, open_cluster, security_of
    from gridcwl.backends.local.machine import this_machine

    here = this_machine()
    machine = Machine(here.cores, here.ram_mib, here.gpus)
    security = security_of(settings)
    async with open_cluster(settings, machine, context.folder / "dask") as cluster:
        backend = DaskBackend(
            cluster,
            task_options(settings, context),
            run=context.run,
            security=security,
            secrets=context.secrets,
            survives=bool(settings.address),
            leave=context.jobs.detach and bool(settings.address),
        )
        async with backend:
            yield backend


def stop(settings: DaskSettings, run: RunId) -> int:
    """Stop all jobs of a run that no client monitors any more; returns how many there were.

    Raises:
        BackendError: the cluster does not answer.
    """
    if not settings.address:  # they ended with the client
        return 0
    with tempfile.TemporaryDirectory(prefix="gridcwl-") as folder, ThreadPoolExecutor(1) as thread:
        # in a thread: whoever calls this may have an event loop of its own
        return thread.submit(asyncio.run, _stop(settings, BackendContext(run, Path(folder)))).result()


async def _stop(settings: DaskSettings, context: BackendContext) -> int:
    async with open_backend(settings, context) as backend:
        await backend.recover(context.run)
        return backend.left


def offers(settings: DaskSettings) -> list[SiteOffer]:
    """What a worker of this machine, or of a batch system, has for jobs; of a cluster that exists nobody knows yet."""
    if settings.address:
        return [SiteOffer(settings.site or settings.address)]
    from gridcwl.backends.local.machine import this_machine

    here = this_machine()
    if settings.is_local:
        cores = settings.cores or here.cores / settings.workers
        ram_mib = settings.ram or here.ram_mib // settings.workers
        gpus = here.gpus // settings.workers if settings.gpus is None else settings.gpus
        return [SiteOffer("this machine", (QueueOffer("worker", cores, ram_mib, gpus),))]
    offer = QueueOffer("worker", settings.cores or 1, settings.ram or 2048, settings.gpus or 0)
    return [SiteOffer(settings.site or settings.cluster, (offer,))]


def task_options(settings: DaskSettings, context: BackendContext) -> TaskOptions:
    """What settings and the options of a run mean for all its tasks."""
    jobs = context.jobs
    worker_options: dict[str, Any] = {"collect_failed": True, "site": settings.site or jobs.site}
    if jobs.capabilities:
        worker_options["capabilities"] = list(jobs.capabilities)
    if jobs.processes is not None:
        worker_options["processes"] = jobs.processes
    return TaskOptions(
        folder=context.folder,
        shared=settings.sees_files,
        local=settings.is_local,
        recycled=str(context.folder / "recycled") if settings.is_local and not jobs.keep_folders else "",
        base=settings.folder,
        site=settings.site or jobs.site,
        image=settings.image if settings.engines == ("none",) else "",
        settings={"*": _site_settings(settings, jobs)},
        worker_options=worker_options,
    )


def _site_settings(settings: DaskSettings, jobs: JobOptions) -> dict[str, Any]:
    """For containers, as ``gridcwl.worker.site`` reads them."""
    found: dict[str, Any] = {}
    if settings.engines:
        found["engines"] = list(settings.engines)
    elif settings.is_local:
        found["engines"] = [jobs.engine]
    if settings.images:
        found["images"] = list(settings.images)
    if jobs.capabilities:
        found["cap_add"] = list(jobs.capabilities)
    if jobs.processes is not None:
        found["pids_limit"] = jobs.processes
    return found
