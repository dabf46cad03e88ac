"""What DIDs in an input object mean: files with size and checksum, datasets and containers with what is in them.

Queried in bulk and once: what was found is kept with the run, so that a resumed run sees the same files even
where a pattern would find more of them now.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gridcwl.errors import InputError, StoreError
from gridcwl.model import paths
from gridcwl.model.chunks import chunks
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.descriptions import DIRECTORY
from gridcwl.stores.rucio.names import Did, Query, did_of, read
from gridcwl.stores.rucio.replicas import Replicas, find_replicas
from gridcwl.stores.rucio.trees import TreeMetadata, place_of
from gridcwl.stores.rucio.trees import read as read_tree
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.failure import SourceUnavailable
from gridcwl.worker.naming import path_in
from gridcwl.worker.storage import way_to

T = TypeVar("T")
Found = dict[str, Any]
"""A CWL File, or ``{"class": "Collection", "files": [...], "collections": [...]}``."""

_KINDS = {
    "file": ("FILE",),
    "dataset": ("DATASET",),
    "container": ("CONTAINER",),
    "collection": ("DATASET", "CONTAINER"),
}
_DEEPEST = 16
"""Containers within containers."""


class DidResolver:
    """Implements ``gridcwl.stores.base.RemoteFiles`` with Rucio."""

    def __init__(self, client: RucioClient, scope: str = "", known: Mapping[str, Found] | None = None) -> None:
        """Prepare; nothing is queried yet.

        Args:
            client: of Rucio.
            scope: of names without one.
            known: what an earlier session found.
        """
        self._client = client
        self._scope = scope
        self.known: dict[str, Found] = dict(known or {})
        self.replicas: dict[Did, Replicas] = {}
        """Where the files are that were looked for."""
        self._trees: dict[Did, TreeMetadata] = {}

    def understands(self, location: str) -> bool:
        """See ``RemoteFiles.understands``."""
        return location.startswith("rucio:") or location[:4].lower() == "lfn:"

    def find(self, locations: Sequence[str]) -> Mapping[str, Found]:
        """See ``RemoteFiles.find``."""
        wanted = {location: self._read(location) for location in dict.fromkeys(locations)}
        new = {location: query for location, query in wanted.items() if location not in self.known}
        singles = {location: query.did for location, query in new.items() if not query.is_search}
        found = self._named(list(dict.fromkeys(singles.values())))
        self.known |= {location: found[did] for location, did in singles.items() if did in found}
        missing = [location for location, did in singles.items() if did not in found]
        if missing:
            more = f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""
            raise InputError(
                f"{missing[0]} is not in Rucio{more}",
                remedy=f"rucio did list '{singles[missing[0]].scope}:*' shows what is.",
            )
        for location, query in new.items():
            if query.is_search:
                self.known[location] = self._searched(location, query)
        return {location: self.known[location] for location in wanted}

    def present(self, urls: Sequence[str]) -> Mapping[str, Found]:
        """See ``RemoteFiles.present``."""
        dids = {url: did_of(url) for url in urls if url.startswith("rucio://")}
        about = self._files(list(dict.fromkeys(dids.values())))
        return {url: about[did] for url, did in dids.items() if did in about}

    def first_bytes(self, url: str, count: int) -> bytes:
        """See ``RemoteFiles.first_bytes``."""
        did = did_of(url)
        if did not in self.replicas:
            self._files([did])
        problems = []
        for pfn in self.replicas[did].pfns if did in self.replicas else ():
            try:
                return way_to(pfn, Trusted([pfn])).first(pfn, count)
            except (SourceUnavailable, OSError) as error:
                problems.append(str(error))
        raise StoreError(
            f"{url} cannot be read: {'; '.join(problems) or 'Rucio knows no replica of it'}",
            remedy="rucio replica list file shows where it should be.",
        )

    def events(self, urls: Sequence[str]) -> dict[str, int]:
        """The numbers of events that Rucio knows of files, by URL."""
        dids = {url: did_of(url) for url in urls if url.startswith("rucio://")}
        about = self._metadata(list(dict.fromkeys(dids.values())))
        counts = {url: about.get(did, {}).get("events") for url, did in dids.items()}
        return {url: int(count) for url, count in counts.items() if count is not None}

    def _read(self, location: str) -> Query:
        query = read(location, self._scope)
        if query is None:
            raise InputError(f"{location} is no DID", remedy="Write rucio://SCOPE/NAME.")
        return query

    def _now(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._client.call_now(method, *arguments, **named)

    def _named(self, dids: Sequence[Did]) -> dict[Did, Found]:
        """Files, datasets and containers by their names."""
        found = self._files(dids)
        kinds = self._metadata([did for did in dids if did not in found])
        for did, meta in kinds.items():
            if meta["did_type"] == "FILE":
                raise InputError(
                    f"{did.url} is known to Rucio, but has no replica that could be read",
                    remedy=f"rucio replica list file {did} shows where it was.",
                )
        collections = {did: str(meta["did_type"]) for did, meta in kinds.items()}
        self._learn_trees([did for did, kind in collections.items() if kind == "DATASET"])
        return found | {did: self._collection(did, kind) for did, kind in collections.items()}

    def _files(self, dids: Sequence[Did]) -> dict[Did, Found]:
        """Those of the DIDs that are files with a replica."""
        unknown = [did for did in dids if did not in self.replicas]
        wanted = set(unknown)
        for part in chunks(unknown, CHUNK):
            asked = self._listed(part)
            self.replicas |= {did: about for did, about in asked.items() if did in wanted}
        return {did: _file(did, self.replicas[did]) for did in dids if did in self.replicas}

    def _listed(self, dids: Sequence[Did]) -> dict[Did, Replicas]:
        return run_now(find_replicas(self._client, dids))

    def _metadata(self, dids: Sequence[Did]) -> dict[Did, Mapping[str, Any]]:
        answers: list[Mapping[str, Any]] = []
        for part in chunks(dids, CHUNK):
            asked = [{"scope": did.scope, "name": did.name} for did in part]
            answers += self._now("get_metadata_bulk", asked)
        return {Did(meta["scope"], meta["name"]): meta for meta in answers}

    def _learn_trees(self, datasets: Sequence[Did]) -> None:
        """Read the Directories that datasets are from their metadata, if the server keeps such metadata."""
        for part in chunks(datasets, CHUNK):
            asked = [{"scope": did.scope, "name": did.name} for did in part]
            try:
                answers = self._now("get_metadata_bulk", asked, plugin="JSON")
            except RucioProblem as problem:
                if problem.kind in ("ServerConnectionException", "DatabaseException"):
                    raise
                return
            for meta in answers:
                if DIRECTORY in meta:
                    did = Did(meta["scope"], meta["name"])
                    self._trees[did] = read_tree(meta[DIRECTORY], str(did))

    def _collection(self, did: Did, kind: str, depth: int = 0) -> Found:
        made: Found = {"class": "Collection", "location": did.url, "basename": basename(did)}
        if kind == "DATASET":
            files = self._now("list_files", did.scope, did.name)
            return made | _in_directory(did, _entries(files), self._trees.get(did, TreeMetadata()))
        if depth > _DEEPEST:
            raise InputError(f"{did.url} has endlessly nested containers")
        inside = self._now("list_content", did.scope, did.name)
        ordered = sorted(inside, key=lambda one: (str(one["scope"]), str(one["name"])))
        self._learn_trees([Did(one["scope"], one["name"]) for one in ordered if one["type"] == "DATASET"])
        collections = [self._collection(Did(one["scope"], one["name"]), one["type"], depth + 1) for one in ordered]
        return made | {"files": [], "collections": collections}

    def _searched(self, location: str, query: Query) -> Found:
        filters = {"name": query.did.name, **dict(_meant(query))}
        names = sorted(str(name) for name in self._search(location, query, filters))
        names = self._of_kind(query, names)
        if not names:
            raise InputError(
                f"{location} finds nothing in Rucio", remedy="rucio did list SCOPE:PATTERN tries patterns."
            )
        found = self._named([Did(query.did.scope, name) for name in names])
        made: Found = {"class": "Collection", "location": location, "basename": "found"}
        ordered = [found[did] for did in sorted(found)]
        return made | {
            "files": [one for one in ordered if one["class"] == "File"],
            "collections": [one for one in ordered if one["class"] == "Collection"],
        }

    def _of_kind(self, query: Query, names: list[str]) -> list[str]:
        """Those of the type that is wanted: searched for by metadata of one's own, Rucio finds all types."""
        wanted = _KINDS.get(query.kind)
        if wanted is None or not query.filters:
            return names
        kinds = self._metadata([Did(query.did.scope, name) for name in names])
        return [name for name in names if kinds.get(Did(query.did.scope, name), {}).get("did_type") in wanted]

    def _search(self, location: str, query: Query, filters: Mapping[str, str]) -> Iterable[str]:
        try:
            names: list[str] = self._now("list_dids", query.did.scope, [filters], did_type=query.kind)
        except RucioProblem as problem:
            if problem.kind in ("KeyNotFound", "DIDFilterSyntaxError", "ValueError", "InvalidMetadata"):
                raise InputError(f"{location} cannot be searched for: {problem.message}") from None
            raise
        return names


