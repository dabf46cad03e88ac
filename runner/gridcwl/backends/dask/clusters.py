"""Clusters that a run starts for itself, and the way to one that exists."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dask
from distributed import LocalCluster
from distributed.security import Security

from gridcwl.backends.dask.plugin import DaskSettings
from gridcwl.errors import BackendError, ConfigError
from gridcwl.worker.limits import MIB

_MODULES = {
    "htcondor": ("dask_jobqueue", "HTCondorCluster", "dask-jobqueue"),
    "slurm": ("dask_jobqueue", "SLURMCluster", "dask-jobqueue"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster", "dask-kubernetes"),
}
_THREADS = 4
"""Jobs at a time for each core of this machine: some ask for less than one."""


class Machine(NamedTuple):
    """What this machine has for jobs."""

    cores: float
    ram_mib: int
    gpus: int


@contextmanager
def without_pages() -> Iterator[None]:
    """Schedulers and workers that start meanwhile have no web pages: to load those takes a quarter of a second."""
    with dask.config.set({"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}):
        yield


@asynccontextmanager
async def open_cluster(settings: DaskSettings, machine: Machine, folder: Path) -> AsyncIterator[Any]:
    """What a client connects to: an address, or a cluster that ends with the block.

    Raises:
        ConfigError: what the cluster needs is not installed or not set.
        BackendError: it does not start.
    """
    if settings.address:
        yield settings.address
        return
    if settings.cluster == "local":
        made: Any = LocalCluster(**local_arguments(settings, machine, folder), asynchronous=True)
    else:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        made = cluster_class(settings.cluster)(**cluster_arguments(settings, folder), asynchronous=True)
    try:
        with without_pages():
            cluster = await made
    except Exception as error:
        raise BackendError(
            f"The Dask cluster ({settings.cluster}) does not start: {error}",
            remedy="Look at the table [dask] of the configuration.",
        ) from error
    try:
        yield cluster
    finally:
        await cluster.close()


def local_arguments(settings: DaskSettings, machine: Machine, folder: Path) -> dict[str, Any]:
    """Arguments of ``LocalCluster``: workers of this process, without a socket that others of the machine could use.

    Their jobs run in processes of their own all the same.
    """
    share = 1 / settings.workers
    cores = float(settings.cores or machine.cores * share)
    ram_mib = settings.ram or int(machine.ram_mib * share)
    gpus = machine.gpus // settings.workers if settings.gpus is None else settings.gpus
    return {
        "n_workers": settings.workers,
        "threads_per_worker": max(1, int(_THREADS * cores)),
        "processes": False,
        "protocol": "inproc://",
        "dashboard_address": None,
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},  # Dask listens there all the same
        "memory_limit": 0,  # Dask's own: jobs are other processes
        "local_directory": str(folder),
        "resources": {"CORES": cores, "MEMORY": float(ram_mib * MIB), "GPU": float(gpus)},
    }


def cluster_class(name: str) -> Any:
    """The class of a cluster, from the library that has it.

    Raises:
        ConfigError: it is not installed.
    """
    module, found, package = _MODULES[name]
    try:
        return getattr(importlib.import_module(module), found)
    except ImportError:
        raise ConfigError(
            f"--dask-cluster {name} needs the Python package {package}, which is not installed",
            remedy=f"pip install {package}",
        ) from None


def cluster_arguments(settings: DaskSettings, folder: Path) -> dict[str, Any]:
    """Arguments of the cluster of a batch system or of Kubernetes.

    Raises:
        ConfigError: something is missing, or the batch system does not know it.
    """
    cores, ram_mib = settings.cores or 1, settings.ram or 2048
    resources = [f"CORES={cores}", f"MEMORY={ram_mib * MIB}", f"GPU={settings.gpus or 0}"]
    if settings.cluster == "kubernetes":
        return _kubernetes(settings, cores, ram_mib, resources)
    found: dict[str, Any] = {
        "n_workers": settings.workers,
        "cores": cores,
        "memory": f"{ram_mib} MiB",
        "processes": 1,
        "python": settings.python or sys.executable,
        "worker_extra_args": ["--resources", ",".join(resources)],
        "log_directory": str(folder / "logs"),
        "local_directory": None,
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        # others on the network must not give orders to the workers; the files are this user's only
        "protocol": "tls://",
        "security": Security.temporary(),
        "shared_temp_directory": str(folder),
    }
    if settings.cluster == "htcondor":
        for name in ("queue", "account", "walltime"):
            if getattr(settings, name):
                raise ConfigError(
                    f"HTCondor has no {name}, which the table [dask] sets",
                    remedy="Say it as HTCondor does, in directives: +MaxRuntime=28800.",
                )
        lines = [_pair(line) for line in settings.directives]
        if settings.gpus:
            lines.append(("request_gpus", str(settings.gpus)))
        return {**found, "disk": "10 GiB", "job_extra_directives": dict(lines)}
    lines_slurm = [*settings.directives, *([f"--gres=gpu:{settings.gpus}"] if settings.gpus else [])]
    found["job_extra_directives"] = lines_slurm
    for name in ("queue", "account", "walltime"):
        if value := getattr(settings, name):
            found[name] = value
    return found


def _kubernetes(settings: DaskSettings, cores: int, ram_mib: int, resources: list[str]) -> dict[str, Any]:
    if not settings.image:
        raise ConfigError(
            "--dask-cluster kubernetes needs an image for its workers, which is not set",
            remedy="Set image in the table [dask]: one that has distributed in this client's version.",
        )
    wanted: dict[str, Any] = {"cpu": str(cores), "memory": f"{ram_mib}Mi"}
    if settings.gpus:
        wanted["nvidia.com/gpu"] = str(settings.gpus)
    return {
        "image": settings.image,
        "namespace": settings.namespace,
        "n_workers": settings.workers,
        "resources": {"requests": wanted, "limits": wanted},
        "worker_command": ["dask", "worker", "--nthreads", str(cores), "--resources", " ".join(resources)],
        "shutdown_on_close": True,
    }


def _pair(line: str) -> tuple[str, str]:
    name, found, value = line.partition("=")
    if not found:
        raise ConfigError(f"{line!r} in directives of [dask] is not NAME=VALUE, which HTCondor needs")
    return name.strip(), value.strip()


def security_of(settings: DaskSettings) -> Security | None:
    """The certificates by which client and scheduler know each other; None without TLS.

    Raises:
        ConfigError: one is missing.
    """
    files = {"tls_ca": settings.tls_ca, "tls_cert": settings.tls_cert, "tls_key": settings.tls_key}
    if not settings.address.startswith("tls://"):
        if any(files.values()):
            raise ConfigError(
                "The table [dask] has TLS files, but the address of the cluster does not begin with tls://",
                remedy="Give the address as tls://HOST:PORT, or remove the files.",
            )
        return None
    for name, path in files.items():
        if path is None:
            raise ConfigError(f"The cluster's address begins with tls://, but {name} of [dask] is not set")
        if not path.is_file():
            raise ConfigError(f"{name} of [dask] names {path}, which is not there")
    return Security(
        tls_ca_file=str(files["tls_ca"]),
        tls_client_cert=str(files["tls_cert"]),
        tls_client_key=str(files["tls_key"]),
        require_encryption=True,
    )


def workers_of(identity: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """What each worker has, as the scheduler lists them; those that the plugin has not reached yet are left out."""
    found = {address: about.get("resources") or {} for address, about in identity.get("workers", {}).items()}
    return {address: has for address, has in found.items() if {"CORES", "MEMORY"} <= has.keys()}
