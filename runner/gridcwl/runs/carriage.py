"""One run's dealings with Rucio, from its first job to its published outputs."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.backends.base import Backend
from gridcwl.errors import StoreError
from gridcwl.model import Job, JobId, JobResult
from gridcwl.model.job import folder_name
from gridcwl.model.objects import changed, entries
from gridcwl.runs.carrying import Carried
from gridcwl.runs.history import History
from gridcwl.runs.journal import Journal, row_id
from gridcwl.runs.rucio_cache import RucioCache
from gridcwl.stores.rucio.asking import Asking
from gridcwl.stores.rucio.client import CHUNK, RucioClient
from gridcwl.stores.rucio.names import Did, Maker, attempt_of, did_of, maker_of
from gridcwl.stores.rucio.outputs import Outputs
from gridcwl.stores.rucio.replicas import find_replicas, prefix_in
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.stores.rucio.wire import URL, Wire, open_wire, own_files

if TYPE_CHECKING:
    from gridcwl.cwl.remote import Remote
    from gridcwl.runs.run_record import RunRecord

log = logging.getLogger("gridcwl.runs")


@dataclass(frozen=True, slots=True)
class RucioPlace:
    """Rucio as a run's store: the client, how it is used, and what it has been asked so far."""

    client: RucioClient
    settings: RucioSettings
    asking: Asking

    def close(self) -> None:
        """Ask nothing any more."""
        self.client.close()


@dataclass(slots=True)
class Carriage:
    """Made by :meth:`opened` for one session of a run."""

    wire: Wire
    kept: RunRecord
    cache: RucioCache | None = None
    """Results for other runs, if they are wanted."""
    gone: set[str] = field(default_factory=set)
    """Locations of recorded results that are not in Rucio any more."""
    _waiting: list[tuple[Job, JobResult]] = field(default_factory=list)

    @classmethod
    async def opened(cls, place: RucioPlace, kept: RunRecord, document: str) -> Carriage:
        """Find out where things are, and whether what was recorded is still there.

        Raises:
            ConfigError: the settings do not fit what is there.
            RucioProblem: Rucio does not answer.
        """
        wire = await open_wire(place.settings, kept.run, document, client=place.client)
        wire.book.note(place.asking.replicas)
        wire.said.keys = lambda makers: _keys(kept.journal, makers)
        cache = RucioCache(wire, place.settings.cache_scopes) if place.settings.cache else None
        carriage = cls(wire, kept, cache)
        kept.journal.describe({"rucio": {"scope": wire.naming.scope, "container": str(wire.naming.container)}})
        if kept.history is not None:
            await carriage._look_for_recorded()
        return carriage

    def around(self, inner: AbstractAsyncContextManager[Backend]) -> Carried:
        """A backend whose jobs use Rucio."""
        return Carried(inner, self.wire, self.registered, self._taken_so_far, self._refused)

    async def archives(self, names: Sequence[str]) -> dict[str, Any]:
        """Where container images are: from ``scope:name`` to what ``gridcwl.worker.site.Archives`` has to know.

        Raises:
            RucioProblem: Rucio does not answer.
        """
        dids = {name: Did(*name.split(":", 1)) for name in names}
        found = await find_replicas(self.wire.client, list(dids.values()))
        elements = [msgspec.to_builtins(element) for element in self.wire.elements.usable]
        return {
            name: {
                "location": did.url,
                "sources": list(about.pfns),
                "size": about.size,
                "checksum": f"adler32${about.adler32}" if about.adler32 else None,
                "elements": elements,
            }
            for name, did in dids.items()
            if (about := found.get(did)) is not None
        }

    def taken(self, job: Job, result: JobResult) -> None:
        """A result of an earlier session is taken: if its client did not live to register it, that is to be done."""
        history = self.kept.history
        self.wire.note(job, result)
        prefix = _prefix(result)
        if prefix and result.element and history is not None and not history.is_registered(prefix):
            self._waiting.append((self._first_made(job, result), result))

    def _first_made(self, job: Job, result: JobResult) -> Job:
        """The job under the id and attempt by which an earlier session knew it, as its files' names say."""
        name = next(did_of(file.location).name for file in own_files(result))
        maker = maker_of(name)
        assert maker is not None
        return replace(job, id=JobId(f"{job.run}-{maker.session}-{maker.number}"), attempt=attempt_of(name))

    async def registered(self, made: Sequence[tuple[Job, JobResult]]) -> None:
        """These are known to Rucio now."""
        self.kept.journal.registered(prefix for _, result in made if (prefix := _prefix(result)))

    def _refused(self, job: Job, result: JobResult) -> None:
        """A success was recorded whose files Rucio does not take: it is a failure, or a resumed run would take it."""
        _, session, number = job.id.rsplit("-", 2)
        self.kept.journal.result(row_id(int(session), int(number)), job.attempt, result, folder_name(job))

    def _taken_so_far(self) -> Sequence[tuple[Job, JobResult]]:
        waiting, self._waiting = self._waiting, []
        return waiting

    async def _look_for_recorded(self) -> None:
        assert self.kept.history is not None
        page: dict[Did, str] = {}
        for result in self.kept.history.successes():
            if result.element and self.kept.history.is_registered(_prefix(result)):
                files = [
                    file.location for file in result.files if file.kind == "file" and file.location.startswith(URL)
                ]
                page |= {did_of(url): url for url in files}
            if len(page) >= CHUNK:
                await self._look(page)
                page = {}
        await self._look(page)

    async def _look(self, page: dict[Did, str]) -> None:
        found = await find_replicas(self.wire.client, list(page))
        self.gone |= {url for did, url in page.items() if did not in found}

    # -- outputs -------------------------------------------------------------------------------------------------------

    async def keep(self, outputs: Any, remote: Remote, *, final: bool) -> Any:
        """Put final outputs into datasets that rules keep. Returns the output object, Directories with what is in them.

        What a run that failed has come to is not ``final``: it is kept as what lies between the steps.

        Raises:
            RucioProblem: Rucio does not answer, or allows no rule.
        """
        if self.cache is not None:
            await self.cache.attach_shared()
        whole = listed(copy.deepcopy(outputs), remote)
        made = Outputs(self.wire)
        if final:
            await made.keep(whole)
        with contextlib.closing(History(self.kept.journal.path)) as history:
            await self.wire.registrar.say(self.wire.said.completed(history.keys_of))
        rule = await self.wire.rule.make() if made.contents or self.wire.registrar.used else ""
        about = {
            "scope": self.wire.naming.scope,
            "container": str(self.wire.naming.container),
            "rule": rule,
            "outputs": [str(did) for did in made.contents],
        }
        self.kept.journal.describe({"rucio": about})
        return whole

    async def brought(self, outputs: Any, folder: Path) -> Any:
        """The output object with files of this machine in place of those in Rucio; downloads go to ``folder``.

        Raises:
            StoreError: one cannot be had.
        """
        urls = list(dict.fromkeys(_locations(outputs)))
        await self.wire.book.learn([did_of(url) for url in urls])
        checks = {str(file["location"]): file for file in _remote_files(outputs)}
        paths = await asyncio.to_thread(self._fetched, urls, checks, folder)
        return _here(outputs, paths)

    def _fetched(self, urls: Sequence[str], about: dict[str, Any], folder: Path) -> dict[str, str]:
        from gridcwl.worker.credentials import Trusted
        from gridcwl.worker.failure import Failure
        from gridcwl.worker.fetch import Wanted, fetch, file_url
        from gridcwl.worker.storage import Known

        found = {}
        for number, url in enumerate(urls):
            file = about[url]
            kind, _, digest = str(file.get("checksum", "")).partition("$")
            sums = {kind: digest} if kind in ("sha1", "adler32") else {}
            sources = self.wire.book.sources(did_of(url))
            wanted = Wanted(sources, Known(file.get("size"), **sums), url, Trusted(sources))
            try:
                got = fetch(wanted, "", str(folder / str(number)), lambda: None)
            except Failure as failure:
                raise StoreError(failure.reason.rstrip("."), remedy="--no-download leaves outputs in Rucio.") from None
            found[url] = file_url(got.path)
        return found


