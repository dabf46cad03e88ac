"""What a portion's run made becomes part of its production: one container of the store holds those of all runs."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from gridcwl import plugins
from gridcwl.productions.model import Production
from gridcwl.runs.record.history import History


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
