"""What the entry points name. It is imported with every gridcwl command, so it imports little."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gridcwl.backends.base import BackendPlugin
from gridcwl.settings import Setting
from gridcwl.stores.base import StorePlugin


class ToySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[toy]``."""

    workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1)],
        Setting("toy jobs that run at a time (default: 2)", option="--toy-workers", metavar="N"),
    ] = 2


class ToyStoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table ``[toy_store]``."""

    folder: Annotated[str, Setting("folder of the store's files", option="--toy-folder", metavar="DIR")] = "toy"


BACKEND = BackendPlugin(
    "toy",
    "worker processes of this machine",
    "gridcwl_toy.backend",
    settings=ToySettings,
    table="toy",
    hooks=frozenset({"sites"}),
)
STORE = StorePlugin(
    "toy",
    "files of this machine by name",
    "gridcwl_toy.store",
    settings=ToyStoreSettings,
    table="toy_store",
    schemes=frozenset({"toy"}),
)
