"""The outputs of a run that has succeeded, copied into another output directory: nothing runs, and nothing moves."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gridcwl.errors import StoreError
from gridcwl.model.objects import changed, entries
from gridcwl.runs.outdir import OutputFolder
from gridcwl.runs.publish import RUN_AGAIN, publish
from gridcwl.stores.local import path_of, uri

log = logging.getLogger("gridcwl")


def copied(outputs: Any, folder: OutputFolder, working: Path, inputs: Any) -> Any:
    """Copy what a run has published, all of it or nothing, by the rules of publication.

    Args:
        outputs: the recorded output object; not changed.
        folder: where the copies go.
        working: the run's working folder.
        inputs: the input object: no copy takes the place of an input.

    Returns:
        The output object with the locations of the copies. What is only in Rucio, or at a URL, stays there.

    Raises:
        OutputConflict: something is in the way.
        StoreError: a file is missing or was changed, there is no room, or no permission.
    """
    here = _on_this_machine(outputs)
    _check(here)
    if not any(True for _ in _local(here)):
        log.warning("The run has no output files on this machine: nothing is copied to %s", folder.path)
        return outputs
    made = publish(here, folder.path, working, folder.run, inputs, folder=folder, copy=True, recorded=True)
    if not any(_is_remote(entry) for entry in entries(outputs)):
        return made
    from gridcwl.runs.carriage import merged

    return merged(outputs, made)


def _on_this_machine(outputs: Any) -> Any:
    """The output object with the files that were downloaded from Rucio where they were put."""

    def here(entry: dict[str, Any]) -> None:
        if _is_remote(entry) and entry.get("path"):
            entry["location"] = uri(Path(str(entry["path"])))

    return changed(outputs, here)


def _is_remote(entry: dict[str, Any]) -> bool:
    return str(entry.get("location", "")).startswith("rucio:")


def _local(outputs: Any) -> Iterator[dict[str, Any]]:
    return (entry for entry in entries(outputs) if str(entry.get("location", "")).startswith("file://"))


def _check(outputs: Any) -> None:
    """See that all files are there with their sizes; their checksums are compared when they are copied.

    Raises:
        StoreError: one is not; all are named by the first.
    """
    wrong = [reason for entry in _local(outputs) if (reason := _against(entry))]
    if wrong:
        more = f"; {len(wrong) - 1} more are missing or were changed" if len(wrong) > 1 else ""
        raise StoreError(f"{wrong[0]}{more}", remedy=RUN_AGAIN)


def _against(entry: dict[str, Any]) -> str:
    path = path_of(str(entry["location"]))
    try:
        about = os.stat(path)  # noqa: PTH116  called for every file of a run
    except OSError:
        return f"The output {path} is missing"
    if entry["class"] == "Directory":
        return "" if stat.S_ISDIR(about.st_mode) else f"The output {path} is no directory any more"
    same = stat.S_ISREG(about.st_mode) and about.st_size == entry.get("size", about.st_size)
    return "" if same else f"The output {path} was changed since it was published"
