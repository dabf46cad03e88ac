"""Backends and stores by name: gridcwl's own and those of other distributions, all found by their entry points.

A distribution declares a plugin in the group ``gridcwl.backends`` or ``gridcwl.stores``; the entry point names a
``BackendPlugin`` or a ``StorePlugin``. Whatever the plugin needs is imported when it is opened.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec

from gridcwl import imports
from gridcwl.backends.base import Backend, BackendContext, BackendPlugin, JobOptions
from gridcwl.config import Config, load
from gridcwl.errors import ConfigError
from gridcwl.settings import Declared, Field, fields_of
from gridcwl.stores.base import Store, StoreContext, StorePlugin

log = logging.getLogger("gridcwl.plugins")

BACKENDS, STORES = "gridcwl.backends", "gridcwl.stores"
"""The groups of entry points."""

_OPEN = frozenset({"file", "http", "https", "ftp"})
"""Schemes of files that are read without a store."""

_P = TypeVar("_P", BackendPlugin, StorePlugin)


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend, as a run's options choose it."""

    name: str = "local"
    settings: Any = None
    """Of the plugin's class; None is its defaults."""
    jobs: JobOptions = field(default_factory=JobOptions)


@functools.cache
def backends() -> Mapping[str, BackendPlugin]:
    """All backends by name, gridcwl's own first."""
    return _found(BACKENDS, BackendPlugin)


@functools.cache
def stores() -> Mapping[str, StorePlugin]:
    """All stores by name, gridcwl's own first."""
    return _found(STORES, StorePlugin)


def backend(name: str) -> BackendPlugin:
    """The backend of a name.

    Raises:
        ConfigError: there is none.
    """
    return _named(backends(), name, "backend")


def store(name: str) -> StorePlugin:
    """The store of a name.

    Raises:
        ConfigError: there is none.
    """
    return _named(stores(), name, "store")


def store_of_name(text: str) -> str:
    """The store whose file a location without a scheme may name, as ``scope:name`` does; empty if there is none."""
    found = (name for name, plugin in stores().items() if plugin.short_names and re.fullmatch(plugin.short_names, text))
    return next(found, "")


def store_of_location(location: str) -> str:
    """The store that an absolute location is one of, by its scheme or prefix; empty if it is a path or any URL.

    Files of this machine and of the web need no store.
    """
    text = location.lower()
    for name, plugin in stores().items():
        roots = tuple(f"{scheme}://" for scheme in plugin.schemes - _OPEN)
        if text.startswith((*roots, *plugin.prefixes)):
            return name
    return ""


def stores_with(hook: str) -> str:
    """The stores whose module has an optional function, for messages: "Rucio"."""
    return _titles(plugin for plugin in stores().values() if hook in plugin.hooks)


def backends_with(hook: str) -> list[str]:
    """The names of the backends whose module has an optional function."""
    return [name for name, plugin in backends().items() if hook in plugin.hooks]


def stores_reading(option: str) -> list[str]:
    """The names of the stores that read an option of the command line, in addition to their settings."""
    return [name for name, plugin in stores().items() if option in plugin.reads]


def examples() -> str:
    """How files of stores are named, for messages; empty if no store has names of its own."""
    return ", ".join(plugin.example for plugin in stores().values() if plugin.example)


def _titles(found: Iterable[StorePlugin]) -> str:
    return " or ".join(plugin.title or plugin.name for plugin in found) or "a store"


def carrying_stores() -> list[str]:
    """The names of the stores that carry files between machines, for messages."""
    return [name for name, plugin in stores().items() if plugin.between_jobs and plugin.schemes - _OPEN]


def open_backend(choice: BackendChoice, context: BackendContext) -> AbstractAsyncContextManager[Backend]:
    """The chosen backend, for one session of a run.

    Raises:
        ConfigError: what it needs is not installed or not configured; with what to do.
    """
    plugin = backend(choice.name)
    settings = plugin.settings() if choice.settings is None else choice.settings
    context = replace(context, jobs=choice.jobs)
    opened: AbstractAsyncContextManager[Backend] = loaded(plugin).open_backend(settings, context)
    return opened


@asynccontextmanager
async def open_store(name: str, settings: Any, context: StoreContext) -> AsyncIterator[Store]:
    """The store of a name, for one run; raises as :func:`open_backend`."""
    plugin = store(name)
    async with loaded(plugin).open_store(plugin.settings() if settings is None else settings, context) as opened:
        yield opened


def loaded(plugin: BackendPlugin | StorePlugin) -> ModuleType:
    """The module of a plugin, imported.

    Raises:
        ConfigError: what it needs is not installed; with what to do.
    """
    require(plugin)
    return importlib.import_module(plugin.module)


