"""What a store holds of one run, for ``gridcwl data``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """One dataset of a run."""

    name: str
    output: bool
    """It holds final outputs."""
    files: tuple[Mapping[str, Any], ...]
    """Each with ``scope``, ``name``, ``bytes`` and ``adler32``."""
    replicas: Mapping[str, int]
    """Storage elements, and how many of the files each has."""
    rules: tuple[Mapping[str, Any], ...]
    """What keeps it: each with ``id``, ``rse_expression``, ``copies``, ``state`` and ``expires_at``."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(int(file["bytes"] or 0) for file in self.files)

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "did": self.name,
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
class RunReport:
    """All that a store holds of a run."""

    container: str
    rules: tuple[Mapping[str, Any], ...]
    datasets: tuple[DatasetReport, ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "container": self.container,
            "rules": [_rule(rule) for rule in self.rules],
            "datasets": [one.plain() for one in self.datasets],
        }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    ends = rule.get("expires_at")
    return {
        "id": rule["id"],
        "rse_expression": rule["rse_expression"],
        "copies": rule["copies"],
        "state": rule["state"],
        "expires_at": None if ends is None else str(ends),
    }


@dataclass(frozen=True, slots=True)
class Origin:
    """What a store's metadata say of where a file came from."""

    url: str
    size: int | None = None
    checksum: str = ""
    """As CWL writes it: ``adler32$...``."""
    account: str = ""
    """Who made it known."""
    created: str = ""
    run: str = ""
    """The run that made it; empty if none of gridcwl's has."""
    document: str = ""
    job: str = ""
    """The job in the run: session and number."""
    step: str = ""
    tool: str = ""
    image: str = ""
    digest: str = ""
    key: str = ""
    """Of the job: the digest of all that decides what it makes."""
    inputs: tuple[str, ...] = ()
    """URLs of what the job read."""
    unlisted: int = 0
    """Inputs that the metadata have no room for."""


@dataclass(frozen=True, slots=True)
class ReplicaCheck:
    """What came of reading one replica of a file."""

    replica: str
    """Its URL, or the storage element; empty if the file has none."""
    problem: str = ""
    """Empty if it is what it has to be."""
