"""Any store for runs whose jobs are on this machine: it gives input files and keeps final outputs.

Between the jobs files stay on this machine, as without a store. All that this needs are the four operations of
``gridcwl.stores.base.Store``, so every plugin's store can be used so.
"""

from __future__ import annotations

import asyncio
import copy
import tempfile
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from gridcwl.errors import InputError, StoreError
from gridcwl.model import Job, RunId, StagedFile, paths
from gridcwl.model.files import FileInfo, FileRef, NewFile
from gridcwl.model.objects import entries
from gridcwl.stores.base import JobKeys, Store
from gridcwl.stores.local import path_of
from gridcwl.stores.local_runs import LocalSession

T = TypeVar("T")
Opening = Callable[[RunId], AbstractAsyncContextManager[Store]]
"""Opens the store for a run; the empty id is used while inputs are read."""


class PlainRunStore:
    """Implements ``gridcwl.stores.base.RunStore`` with a store. The store lives in an event loop of its own thread."""

    download = True

    def __init__(self, name: str, schemes: Collection[str], opening: Opening, known: Mapping[str, Any] | None) -> None:
        """Prepare; nothing is opened yet.

        Args:
            name: of the store, for messages.
            schemes: of its files' URLs.
            opening: opens it.
            known: what an earlier session found.
        """
        self._name, self._opening = name, opening
        self._prefixes = tuple(f"{scheme}://" for scheme in schemes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"store-{name}", daemon=True)
        self._open: tuple[AbstractAsyncContextManager[Store], Store] | None = None
        self.known: dict[str, Any] = dict(known or {})

    @property
    def files(self) -> PlainRunStore:
        """See ``RunStore.files``."""
        return self

    async def locate(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """See ``RunStore.locate``."""
        store = await asyncio.to_thread(self._store)
        return [self.sourced(store, job) for job in jobs]

    async def begin(self, run: RunId, document: str, keys: JobKeys) -> PlainSession:  # noqa: ARG002
        """See ``RunStore.begin``."""
        await asyncio.to_thread(self._reopen, run)
        return PlainSession(self, self._name, run)

    def close(self) -> None:
        """See ``RunStore.close``."""
        if self._thread.is_alive():
            self._leave()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    # -- RemoteFiles ---------------------------------------------------------------------------------------------------

    def understands(self, location: str) -> bool:
        """See ``RemoteFiles.understands``."""
        return location.startswith(self._prefixes) if self._prefixes else False

    def find(self, locations: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """See ``RemoteFiles.find``."""
        new = [location for location in dict.fromkeys(locations) if location not in self.known]
        try:
            self.known |= self._described(new)
        except StoreError as error:
            raise InputError(error.message, remedy=error.remedy) from error
        return {location: self.known[location] for location in locations}

    def present(self, urls: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """See ``RemoteFiles.present``."""
        found: dict[str, dict[str, Any]] = {}
        for url in filter(self.understands, urls):
            try:
                found |= self._described([url])
            except StoreError:
                continue
        return found

    def first_bytes(self, url: str, count: int) -> bytes:
        """See ``RemoteFiles.first_bytes``."""
        with tempfile.TemporaryDirectory(prefix="gridcwl-store-") as folder:
            (path,) = self.call(lambda store: store.fetch([FileRef(url)], Path(folder) / "file"))
            with path.open("rb") as file:
                return file.read(count)

    def _described(self, urls: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not urls:
            return {}
        infos = self.call(lambda store: store.describe([FileRef(url) for url in urls]))
        return {url: _file(url, info) for url, info in zip(urls, infos, strict=True)}

    # -- the store -----------------------------------------------------------------------------------------------------

    def call(self, question: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """The answer of the store, in any thread but its own."""
        return self._wait(question(self._store()))

    def sourced(self, store: Store | None, job: Job) -> Job:
        """The job with the URLs from which its inputs in the store can be read."""
        store = store or self._store()
        return replace(job, staged=tuple(self._sourced(store, entry) for entry in job.staged))

    def _sourced(self, store: Store, entry: StagedFile) -> StagedFile:
        if entry.kind != "file" or not entry.sources or not self.understands(entry.sources[0]):
            return entry
        (sources,) = store.access([FileRef(entry.sources[0])]).sources
        return replace(entry, sources=sources, location=entry.sources[0])

    def _store(self) -> Store:
        return self._reopen(RunId("")) if self._open is None else self._open[1]

    def _reopen(self, run: RunId) -> Store:
        if not self._thread.is_alive():
            self._thread.start()
        self._leave()
        context = self._opening(run)
        store = self._wait(_entered(context))
        self._open = context, store
        return store

    def _leave(self) -> None:
        if self._open is not None:
            (context, _), self._open = self._open, None
            self._wait(_left(context))

    def _wait(self, question: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()


class PlainSession(LocalSession):
    """Implements ``gridcwl.stores.base.StoreSession`` with a store."""

    def __init__(self, store: PlainRunStore, title: str, run: RunId) -> None:
        """For one session of a run, whose final outputs are published in a dataset of the run's name."""
        self.title = title
        self._store = store
        self._run = run
        self._here: dict[str, str] = {}
        """The files of this machine that were published, by their locations in the store."""

    async def stage(self, jobs: Sequence[Job], *, upload: bool) -> Sequence[Job]:
        """See ``StoreSession.stage``."""
        if upload:
            raise StoreError(
                f"The store {self.title} carries no files to jobs on other machines", remedy="Choose --store local."
            )
        return [self.equipped(job) for job in jobs]

    def equipped(self, job: Job) -> Job:
        """See ``StoreSession.equipped``."""
        return self._store.sourced(None, job)

    def lacking(self, job: Job) -> list[str]:
        """See ``StoreSession.lacking``."""
        return [entry.location for entry in job.staged if self._store.understands(entry.location) and not entry.sources]

    async def publish(self, outputs: Any, keys_of: Callable[[str], Iterable[bytes]], *, final: bool) -> Any:  # noqa: ARG002
        """See ``StoreSession.publish``. Directories of this machine are not published, files are."""
        if not final:
            return outputs
        outputs = copy.deepcopy(outputs)
        found = {f"{name}/{path}": entry for name, value in outputs.items() for path, entry in _named(value)}
        new = [
            NewFile(str(path_of(entry["location"])), name, str(entry.get("checksum", "")).removeprefix("sha1$") or None)
            for name, entry in found.items()
        ]
        if not new:
            return outputs
        refs = await asyncio.to_thread(self._store.call, lambda store: store.publish(new, str(self._run)))
        for entry, ref in zip(found.values(), refs, strict=True):
            self._here[ref.url] = entry["location"]
            entry["location"] = ref.url
        return outputs

    async def fetch(self, files: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, str]:
        """See ``StoreSession.fetch``. What came from this machine is still here."""
        others = [FileRef(url) for url in files if url not in self._here and self._store.understands(url)]
        found = {url: self._here[url] for url in files if url in self._here}
        if others:
            paths_ = await asyncio.to_thread(self._store.call, lambda store: store.fetch(others, folder))
            found |= {ref.url: path.as_uri() for ref, path in zip(others, paths_, strict=True)}
        return found


def _file(url: str, info: FileInfo) -> dict[str, Any]:
    made = {"class": "File", "location": url, "basename": paths.name_in(url, "unnamed"), "size": info.size}
    return made | ({"checksum": f"sha1${info.sha1}"} if info.sha1 else {})


def _named(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The Files of this machine in an output, each with a name of its own."""
    taken: dict[str, int] = {}
    for entry in _files(value):
        wanted = entry.get("basename") or paths.name_in(str(entry["location"]), "unnamed")
        name = str(paths.basename(wanted, "The base name of an output"))
        taken[name] = number = taken.get(name, 0) + 1
        yield (name if number == 1 else f"{number}/{name}"), entry


def _files(value: Any) -> Iterator[dict[str, Any]]:
    """Files of this machine; what is in a Directory of this machine is left to it."""
    for file in entries(value, "File", into=_is_looked_into):
        if str(file.get("location", "")).startswith("file://"):
            yield file


def _is_looked_into(entry: dict[str, Any]) -> bool:
    return entry["class"] == "File" or not str(entry.get("location", "")).startswith("file://")


async def _entered(context: AbstractAsyncContextManager[Store]) -> Store:
    return await context.__aenter__()


async def _left(context: AbstractAsyncContextManager[Store]) -> None:
    await context.__aexit__(None, None, None)