def require(plugin: BackendPlugin | StorePlugin) -> None:
    """Check that the packages of a plugin are installed, without importing them.

    Raises:
        ConfigError: one is not; with what to do.
    """
    kind = "backend" if isinstance(plugin, BackendPlugin) else "store"
    for package in plugin.packages:
        if not imports.installed(package):
            what = f"--{kind} {plugin.name} needs the Python package {package}, which is not installed"
            raise ConfigError(what, remedy=plugin.install or imports.missing(package).remedy)


def call(plugin: BackendPlugin | StorePlugin, hook: str, *arguments: Any) -> Any:
    """Call an optional function of a plugin's module; None if it has none. Raises as :func:`loaded`."""
    return getattr(loaded(plugin), hook)(*arguments) if hook in plugin.hooks else None


@functools.cache
def declared() -> Declared:
    """What all plugins add to the configuration."""
    tables: dict[str, dict[str, Field]] = {}
    plugins: list[BackendPlugin | StorePlugin] = [*backends().values(), *stores().values()]
    for plugin in plugins:
        for one in fields_of(plugin.settings):
            if plugin.table and one.about.configurable:
                tables.setdefault(plugin.table, {})[one.key] = one
    return Declared(tuple(backends()), tuple(stores()), tables)


def configuration() -> Config:
    """The user's settings with those of all plugins.

    Raises:
        ConfigError: naming file and line, or the variable, and what it takes.
    """
    return load(os.environ, declared())


def configured(plugin: BackendPlugin | StorePlugin, config: Config, **typed: Any) -> Any:
    """The settings of a plugin: what is typed over the configuration over the defaults."""
    defaults = plugin.settings()
    table = config.tables.get(plugin.table, {})  # other plugins may share it
    known = {name: value for name, value in table.items() if hasattr(defaults, name)}
    return msgspec.structs.replace(defaults, **{**known, **typed})


def site(config: Config) -> str:
    """Where this machine is, as a store's table says; empty if none does."""
    found = (config.tables.get(plugin.table, {}).get("site") for plugin in stores().values())
    return next((str(name) for name in found if name), "")


# -- entry points --------------------------------------------------------------------------------------------------


def _named(known: Mapping[str, _P], name: str, kind: str) -> _P:
    if name in known:
        return known[name]
    raise ConfigError(f"There is no {kind} {name!r}", remedy=f"Installed are: {', '.join(known)}.")


def _found(group: str, kind: type[_P]) -> dict[str, _P]:
    made: dict[str, _P] = {}
    for name, value in _entry_points(group).items():
        module, _, attribute = value.partition(":")
        try:
            plugin = getattr(importlib.import_module(module), attribute)
            if not isinstance(plugin, kind):
                raise TypeError(f"{value} is no {kind.__name__}")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001  another distribution's mistake must not stop gridcwl
            log.warning("The plugin %s (%s) cannot be loaded: %s", name, value, error)
        else:
            made[name] = plugin
    return made


def _entry_points(group: str) -> dict[str, str]:
    """Names and values of a group's entry points, gridcwl's own first."""
    own = {name: value for name, value in _groups().get(group, {}).items() if value.startswith("gridcwl.")}
    if "local" not in own:  # a checkout that is newer than its installation, or that is not installed
        own = _of_checkout(group) | own
    own = {name: own[name] for name in sorted(own, key=lambda name: (name != "local", name))}
    return own | {name: value for name, value in sorted(_groups().get(group, {}).items()) if name not in own}


@functools.cache
def _groups() -> dict[str, dict[str, str]]:
    """The entry points of both groups.

    As importlib.metadata finds them, which however reads and parses the metadata of all distributions for it: 8 ms of
    each start.
    """
    found: dict[str, dict[str, str]] = {}
    for text in _declarations(sys.path):
        group = ""
        for line in map(str.strip, text.splitlines()):
            if line.startswith("["):
                group = line.strip("[] ")
            elif group in (BACKENDS, STORES) and "=" in line and not line.startswith(("#", ";")):
                name, _, value = line.partition("=")
                found.setdefault(group, {}).setdefault(name.strip(), value.split("[")[0].strip())
    return found


def _declarations(folders: Iterable[str]) -> Iterator[str]:
    """The files of entry points that name one of the groups."""
    for folder in dict.fromkeys(folders):
        try:
            entries = sorted(entry.path for entry in os.scandir(folder or ".") if entry.name.endswith(_METADATA))
        except OSError:
            continue
        for path in entries:
            try:
                with open(f"{path}/entry_points.txt", encoding="utf-8") as file:  # noqa: PTH123  a hundred of them
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue
            if "[gridcwl." in text:
                yield text


_METADATA = (".dist-info", ".egg-info")


def _of_checkout(group: str) -> dict[str, str]:
    import tomllib

    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
        return dict(project["entry-points"][group])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return {}
