"""From the records of a production's runs: what they made, which one container of the store holds, and what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from gridcwl import plugins
from gridcwl.errors import GridCWLError
from gridcwl.productions.model import Portion, PortionState, Production
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_rows import FailedShard
from gridcwl.runs.record.status import status_of


def collect(journal: Path, production: Production, document: str) -> None:
    """Put the outputs of a run to the rest of the production, where its store has containers.

    Args:
        journal: of the run.
        production: of the portion.
        document: for the metadata.

    Raises:
        GridCWLError: the store does not take them.
    """
    with closing(History(journal)) as history:
        for name, plugin in plugins.stores().items():
            if "collect" in plugin.hooks and (about := history.meta(name)):
                metadata = {"production": production.name, "document": document}
                asyncio.run(plugins.call(plugin, "collect", about, production.name, metadata))


def failed_instances(folder: RunFolder | None) -> int:
    """How many instances of a production's document failed in a run; 0 if its record is gone or cannot be read."""
    return len({shard.name.split("]")[0] for shard in _failures(folder)})


def failures_of(
    portions: Iterable[Portion], folder_of: Callable[[Portion], RunFolder | None]
) -> Iterator[dict[str, str]]:
    """What failed in portions that have not succeeded, by job.

    Args:
        portions: of a production.
        folder_of: the record of a portion's run; None if it is gone.
    """
    for portion in portions:
        if portion.state is PortionState.FAILED:
            for shard in _failures(folder_of(portion)):
                reason = str(shard.reason or "").split("\n")[0]
                yield {"run": str(portion.run), "job": shard.name, "reason": reason}


def _failures(folder: RunFolder | None) -> Sequence[FailedShard]:
    try:
        return status_of(folder).failures if folder is not None else ()
    except GridCWLError:
        return ()
