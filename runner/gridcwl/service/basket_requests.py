"""Items of an ESAP basket, or rows of Virtual Observatory results, found and mapped for users. Blocking.

Who fetches is the service: the gateway is the operator's choice, and services of the Virtual Observatory are below URLs
that the operator allows. Tokens are used once, and not kept; tokens of this process are nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from gridcwl.cwl.described import DescribedDocument
from gridcwl.datasets import vo
from gridcwl.datasets.basket import item_of_did, outputs_as_items
from gridcwl.datasets.esap import Esap
from gridcwl.datasets.items import Item, item_of
from gridcwl.datasets.rules import Mapped, Port, mapped, read_rules, usual_rules
from gridcwl.errors import BackendError, ConfigError, GridCWLError, StoreError
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.service.confined_session import confined_session
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.problems import BadRequest, Conflict, Unavailable
from gridcwl.service.web import Service

MOST_ROWS = 1000
Unknown = tuple[int, str]
"""What is no item: its place, and why."""


class BasketQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where items come from, and what is to become of them."""

    source: Literal["esap", "did", "tap", "sia", "datalink", "items"] = "esap"
    token: str = ""
    """For ESAP; empty for that of the request."""
    archives: list[str] = []
    dids: list[str] = []
    url: str = ""
    query: str = ""
    position: tuple[float, float, float] | None = None
    items: list[Any] = []
    """As ESAP writes them."""
    most: Annotated[int, msgspec.Meta(ge=1)] = MOST_ROWS
    rules: Any = None
    """None for the usual ones."""


class Addition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is put into a basket, beside the outputs of a run."""

    token: str = ""
    items: list[str] = []
    """DIDs and URLs."""


def found(service: Service, viewer: Viewer, wanted: BasketQuery) -> tuple[list[Item], list[Unknown]]:
    """The items of a source, and what there is none.

    Raises:
        BadRequest: the source is none that this service reads.
        ConfigError, StoreError: the source refuses, or does not answer.
    """
    items, unknown = _of_source(service, viewer, wanted)
    if wanted.archives:
        return [item for item in items if item.archive in wanted.archives], []
    return items, unknown


def _of_source(service: Service, viewer: Viewer, wanted: BasketQuery) -> tuple[list[Item], list[Unknown]]:
    if wanted.source == "esap":
        return gateway(service, viewer, wanted.token).basket()
    if wanted.source == "did":
        return [replace(item_of_did(one), number=at) for at, one in enumerate(wanted.dids, 1)], []
    if wanted.source == "items":
        made = [(number, item_of(one, number)) for number, one in enumerate(wanted.items, 1)]
        items = [one for _, one in made if isinstance(one, Item)]
        return items, [(number, one) for number, one in made if isinstance(one, str)]
    allows = service.driver.confinement().allows_url
    if not allows(wanted.url):
        raise BadRequest("The URL is none that this service reads: its operator allows some by allowed_urls")
    session, most = confined_session(allows), min(wanted.most, MOST_ROWS)
    if wanted.source == "tap":
        return vo.tap(wanted.url, wanted.query, most=most, session=session), []
    if wanted.source == "datalink":
        return vo.datalink(wanted.url, most=most, session=session), []
    if wanted.position is None:
        raise BadRequest("The position is not written as RA,DEC,RADIUS in degrees")
    ra, dec, radius = wanted.position
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 180):
        raise BadRequest("The position is not RA,DEC,RADIUS in degrees: 0..360, -90..90 and up to 180")
    return vo.sia(wanted.url, (ra, dec), radius, most=most, session=session), []


def gateway(service: Service, viewer: Viewer, token: str) -> Esap:
    """The operator's ESAP gateway for a user.

    Raises:
        BadRequest: there is none.
    """
    if not service.settings.esap_gateway:
        raise BadRequest("This service knows no ESAP gateway: its operator names one by esap_gateway")
    return Esap(service.settings.esap_gateway, token or viewer.token, environment={})


def ports_of(document: DescribedDocument) -> list[Port]:
    """The inputs of a document, as rules know them."""
    made = []
    for one in document.inputs:
        inner = next((member.item for member in one.kind.members if member.item is not None), None)
        members = (inner or one.kind).members
        made.append(Port(one.name, members[0].name if members else "Any", one.kind.many))
    return made


def mapped_items(service: Service, items: Sequence[Item], rules: Any, document: DescribedDocument) -> Mapped:
    """The inputs that items become.

    Args:
        service: see there; whether it fetches exports.
        items: in their order.
        rules: as a user wrote them; None for the usual ones.
        document: whose inputs they become.

    Raises:
        ConfigError: a rule means nothing.
    """
    ports = ports_of(document)
    made = mapped(items, usual_rules(ports) if rules is None else read_rules(rules, ports), ports)
    if service.settings.zooniverse is not None:  # when the run begins
        return made
    for name, value in list(made.inputs.items()):
        kept = [one for one in value if not _is_export(one)] if isinstance(value, list) else value
        if kept == [] or _is_export(kept):
            del made.inputs[name]
        else:
            made.inputs[name] = kept
    exports = [item for item in items if item.archive == "zooniverse"]
    known = {item.number for item, _ in made.problems}
    why = "exports of Zooniverse are fetched by: gridcwl basket inputs, on your machine"
    made.problems.extend((item, why) for item in exports if item.number not in known)
    return made


def _is_export(value: Any) -> bool:
    return isinstance(value, dict) and "zooniverse" in value


def rows(items: Sequence[Item], unknown: Sequence[Unknown], made: Mapped) -> list[dict[str, Any]]:
    """What becomes of each item: the inputs that have it, or the reason why it is not used."""
    reasons = {id(item): reason for item, reason in made.problems}
    used: dict[int, list[str]] = {}
    for name, held in made.used.items():
        for item in held:
            if id(item) not in reasons:
                used.setdefault(id(item), []).append(name)
    listed = [
        {**plain(item), "inputs": used.get(id(item), []), "reason": reasons.get(id(item), "")} for item in items
    ]  # fmt: skip
    return listed + [
        {"number": number, "archive": "", "name": "", "record": {}, "inputs": [], "reason": why}
        for number, why in unknown
    ]


def plain(item: Item) -> dict[str, Any]:
    """An item for a client."""
    record = json.loads(json.dumps(dict(item.record)), parse_constant=lambda _: None)  # JSON has no NaN
    return {"number": item.number, "archive": item.archive, "name": item.name, "record": record}


def add(service: Service, viewer: Viewer, given: Addition, run: StoredRun | None = None) -> dict[str, Any]:
    """Put DIDs, URLs and the outputs of a run into the user's basket.

    Raises:
        Conflict: the run is active.
        ConfigError, StoreError: an item is none; the gateway refuses, or does not answer.
    """
    items = [item_of_did(one) for one in given.items]
    left: list[str] = []
    if run is not None:
        if not run.state.is_terminal:
            raise Conflict(f"The run {run.id} is active")
        try:
            made, left = outputs_as_items(service.folder.record(run.engine))
        except JournalError:
            made = []
        items += made
    count = gateway(service, viewer, given.token).add(items) if items else 0
    return {"added": count, "present": len(items) - count, "left": left}


@contextmanager
def refusals() -> Iterator[None]:
    """Around what asks others: their errors become this service's answers.

    Raises:
        BadRequest, Unavailable: with their message.
    """
    try:
        yield
    except (StoreError, BackendError) as error:
        raise Unavailable(error.message) from None
    except ConfigError as error:
        raise BadRequest(f"{error.message}. {error.remedy}".strip().rstrip(".")) from None
    except GridCWLError as error:
        raise BadRequest(error.message) from None
