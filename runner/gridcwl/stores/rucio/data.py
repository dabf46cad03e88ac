"""What a run has in Rucio, and the release of its intermediate files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from gridcwl.model.chunks import chunks
from gridcwl.stores.reports import DatasetReport, RunReport
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did, did_of, read
from gridcwl.stores.rucio.replicas import Replicas, find_replicas
from gridcwl.stores.rucio.rules import rules_of

_SOON_S = 1
"""A DID whose lifetime is so short is taken away by Rucio's undertaker as soon as it comes by."""


async def report(about: Mapping[str, Any]) -> RunReport:
    """What a run has in Rucio.

    Args:
        about: what the run's journal has of it.

    Raises:
        RucioProblem: Rucio does not answer.
    """
    container, outputs = _recorded(about)
    with closing(RucioClient()) as client:
        return await _report(client, container, outputs)


async def replicas(urls: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The storage elements that have these files, by ``rucio://`` URL; files that Rucio does not know are left out.

    Raises:
        RucioProblem: Rucio does not answer.
    """
    dids = {url: did_of(url) for url in urls if url.startswith("rucio://")}
    with closing(RucioClient()) as client:
        found = await find_replicas(client, list(dict.fromkeys(dids.values())))
    return {url: found[did].elements for url, did in dids.items() if did in found}


async def release(about: Mapping[str, Any]) -> int:
    """Let Rucio delete a run's intermediate datasets; returns how many these are.

    Final outputs have rules of their own and stay, and so does what other runs have attached to theirs.

    Raises:
        RucioProblem: Rucio does not answer, or forbids it.
    """
    container, outputs = _recorded(about)
    with closing(RucioClient()) as client:
        return await _release(client, container, outputs)


def _recorded(about: Mapping[str, Any]) -> tuple[Did, set[Did]]:
    return _did(about["container"]), {_did(text) for text in about.get("outputs", ())}


def _did(text: str) -> Did:
    query = read(f"rucio:{text}")
    assert query is not None
    return query.did


async def _report(client: RucioClient, container: Did, outputs: set[Did]) -> RunReport:
    dids = sorted({*(await _inside(client, container) or ()), *outputs})
    files = {did: tuple(await client.call("list_files", did.scope, did.name)) for did in dids}
    every = dict.fromkeys(Did(file["scope"], file["name"]) for content in files.values() for file in content)
    found = await find_replicas(client, list(every))
    datasets = [
        DatasetReport(
            str(did), did in outputs, files[did], _copies(files[did], found), tuple(await rules_of(client, did))
        )
        for did in dids
    ]
    return RunReport(str(container), tuple(await rules_of(client, container)), tuple(datasets))


async def _inside(client: RucioClient, container: Did) -> list[Did] | None:
    """What the container holds; None if there is none."""
    try:
        content = await client.call("list_content", container.scope, container.name)
    except RucioProblem as problem:
        if problem.kind == "DataIdentifierNotFound":
            return None
        raise
    return [Did(one["scope"], one["name"]) for one in content]


def _copies(files: Sequence[Mapping[str, Any]], found: Mapping[Did, Replicas]) -> Mapping[str, int]:
    """How many of the files each storage element has."""
    names = [found.get(Did(file["scope"], file["name"])) for file in files]
    return Counter(name for about in names if about is not None for name in about.elements)


async def _release(client: RucioClient, container: Did, outputs: set[Did]) -> int:
    for rule in await rules_of(client, container):
        await client.call("delete_replication_rule", rule["id"], purge_replicas=True)
    inside = await _inside(client, container)
    if inside is None:  # the run ended before anything was registered
        return 0
    between = [did for did in inside if did not in outputs]
    ending = [{"scope": did.scope, "name": did.name, "meta": {"lifetime": _SOON_S}} for did in [*between, container]]
    for part in chunks(ending, CHUNK):
        await client.call("set_dids_metadata_bulk", part)
    return len(between)
