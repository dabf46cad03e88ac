"""Opens the pool backend: the Dask backend, with the scheduler of a warm pool."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from gridcwl.backends.base import BackendContext
from gridcwl.backends.dask import factory
from gridcwl.backends.dask.plugin import DaskSettings, PoolSettings
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
