"""A run with a store that carries its files, from its first job to its published outputs."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.model.objects import changed, entries
from gridcwl.runs.publish import lives_elsewhere
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import row_id
from gridcwl.stores.base import RunStore, StoreSession

if TYPE_CHECKING:
    from gridcwl.cwl.remote import Remote
    from gridcwl.runs.record.run_record import RunRecord


@dataclass(slots=True)
class RunStorage:
    """One session of a run whose files are in a store. Made by :meth:`opened`."""

    name: str
    """Of the store; the journal has what the store records of the run under it."""
    store: RunStore
    session: StoreSession
    record: RunRecord
    gone: set[str] = field(default_factory=set)
    """Locations of recorded results that are not in the store any more."""

    @classmethod
    async def opened(cls, name: str, store: RunStore, record: RunRecord, document: str) -> RunStorage:
        """Begin the store's session, and find out whether what was recorded is still there.

        Raises:
            ConfigError: the settings do not fit what is there.
            StoreError: the store does not answer.
        """

        def keys(makers: Collection[tuple[int, int]]) -> dict[tuple[int, int], str]:
            rows = {row_id(*maker): maker for maker in makers}
            return {rows[row]: key.hex() for row, key in record.journal.keys(rows).items()}

        session = await store.begin(record.run, document, keys)
        stored = cls(name, store, session, record)
        stored._record()
        if (history := record.history) is not None and session.between_jobs:
            stored.gone = await session.missing(
                result
                for result in history.successes()
                if result.element and history.is_registered(session.batch_of(result))
            )
        return stored

    def _record(self) -> None:
        if self.session.about:
            self.record.journal.describe({self.name: dict(self.session.about)})

    # -- outputs -------------------------------------------------------------------------------------------------------

    async def publish(self, outputs: Any, remote: Remote | None, *, final: bool) -> Any:
        """Keep the run's outputs in the store. Returns the output object with their locations there.

        What a run that failed has made is not ``final``: it is kept as intermediate files are.

        Raises:
            StoreError: the store does not answer, or does not accept them.
        """
        if remote is not None and any(lives_elsewhere(entry) for entry in entries(outputs, "Directory")):
            outputs = with_listings(copy.deepcopy(outputs), remote)
        with contextlib.ExitStack() as stack:

            def keys_of(step: str) -> Iterator[bytes]:
                return stack.enter_context(contextlib.closing(History(self.record.journal.path))).keys_of(step)

            outputs = await self.session.publish(outputs, keys_of, final=final)
        self._record()
        return outputs

    async def fetched(self, outputs: Any, folder: Path) -> Any:
        """The output object with files of this machine in place of those in the store; copies go to ``folder``.

        Raises:
            StoreError: one cannot be read.
        """
        if not any(lives_elsewhere(entry) for entry in entries(outputs)):
            return outputs
        files = {str(entry["location"]): entry for entry in entries(outputs, "File") if lives_elsewhere(entry)}
        return _here(outputs, await self.session.fetch(files, folder))


def with_listings(value: Any, remote: Remote) -> Any:
    """Give every Directory that is in the store what is in it, in place; returns the value."""
    for entry in entries(value, "Directory"):
        if lives_elsewhere(entry):
            entry["listing"] = remote.listing(entry["location"]) or []
            remote.settle(entry["listing"])
    return value


def with_store_locations(elsewhere: Any, here: Any) -> Any:
    """The published output object with the locations that its files have in the store."""
    if isinstance(elsewhere, list) and isinstance(here, list):
        return [with_store_locations(one, other) for one, other in zip(elsewhere, here, strict=True)]
    if not isinstance(elsewhere, dict) or not isinstance(here, dict):
        return here
    if here.get("class") not in ("File", "Directory"):
        return {key: with_store_locations(elsewhere.get(key), item) for key, item in here.items()}
    whole = dict(here)
    if lives_elsewhere(elsewhere):
        whole["location"] = elsewhere["location"]
    for key in ("secondaryFiles", "listing"):
        if key in whole and key in elsewhere:
            known = {one.get("basename"): one for one in elsewhere[key]}
            whole[key] = [with_store_locations(known.get(one.get("basename"), {}), one) for one in whole[key]]
    return whole


def _here(value: Any, paths: Mapping[str, str]) -> Any:
    def here(entry: dict[str, Any]) -> None:
        location = str(entry.get("location", ""))
        if entry["class"] == "File" and location in paths:
            entry["location"] = paths[location]
        elif entry["class"] == "Directory" and lives_elsewhere(entry):
            entry["location"] = f"_:{location}"

    return changed(value, here)
