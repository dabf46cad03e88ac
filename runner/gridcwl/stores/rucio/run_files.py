"""The files of one run in Rucio: their names, storage elements, replicas and registration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from gridcwl.errors import ConfigError
from gridcwl.model import Job, JobResult, ProducedFile, StagedFile, Storage
from gridcwl.stores.local import path_of
from gridcwl.stores.rucio.checking import check_dataset, check_names, check_scope
from gridcwl.stores.rucio.client import RucioClient
from gridcwl.stores.rucio.descriptions import Descriptions
from gridcwl.stores.rucio.elements import Elements, find_elements
from gridcwl.stores.rucio.lineage import listed
from gridcwl.stores.rucio.names import SCOPE, Did, Naming, chosen_dataset, did_of, mark_of
from gridcwl.stores.rucio.registering import NewReplica, Registrar
from gridcwl.stores.rucio.replicas import ReplicaBook, prefix_in
from gridcwl.stores.rucio.rules import RunRule
from gridcwl.stores.rucio.settings import SCHEME, RucioSettings
from gridcwl.stores.rucio.store import RucioStore, Uploaded

log = logging.getLogger("gridcwl.stores.rucio")

_SHARD = re.compile(r"\[\d+\]")
URL = f"{SCHEME}://"


@dataclass(slots=True)
class RunFiles:
    """The files of one run in Rucio. Made by :func:`open_run_files`."""

    client: RucioClient
    settings: RucioSettings
    naming: Naming
    elements: Elements
    book: ReplicaBook
    registrar: Registrar
    rule: RunRule
    descriptions: Descriptions
    """Metadata of the run's datasets."""
    _sent: dict[Path, Uploaded] = field(default_factory=dict)

    async def check(self, steps: Iterable[str]) -> None:
        """See that Rucio will take the names of the run's files and datasets, before any job runs.

        Raises:
            ConfigError: a name is not allowed, the scope is not there, or the chosen dataset takes no files.
            RucioProblem: the account may not write there; or Rucio does not answer.
        """
        chosen = self.settings.output_dataset
        await check_names(self.client, self.naming, steps, chosen_dataset(chosen) if chosen else None)
        if chosen:
            await check_dataset(self.client, chosen_dataset(chosen))

    # -- out -----------------------------------------------------------------------------------------------------------

    async def learn(self, jobs: Sequence[Job]) -> None:
        """Look up the replicas of the inputs of jobs, in as few calls as possible.

        Raises:
            RucioProblem: Rucio does not answer.
        """
        await self.book.learn([did_of(url) for job in jobs if job.attempt == 1 for url in _asked(job)])
        # Where the last attempt failed, a replica may have been lost since.
        await self.book.learn([did_of(url) for job in jobs if job.attempt > 1 for url in _asked(job)], again=True)

    async def with_uploads(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """The jobs with DIDs in place of files of this machine, which are put into Rucio if they are not there.

        Raises:
            StoreError: one cannot be read, or no element takes it.
        """
        wanted = [
            path for job in jobs for entry in job.staged for path in _local_files(entry) if path not in self._sent
        ]
        if wanted:
            self.descriptions.inputs(self.store.holder(f"{self.naming.run}/inputs"))
            self._sent |= await self.store.upload_inputs(wanted, f"{self.naming.run}/inputs")
            await self.rule.make()
        return [replace(job, staged=tuple(self._elsewhere(job.staged))) for job in jobs]

    @property
    def store(self) -> RucioStore:
        """The same Rucio as a store."""
        return RucioStore(
            self.client, self.elements, self.naming,
            book=self.book, site=self.settings.site, registrar=self.registrar,
        )  # fmt: skip

    def _elsewhere(self, staged: Sequence[StagedFile]) -> Iterable[StagedFile]:
        for entry in staged:
            files = list(_local_files(entry))
            if not files:
                yield entry
                continue
            if entry.kind == "directory":
                yield replace(entry, sources=())
            root = path_of(entry.sources[0])
            for path in files:
                sent = self._sent[path]
                below = "" if entry.kind == "file" else f"/{path.relative_to(root)}"
                yield replace(
                    entry, target=entry.target + below, kind="file", sources=(sent.did.url,), size=sent.size,
                    checksum=f"sha1${sent.sha1}",
                )  # fmt: skip

    def equipped(self, job: Job) -> Job:
        """The job with URLs that a worker can read from, and a place for its outputs. Asks nobody."""
        staged = tuple(self._sourced(entry) for entry in job.staged)
        prefix = self.naming.prefix(step_of(job), mark_of(job.id, job.attempt))
        return replace(job, staged=staged, storage=Storage(self.naming.scope, prefix, self.elements.usable, SCHEME))

    def lacking(self, job: Job) -> list[str]:
        """The inputs that have no replica; of a job that is equipped."""
        return [entry.location for entry in job.staged if entry.location.startswith(URL) and not entry.sources]

    def _sourced(self, entry: StagedFile) -> StagedFile:
        if entry.kind != "file" or not entry.sources or not entry.sources[0].startswith(URL):
            return entry
        url = entry.sources[0]
        did = did_of(url)
        about = self.book.about(did)
        size, checksum = entry.size, entry.checksum
        if about is not None:
            size = about.size if size is None else size
            checksum = checksum or (f"adler32${about.adler32}" if about.adler32 else None)
        return replace(entry, sources=self.book.sources(did), location=url, size=size, checksum=checksum)

    # -- back ----------------------------------------------------------------------------------------------------------

    async def register(self, made: Sequence[tuple[Job, JobResult]]) -> dict[str, str]:
        """Register the files that jobs have uploaded. May be done again.

        Returns:
            Ids of the jobs whose files Rucio does not take, and why.

        Raises:
            RucioProblem: Rucio cannot be reached, or forbids it altogether.
        """
        replicas: list[NewReplica] = []
        owners: dict[Did, str] = {}
        self.descriptions.learn_keys(did_of(file.location).name for _, result in made for file in own_files(result))
        for job, result in made:
            for replica in self.replicas_of(job, result):
                replicas.append(replica)
                owners[replica.did] = job.id
                self.book.put_by(replica.did.scope, prefix_in(replica.did.name), result.element)
        if not replicas:
            return {}
        refused = await self.registrar.register(replicas)
        await self.rule.make()
        return {owners[did]: reason for did, reason in refused.items()}

    def replicas_of(self, job: Job, result: JobResult) -> Iterable[NewReplica]:
        """The files of a result that the job itself has put away, each once in each dataset that it belongs to."""
        if not result.element:
            return
        own: set[tuple[str, Did]] = set()
        of_job = self.descriptions.of_job(job, step_of(job), listed(map(did_of, _inputs(job))))
        for file in own_files(result):
            did = did_of(file.location)
            for dataset in self.datasets_of(job, file.path, result):
                if (file.location, dataset) not in own:
                    own.add((file.location, dataset))
                    assert file.adler32 is not None
                    meta = of_job | self.descriptions.of_file(did, result)
                    yield NewReplica(did, file.size, file.adler32, result.element, dataset, meta)

    def datasets_of(self, job: Job, path: str, result: JobResult) -> list[Did]:
        """The datasets of this run that a file belongs to which a job has at this path."""
        step = step_of(job)
        ports = [name for name, globs in job.outputs.ports.items() if any(_matches(path, glob) for glob in globs)]
        found = {self.naming.dataset(step, port): port for port in ports or [""]}
        for did, port in found.items():
            self.descriptions.of_step(did, job, step, port, result)
        return list(found)

    def note(self, job: Job, result: JobResult) -> None:
        """Add a result that is in Rucio already to the datasets of this run."""
        for file in result.files:
            if file.kind == "file" and file.location.startswith(URL):
                self.datasets_of(job, file.path, result)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def keep_alive(self) -> None:
        """Extend the rule as long as the run lives."""
        while True:
            await asyncio.sleep(self.rule.every_s)
            await self.rule.extend()

    def close(self) -> None:
        """Close the client."""
        self.client.close()


async def open_run_files(
    settings: RucioSettings, run: str, document: str = "", *, client: RucioClient | None = None
) -> RunFiles:
    """Query Rucio for what a run needs to know of it.

    Raises:
        ConfigError: the settings do not fit what is there.
        RucioProblem: Rucio cannot be reached, or refuses authentication.
    """
    client = client or RucioClient()
    with contextlib.ExitStack() as undo:
        undo.callback(client.close)
        scope = settings.scope or await own_scope(client)
        if not SCOPE.fullmatch(scope):
            raise ConfigError(f"{scope!r} cannot be a scope", remedy="At most 25 letters, digits and . _ -")
        if settings.scope:
            await check_scope(client, scope, await own_scopes(client, await client.account()))
        elements = await find_elements(client, settings)
        naming = Naming(scope, settings.name, run, document)
        descriptions = Descriptions(run, document, naming.container)
        registrar = Registrar(client, naming.container, descriptions.known)
        rule = RunRule(client, naming.container, [element.name for element in elements.usable], settings.keep_days)
        book = ReplicaBook(client, elements)
        undo.pop_all()
    return RunFiles(client, settings, naming, elements, book, registrar, rule, descriptions)


async def own_scope(client: RucioClient) -> str:
    """The scope that is taken if nobody names one: ``user.ACCOUNT``, or the only one that the account has.

    Raises:
        ConfigError: there is no such scope.
    """
    account = await client.account()
    scopes = await own_scopes(client, account)
    for scope in (f"user.{account}", account):
        if scope in scopes:
            return scope
    if len(scopes) == 1:
        return scopes[0]
    listed = f"it has {', '.join(sorted(scopes)[:8])}" if scopes else "it has none"
    raise ConfigError(
        f"Which scope of the account {account} shall outputs go to? {listed[:1].upper()}{listed[1:]}",
        remedy="Set it with --rucio-scope.",
    )


async def own_scopes(client: RucioClient, account: str) -> list[str]:
    """The scopes of an account."""
    return [str(scope) for scope in await client.call("list_scopes_for_account", account)]


def step_of(job: Job) -> str:
    """The step's name, whatever the shard."""
    return _SHARD.sub("", job.name)


def own_files(result: JobResult) -> Iterator[ProducedFile]:
    """The files that the job has put away; one that it passed through was registered by who made it."""
    for file in result.files:
        if file.kind == "file" and file.location.startswith(URL) and file.adler32 is not None:
            yield file


def _local_files(entry: StagedFile) -> Iterator[Path]:
    """The files of this machine that a staged entry consists of."""
    if not entry.sources or not entry.sources[0].startswith("file://"):
        return
    path = path_of(entry.sources[0])
    if entry.kind == "file":
        yield path
    elif entry.kind == "directory":
        for folder, folders, names in os.walk(path, followlinks=True):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))


def _inputs(job: Job) -> Iterator[str]:
    """What a job reads that is in Rucio, by its URL there."""
    for entry in job.staged:
        for url in (entry.location, *entry.sources[:1]):
            if url.startswith(URL):
                yield url
                break


def _asked(job: Job) -> list[str]:
    return [entry.sources[0] for entry in job.staged if entry.sources and entry.sources[0].startswith(URL)]


def _matches(path: str, glob: str) -> bool:
    """Whether a path is what a pattern means, or lies in a directory that is."""
    wanted = [part for part in glob.split("/") if part not in ("", ".")]
    parts = path.split("/")
    return len(parts) >= len(wanted) and all(
        fnmatchcase(part, pattern) for part, pattern in zip(parts, wanted, strict=False)
    )


__all__ = ["URL", "RunFiles", "open_run_files", "own_files", "own_scope", "step_of"]