def listed(value: Any, remote: Remote) -> Any:
    """Give every Directory that is elsewhere what is in it, in place; returns the value."""
    for entry in entries(value, "Directory"):
        if str(entry.get("location", "")).startswith(URL):
            entry["listing"] = remote.listing(entry["location"]) or []
            remote.settle(entry["listing"])
    return value


def merged(elsewhere: Any, here: Any) -> Any:
    """The published output object with the locations that things have in Rucio."""
    if isinstance(elsewhere, list) and isinstance(here, list):
        return [merged(one, other) for one, other in zip(elsewhere, here, strict=True)]
    if not isinstance(elsewhere, dict) or not isinstance(here, dict):
        return here
    if here.get("class") not in ("File", "Directory"):
        return {key: merged(elsewhere.get(key), item) for key, item in here.items()}
    whole = dict(here)
    if str(elsewhere.get("location", "")).startswith(URL):
        whole["location"] = elsewhere["location"]
    for key in ("secondaryFiles", "listing"):
        if key in whole and key in elsewhere:
            known = {one.get("basename"): one for one in elsewhere[key]}
            whole[key] = [merged(known.get(one.get("basename"), {}), one) for one in whole[key]]
    return whole


def _keys(journal: Journal, makers: Collection[Maker]) -> dict[Maker, str]:
    rows = {row_id(*maker): maker for maker in makers}
    return {rows[row]: key.hex() for row, key in journal.keys(rows).items()}


def _prefix(result: JobResult) -> str:
    return next((prefix_in(did_of(file.location).name) for file in own_files(result)), "")


def _remote_files(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in entries(value, "File") if str(entry.get("location", "")).startswith(URL)]


def _locations(value: Any) -> list[str]:
    return [str(file["location"]) for file in _remote_files(value)]


def _here(value: Any, paths: dict[str, str]) -> Any:
    def here(entry: dict[str, Any]) -> None:
        location = str(entry.get("location", ""))
        if entry["class"] == "File" and location in paths:
            entry["location"] = paths[location]
        elif entry["class"] == "Directory" and location.startswith(URL):
            entry["location"] = f"_:{location}"

    return changed(value, here)
