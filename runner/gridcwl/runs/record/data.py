"""The files of a run: those on this machine, and those that its store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gridcwl import plugins
from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.model.objects import entries
from gridcwl.runs.record.history import History
from gridcwl.runs.record.run_record import forget_lost_uploads
from gridcwl.stores.base import StorePlugin
from gridcwl.stores.reports import RunReport


class LocalFile(NamedTuple):
    """A file of a run's outputs on this machine."""

    output: str
    """The output that it is, or belongs to; a failed job for what that has left."""
    state: str
    """``published``; ``kept``: of a run that failed; ``failed job``: left by a job that failed."""
    path: str
    size: int


def local_files(history: History) -> list[LocalFile]:
    """What a run has published, and what is kept of one that failed."""
    partial = history.meta("partial") or {}
    groups = [("published", history.meta("outputs")), ("kept", partial.get("outputs"))]
    found = [
        LocalFile(output, state, path, size)
        for state, outputs in groups
        for output, value in (outputs or {}).items()
        for path, size in _files_here(value)
    ]
    return found + [
        LocalFile(entry["basename"].removeprefix("failed-"), "failed job", path, size)
        for entry in partial.get("failed", ())
        for path, size in _files_here(entry)
    ]


def _files_here(value: Any) -> Iterator[tuple[str, int]]:
    return ((str(entry["path"]), int(entry.get("size") or 0)) for entry in entries(value, "File") if entry.get("path"))


async def stored_data(history: History) -> RunReport | None:
    """What the run's store holds of it; None if that is nothing.

    Raises:
        StoreError: the store does not answer.
    """
    found = _store_of(history)
    if found is None:
        return None
    plugin, about = found
    report: RunReport = await plugins.call(plugin, "report", about)
    return report


async def replicas_of(urls: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The storage elements that have these files, by URL, of the stores that know.

    Raises:
        StoreError: a store does not answer.
    """
    found: dict[str, tuple[str, ...]] = {}
    for plugin in plugins.stores().values():
        own = [url for url in urls if plugin.prefixes and url.startswith(plugin.prefixes)]
        if own and "replicas" in plugin.hooks:
            found |= await plugins.call(plugin, "replicas", own)
    return found


async def release(history: History, run: str) -> tuple[str, int]:
    """Let the store delete the run's intermediate files; returns its title, and how many datasets these are.

    Final outputs stay, and so does what other runs use.

    Raises:
        ConfigError: no store holds anything of the run.
        StoreError: the store does not answer, or does not allow it.
    """
    found = _store_of(history)
    if found is None:
        options = " or ".join(f"--store {name}" for name in plugins.carrying_stores())
        raise ConfigError(f"No store has files of the run {run}", remedy=f"Only runs with {options} have any.")
    plugin, about = found
    forget_lost_uploads(RunId(run), history)
    return plugin.title or plugin.name, await plugins.call(plugin, "release", about)


def _store_of(history: History) -> tuple[StorePlugin, Mapping[str, Any]] | None:
    """The store that the run used, and what the journal has of the run's files there."""
    for name, plugin in plugins.stores().items():
        if "report" in plugin.hooks and (about := history.meta(name)):
            return plugin, about
    return None
