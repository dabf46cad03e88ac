"""VOSI's capabilities and availability, and DataLink's descriptors of the catalogue's workflows.

https://www.ivoa.net/documents/VOSI/ 1.1 and https://www.ivoa.net/documents/DataLink/ 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError

from gridcwl.cwl.option_values import ValueKind
from gridcwl.service.catalogue import DescribedOffer
from gridcwl.service.uws.documents import characters
from gridcwl.service.uws.routes import PREFIX, TheAsked, TheOpen, UwsRoute
from gridcwl.service.web import public_url

_VOTABLE = "application/x-votable+xml;content=datalink"
_TYPES = {"int": "int", "long": "long", "float": "float", "double": "double", "boolean": "boolean"}
"""Data types of VOTable by those of CWL; all others are texts."""
_MOST_IDS = 1000

_templates = Environment(
    loader=PackageLoader("gridcwl.service", "templates/vo"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["characters"] = lambda text: characters(str(text))

router = APIRouter(route_class=UwsRoute)
links = APIRouter(route_class=UwsRoute)


@dataclass(frozen=True, slots=True)
class Param:
    """An input of a workflow as a parameter of VOTable."""

    name: str
    datatype: str
    text: bool
    description: str
    symbols: Sequence[str]
    dataset: bool
    """The dataset that was asked about is given here."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A workflow as a service that a VO client may call."""

    id: str
    """A name of XML."""
    link: str
    title: str
    doc: str
    params: Sequence[Param]

    @property
    def takes_dataset(self) -> bool:
        """Whether a dataset can be given to it."""
        return any(param.dataset for param in self.params)


@router.get("/capabilities")
def capabilities(asked: TheOpen) -> Response:
    """What is here, as VOSI has it."""
    base = asked.link.removesuffix("/async")
    made = _templates.get_template("capabilities.xml").render(
        base=base, link=asked.link, authenticated=asked.service.settings.auth is not None
    )
    return Response(made, media_type="text/xml")


@router.get("/availability")
def availability(asked: TheOpen) -> Response:
    """Whether the service works on jobs."""
    note = ""
    try:
        asked.service.db.ping()
        if asked.service.ending:
            note = "The service ends"
    except SQLAlchemyError:
        note = "The database does not answer"
    made = _templates.get_template("availability.xml").render(available=not note, note=note)
    return Response(made, media_type="text/xml")


@links.get("/datalink/links")
def datalink(asked: TheAsked, ids: Annotated[list[str] | None, Query(alias="ID")] = None) -> Response:
    """The workflows that may run on datasets, each as a service descriptor."""
    base = f"{public_url(asked.request, asked.service)}{PREFIX}"
    descriptors = [descriptor(offer, base) for offer in asked.service.catalogue.usable()]
    chosen = list(dict.fromkeys(ids or []))[:_MOST_IDS]
    rows = [(id_, one) for id_ in chosen for one in descriptors if one.takes_dataset]
    made = _templates.get_template("datalink.xml").render(rows=rows, descriptors=descriptors)
    return Response(made, media_type=_VOTABLE)


def descriptor(described: DescribedOffer, base: str) -> Descriptor:
    """A workflow of the catalogue; its first File or Directory takes the dataset.

    Args:
        described: see there.
        base: of the URLs of UWS.
    """
    params: list[Param] = []
    for one in described.document.inputs:
        place = _is_place(one.kind) and not any(param.dataset for param in params)
        names = [member.name for member in one.kind.members]
        datatype = _TYPES.get(names[0], "char") if len(names) == 1 else "char"
        about = "\n".join(text for text in (one.label, one.doc) if text)
        params.append(Param(one.name, datatype, datatype == "char", about, one.kind.symbols, place))
    name = described.offer.name
    id_ = f"run-{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}"
    return Descriptor(id_, f"{base}/{name}/async", described.title, described.doc, params)


def _is_place(kind: ValueKind) -> bool:
    """Whether an input takes a file or a directory, or several."""
    for member in kind.members:
        if member.name in ("File", "Directory"):
            return True
        if member.item is not None and _is_place(member.item):
            return True
    return False
