"""Rucio as a store: describe, fetch, publish, access. Also the uploading of inputs that jobs elsewhere cannot see."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridcwl.errors import OutputConflict, StoreError
from gridcwl.model.chunks import chunks
from gridcwl.model.files import HERE, FileInfo, FileRef, NewFile, Site, StagePlan
from gridcwl.stores.local import AtomicPublication, explained
from gridcwl.stores.rucio.client import CHUNK, RucioClient
from gridcwl.stores.rucio.did_resolver import basename
from gridcwl.stores.rucio.elements import Elements
from gridcwl.stores.rucio.names import Did, Naming, did_of
from gridcwl.stores.rucio.registering import NewReplica, Registrar
from gridcwl.stores.rucio.replicas import ReplicaBook, Replicas, find_replicas
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.fetch import FetchRequest, fetch, nearest_first
from gridcwl.worker.naming import name_of
from gridcwl.worker.put import FileToPut, put_files
from gridcwl.worker.storage import Known, sums


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An input that is in Rucio now."""

    did: Did
    size: int
    sha1: str


class RucioStore:
    """Implements ``gridcwl.stores.base.Store``; a dataset is one of Rucio's."""

    def __init__(
        self,
        client: RucioClient,
        elements: Elements,
        naming: Naming,
        *,
        book: ReplicaBook | None = None,
        site: str = "",
        registrar: Registrar | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            client: to ask.
            elements: where files are put.
            naming: how they are called, and in which scope.
            book: what is known of replicas.
            site: where this machine is.
            registrar: makes the datasets; one that puts them into no container if None.
        """
        self._client = client
        self._elements = elements
        self._naming = naming
        self._book = book or ReplicaBook(client, elements)
        self._site = site
        self._registrar = registrar or Registrar(client)

    async def describe(self, refs: Sequence[FileRef]) -> Sequence[FileInfo]:
        """See ``Store.describe``. No byte is read; Rucio keeps no SHA-1."""
        found = await self._found([did_of(ref.url) for ref in refs])
        return [
            FileInfo(ref, about.size, None, about.adler32, about.pfns)
            for ref in refs
            for about in [found[did_of(ref.url)]]
        ]

    async def fetch(self, refs: Sequence[FileRef], into: Path) -> Sequence[Path]:
        """See ``Store.fetch``. What comes is checked."""
        found = await self._found([did_of(ref.url) for ref in refs])
        if not refs:
            return []
        return await asyncio.to_thread(self._fetch, refs, found, into)

    async def publish(self, files: Sequence[NewFile], dataset: str) -> Sequence[FileRef]:
        """See ``Store.publish``."""
        if not files:
            return []
        holder = self.holder(dataset)
        prefix = self._naming.prefix_of(dataset, "d0")
        uploads = await asyncio.to_thread(self._uploads, files, prefix)
        there = await self._registered([Did(self._naming.scope, upload.name) for upload in uploads])
        for upload, file in zip(uploads, files, strict=True):
            if upload.name in there and upload.known.mismatch(there[upload.name]):
                raise OutputConflict(f"{self._naming.scope}:{upload.name} ({file.name})", "other bytes have that name")
        await self._put([upload for upload in uploads if upload.name not in there], holder)
        return [FileRef(Did(self._naming.scope, upload.name).url) for upload in uploads]

    def access(self, refs: Sequence[FileRef], at: Site = HERE) -> StagePlan:
        """See ``Store.access``. Of what nothing is known yet the plan has no URL: ask with ``describe`` first."""
        near = [{"sites": element.sites, "urls": element.urls} for element in self._elements.usable]
        return StagePlan(tuple(tuple(nearest_first(self._book.sources(did_of(ref.url)), near, at)) for ref in refs))

    def holder(self, dataset: str) -> Did:
        """The dataset that files are published in."""
        return Did(self._naming.scope, self._naming.prefix_of(dataset, "").rstrip("./"))

    async def upload_inputs(self, paths: Sequence[Path], dataset: str = "inputs") -> Mapping[Path, Uploaded]:
        """Put files of this machine where jobs elsewhere can read them, under names made of their checksums.

        What is there already, from whatever run, is not put there again; it is in this run's dataset as well, so that
        it stays as long as one of the runs wants it.

        Raises:
            StoreError: one cannot be read, or no element takes it.
        """
        uploads = await asyncio.to_thread(lambda: [self._named_by_content(path) for path in dict.fromkeys(paths)])
        dids = {path: Did(self._naming.scope, upload.name) for path, upload in uploads}
        await self._book.learn(list(dids.values()))
        new = {upload.name: upload for path, upload in uploads if not self._book.sources(dids[path])}
        holder = self.holder(dataset)
        await self._put(list(new.values()), holder)
        await self._share([did for did in dids.values() if did.name not in new], holder)
        return {path: Uploaded(dids[path], upload.known.size or 0, str(upload.known.sha1)) for path, upload in uploads}

    # ------------------------------------------------------------------------------------------------------------------

    async def _put(self, uploads: Sequence[FileToPut], holder: Did) -> None:
        if not uploads:
            return
        element = await asyncio.to_thread(self._put_away, uploads)
        scope = self._naming.scope
        replicas = [
            NewReplica(Did(scope, upload.name), upload.known.size or 0, str(upload.known.adler32), element, holder)
            for upload in uploads
        ]
        refused = await self._registrar.register(replicas)
        for reason in refused.values():
            raise StoreError(f"Rucio does not accept the file {reason}")
        named = self._elements.named(element)
        assert named is not None
        self._book.note(
            {
                replica.did: Replicas(
                    replica.size,
                    replica.adler32,
                    self._elements.sources(element, scope, replica.did.name),
                    (element,),
                )
                for replica in replicas
            }
        )

    async def _share(self, dids: Sequence[Did], holder: Did) -> None:
        """Put files that are there into one of our datasets."""
        if dids:
            await self._registrar.make([holder])
        for part in chunks(dids, CHUNK):
            inside = [{"scope": did.scope, "name": did.name} for did in part]
            attachments = [{"scope": holder.scope, "name": holder.name, "dids": inside}]
            attachments += self._registrar.holding([holder])
            await self._client.call("attach_dids_to_dids", attachments, ignore_duplicate=True)

    def _put_away(self, uploads: Sequence[FileToPut]) -> str:
        elements = [
            {"name": one.name, "urls": one.urls, "sites": one.sites, "naming": one.naming}
            for one in self._elements.usable
        ]
        try:
            return put_files(list(uploads), self._naming.scope, elements, self._site, lambda: None)
        except WorkerFailure as failure:
            raise StoreError(failure.reason.rstrip("."), remedy="See that one of them can be written to.") from None

    def _uploads(self, files: Sequence[NewFile], prefix: str) -> list[FileToPut]:
        with _sources():
            return [
                FileToPut(file.source, name_of(prefix, file.name), sums(file.source, lambda: None)) for file in files
            ]

    def _named_by_content(self, path: Path) -> tuple[Path, FileToPut]:
        with _sources():
            known = sums(str(path), lambda: None)
        return path, FileToPut(str(path), self._naming.upload(str(known.sha1), path.name).name, known)

    async def _registered(self, dids: Sequence[Did]) -> dict[str, Known]:
        """What is known of those that Rucio has, whether they have a replica or not."""
        known: dict[str, Known] = {}
        for part in chunks(dids, 2 * CHUNK):  # a plain look-up: as many as Rucio allows
            asked = [{"scope": did.scope, "name": did.name} for did in part]
            for meta in await self._client.call("get_metadata_bulk", asked):
                known[str(meta["name"])] = Known(meta["bytes"], meta["adler32"])
        return known

    async def _found(self, dids: Sequence[Did]) -> dict[Did, Replicas]:
        found = await find_replicas(self._client, list(dict.fromkeys(dids)))
        missing = [did for did in dids if did not in found]
        if missing:
            more = f", nor have {len(missing) - 1} others" if len(missing) > 1 else ""
            raise StoreError(
                f"{missing[0].url} has no replica in Rucio{more}",
                remedy=f"rucio replica list file {missing[0]} shows where it is or was.",
            )
        self._book.note(found)
        return found

    def _fetch(self, refs: Sequence[FileRef], found: Mapping[Did, Replicas], into: Path) -> list[Path]:
        names: dict[str, int] = {}
        placed = []
        with explained(into), AtomicPublication(into) as placement, contextlib.ExitStack() as undo:
            scratch = placement.scratch()
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
            for ref in refs:
                did = did_of(ref.url)
                about = found[did]
                wanted = FetchRequest(about.pfns, Known(about.size, about.adler32), ref.url, Trusted(about.pfns))
                try:
                    got = fetch(wanted, "", str(scratch), lambda: None)
                except WorkerFailure as failure:
                    raise StoreError(failure.reason.rstrip(".")) from None
                name = Path(_free(basename(did), names))
                source = Path(got.path)
                if not placement.link(source, name):
                    placement.copy(source, name)
                placed.append(into / name)
            shutil.rmtree(scratch, ignore_errors=True)
            placement.commit()
        return placed


def _free(name: str, taken: dict[str, int]) -> str:
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}_{taken[name]}"
    taken[free] = 1
    return free


@contextlib.contextmanager
def _sources() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{os.fsdecode(error.filename or '')} cannot be read: {error.strerror}") from error
