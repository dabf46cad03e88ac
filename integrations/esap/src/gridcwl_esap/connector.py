"""The query connector that a gateway has in place of ``query.api.services.concordia``'s stub.

A query without a job's id submits its workflow; one with an id shows that job. The parameters are those of the stub's
form, ``workflow``, ``inputs`` and ``jobid``; and ``facility``, ``name``, ``again`` and ``action``: ``submit``,
``status``, ``list``, ``cancel`` or ``results``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from gridcwl_esap.client import GridcwlClient, GridcwlError, basket_item

logger = logging.getLogger(__name__)

TOKEN = "oidc_access_token"  # noqa: S105  the name of the session's field: mozilla-django-oidc's
_SUBMITTED = "gridcwl_submitted"
"""The session's field with what was submitted: a page that is reloaded submits nothing again."""
_MOST_SUBMITTED = 200
_NOTHING = ("", "empty", "undefined", "null")
_FIELDS = ("workflow", "inputs", "jobid", "facility", "name", "action", "again")
_ACTIONS = ("", "submit", "status", "list", "cancel", "results")

try:
    from rest_framework import serializers
except ImportError:  # outside of a gateway
    serializers = None


class concordia_connector:  # noqa: N801  the name that gateways look for
    """Jobs of a gridcwl service as results of queries; ``query_base``'s methods."""

    def __init__(self, url: str) -> None:
        """Take the service's URL, from the gateway's catalog."""
        self.url = url

    def construct_query(
        self,
        dataset: Any,
        esap_query_params: MutableMapping[str, Any],
        translation_parameters: Mapping[str, str],
        override_resource: str | None = None,
    ) -> tuple[dict[str, str], dict[str, Any], list[str]]:
        """The parameters of a request as a query, and what is wrong with them."""
        names = {ours: theirs for theirs, ours in (translation_parameters or {}).items()}
        query = {}
        for field in _FIELDS:
            value = _first(esap_query_params.pop(names.get(field, field), esap_query_params.pop(field, "")))
            query[field] = "" if value in _NOTHING else value
        errors = []
        if query["action"] not in _ACTIONS:
            errors.append(f"action is {query['action'][:80]!r}, but takes one of: {', '.join(_ACTIONS[1:])}")
        if query["action"] in ("", "submit") and not query["jobid"] and not query["workflow"]:
            errors.append("workflow is missing: the name of a workflow of the catalogue")
        if query["action"] in ("status", "cancel", "results") and not query["jobid"]:
            errors.append("jobid is missing")
        try:
            _inputs(query["inputs"])
        except GridcwlError as error:
            errors.append(str(error))
        return query, {}, [f"ERROR: {error}" for error in errors]  # gateways look for the word

    def run_query(
        self,
        dataset: Any,
        dataset_name: str,
        query: Any,
        session: Any = None,
        override_access_url: str | None = None,
        override_service_type: str | None = None,
    ) -> list[dict[str, Any]]:
        """Submit, show or stop jobs with the token of the session; a row for each, also for an error."""
        asked = _asked(query)
        token = session.get(TOKEN) if session is not None else None
        if not token:
            return [_error(asked, "Log in to run workflows")]
        try:
            return self._answer(GridcwlClient(self.url, str(token)), asked, session)
        except GridcwlError as error:
            return [_error(asked, str(error))]

    def get_services(self, service_type: str, keyword: str) -> list[dict[str, Any]]:
        """Nothing: the gateway's registry of VO services is not here."""
        return []

    def get_tables_fields(self, dataset: Any, access_url: str) -> list[dict[str, Any]]:
        """Nothing: jobs are no tables."""
        return []

    def _answer(self, client: GridcwlClient, asked: Mapping[str, str], session: Any) -> list[dict[str, Any]]:
        action, job = asked["action"], asked["jobid"]
        if action == "list":
            return client.runs() or [_error(asked, "You have no jobs")]
        if action == "cancel":
            client.cancel(job)
        if action == "results":
            row = client.status(job)
            return [{**row, **file, "basket": basket_item(file)} for file in client.results(job)] or [row]
        if job:
            return [client.status(job)]
        return [client.status(_submitted(client, asked, session))]

    if serializers is not None:

        class CreateAndRunQuerySerializer(serializers.Serializer):  # type: ignore[misc]
            """Rows as they are: what is in them depends on the action."""

            def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
                """See Django REST framework."""
                return dict(instance)


def _submitted(client: GridcwlClient, asked: Mapping[str, str], session: Any) -> str:
    """The run of a query: a new one, or that of the same query before."""
    key = hashlib.sha256(json.dumps([asked[name] for name in _FIELDS if name != "again"]).encode()).hexdigest()
    known = dict(session.get(_SUBMITTED) or {})
    if key in known and asked["again"] not in ("true", "1", "yes"):
        return str(known[key])
    run = client.submit(
        asked["workflow"], _inputs(asked["inputs"]), name=asked["name"], facility=asked["facility"]
    )  # fmt: skip
    known.pop(key, None)
    known[key] = run
    session[_SUBMITTED] = dict(list(known.items())[-_MOST_SUBMITTED:])
    return run


def _inputs(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise GridcwlError('inputs is not a JSON object such as {"showers": 100}')
    return value


def _asked(query: Any) -> dict[str, str]:
    """The query of :meth:`construct_query`; gateways hand it on as it is, or as its text."""
    if isinstance(query, str):
        try:
            query = json.loads(query)
        except ValueError:
            query = {}
    given = query if isinstance(query, Mapping) else {}
    return {field: str(given.get(field) or "") for field in _FIELDS}


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, (list, tuple)) and value else value or "")


def _error(asked: Mapping[str, str], message: str) -> dict[str, Any]:
    return {
        "JobID": asked["jobid"],
        "OK": False,
        "Status": "Failed",
        "MinorStatus": message,
        "Site": "",
        "Workflow": asked["workflow"],
        "Name": asked["name"],
        "URL": "",
    }
