"""The Rucio store, as its plugin opens it: by itself, or for a run from reading its inputs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from typing import Any

from gridcwl.health import HealthCheck
from gridcwl.model import Job, RunId, StagedFile, Storage
from gridcwl.stores.base import JobKeys, Store, StoreContext
from gridcwl.stores.rucio.cache import RucioCache
from gridcwl.stores.rucio.client import RucioClient, RucioProblem
from gridcwl.stores.rucio.data import release, replicas, report
from gridcwl.stores.rucio.did_resolver import DidResolver
from gridcwl.stores.rucio.elements import find_elements
from gridcwl.stores.rucio.lineage import check_files, copy_files, origins
from gridcwl.stores.rucio.names import Did, check_template, chosen_dataset, did_of
from gridcwl.stores.rucio.registering import THERE, Registrar
from gridcwl.stores.rucio.run_files import URL, open_run_files
from gridcwl.stores.rucio.session import RucioSession
from gridcwl.stores.rucio.settings import SCHEME, RucioSettings


@dataclass(frozen=True, slots=True)
class RucioRunStore:
    """Implements ``gridcwl.stores.base.RunStore``: the client, how it is used, and what was found with it."""

    client: RucioClient
    settings: RucioSettings
    files: DidResolver

    @property
    def download(self) -> bool:
        """See ``RunStore.download``."""
        return self.settings.download

    async def locate(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """See ``RunStore.locate``."""
        elements = await find_elements(self.client, self.settings)
        storage = Storage("", "", elements.usable, SCHEME)
        return [
            replace(job, storage=storage, staged=tuple(self._with_replicas(entry) for entry in job.staged))
            for job in jobs
        ]

    async def begin(self, run: RunId, document: str, keys: JobKeys) -> RucioSession:
        """See ``RunStore.begin``."""
        run_files = await open_run_files(self.settings, run, document, client=self.client)
        run_files.book.note(self.files.replicas)
        run_files.descriptions.keys = keys
        return RucioSession(
            run_files, RucioCache(run_files, self.settings.cache_scopes) if self.settings.cache else None
        )

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
    return RucioRunStore(client, settings, DidResolver(client, settings.scope, known))


@asynccontextmanager
async def open_store(settings: RucioSettings, context: StoreContext) -> AsyncIterator[Store]:
    """The Rucio store of a run.

    Raises:
        ConfigError: the settings do not fit Rucio.
        RucioProblem: Rucio cannot be reached, or refuses authentication.
    """
    run_files = await open_run_files(settings, context.run)
    with closing(run_files.client):
        yield run_files.store


async def collect(about: Mapping[str, Any], name: str, metadata: Mapping[str, str]) -> str:
    """Put the container of a run into one that holds several runs; may be done again.

    Args:
        about: what the run's journal has of its files in Rucio.
        name: of the container, without scope.
        metadata: of it.

    Returns:
        The container.

    Raises:
        RucioProblem: Rucio does not answer, or does not allow it.
    """
    scope, _, run = str(about["container"]).partition(":")
    folder = run.rpartition("/")[0]
    container = Did(scope, f"{folder}/{name}" if run.startswith("/") else name)
    with closing(RucioClient()) as client:
        registrar = Registrar(client, None, {})
        try:
            await client.call("add_container", container.scope, container.name)
        except RucioProblem as problem:
            if problem.kind not in THERE:
                raise
        inside = {"scope": container.scope, "name": container.name, "dids": [{"scope": scope, "name": run}]}
        await client.call("attach_dids_to_dids", [inside], ignore_duplicate=True)
        await registrar.add_metadata({container: metadata})
    return str(container)


def health(_settings: RucioSettings, needed: bool) -> Iterator[HealthCheck]:
    """What ``gridcwl doctor`` checks of Rucio."""
    from gridcwl.stores.rucio.health import rucio

    yield from rucio(needed=needed)


__all__ = [
    "RucioRunStore",
    "check_files",
    "collect",
    "copy_files",
    "open_run_store",
    "open_store",
    "origins",
    "release",
    "replicas",
    "report",
]
