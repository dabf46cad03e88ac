"""Data that match a query now: DIDs by Rucio, or files of this machine."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridcwl import plugins
from gridcwl.errors import ConfigError, InputError
from gridcwl.runs.from_options import open_run_store
from gridcwl.runs.options import Options, StoreOptions
from gridcwl.worker.paths import file_url


def found(query: str, options: Options, cwd: Path) -> list[str]:
    """The URLs of data that match a query now: DIDs by Rucio, or files of this machine.

    Raises:
        GridCWLError: the store does not answer, or the query is wrong.
    """
    if names_files(query):
        paths = sorted(glob.glob(str(cwd / Path(query).expanduser())))  # noqa: PTH207  an absolute pattern
        return [file_url(path) for path in paths if Path(path).is_file()]
    return found_in_store(query, options)


def names_files(query: str) -> bool:
    """Whether a query is a pattern of files of this machine."""
    return "://" not in query and (query.startswith(("/", "./", "~")) or "/" in query.partition(":")[0])


def found_in_store(query: str, options: Options) -> list[str]:
    """The URLs of files and datasets that a query finds now.

    Raises:
        GridCWLError: the store does not answer, or the query is wrong.
    """
    name = plugins.store_of_location(query) or plugins.store_of_name(query)
    if not name:
        raise ConfigError(
            f"{query} is no DID, no Rucio query and no pattern of files",
            remedy="Write rucio://SCOPE/PATTERN?KEY=VALUE, or a path with *.",
        )
    if options.store.store != name:
        settings = plugins.configured(plugins.store(name), plugins.configuration())
        options = replace(options, store=StoreOptions(name, settings))
    store = open_run_store(options, None, Path.cwd())
    try:
        if store.files is None:
            raise ConfigError(f"The store {name} cannot be searched")
        try:
            found = store.files.find([query])[query]
        except InputError as error:
            if "finds nothing" in error.message or "is not in Rucio" in error.message:
                return []
            raise
        if found["class"] == "File":
            return [str(found["location"])]
        if "*" in query or "?" in query:  # what was searched for: files, or whole datasets
            return [str(one["location"]) for one in (*found["files"], *found["collections"])]
        return [str(file["location"]) for file in _all_files(found)]
    finally:
        store.close()


def _all_files(found: Any) -> list[Any]:
    return [*found["files"], *(file for inner in found["collections"] for file in _all_files(inner))]
