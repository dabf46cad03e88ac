"""Exports of Zooniverse that are inputs of runs: fetched when a run begins, in its owner's name.

An input object may have ``{class: File, zooniverse: {...}}``, also that of a schedule, a production or a basket. The
file becomes an attachment of the run, so that a run that is resumed has what it began with.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gridcwl.datasets import zooniverse
from gridcwl.datasets.zooniverse import NotReadyError, ZooniverseAccount
from gridcwl.errors import ConfigError, GridCWLError, RunCancelled, StoreError
from gridcwl.model.confinement import Confinement
from gridcwl.service import quotas
from gridcwl.service.db import Database, StoredRun
from gridcwl.service.folders import ServiceFolder, stored_bytes
from gridcwl.service.problems import BadRequest, Refused
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.states import State
from gridcwl.service.vault import Kind

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners

KIND: Kind = "zooniverse"
"""Of credentials: an account at Zooniverse."""
_PLACE = "zooniverse"
"""A folder of the attachments."""
_LOOK_EVERY_S = 30.0


def check(settings: ServiceSettings, params: Any) -> None:
    """Check that the exports that an input object asks for may be fetched.

    Raises:
        BadRequest: the operator does not allow any, or one is named wrongly.
    """
    for record in zooniverse.records_in(params):
        if settings.zooniverse is None:
            raise BadRequest("This service fetches no exports of Zooniverse: its operator allows it by [zooniverse]")
        try:
            zooniverse.wanted(record)
        except ConfigError as error:
            raise BadRequest(f"{error.message}. {error.remedy}") from None


async def fetch_for(
    run: StoredRun, settings: ServiceSettings, folder: ServiceFolder, db: Database, owners: Owners | None
) -> None:
    """Fetch the exports that a new run asks for, once they are there.

    Raises:
        RunCancelled: its user has stopped it.
        GridCWLError: one is not given.
    """
    params = await asyncio.to_thread(folder.run(run.engine).read_params)
    if not any(zooniverse.records_in(params)):
        return
    most_s = settings.zooniverse.wait_hours * 3600 if settings.zooniverse is not None else 0.0
    until = time.monotonic() + most_s
    while reason := await asyncio.to_thread(_fetched, run, params, settings, folder, owners, db):
        if time.monotonic() > until:
            raise StoreError(reason, remedy="Zooniverse took too long: resume the run later.")
        await asyncio.to_thread(db.note, run.id, reason)
        current = await asyncio.to_thread(db.get, run.id)
        if current is not None and current.state is State.CANCELING:
            raise RunCancelled("The run was stopped by its user")
        await asyncio.sleep(_LOOK_EVERY_S)
    await asyncio.to_thread(db.note, run.id, "")


def _fetched(
    run: StoredRun, params: Any, settings: ServiceSettings, folder: ServiceFolder, owners: Owners | None, db: Database
) -> str:
    """Fetch all; why that has to wait, if it has."""
    about = settings.zooniverse
    if about is None:
        raise ConfigError("This service fetches no exports of Zooniverse any more")
    account = account_of(settings, run.owner, owners)
    if account is None:
        return (
            f"It waits for credentials: an account of {run.owner} at Zooniverse is missing. "
            "Add one: gridcwl credentials add --server URL --zooniverse FILE"
        )
    own = folder.run(run.engine)
    place = own.files / _PLACE
    try:
        located = zooniverse.replaced(
            params, lambda record: f"{_PLACE}/{zooniverse.export(record, place, account).name}"
        )
    except NotReadyError as error:
        return f"It waits: {error.message}"
    try:
        quotas.check_stored(db, settings.quotas, run.owner, stored_bytes(place))
    except Refused as problem:
        raise GridCWLError(problem.message) from None
    unfinished = own.params.with_suffix(".new")
    unfinished.write_text(json.dumps(located), "utf-8")
    unfinished.replace(own.params)
    folder.added(run.engine, [own.params, *sorted(place.iterdir())])
    return ""


def account_of(settings: ServiceSettings, owner: str, owners: Owners | None) -> ZooniverseAccount | None:
    """The account that fetches a user's exports: the user's; where runs use no user's credentials, the service's."""
    about = settings.zooniverse
    assert about is not None
    more: dict[str, Any] = {
        "endpoint": about.endpoint, "media": Confinement(urls=about.media), "most_bytes": about.max_mib << 20,
    }  # fmt: skip
    if owners is None:
        return zooniverse.account_of(os.environ, **more)
    text = owners.text_of(owner, KIND)
    if not text:
        return None
    values: Mapping[str, str] = json.loads(text)
    return zooniverse.account_of(values, **more)
