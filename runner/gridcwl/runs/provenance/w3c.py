"""Lineage as W3C PROV, with the classes of the IVOA provenance data model (https://www.ivoa.net/documents/ProvenanceDM/).

Entity, Activity and Agent with Used, WasGeneratedBy, WasAssociatedWith and WasAttributedTo are those of W3C. What the
IVOA adds has the prefix ``voprov``: an ActivityDescription for each step, Parameters for values, a DatasetEntity for
each file. The package prov is one that cwltool requires.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import datetime
from typing import Any

import gridcwl
from gridcwl.runs.provenance.lineage import Activity, DataFile, Lineage

FORMATS = ("provn", "json", "xml", "ttl")
_VOPROV = "http://www.ivoa.net/documents/ProvenanceDM/voprov/"
_OWN = "https://gridcwl.readthedocs.io/provenance/"


def prov_document(lineage: Lineage) -> Any:
    """The lineage as a ``prov.model.ProvDocument``."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace("prov", "http://www.w3.org/ns/prov#")
    document.add_namespace("voprov", _VOPROV)
    document.add_namespace("gridcwl", _OWN)
    agents: dict[str, Any] = {}
    software = document.agent(
        "gridcwl:software",
        {
            "prov:type": _type(document, "prov:SoftwareAgent"),
            "voprov:name": f"gridcwl {gridcwl.__version__}",
        },
    )
    entities = {id_: _entity(document, file) for id_, file in lineage.files.items()}
    for one in lineage.activities.values():
        _activity(document, one, entities, agents, software)
    for file in lineage.files.values():
        if file.made_by in lineage.activities:
            document.wasGeneratedBy(entities[file.id], _name("activity", file.made_by), _time(file.created))
        if file.account:
            creator = _agent(document, file.account, agents)
            document.wasAttributedTo(entities[file.id], creator, other_attributes={"prov:role": "creator"})
    return document


def written(lineage: Lineage, form: str) -> str:
    """The lineage as text: PROV-N, PROV-JSON, PROV-XML, or PROV-O as Turtle."""
    document = prov_document(lineage)
    if form == "provn":
        return str(document.get_provn()) + "\n"
    if form == "json":
        text: str = document.serialize(format="json", indent=2)
        return text + "\n"
    stream = io.BytesIO()
    if form == "xml":
        document.serialize(stream, format="xml")
    else:
        document.serialize(stream, format="rdf", rdf_format="turtle")
    return stream.getvalue().decode("utf-8")


def _entity(document: Any, file: DataFile) -> Any:
    about: dict[str, Any] = {
        "prov:type": _type(document, "voprov:DatasetEntity"),
        "prov:label": file.name,
        "voprov:name": file.name,
    }
    if file.location:
        about["voprov:location"] = file.location
    if file.size is not None:
        about["gridcwl:size"] = file.size
    if file.checksum:
        about["gridcwl:checksum"] = file.checksum.replace("$", ":")
    if file.created:
        about["voprov:generatedAtTime"] = file.created
    return document.entity(_name("entity", file.id), about)


def _activity(document: Any, one: Activity, entities: dict[str, Any], agents: dict[str, Any], software: Any) -> None:
    about = {
        "prov:type": _type(document, "voprov:Activity"),
        "prov:label": one.name,
        "voprov:name": one.name,
        "gridcwl:run": one.run,
    }
    about |= {f"gridcwl:{name}": value for name, value in (
        ("command", one.tool), ("image", one.image), ("image_digest", one.digest), ("site", one.site),
        ("result_of", one.reused),
    ) if value}  # fmt: skip
    made = document.activity(_name("activity", one.id), _time(one.started), _time(one.ended), about)
    plan = document.entity(
        _name("description", f"{one.document} {one.step}"),
        {
            "prov:type": _type(document, "voprov:ActivityDescription"),
            "voprov:name": one.step,
            "voprov:type": "CWL step",
            "voprov:docurl": one.document,
        },
    )
    document.wasAssociatedWith(made, software, plan, other_attributes={"prov:role": "executor"})
    if one.account:
        agent = _agent(document, one.account, agents)
        document.wasAssociatedWith(made, agent, plan, other_attributes={"prov:role": "operator"})
        document.actedOnBehalfOf(software, agent, made)
    for name, id_ in one.inputs:
        if id_ in entities:
            document.used(made, entities[id_], other_attributes={"prov:role": name} if name else None)
    for name, value in one.parameters.items():
        text = value if isinstance(value, str) else json.dumps(value)
        parameter = document.entity(
            _name("parameter", f"{name} {text}"),
            {"prov:type": _type(document, "voprov:Parameter"), "voprov:name": name, "prov:value": text},
        )
        document.used(
            made,
            parameter,
            other_attributes={"prov:role": name, "prov:type": _type(document, "voprov:WasConfiguredBy")},
        )


def _agent(document: Any, account: str, agents: dict[str, Any]) -> Any:
    if account not in agents:
        about = {"prov:type": _type(document, "prov:Person"), "voprov:name": account}
        agents[account] = document.agent(_name("agent", account), about)
    return agents[account]


def _type(document: Any, name: str) -> Any:
    """A class by its qualified name, and not by a text."""
    return document.valid_qualified_name(name)


def _name(kind: str, text: str) -> str:
    """A qualified name: URLs hold characters that PROV-N would have to escape."""
    return f"gridcwl:{kind}-{hashlib.sha1(text.encode('utf-8', 'replace'), usedforsecurity=False).hexdigest()[:20]}"


def _time(text: str) -> datetime | None:
    """A time as ISO 8601, or as Rucio writes it; None for anything else."""
    for form in (None, "%a, %d %b %Y %H:%M:%S %Z"):
        try:
            return datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        except ValueError:
            continue
    return None
