"""Opens the pool backend: the Dask backend, with the scheduler of a warm pool; and what ``gridcwl pool`` does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.backends.base import BackendContext
from gridcwl.backends.dask import factory
from gridcwl.backends.dask.plugin import DaskSettings, PoolSettings
from gridcwl.backends.nodes import PoolHosts, PoolRequest, WarmPool, WarmPools
from gridcwl.model import RunId

if TYPE_CHECKING:
    from gridcwl.backends.dask.backend import DaskBackend
    from gridcwl.backends.dask.pool import Pool


def open_backend(settings: PoolSettings, context: BackendContext) -> AbstractAsyncContextManager[DaskBackend]:
    """The pool backend for one session of a run; raises as that of the Dask backend."""
    return factory.open_backend(_dask(settings), context)


def stop(settings: PoolSettings, run: RunId) -> int:
    """Stop all jobs of a run that no client monitors any more; returns how many there were."""
    return factory.stop(_dask(settings), run)


def _dask(settings: PoolSettings) -> DaskSettings:
    from gridcwl.backends.dask.pool import load

    return dask_settings(settings, load(settings.name))


def dask_settings(settings: PoolSettings, pool: Pool) -> DaskSettings:
    """Settings of the Dask backend for a pool."""
    # a node in a container starts no others
    engines = settings.engines or (("none",) if pool.image else ())
    return pool.settings(folder=settings.folder, engines=engines, image=pool.image)


def pools() -> WarmPools:
    """The warm pools of this user."""
    return DaskPools()


class DaskPools:
    """Implements ``gridcwl.backends.nodes.WarmPools``."""

    def start(self, request: PoolRequest, hosts: PoolHosts) -> WarmPool:
        """See ``WarmPools.start``."""
        from gridcwl.backends.dask import pool as records

        with hosts(request.backend) as host, _scratch() as folder:
            host.check()
            pool = records.create(
                records.Pool(
                    name=request.name,
                    id="",
                    cores=request.cores,
                    ram=request.ram_mib,
                    site=request.site,
                    image=request.image,
                    time_s=request.time_s,
                    idle_s=request.idle_s,
                    host=request.host,
                    backend=request.backend,
                    kind=host.kind,
                )
            )
            try:
                return _shown(records.add_workers(pool, request.nodes, host, Path(folder)))
            except BaseException:
                records.end(pool, host)
                raise

    def all(self) -> Sequence[WarmPool]:
        """See ``WarmPools.all``."""
        from gridcwl.backends.dask import pool as records

        return [_shown(pool) for pool in records.pools()]

    def connected(self, name: str) -> int:
        """See ``WarmPools.connected``."""
        from gridcwl.backends.dask import pool as records

        return len(records.workers(records.load(name)))

    def add(self, name: str, nodes: int, hosts: PoolHosts) -> WarmPool:
        """See ``WarmPools.add``."""
        from gridcwl.backends.dask import pool as records

        pool = records.load(name)
        with hosts(pool.backend) as host, _scratch() as folder:
            return _shown(records.add_workers(pool, nodes, host, Path(folder)))

    def retire(self, name: str, nodes: int) -> None:
        """See ``WarmPools.retire``."""
        from gridcwl.backends.dask import pool as records

        records.retire(records.load(name), nodes)

    def end(self, name: str, hosts: PoolHosts) -> None:
        """See ``WarmPools.end``."""
        from gridcwl.backends.dask import pool as records

        pool = records.load(name)
        with hosts(pool.backend) as host:
            records.end(pool, host)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gridcwl-pool-")


def _shown(pool: Pool) -> WarmPool:
    from gridcwl.backends.dask.pool import is_alive

    return WarmPool(
        name=pool.name,
        backend=pool.backend,
        kind=pool.kind,
        jobs=len(pool.jobs),
        cores=pool.cores,
        site=pool.site,
        image=pool.image,
        address=f"{pool.host}:{pool.port}",
        is_alive=is_alive(pool),
    )
