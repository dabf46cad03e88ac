"""Productions that users create: checked, their attachments kept. Blocking."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from gridcwl.errors import GridCWLError
from gridcwl.model.names import checked_name
from gridcwl.productions.collecting import failures_of
from gridcwl.productions.model import MOST_ITEMS, PortionState, Production, portions_of
from gridcwl.productions.views import MOST_FAILURES, plain, summary
from gridcwl.service.db import Viewer
from gridcwl.service.folders import SubmittedFolder
from gridcwl.service.problems import BadRequest, Conflict, Forbidden
from gridcwl.service.productions import ServiceProductions
from gridcwl.service.scheduled_runs import ScheduledRuns
from gridcwl.service.stored_requests import check_action, check_request, checked_size, converted, drop_folder
from gridcwl.service.submission import json_object
from gridcwl.service.web import Service


class ProductionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A production as a client sends it; see ``gridcwl.productions.model``."""

    name: str
    input: str
    seeds: tuple[int, int] | None = None
    query: str = ""
    items: list[Any] | None = None
    each: int = 1
    portion: int = 100
    at_once: int = 4
    resubmit: int = 2
    only_create: bool = False


class Extension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a production is extended."""

    count: int | None = None
    items: list[Any] | None = None
    only_create: bool = False


def create(
    service: Service, viewer: Viewer, wanted: ProductionRequest, fields: Mapping[str, str], folder: SubmittedFolder
) -> None:
    """Create a production, and have it run.

    Args:
        service: see there.
        viewer: its owner.
        wanted: over what.
        fields: of WES's RunRequest.
        folder: with what was attached; it becomes the production's.

    Raises:
        Refused: the request is wrong, or the user has one of this name.
    """
    _check(wanted)
    production = Production(
        id=secrets.token_hex(8), name=wanted.name, input=wanted.input, query=wanted.query,
        counts=wanted.seeds is not None, each=wanted.each, portion=wanted.portion, at_once=wanted.at_once,
        resubmit=wanted.resubmit, created=float(int(time.time())), owner=viewer.subject,
        groups=tuple(sorted(viewer.groups)), request=dict(fields), files=folder.path.name,
    )  # fmt: skip
    if service.owners is not None:
        service.owners.submitted(viewer)
    items = _items(service, production, wanted.items, wanted.seeds)
    if not items:
        raise BadRequest("A production needs one item at least, and there is none")
    params = json_object(fields.get("workflow_params"), "workflow_params")
    whole = {**fields, "workflow_params": json.dumps({**params, wanted.input: items[0]})}
    check_request(service, whole, folder)
    size = checked_size(service, viewer, folder)
    service.folder.submitted(folder.path.name)
    record = ServiceProductions(service.db.engine)
    record.create(production, portions_of(production, items, 1), is_open=not wanted.only_create, stored=size)
    service.driver.wake_schedules()


def _check(wanted: ProductionRequest) -> None:
    try:
        checked_name(wanted.name, "production")
    except GridCWLError as error:
        raise BadRequest(str(error)) from None
    if sum((wanted.seeds is not None, bool(wanted.query), wanted.items is not None)) != 1:
        raise BadRequest("A production is over one of: seeds, items, and what a query finds")
    if min(wanted.each, wanted.portion, wanted.at_once) < 1 or wanted.resubmit < 0:
        raise BadRequest("each, portion and at_once of a production are whole numbers from 1 on")
    first, last = wanted.seeds or (1, 1)
    if first > last or last - first >= MOST_ITEMS:
        raise BadRequest(f"The seeds of a production are FIRST..LAST, at most {MOST_ITEMS} of them")


def _items(
    service: Service, production: Production, given: list[Any] | None, seeds: tuple[int, int] | None
) -> list[Any]:
    if seeds is not None:
        return list(range(seeds[0], seeds[1] + 1))
    if given is not None:
        return given
    try:
        urls = ScheduledRuns(service, service.owners).matching(production.query, production.owner, production.id)
    except GridCWLError as error:
        raise BadRequest(str(error)) from None
    return [{"class": "File", "location": url} for url in urls]


def found(service: Service, viewer: Viewer, name: str, *, change: bool = False) -> Production:
    """A production of the caller's, by its name; for operators also anybody's, by its id.

    Raises:
        NotFound: there is none.
        Forbidden: the caller may only read.
    """
    production = ServiceProductions(service.db.engine).get(viewer.subject, name, by_id=viewer.sees_all)
    if change and not viewer.may_change(production.owner):
        raise Forbidden(f"You may not change the production {production.name}")
    return production


def shown(service: Service, viewer: Viewer) -> list[dict[str, Any]]:
    """The productions that the caller sees."""
    record = ServiceProductions(service.db.engine)
    known = record.of(None if viewer.sees_all else viewer.subject)
    return [
        summary(one, record.portions(one.id), stopped=record.is_stopped(one.id)) | {"owner": one.owner, "id": one.id}
        for one in known
    ]


def shown_whole(service: Service, production: Production) -> dict[str, Any]:
    """A production with its portions, and what failed."""
    record = ServiceProductions(service.db.engine)
    portions = record.portions(production.id)
    failures = failures_of(portions, lambda portion: service.folder.record(portion.run))
    shown = list(islice(failures, MOST_FAILURES))
    about = plain(production, portions, shown, stopped=record.is_stopped(production.id))
    about |= {"owner": production.owner, "id": production.id, "document": production.request.get("workflow_url", "")}
    return about


def act(service: Service, viewer: Viewer, name: str, action: str, given: Any = None) -> dict[str, Any]:
    """Extend, retry, stop or remove a production; returns how it stands.

    Raises:
        Refused: there is no such production, or the caller may not, or that cannot be done now.
    """
    check_action(action, _ACTIONS)
    production = found(service, viewer, name, change=True)
    values = {key: value for key, value in (given or {}).items() if value is not None}
    extension = converted(values, Extension, "request")
    record = ServiceProductions(service.db.engine)
    if service.owners is not None and viewer.subject == production.owner and action in ("extend", "retry"):
        service.owners.submitted(viewer)
    _ACTIONS[action](service, record, production, extension)
    service.driver.wake_schedules()
    if action == "rm":
        return {"name": production.name}
    return summary(production, record.portions(production.id), stopped=record.is_stopped(production.id))


def _extend(service: Service, record: ServiceProductions, production: Production, given: Extension) -> None:
    portions = record.portions(production.id)
    known = [item for portion in portions for item in portion.items]
    items: Sequence[Any]
    if production.counts:
        if not given.count or not 0 < given.count <= MOST_ITEMS:
            raise BadRequest("How many more seeds is not given: count is a whole number from 1 on")
        items = range(known[-1] + 1, known[-1] + 1 + given.count)
    elif given.count:
        raise BadRequest("count is for seeds; a query is asked again, and items are given")
    else:
        before = {json.dumps(item, sort_keys=True) for item in known}
        if not production.query and given.items is None:
            raise BadRequest("The new items are not given")
        new = _items(service, production, None if production.query else given.items, None)
        items = [item for item in new if json.dumps(item, sort_keys=True) not in before]
    made = portions_of(production, list(items), len(portions) + 1)
    record.extend(production.id, made, is_open=not given.only_create)


def _retry(_service: Service, record: ServiceProductions, production: Production, _given: Extension) -> None:
    record.retry(production.id)


def _stop(_service: Service, record: ServiceProductions, production: Production, _given: Extension) -> None:
    record.stop(production.id)


def _remove(service: Service, record: ServiceProductions, production: Production, _given: Extension) -> None:
    if any(one.state is PortionState.RUNNING for one in record.portions(production.id)):
        raise Conflict(f"Runs of the production {production.name} are active: stop it first")
    record.remove(production.id)
    drop_folder(service, production.files)


_ACTIONS: dict[str, Callable[[Service, ServiceProductions, Production, Extension], None]] = {
    "extend": _extend,
    "retry": _retry,
    "stop": _stop,
    "rm": _remove,
}
