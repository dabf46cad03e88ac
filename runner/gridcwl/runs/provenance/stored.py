"""Files of crates and runs that are in a store: found, checked and copied by the store's plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl import plugins
from gridcwl.model.objects import entries
from gridcwl.runs.record.history import History
from gridcwl.stores.base import StorePlugin
from gridcwl.stores.reports import Origin, ReplicaCheck


def store_with(hook: str, location: str) -> StorePlugin | None:
    """The store that a location is of, if its plugin has this hook."""
    scheme = urlsplit(location).scheme
    for plugin in plugins.stores().values():
        if hook in plugin.hooks and scheme in plugin.schemes:
            return plugin
    return None


def stored_locations(history: History) -> list[str]:
    """The files of a run that are in a store."""
    found: dict[str, None] = {}
    for value in _values(history):
        for entry in entries(value, "File"):
            location = str(entry.get("location", ""))
            if location not in found and store_with("copy_files", location) is not None:
                found[location] = None
    return list(found)


def _values(history: History) -> Iterator[Any]:
    for row in history.jobs(where=history.of_run):
        if (binding := history.binding(row)) is not None:
            yield binding.inputs
            yield binding.outputs
    yield history.meta("inputs")


def copied(urls: Sequence[str], folder: Path) -> dict[str, str]:
    """Copy files to this machine; returns the URLs of the copies.

    Raises:
        StoreError: one cannot be read.
    """
    found: dict[str, str] = {}
    for plugin, own in _by_store("copy_files", urls):
        found |= _call(plugin, "copy_files", own, folder)
    return found


def checked_replicas(files: Mapping[str, Mapping[str, Any]]) -> dict[str, list[ReplicaCheck]]:
    """Read every replica of files in stores, and compare it with what is known of the file.

    Args:
        files: ``size``, ``sha1`` and ``adler32``, as far as they are known, by URL.

    Raises:
        StoreError: the store does not answer.
    """
    found: dict[str, list[ReplicaCheck]] = {}
    for plugin, own in _by_store("check_files", files):
        found |= _call(plugin, "check_files", {url: files[url] for url in own})
    return found


def origins(urls: Sequence[str]) -> dict[str, Origin]:
    """What stores know of where files came from; those that they know nothing of are left out.

    Raises:
        StoreError: the store does not answer.
    """
    found: dict[str, Origin] = {}
    for plugin, own in _by_store("origins", urls):
        found |= _call(plugin, "origins", own)
    return found


def _by_store(hook: str, urls: Iterable[str]) -> list[tuple[StorePlugin, list[str]]]:
    grouped: dict[str, tuple[StorePlugin, list[str]]] = {}
    for url in urls:
        if (plugin := store_with(hook, url)) is not None:
            grouped.setdefault(plugin.name, (plugin, []))[1].append(url)
    return list(grouped.values())


def _call(plugin: StorePlugin, hook: str, *arguments: Any) -> Any:
    return asyncio.run(plugins.call(plugin, hook, *arguments))
