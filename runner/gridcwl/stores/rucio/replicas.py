"""Where the bytes of DIDs are: asked for in bulk, and remembered as long as a run lives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridcwl.model.chunks import chunks
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.elements import Elements, plain
from gridcwl.stores.rucio.names import Did
from gridcwl.worker.naming import MARK
from gridcwl.worker.storage import WAYS


@dataclass(frozen=True, slots=True)
class Replicas:
    """What Rucio knows of one file."""

    size: int
    adler32: str | None
    pfns: tuple[str, ...]
    """URLs of its copies, the best first."""
    elements: tuple[str, ...]


async def find_replicas(client: RucioClient, dids: Sequence[Did]) -> dict[Did, Replicas]:
    """What is known of files, in calls of 500. Those that are not known, or have no replica, are not in the answer.

    Raises:
        RucioProblem: Rucio does not answer.
    """
    found: dict[Did, Replicas] = {}
    for part in chunks(dids, CHUNK):
        asked = [{"scope": did.scope, "name": did.name} for did in part]
        for answer in await _listed(client, asked):
            replicas = _read(answer)
            if replicas.pfns:
                found[Did(answer["scope"], answer["name"])] = replicas
    return found


async def _listed(client: RucioClient, asked: list[dict[str, str]]) -> Any:
    try:
        return await client.call("list_replicas", asked, ignore_availability=False)
    except RucioProblem as problem:
        if problem.kind in ("DataIdentifierNotFound", "UnsupportedOperation") and len(asked) == 1:
            return []
        if problem.kind in ("DataIdentifierNotFound", "InvalidObject") and len(asked) > 1:
            half = len(asked) // 2
            return [*await _listed(client, asked[:half]), *await _listed(client, asked[half:])]
        raise


def _read(answer: Mapping[str, Any]) -> Replicas:
    pfns: Mapping[str, Mapping[str, Any]] = answer.get("pfns") or {}
    ordered = sorted(pfns, key=lambda url: (pfns[url].get("type") == "TAPE", int(pfns[url].get("priority") or 99)))
    readable = [url for url in ordered if url.partition("://")[0] in WAYS]
    elements = dict.fromkeys(str(pfns[url]["rse"]) for url in ordered if pfns[url].get("rse"))
    return Replicas(
        int(answer["bytes"] or 0),
        answer.get("adler32"),
        tuple(plain(url) for url in readable or ordered),
        tuple(elements),
    )


class ReplicaBook:
    """Known replicas: what Rucio returned, and, without a query, where this run's own jobs put their files."""

    def __init__(self, client: RucioClient, elements: Elements) -> None:
        self._client = client
        self._elements = elements
        self._asked: dict[Did, Replicas] = {}
        self._ours: dict[tuple[str, str], str] = {}
        """Scope and prefix of a job's names to the element that took its files."""

    def put_by(self, scope: str, prefix: str, element: str) -> None:
        """A job with these names has put its files there."""
        self._ours[scope, prefix] = element

    def note(self, known: Mapping[Did, Replicas]) -> None:
        """What somebody else has asked already."""
        self._asked |= known

    async def learn(self, dids: Collection[Did], *, again: bool = False) -> None:
        """Look up those that are not known; with ``again``, all of them."""
        unknown = [did for did in dict.fromkeys(dids) if again or not (self._known(did) or did in self._asked)]
        if unknown:
            self._asked |= await find_replicas(self._client, unknown)

    def sources(self, did: Did) -> tuple[str, ...]:
        """The URLs to try, in their order; none if nothing is known."""
        asked = self._asked.get(did)
        return asked.pfns if asked is not None else self._known(did)

    def about(self, did: Did) -> Replicas | None:
        """Its replicas, if Rucio was queried for them."""
        return self._asked.get(did)

    def _known(self, did: Did) -> tuple[str, ...]:
        element = self._ours.get((did.scope, prefix_in(did.name)), "")
        return self._elements.sources(element, did.scope, did.name) if element else ()


def prefix_in(name: str) -> str:
    """The part of a name that the files of one attempt of a job have in common; empty if no job made it."""
    found = MARK.search(name)
    return name[: found.start("path")] if found else ""