def _meant(query: Query) -> Iterable[tuple[str, str]]:
    """The filters as Rucio takes them. Of files it keeps no length, so there ``length`` means bytes."""
    for name, value in query.filters:
        field, dot, operator = name.partition(".")
        yield (f"bytes{dot}{operator}" if field == "length" and query.kind == "file" else name), value


def basename(did: Did) -> str:
    """What a tool shall see a DID called.

    Raises:
        UnsafePath: no file can be called so.
    """
    return paths.basename(path_in(did.name).rpartition("/")[2], f"The name of {did} in Rucio")


def _file(did: Did, about: Replicas) -> Found:
    made: Found = {"class": "File", "location": did.url, "basename": basename(did), "size": about.size}
    return made | ({"checksum": f"adler32${about.adler32}"} if about.adler32 else {})


def _entries(files: Iterable[Mapping[str, Any]]) -> list[Found]:
    found = []
    for file in sorted(files, key=lambda one: (str(one["scope"]), str(one["name"]))):
        did = Did(file["scope"], file["name"])
        found.append(_file(did, Replicas(int(file["bytes"] or 0), file.get("adler32"), (), ())))
    return found


def _in_directory(dataset: Did, files: list[Found], tree: TreeMetadata) -> Found:
    """A dataset as a Directory, too: where names or metadata say so, its files have paths, and there are folders."""
    made: Found = {"files": files, "collections": []}
    for file in files:
        did = did_of(file["location"])
        path = tree.places.get(str(did)) or place_of(did, dataset)
        if path != file["basename"]:
            file["path"] = paths.relative(path, f"The path of {did} in {dataset}")
    if tree.folders:
        made["folders"] = list(tree.folders)
    return made | ({"basename": tree.basename} if tree.basename else {})


def run_now(question: Coroutine[Any, Any, T]) -> T:
    """The answer of a coroutine that only waits for the client's thread, for those who cannot await."""
    answer: list[T] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            answer.append(asyncio.run(question))
        except BaseException as error:  # noqa: BLE001  raised again below
            failed.append(error)

    thread = threading.Thread(target=ask, name="rucio-question")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return answer[0]
