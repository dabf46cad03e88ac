"""Rucio during one session of a run, from its first job to its published outputs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from gridcwl.errors import StoreError
from gridcwl.model import Job, JobId, JobResult
from gridcwl.stores.rucio.cache import RucioCache
from gridcwl.stores.rucio.client import CHUNK
from gridcwl.stores.rucio.names import Did, attempt_of, did_of, maker_of
from gridcwl.stores.rucio.outputs import OutputDatasets
from gridcwl.stores.rucio.replicas import find_replicas, prefix_in
from gridcwl.stores.rucio.run_files import URL, RunFiles, own_files
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.fetch import FetchRequest, fetch
from gridcwl.worker.paths import file_url
from gridcwl.worker.storage import Known


@dataclass(slots=True)
class RucioSession:
    """Implements ``gridcwl.stores.base.StoreSession``."""

    run_files: RunFiles
    cache: RucioCache | None = None
    title: str = "Rucio"
    between_jobs: bool = True
    _published: dict[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> Mapping[str, Any]:
        """See ``StoreSession.about``."""
        naming = self.run_files.naming
        return {"scope": naming.scope, "container": str(naming.container), **self._published}

    async def check(self, steps: Iterable[str]) -> None:
        """See ``StoreSession.check``."""
        await self.run_files.check(steps)

    async def stage(self, jobs: Sequence[Job], *, upload: bool) -> Sequence[Job]:
        """See ``StoreSession.stage``."""
        if upload:
            jobs = await self.run_files.with_uploads(jobs)
        await self.run_files.learn(jobs)
        return [self.run_files.equipped(job) for job in jobs]

    def equipped(self, job: Job) -> Job:
        """See ``StoreSession.equipped``."""
        return self.run_files.equipped(job)

    def lacking(self, job: Job) -> list[str]:
        """See ``StoreSession.lacking``."""
        return self.run_files.lacking(job)

    async def register(self, made: Sequence[tuple[Job, JobResult]]) -> Mapping[str, str]:
        """See ``StoreSession.register``."""
        return await self.run_files.register(made)

    def batch_of(self, result: JobResult) -> str:
        """See ``StoreSession.batch_of``: the prefix of the files' names."""
        return next((prefix_in(did_of(file.location).name) for file in own_files(result)), "")

    def first_made(self, job: Job, result: JobResult) -> Job:
        """See ``StoreSession.first_made``."""
        name = next(did_of(file.location).name for file in own_files(result))
        maker = maker_of(name)
        assert maker is not None
        return replace(job, id=JobId(f"{job.run}-{maker.session}-{maker.number}"), attempt=attempt_of(name))

    def note(self, job: Job, result: JobResult) -> None:
        """See ``StoreSession.note``."""
        self.run_files.note(job, result)

    async def missing(self, results: Iterable[JobResult]) -> set[str]:
        """See ``StoreSession.missing``."""
        gone: set[str] = set()
        page: dict[Did, str] = {}
        for result in results:
            files = [file.location for file in result.files if file.kind == "file" and file.location.startswith(URL)]
            page |= {did_of(url): url for url in files}
            if len(page) >= CHUNK:
                gone |= await self._missing(page)
                page = {}
        return gone | await self._missing(page)

    async def _missing(self, page: Mapping[Did, str]) -> set[str]:
        found = await find_replicas(self.run_files.client, list(page))
        return {url for did, url in page.items() if did not in found}

    async def archives(self, names: Sequence[str]) -> dict[str, Any]:
        """See ``StoreSession.archives``; the names are ``scope:name``."""
        dids = {name: Did(*name.split(":", 1)) for name in names}
        found = await find_replicas(self.run_files.client, list(dids.values()))
        elements = [msgspec.to_builtins(element) for element in self.run_files.elements.usable]
        return {
            name: {
                "location": did.url,
                "sources": list(about.pfns),
                "size": about.size,
                "checksum": f"adler32${about.adler32}" if about.adler32 else None,
                "elements": elements,
            }
            for name, did in dids.items()
            if (about := found.get(did)) is not None
        }

    async def keep_alive(self) -> None:
        """See ``StoreSession.keep_alive``: extend the run's rule."""
        await self.run_files.keep_alive()

    async def publish(self, outputs: Any, keys_of: Callable[[str], Iterable[bytes]], *, final: bool) -> Any:
        """See ``StoreSession.publish``: datasets that rules keep."""
        outputs = copy.deepcopy(outputs)
        if self.cache is not None:
            await self.cache.attach_shared()
        made = OutputDatasets(self.run_files)
        if final:
            await made.keep(outputs)
        await self.run_files.registrar.add_metadata(self.run_files.descriptions.completed(keys_of))
        rule = await self.run_files.rule.make() if made.contents or self.run_files.registrar.used else ""
        self._published = {"rule": rule, "outputs": [str(did) for did in made.contents]}
        return outputs

    async def fetch(self, files: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, str]:
        """See ``StoreSession.fetch``."""
        await self.run_files.book.learn([did_of(url) for url in files])
        return await asyncio.to_thread(self._fetched, files, folder)

    def _fetched(self, files: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
        found = {}
        for number, (url, file) in enumerate(files.items()):
            kind, _, digest = str(file.get("checksum", "")).partition("$")
            sums = {kind: digest} if kind in ("sha1", "adler32") else {}
            sources = self.run_files.book.sources(did_of(url))
            wanted = FetchRequest(sources, Known(file.get("size"), **sums), url, Trusted(sources))
            try:
                got = fetch(wanted, "", str(folder / str(number)), lambda: None)
            except WorkerFailure as failure:
                raise StoreError(failure.reason.rstrip("."), remedy="--no-download leaves outputs in Rucio.") from None
            found[url] = file_url(got.path)
        return found
