"""A desk with Rucio: runs whose files live there, and what others put there before."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commandline import CommandResult, gridcwl
from documents import Desk

from gridcwl.worker.naming import place_of

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService


@dataclass
class Grid:
    """A desk with Rucio."""

    desk: Desk
    client: Any
    rucio: RucioService
    word: str
    """In the names of all that a test puts into Rucio."""
    scope: str = "user.runner"

    def run(
        self, document: Any, inputs: Any = None, *options: str, rse: str = "LYON-DISK", container: bool = False
    ) -> CommandResult:
        path = self.desk.write("doc.cwl", document)
        given = self.desk.write("in.json", json.dumps(inputs or {}))
        where = () if container else ("--no-container",)
        options = ("--quiet", *where, "--store", "rucio", "--rucio-rse", rse, *options)
        return gridcwl(*options, "--outdir", str(self.desk.outdir), path, given)

    def upload(self, name: str, text: str) -> str:
        """A file in Rucio; returns its URL."""
        did = f"{self.word}.{name}"
        data = text.encode()
        pfn = self.client.get_rse("LYON-DISK")["protocols"][0]["prefix"]
        place = Path(pfn, place_of(self.scope, did, "hash"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        file = {"scope": self.scope, "name": did, "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}
        self.client.add_replicas("LYON-DISK", [file])
        return f"rucio://{self.scope}/{did}"

    def metadata(self, name: str) -> dict[str, Any]:
        """What a DID says of itself, beside what all of them have."""
        found: dict[str, Any] = self.client.get_metadata(self.scope, name, plugin="JSON")
        return found

    def dataset(self, name: str, *urls: str) -> str:
        self.client.add_dataset(self.scope, f"{self.word}.{name}")
        files = [{"scope": self.scope, "name": url.rpartition("/")[2]} for url in urls]
        self.client.attach_dids(self.scope, f"{self.word}.{name}", files)
        return f"rucio://{self.scope}/{self.word}.{name}"

    def container(self, name: str, *urls: str) -> str:
        self.client.add_container(self.scope, f"{self.word}.{name}")
        datasets = [{"scope": self.scope, "name": url.rpartition("/")[2]} for url in urls]
        if datasets:
            self.client.attach_dids(self.scope, f"{self.word}.{name}", datasets)
        return f"rucio://{self.scope}/{self.word}.{name}"


def remote(kind: str, url: str, **fields: Any) -> dict[str, Any]:
    return {"class": kind, "location": url, **fields}
