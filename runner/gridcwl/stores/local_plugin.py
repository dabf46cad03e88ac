"""How the local store is found; the store itself is in ``gridcwl.stores.local``."""

from __future__ import annotations

from gridcwl.stores.base import StorePlugin

PLUGIN = StorePlugin(
    "local",
    "files of this machine",
    "gridcwl.stores.local",
    schemes=frozenset({"file"}),
    between_jobs=True,
    hooks=frozenset({"open_run_store"}),
)
