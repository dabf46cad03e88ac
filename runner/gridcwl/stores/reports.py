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
