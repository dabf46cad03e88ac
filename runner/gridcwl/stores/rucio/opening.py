"""Opens the Rucio store for a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from gridcwl.stores.base import Store, StoreContext
from gridcwl.stores.rucio.data import release, report
from gridcwl.stores.rucio.runs import open_run_store
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.stores.rucio.store import RucioStore
from gridcwl.stores.rucio.wire import open_wire


@asynccontextmanager
async def open_store(settings: RucioSettings, context: StoreContext) -> AsyncIterator[Store]:
    """The Rucio store of a run.

    Raises:
        ConfigError: the settings do not fit Rucio.
        RucioProblem: Rucio cannot be reached, or refuses authentication.
    """
    wire = await open_wire(settings, context.run)
    with closing(wire.client):
        yield RucioStore(
            wire.client, wire.elements, wire.naming, book=wire.book, site=settings.site, registrar=wire.registrar
        )


__all__ = ["open_run_store", "open_store", "release", "report"]
