"""Facilities and workflows of a gridcwl service as the gateway's app ``batch`` has them.

The functions take the place of ``search_facilities`` and ``search_workflows`` of the module
``batch.api.services.batch_controller``; the gateway's own entries stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gridcwl_esap.client import GridcwlClient, GridcwlError

_SHORT, _LONG = 30, 240
"""The lengths of the fields of the gateway's models."""
WORKFLOW_TYPE = "cwl"
ENGINE = "gridcwl"


def facility_entries(client: GridcwlClient) -> list[dict[str, str]]:
    """The fields of ``batch.Facility`` for each facility; what its sites offer is in the description."""
    return [
        {
            "name": facility["name"][:_SHORT],
            "description": _cut(" ".join(_about(facility))),
            "url": (facility["url"] or f"{client.url}/sites")[:_LONG],
            "facilitytype": str(facility["kind"]).upper()[:_LONG],
            "runtimeengine": ENGINE,
        }
        for facility in client.facilities()
    ]


def workflow_entries(client: GridcwlClient) -> list[dict[str, str]]:
    """The fields of ``batch.Workflow`` for each workflow of the catalogue; ``filepath`` has its name there."""
    return [
        {
            "name": workflow["label"][:_SHORT],
            "description": _cut(f"{workflow['doc'].strip()} {workflow['summary']}".strip() or workflow["label"]),
            "url": f"{client.url}/catalogue",
            "ref": "HEAD",
            "filepath": workflow["name"][:_LONG],
            "workflowtype": WORKFLOW_TYPE,
        }
        for workflow in client.workflows()
    ]


def found(entries: list[dict[str, str]], keyword: str | None) -> list[dict[str, str]]:
    """Those whose name, description or URL has a keyword, as the gateway searches its own."""
    word = (keyword or "").casefold()
    return [one for one in entries if any(word in one[field].casefold() for field in ("name", "description", "url"))]


def search_facilities(own: Any, client: GridcwlClient, model: Any, keyword: str | None) -> list[Any]:
    """The gateway's own facilities, and those of the service.

    Args:
        own: what the gateway has found.
        client: of the service; without a token if it answers to everybody.
        model: ``batch.models.Facility``.
        keyword: None for all.
    """
    try:
        more = found(facility_entries(client), keyword)
    except GridcwlError:  # a service that is down takes no facility of others away
        more = []
    return [*own, *(model(**fields) for fields in more)]


def search_workflows(own: Mapping[str, Any], client: GridcwlClient, keyword: str | None) -> dict[str, Any]:
    """The gateway's own answer with the workflows of the service."""
    try:
        more = found(workflow_entries(client), keyword)
    except GridcwlError:
        more = []
    results = [*own.get("results", ()), *more]
    return {**own, "results": results, "count": len(results)}


def _about(facility: Mapping[str, Any]) -> Iterator[str]:
    if facility["description"]:
        yield facility["description"].rstrip(".") + "."
    capacity = facility["capacity"]
    open_ = [site for site in capacity if site["open"]]
    gpus = sum(bool(site["gpu"]) for site in open_)
    yield f"{len(open_)} of {len(capacity)} {'site' if len(capacity) == 1 else 'sites'} open, {gpus} with a GPU."
    for site in open_:
        yield f"{site['site']}: {site['offers']}." if site["offers"] else f"{site['site']}."


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONG else f"{plain[: _LONG - 3].rstrip()}..."
