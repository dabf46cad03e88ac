"""Active runs have the credentials of their owners: at their beginning, and when these were renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gridcwl.errors import RunCancelled
from gridcwl.service.db import Database, StoredRun
from gridcwl.service.states import State
from gridcwl.worker import credentials

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners

log = logging.getLogger("gridcwl.service")

_LOOK_EVERY_S = 5.0


async def act_for_owner(owners: Owners | None, db: Database, run: StoredRun) -> None:
    """Use the credentials of a run's owner, in this task and what it starts, once they are there.

    Raises:
        RunCancelled: its user has stopped it.
    """
    if owners is None:
        return
    while reason := await asyncio.to_thread(owners.lacking, run.owner):
        await asyncio.to_thread(db.note, run.id, reason)
        current = await asyncio.to_thread(db.get, run.id)
        if current is not None and current.state is State.CANCELING:
            raise RunCancelled("The run was stopped by its user")
        await asyncio.sleep(_LOOK_EVERY_S)
    credentials.act_for(await asyncio.to_thread(owners.open, run))


async def renewing(owners: Owners | None, db: Database, active: Callable[[], Iterable[StoredRun]]) -> None:
    """Give active runs the credentials that were renewed; note which of them wait for newer ones. Until cancelled."""
    while owners is not None:
        for run in active():
            try:
                reason = await asyncio.to_thread(owners.refresh, run)
                await asyncio.to_thread(db.note, run.id, reason)
            except Exception:
                log.exception("The credentials of the run %s were not looked at", run.id)
        await asyncio.sleep(_LOOK_EVERY_S)
