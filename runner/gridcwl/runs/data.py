"""What a run has in Rucio, and letting go of what lies between its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.model.chunks import chunks
from gridcwl.model.objects import entries
from gridcwl.runs.history import History
from gridcwl.runs.run_record import forget_lost_uploads
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.names import Did, read
from gridcwl.stores.rucio.replicas import Replicas, find_replicas
from gridcwl.stores.rucio.rules import rules_of

_SOON_S = 1
"""A DID whose lifetime is so short is taken away by Rucio's undertaker as soon as it comes by."""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """One dataset of a run."""

    did: Did
    output: bool
    """It holds final outputs."""
    files: tuple[Mapping[str, Any], ...]
    replicas: Mapping[str, int]
    """Storage elements, and how many of the files each has."""
    rules: tuple[Mapping[str, Any], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(int(file["bytes"] or 0) for file in self.files)

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "did": str(self.did),
            "output": self.output,
            "bytes": self.size,
            "files": [
                {"did": f"{file['scope']}:{file['name']}", "bytes": file["bytes"], "adler32": file["adler32"]}
                for file in self.files
            ],
            "replicas": dict(self.replicas),
            "rules": [_rule(rule) for rule in self.rules],
        }


@dataclass(frozen=True, slots=True)
class DataReport:
    """All that a run has in Rucio."""

    container: Did
    rules: tuple[Mapping[str, Any], ...]
    datasets: tuple[DatasetReport, ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "container": str(self.container),
            "rules": [_rule(rule) for rule in self.rules],
            "datasets": [one.plain() for one in self.datasets],
        }


class LocalFile(NamedTuple):
    """A file of a run's outputs on this machine."""

    output: str
    """The output that it is, or belongs to; a failed job for what that has left."""
    state: str
    """``published``; ``kept``: of a run that failed; ``failed job``: left by a job that failed."""
    path: str
    size: int


def local_files(history: History) -> list[LocalFile]:
    """What a run has published, and what is kept of one that failed."""
    partial = history.meta("partial") or {}
    groups = [("published", history.meta("outputs")), ("kept", partial.get("outputs"))]
    found = [
        LocalFile(output, state, path, size)
        for state, outputs in groups
        for output, value in (outputs or {}).items()
        for path, size in _files_here(value)
    ]
    return found + [
        LocalFile(entry["basename"].removeprefix("failed-"), "failed job", path, size)
        for entry in partial.get("failed", ())
        for path, size in _files_here(entry)
    ]


def _files_here(value: Any) -> Iterator[tuple[str, int]]:
    return ((str(entry["path"]), int(entry.get("size") or 0)) for entry in entries(value, "File") if entry.get("path"))


async def report(history: History, run: str, client: RucioClient) -> DataReport:
    """What the run has in Rucio.

    Raises:
        ConfigError: it has nothing there.
        RucioProblem: Rucio does not answer.
    """
    container, outputs = _known(history, run)
    return await _report(client, container, outputs)


async def let_go(history: History, run: str, client: RucioClient) -> int:
    """Let go of what lies between the steps; returns how many datasets that are.

    Final outputs have rules of their own and stay, and so does what other runs have taken into theirs.

    Raises:
        ConfigError: the run has nothing in Rucio.
        RucioProblem: Rucio does not answer, or forbids it.
    """
    container, outputs = _known(history, run)
    forget_lost_uploads(RunId(run), history)
    return await _let_go(client, container, outputs)


def _known(history: History, run: str) -> tuple[Did, set[Did]]:
    about = history.meta("rucio")
    if not about:
        raise ConfigError(f"The run {run} has nothing in Rucio", remedy="Only runs with --store rucio have.")
    return _did(about["container"]), {_did(text) for text in about.get("outputs", ())}


def _did(text: str) -> Did:
    query = read(f"rucio:{text}")
    assert query is not None
    return query.did


async def _report(client: RucioClient, container: Did, outputs: set[Did]) -> DataReport:
    dids = sorted({*(await _inside(client, container) or ()), *outputs})
    files = {did: tuple(await client.call("list_files", did.scope, did.name)) for did in dids}
    every = dict.fromkeys(Did(file["scope"], file["name"]) for content in files.values() for file in content)
    found = await find_replicas(client, list(every))
    datasets = [
        DatasetReport(did, did in outputs, files[did], _copies(files[did], found), tuple(await rules_of(client, did)))
        for did in dids
    ]
    return DataReport(container, tuple(await rules_of(client, container)), tuple(datasets))


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


async def _let_go(client: RucioClient, container: Did, outputs: set[Did]) -> int:
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


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    ends = rule.get("expires_at")
    return {
        "id": rule["id"],
        "rse_expression": rule["rse_expression"],
        "copies": rule["copies"],
        "state": rule["state"],
        "expires_at": None if ends is None else str(ends),
    }
