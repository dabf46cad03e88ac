"""How the Dask backend is found, and its settings: the table ``[dask]``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gridcwl.backends.base import BackendPlugin
from gridcwl.settings import Setting

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class DaskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster, and what its workers have."""

    address: Annotated[
        str, Setting("a cluster that exists: tls://HOST:8786 or tcp://HOST:8786", option="--dask-address")
    ] = ""
    tls_ca: Annotated[Path | None, Setting("certificate of the authority of the cluster (PEM file)")] = None
    tls_cert: Annotated[Path | None, Setting("this client's certificate (PEM file)")] = None
    tls_key: Annotated[Path | None, Setting("its private key (PEM file)")] = None
    cluster: Annotated[
        Literal["local", "htcondor", "slurm", "kubernetes"],
        Setting(
            "without an address, a cluster for this run: on this machine, or of workers that a batch system starts "
            "(default: local)",
            option="--dask-cluster",
        ),
    ] = "local"
    workers: Annotated[
        _Positive, Setting("workers of a cluster for this run (default: 1)", option="--dask-workers", metavar="N")
    ] = 1
    cores: Annotated[
        _Positive | None,
        Setting("cores of each of them (default: this machine's, divided among them; of a batch system 1)"),
    ] = None
    ram: Annotated[
        _Positive | None, Setting("MiB of memory of each of them (default: this machine's, divided; else 2048)")
    ] = None
    gpus: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None, Setting("GPUs of each of them (default: this machine's, divided)")
    ] = None
    walltime: Annotated[str, Setting("time limit of a batch job that holds a worker, in its own form: 08:00:00")] = ""
    queue: Annotated[str, Setting("Slurm's partition")] = ""
    account: Annotated[str, Setting("Slurm's account")] = ""
    directives: Annotated[
        tuple[str, ...],
        Setting("further lines of the job script: --constraint=el9, or NAME=VALUE for HTCondor", separator=r"\n"),
    ] = ()
    python: Annotated[str, Setting("the Python that starts a worker there (default: this one)")] = ""
    image: Annotated[str, Setting("container image of Kubernetes' workers; it has distributed")] = ""
    namespace: Annotated[str, Setting("Kubernetes' namespace")] = "default"
    shared_files: Annotated[
        bool | None,
        Setting("workers have this machine's files by the same paths (default: as local, HTCondor and Slurm do)"),
    ] = None
    folder: Annotated[
        str, Setting("folder for jobs on workers without shared files (default: gridcwl-UID in /tmp there)")
    ] = ""
    site: Annotated[str, Setting("where the workers are, as storage elements name their sites")] = ""
    engines: Annotated[tuple[str, ...], Setting("container engines of the workers in the order of preference")] = ()
    images: Annotated[tuple[str, ...], Setting("where images are at the workers; as images of [dirac]")] = ()

    @property
    def is_local(self) -> bool:
        """Whether jobs run on this machine, and end with the client."""
        return not self.address and self.cluster == "local"

    @property
    def sees_files(self) -> bool:
        """Whether workers have this machine's files."""
        if self.shared_files is not None:
            return self.shared_files
        return not self.address and self.cluster != "kubernetes"


PLUGIN = BackendPlugin(
    "dask",
    "a Dask cluster",
    "gridcwl.backends.dask.factory",
    settings=DaskSettings,
    table="dask",
    packages=("distributed",),
    remote=True,
    hooks=frozenset({"stop", "offers"}),
    reads=frozenset({"engine"}),
    local_mode=lambda settings: bool(settings.is_local),
    local_option="--dask-cluster local",
    local_reads=frozenset({"engine"}),
)


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which warm pool."""

    name: Annotated[str, Setting("the warm pool to use (default: default)", option="--pool", metavar="NAME")] = (
        "default"
    )
    folder: Annotated[str, Setting("folder for jobs on its workers (default: gridcwl-UID in /tmp there)")] = ""
    engines: Annotated[tuple[str, ...], Setting("container engines of its workers in the order of preference")] = ()


POOL = BackendPlugin(
    "pool",
    "a warm pool, started by gridcwl pool up",
    "gridcwl.backends.dask.pool_factory",
    settings=PoolSettings,
    table="pool",
    packages=("distributed",),
    remote=True,
    hooks=frozenset({"stop", "pools"}),
)


def pool_folder(name: str) -> Path:
    """Where a pool is recorded."""
    import platformdirs

    state = os.environ.get("GRIDCWL_STATE_DIR") or platformdirs.user_state_path("gridcwl")
    return Path(state) / "pools" / name
