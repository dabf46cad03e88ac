"""Making known what jobs have put into storage: DID, replica and place in a dataset in one call for hundreds of files.

Everything here may be done again: what is registered already stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridcwl.model.chunks import chunks
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did

log = logging.getLogger("gridcwl.stores.rucio")

THERE = ("DataIdentifierAlreadyExists", "Duplicate", "DuplicateContent")
_AGAINST = ("FileConsistencyMismatch", "FileAlreadyExists", "InvalidObject", "UnsupportedOperation", "InvalidMetadata")
"""What speaks against a file and not against the whole call."""


@dataclass(frozen=True, slots=True)
class NewReplica:
    """A file that lies whole in a storage element."""

    did: Did
    size: int
    adler32: str
    element: str
    dataset: Did
    meta: Mapping[str, str] = field(default_factory=dict)
    """Metadata that a new file gets."""

    def plain(self, *, bare: bool = False) -> dict[str, Any]:
        """As Rucio takes it; ``bare`` without metadata."""
        file = {"scope": self.did.scope, "name": self.did.name, "bytes": self.size, "adler32": self.adler32}
        return file if bare or not self.meta else file | {"meta": dict(self.meta)}


@dataclass(slots=True)
class Registrar:
    """Registers files, in datasets that it makes, in one container."""

    client: RucioClient
    container: Did | None = None
    """Holds the datasets; None for none."""
    describe: Mapping[Did, Mapping[str, Any]] = field(default_factory=dict)
    """Metadata that new datasets get."""
    _made: set[Did] = field(init=False, default_factory=set)
    _held: set[Did] = field(init=False, default_factory=set)
    _plain: bool = field(init=False, default=False)
    """The server keeps no metadata of our own."""

    @property
    def used(self) -> bool:
        """Whether anything was registered or made."""
        return bool(self._made)

    async def register(self, replicas: Sequence[NewReplica]) -> dict[Did, str]:
        """Register; returns those that Rucio does not take, and why.

        Raises:
            RucioProblem: Rucio cannot be reached, or forbids it altogether.
        """
        await self.make(dict.fromkeys(replica.dataset for replica in replicas))
        refused: dict[Did, str] = {}
        for part in chunks(replicas, CHUNK):
            # Not in the call that makes the datasets, which could take files as well: that one checks no name.
            refused |= await self._attach(part)
        return refused

    async def _attach(self, chunk: Sequence[NewReplica]) -> dict[Did, str]:
        attachments = attachments_of(chunk, bare=self._plain)
        attachments += self.holding(replica.dataset for replica in chunk)
        try:
            await self.client.call("attach_dids_to_dids", attachments, ignore_duplicate=True)
        except RucioProblem as problem:
            if problem.kind not in _AGAINST:
                raise
            if len(chunk) == 1:
                reason = f"{chunk[0].did} at {chunk[0].element}: {problem.message}. {problem.remedy}".strip(" .") + "."
                return {chunk[0].did: reason}
            half = len(chunk) // 2  # find out which of them it is
            return await self._attach(chunk[:half]) | await self._attach(chunk[half:])
        self._held |= {replica.dataset for replica in chunk}
        return {}

    async def add_metadata(self, more: Mapping[Did, Mapping[str, Any]]) -> None:
        """Add to the metadata of datasets that are there. A server that keeps none of ours is no failure.

        Raises:
            RucioProblem: Rucio cannot be reached.
        """
        entries = [{"scope": did.scope, "name": did.name, "meta": dict(meta)} for did, meta in more.items()]
        for start in range(0, 0 if self._plain else len(entries), CHUNK):
            try:
                await self.client.call("set_dids_metadata_bulk", entries[start : start + CHUNK])
            except RucioProblem as problem:
                if problem.kind in ("ServerConnectionException", "DatabaseException"):
                    raise
                log.warning("The metadata of datasets are not complete: %s", problem.message)

    def holding(self, datasets: Iterable[Did]) -> Iterator[dict[str, Any]]:
        """The attachment of the datasets that the container does not hold yet."""
        new = [did for did in dict.fromkeys(datasets) if did not in self._held]
        if self.container is not None and new:
            dids = [{"scope": did.scope, "name": did.name} for did in new]
            yield {"scope": self.container.scope, "name": self.container.name, "dids": dids}

    async def make(self, datasets: Iterable[Did]) -> None:
        """Make what is not there yet, in one call where nothing is in the way; a new container holds them at once."""
        new = [did for did in datasets if did not in self._made]
        if not new:
            return
        made = [self._described(did, "DATASET") for did in new]
        if self.container is not None and self.container not in self._made:
            inside = [{"scope": did.scope, "name": did.name} for did in new[: CHUNK - 1]]
            made.insert(len(inside), self._described(self.container, "CONTAINER") | {"dids": inside})
        held = await self._add(made)
        self._made.update(new, [self.container] if self.container is not None else [])
        self._held |= held

    def _described(self, did: Did, kind: str) -> dict[str, Any]:
        made: dict[str, Any] = {"scope": did.scope, "name": did.name, "type": kind}
        meta = self.describe.get(did)
        return made if self._plain or not meta else made | {"meta": dict(meta)}

    async def _add(self, dids: list[dict[str, Any]]) -> set[Did]:
        """Add; returns what the container holds since then."""
        held: set[Did] = set()
        for chunk in chunks(dids, CHUNK):
            try:
                await self.client.call("add_dids", chunk)
                held |= {Did(child["scope"], child["name"]) for did in chunk for child in did.get("dids", ())}
            except RucioProblem as problem:
                if problem.kind in THERE:
                    await self._add_each(chunk)
                elif any("meta" in did for did in chunk) and problem.kind not in ("AccessDenied", "ScopeNotFound"):
                    log.info("Rucio did not accept metadata: %s", problem.message)
                    self._plain = True
                    bare = [{name: value for name, value in did.items() if name != "meta"} for did in chunk]
                    held |= await self._add(bare)
                else:
                    raise
        return held

    async def _add_each(self, dids: Sequence[dict[str, Any]]) -> None:
        if len(dids) == 1:
            return
        for did in dids:
            alone = {name: value for name, value in did.items() if name != "dids"}
            try:
                await self.client.call("add_dids", [alone])
            except RucioProblem as problem:
                if problem.kind not in THERE:
                    raise


def attachments_of(chunk: Sequence[NewReplica], *, bare: bool = False) -> list[dict[str, Any]]:
    """One attachment for each dataset and element; ``bare`` without the files' metadata."""
    grouped: dict[tuple[Did, str], dict[Did, dict[str, Any]]] = {}
    for replica in chunk:
        grouped.setdefault((replica.dataset, replica.element), {})[replica.did] = replica.plain(bare=bare)
    return [
        {"scope": dataset.scope, "name": dataset.name, "rse": element, "dids": list(files.values())}
        for (dataset, element), files in grouped.items()
    ]
