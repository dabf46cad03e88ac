"""Results for other runs, kept in Rucio: one user's finished step serves everybody who can read its scope.

For each result there is a dataset that is called by the job's key. It holds the files, and its metadata say what the
result was; Rucio has to keep metadata of our own, as it does on PostgreSQL and Oracle.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridcwl.errors import GridCWLError, ResultError
from gridcwl.model import Job, JobId, JobResult, Outcome, limits, paths
from gridcwl.model.chunks import chunks
from gridcwl.model.codec import result_from_json, to_json
from gridcwl.stores.base import Cached
from gridcwl.stores.rucio.client import CHUNK, RucioProblem
from gridcwl.stores.rucio.did_resolver import run_now
from gridcwl.stores.rucio.names import Did, did_of
from gridcwl.stores.rucio.replicas import Replicas, find_replicas
from gridcwl.stores.rucio.run_files import URL, RunFiles

log = logging.getLogger("gridcwl.stores.rucio")

_RESULT = "gridcwl_result"


@dataclass(slots=True)
class RucioCache:
    """Looks for results, in threads, and leaves ours once their files are known to Rucio."""

    run_files: RunFiles
    scopes: Sequence[str] = ()
    """Where to look beside our own scope."""
    shared: dict[JobId, list[tuple[Did, Did]]] = field(default_factory=dict)
    """Files of others that this run has taken, by job, with the dataset of this run that they belong to."""
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def drop(self, key: bytes, job: Job) -> None:
        """A result that was taken is of no use. Its dataset stays, and is replaced when the job has ended well."""
        del key
        with self._lock:
            self.shared.pop(job.id, None)

    def take(self, key: bytes, job: Job) -> Cached | None:
        """The result of another run whose files are all there; None if there is none.

        A Rucio that cannot be asked is no reason to stop: then the job runs.
        """
        try:
            for kept in self._found(key):
                result = _read(kept)
                if self._is_there(result):
                    self._take_part(job, result)
                    taken = replace(result, id=job.id, element="", stdout_log=None, stderr_log=None)
                    return Cached(str(kept["run"]), str(kept["name"]), taken)
                log.info("The result of %s in run %s has lost its files", kept["name"], kept["run"])
        except (GridCWLError, ValueError, KeyError, TypeError) as error:
            log.warning("No result of others was looked for: %s", error)
        return None

    async def share(self, made: Sequence[tuple[bytes, Job, JobResult]]) -> None:
        """Store results whose files Rucio knows. A failure is only logged."""
        ready = [one for one in made if all(f.kind == "directory" or f.location.startswith(URL) for f in one[2].files)]
        for part in chunks(ready, CHUNK):
            try:
                await self._leave(part)
            except RucioProblem as problem:
                log.warning("Results are not shared with other runs: %s", problem.message)

    async def attach_shared(self) -> None:
        """What was taken from others belongs to this run as well, and is kept with it.

        Raises:
            RucioProblem: Rucio does not answer.
        """
        with self._lock:
            shared = [pair for pairs in self.shared.values() for pair in pairs]
            self.shared = {}
        if not shared:
            return
        await self.run_files.registrar.make(dict.fromkeys(dataset for dataset, _ in shared))
        for part in chunks(shared, CHUNK):
            grouped: dict[Did, list[dict[str, str]]] = {}
            for dataset, file in part:
                grouped.setdefault(dataset, []).append({"scope": file.scope, "name": file.name})
            attachments = [{"scope": did.scope, "name": did.name, "dids": dids} for did, dids in grouped.items()]
            attachments += self.run_files.registrar.holding(grouped)
            await self.run_files.client.call("attach_dids_to_dids", attachments, ignore_duplicate=True)

    def _did(self, scope: str, key: bytes) -> Did:
        return self.run_files.naming.by_key(scope, key.hex())

    def _found(self, key: bytes) -> list[Any]:
        scopes = dict.fromkeys((self.run_files.naming.scope, *self.scopes))
        asked = [{"scope": did.scope, "name": did.name} for did in (self._did(scope, key) for scope in scopes)]
        answers = self.run_files.client.call_now("get_metadata_bulk", asked, plugin="JSON")
        texts = [str(answer[_RESULT]) for answer in answers if answer.get(_RESULT)]
        return [limits.read_json(text, limits.METADATA_BYTES, "An entry of the cache in Rucio") for text in texts]

    def _is_there(self, result: JobResult) -> bool:
        """Whether every file still has a replica, with the bytes that it had."""
        files = [file for file in result.files if file.kind == "file"]
        found: dict[Did, Replicas] = run_now(
            find_replicas(self.run_files.client, list(dict.fromkeys(did_of(file.location) for file in files)))
        )
        self.run_files.book.note(found)
        return all(
            (about := found.get(did_of(file.location))) is not None
            and about.size == file.size
            and file.adler32 in (None, about.adler32)
            for file in files
        )

    def _take_part(self, job: Job, result: JobResult) -> None:
        pairs = [
            (dataset, did_of(file.location))
            for file in result.files
            if file.kind == "file"
            for dataset in self.run_files.datasets_of(job, file.path, result)
        ]
        with self._lock:
            self.shared[job.id] = pairs

    async def _leave(self, ready: Sequence[tuple[bytes, Job, JobResult]]) -> None:
        datasets: dict[Did, dict[str, Any]] = {}
        attachments = []
        for key, job, result in ready:
            did = self._did(self.run_files.naming.scope, key)
            kept = {"run": job.run, "name": job.name, "result": to_json(replace(result, usage=None))}
            datasets[did] = {
                "scope": did.scope, "name": did.name, "type": "DATASET",
                "meta": {_RESULT: json.dumps(kept), "gridcwl_key": key.hex()},
            }  # fmt: skip
            files = dict.fromkeys(did_of(file.location) for file in result.files if file.kind == "file")
            if files:
                dids = [{"scope": file.scope, "name": file.name} for file in files]
                attachments.append({"scope": did.scope, "name": did.name, "dids": dids})
        await self._make(datasets)
        if attachments:
            await self.run_files.client.call("attach_dids_to_dids", attachments, ignore_duplicate=True)

    async def _make(self, datasets: dict[Did, dict[str, Any]]) -> None:
        """New ones at once; one that is there, of a result that has lost its files, says the new result."""
        try:
            await self.run_files.client.call("add_dids", list(datasets.values()))
        except RucioProblem as problem:
            if problem.kind not in ("DataIdentifierAlreadyExists", "Duplicate", "DuplicateContent"):
                raise
            if len(datasets) == 1:
                ((did, made),) = datasets.items()
                await self.run_files.client.call("set_metadata_bulk", did.scope, did.name, made["meta"])
                return
            for did, made in datasets.items():
                await self._make({did: made})


def _read(kept: Any) -> JobResult:
    """The result in an entry, which whoever may write to its scope can have made up.

    Raises:
        GridCWLError: it is damaged, or names what is not in Rucio.
    """
    result = result_from_json(str(kept["result"]))
    if result.outcome is not Outcome.SUCCESS:
        raise ResultError("An entry of the cache in Rucio is not a success")
    for url in (*(file.location for file in result.files), *filter(None, [result.outdir])):
        did = did_of(paths.location(url, "A location in an entry of the cache in Rucio", {"rucio"}))
        paths.location(did.url, "A location in an entry of the cache in Rucio", {"rucio"})
    return result
