"""The options that say where files live between jobs, and how the store is used."""

from __future__ import annotations

import argparse

from gridcwl import plugins
from gridcwl.cli import plugin_options
from gridcwl.config import Config
from gridcwl.runs.options import StoreOptions


def add_store(group: argparse._ArgumentGroup) -> None:
    """Add the options."""
    stores = plugins.stores()
    names = "; ".join(f"{plugin.name}: {plugin.summary}" for plugin in stores.values())
    group.add_argument(
        "--store", choices=tuple(stores), help=f"where files are stored between jobs (default: local); {names}"
    )
    plugin_options.add(group, stores.values())


def read(given: argparse.Namespace, config: Config) -> StoreOptions:
    """The options of a command line, over those of the configuration."""
    name = given.store or config.store or "local"
    plugin = plugins.store(name)
    more = {"cache": True} if given.cache_in_store and "cache_in_store" in plugin.reads else {}
    return StoreOptions(name, plugin_options.read(plugin, given, config, **more), plugins.site(config))
