"""A client of a gridcwl service: its catalogue, its facilities, and runs by GA4GH WES."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

_WES = "/ga4gh/wes/v1"
_API = "/api/v1"
_PATIENCE_S = 60
_MOST_BYTES = 64 << 20
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
STATES = {
    "UNKNOWN": "Unknown",
    "QUEUED": "Waiting",
    "INITIALIZING": "Running",
    "RUNNING": "Running",
    "PAUSED": "Stalled",
    "COMPLETE": "Done",
    "EXECUTOR_ERROR": "Failed",
    "SYSTEM_ERROR": "Failed",
    "CANCELING": "Killed",
    "CANCELED": "Killed",
    "PREEMPTED": "Killed",
}
"""DIRAC's words for the states of WES, as gateways show them."""


class GridcwlError(Exception):
    """The service refused a request, or does not answer; the message is for the user."""


class GridcwlClient:
    """A gridcwl service as one of its users sees it."""

    def __init__(self, url: str, token: str | None = None, *, verify: bool | str = True) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: of the service.
            token: the user's access token; it is sent to the service only, and never shown.
            verify: as ``requests`` takes it: the file of another authority's certificate.
        """
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or not (parts.scheme == "https" or plain):
            raise GridcwlError("The URL of the gridcwl service has to be an https URL")
        self.url = url.rstrip("/")
        self._token = token
        self._verify = verify

    def facilities(self) -> list[dict[str, Any]]:
        """The facilities, each with its sites and what these offer; without groups, the backend as a whole."""
        answer = self._get(f"{_API}/facilities")
        sites = {site["site"]: site for site in answer["sites"]}
        groups = answer["facilities"] or [
            {
                "name": answer["backend"],
                "description": "",
                "url": "",
                "kind": answer["backend"],
                "sites": list(sites),
                "open": any(site["open"] for site in sites.values()),
                "gpu": any(site["gpu"] for site in sites.values()),
            }
        ]
        return [{**group, "capacity": [sites[name] for name in group["sites"] if name in sites]} for group in groups]

    def workflows(self) -> list[dict[str, Any]]:
        """The workflows of the catalogue that can be used."""
        return [one for one in self._get(f"{_API}/catalogue")["workflows"] if not one["problem"]]

    def workflow(self, name: str) -> dict[str, Any]:
        """One of them."""
        found: dict[str, Any] = self._get(f"{_API}/catalogue/{_checked(_NAME, name, 'workflow')}")
        return found

    def submit(self, workflow: str, inputs: Mapping[str, Any], *, name: str = "", facility: str = "") -> str:
        """Have a workflow of the catalogue run; the id of its run.

        Args:
            workflow: its name in the catalogue.
            inputs: by name; Files as ``{"class": "File", "location": "rucio://SCOPE/NAME"}``.
            name: of the run.
            facility: names of sites and facilities, with commas; empty for any.
        """
        offer = self.workflow(workflow)
        if offer["problem"]:
            raise GridcwlError(str(offer["problem"]))
        fields = {
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_url": offer["workflow_url"],
            "workflow_params": json.dumps(dict(inputs)),
            "tags": json.dumps({**offer["tags"], "origin": "ESAP", **({"name": name[:200]} if name else {})}),
        }
        if facility:
            fields["workflow_engine_parameters"] = json.dumps({"--site": facility})
        parts = {key: (None, value) for key, value in fields.items()}
        return str(self._send("POST", f"{_WES}/runs", files=parts)["run_id"])

    def runs(self) -> list[dict[str, Any]]:
        """The user's latest runs, as rows for people."""
        return [self._row(run["run_id"], run["state"], run) for run in self._get(f"{_WES}/runs?page_size=100")["runs"]]

    def status(self, run: str) -> dict[str, Any]:
        """One run as a row for people, with the progress of its jobs."""
        log = self._get(f"{_WES}/runs/{_checked(_RUN, run, 'job')}")
        row = self._row(run, log["state"], {"tags": (log.get("request") or {}).get("tags") or {}})
        about = self._get(f"{_API}/runs/{run}")
        steps = about.get("steps") or []
        done = sum(step.get("done", 0) for step in steps)
        total = sum(step.get("total") or 0 for step in steps)
        sites = sorted({str(one["where"]) for one in about.get("running") or [] if one.get("where")})
        row["Site"] = ", ".join(sites) or row["Site"]
        row["MinorStatus"] = str(about.get("message") or "") or (f"{done} of {total} jobs done" if total else "")
        return row

    def cancel(self, run: str) -> None:
        """Stop a run."""
        self._send("POST", f"{_WES}/runs/{_checked(_RUN, run, 'job')}/cancel")

    def results(self, run: str) -> list[dict[str, Any]]:
        """The output files of a run: name, location (a DID as ``rucio://SCOPE/NAME``, or a URL), size, output."""
        outputs = self._get(f"{_WES}/runs/{_checked(_RUN, run, 'job')}").get("outputs") or {}
        return [file for output, value in outputs.items() for file in _files(output, value)]

    def page(self, run: str) -> str:
        """The URL of a run's page."""
        return f"{self.url}/runs/{run}"

    def _row(self, run: str, state: str, about: Mapping[str, Any]) -> dict[str, Any]:
        tags = about.get("tags") or {}
        return {
            "JobID": run,
            "OK": True,
            "Status": STATES.get(state, "Unknown"),
            "MinorStatus": "",
            "Site": "",
            "Workflow": str(tags.get("workflow") or ""),
            "Name": str(tags.get("name") or ""),
            "URL": self.page(run),
        }

    def _get(self, path: str) -> Any:
        return self._send("GET", path)

    def _send(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            response = requests.request(
                method, f"{self.url}{path}", headers=headers, timeout=_PATIENCE_S, allow_redirects=False, stream=True,
                verify=self._verify, **options,
            )  # fmt: skip
            with response:
                data = response.raw.read(_MOST_BYTES + 1, decode_content=True)
        except requests.RequestException:
            raise GridcwlError("The gridcwl service does not answer") from None
        try:
            answer = json.loads(data) if len(data) <= _MOST_BYTES else None
        except (ValueError, RecursionError):
            answer = None
        if response.status_code == 401:
            raise GridcwlError("The gridcwl service does not accept the login: log in again")
        if response.status_code != 200 or not isinstance(answer, dict):
            told = answer.get("msg") if isinstance(answer, dict) else None
            raise GridcwlError(str(told or f"The gridcwl service answers with status {response.status_code}"))
        return answer


def _files(output: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [file for item in value for file in _files(output, item)]
    if not isinstance(value, dict):
        return []
    if value.get("class") == "File":
        location = str(value.get("location") or "")
        own = {"output": output, "name": str(value.get("basename") or location.rpartition("/")[2])}
        row = {**own, "location": location, "size": value.get("size"), "checksum": value.get("checksum")}
        return [row, *_files(output, value.get("secondaryFiles") or [])]
    if value.get("class") == "Directory":
        return _files(output, value.get("listing") or [])
    return [file for item in value.values() for file in _files(output, item)]


def basket_item(file: Mapping[str, Any]) -> dict[str, Any]:
    """A result as an item of ESAP's shopping basket: a row of Rucio's, as its own archive has it; or a URL."""
    location = str(file["location"])
    if location.startswith("rucio://"):
        scope, _, name = location[len("rucio://") :].partition("/")
        record = {"scope": scope, "name": name, "type": "FILE", "bytes": file.get("size")}
        return {"archive": "rucio", "record": record}
    return {"archive": "gridcwl", "record": {"name": file["name"], "url": location}}


def _checked(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise GridcwlError(f"There is no {what} {text[:80]!r}")
    return text
