"""Rucio as the store of a run, from reading its inputs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gridcwl.model import Job, RunId, StagedFile, Storage
from gridcwl.stores.base import JobKeys
from gridcwl.stores.rucio.asking import Asking
from gridcwl.stores.rucio.cache import RucioCache
from gridcwl.stores.rucio.client import RucioClient
from gridcwl.stores.rucio.elements import find_elements
from gridcwl.stores.rucio.names import check_template, chosen_dataset, did_of
from gridcwl.stores.rucio.session import RucioSession
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.stores.rucio.wire import URL, open_wire


@dataclass(frozen=True, slots=True)
class RucioRunStore:
    """Implements ``gridcwl.stores.base.RunStore``: the client, how it is used, and what was found with it."""

    client: RucioClient
    settings: RucioSettings
    files: Asking

    @property
    def download(self) -> bool:
        """See ``RunStore.download``."""
        return self.settings.download

    async def locate(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """See ``RunStore.locate``."""
        elements = await find_elements(self.client, self.settings)
        storage = Storage("", "", elements.usable)
        return [
            replace(job, storage=storage, staged=tuple(self._with_replicas(entry) for entry in job.staged))
            for job in jobs
        ]

    async def begin(self, run: RunId, document: str, keys: JobKeys) -> RucioSession:
        """See ``RunStore.begin``."""
        wire = await open_wire(self.settings, run, document, client=self.client)
        wire.book.note(self.files.replicas)
        wire.said.keys = keys
        return RucioSession(wire, RucioCache(wire, self.settings.cache_scopes) if self.settings.cache else None)

    def close(self) -> None:
        """See ``RunStore.close``."""
        self.client.close()

    def _with_replicas(self, entry: StagedFile) -> StagedFile:
        if not entry.sources or not entry.sources[0].startswith(URL):
            return entry
        known = self.files.replicas.get(did_of(entry.sources[0]))
        if known is None:
            return entry
        return replace(entry, sources=known.pfns, size=known.size, location=entry.sources[0])


def open_run_store(settings: RucioSettings, known: Mapping[str, Any] | None = None) -> RucioRunStore:
    """Rucio for a run. Nothing is queried yet.

    Args:
        settings: of the store.
        known: what an earlier session of the run found.

    Raises:
        ConfigError: the settings do not fit each other.
    """
    check_template(settings.name)
    if settings.output_dataset:
        chosen_dataset(settings.output_dataset)
    client = RucioClient()
    return RucioRunStore(client, settings, Asking(client, settings.scope, known))
