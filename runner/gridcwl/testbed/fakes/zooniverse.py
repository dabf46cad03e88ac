"""Zooniverse's API, Panoptes, with the responses of the real one: logging in, tokens, workflows, and exports.

with FakeZooniverse({"ann": "secret"}) as zooniverse:
    zooniverse.add("workflow", 2)
    zooniverse.classify("workflow", 2, user="bob", choice="spiral")
    zooniverse.export("workflow", 2)
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gridcwl.testbed.fakes.web import FakeWebService

JSON_API = "application/vnd.api+json; version=1"
COLUMNS = (
    *("classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name", "workflow_version"),
    *("created_at", "gold_standard", "expert", "metadata", "annotations", "subject_data", "subject_ids"),
)
"""Of a file of classifications."""


@dataclass
class _Export:
    """The latest export of one kind."""

    data: bytes = b""
    state: str = "ready"
    looks: int = 0
    """How often it is still shown as being made."""
    made: int = 1
    updated: str = ""


@dataclass
class _Resource:
    """A project or workflow."""

    name: str
    rows: list[dict[str, str]] = field(default_factory=list)
    exports: dict[str, _Export] = field(default_factory=dict)


class FakeZooniverse(FakeWebService):
    """The API, and the store of its files. A context manager; listens on a free port of this machine."""

    def __init__(self, members: Mapping[str, str], applications: Mapping[str, str] | None = None) -> None:
        """Prepare.

        Args:
            members: who may have exports: passwords by user name.
            applications: the same, for programs: secrets by the id of a client.
        """
        self.members = dict(members)
        self.applications = dict(applications or {})
        self.slow = 0
        """How often an export that was asked for is shown as being made."""
        self.media_url = ""
        """Where files are, if not here."""
        self.requests: list[str] = []
        """Methods and paths, in their order."""
        self._resources: dict[tuple[str, str], _Resource] = {}
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        super().__init__(_Handler, "fake-zooniverse")

    @property
    def url(self) -> str:
        """The endpoint, as ``PANOPTES_ENDPOINT`` names it."""
        return self.origin

    # -- what there is ---------------------------------------------------------------------------------------------

    def add(self, catalog: str, number: int | str, name: str = "Galaxies") -> None:
        """Add a ``project`` or ``workflow`` without classifications."""
        self._resources[f"{catalog}s", str(number)] = _Resource(name)

    def classify(self, catalog: str, number: int | str, *, user: str = "bob", choice: str = "spiral") -> None:
        """Add a classification; exports that were made have it not."""
        resource = self._resources[f"{catalog}s", str(number)]
        key = str(len(resource.rows) + 1)
        row = dict.fromkeys(COLUMNS, "") | {
            **{"classification_id": key, "user_name": user, "workflow_id": str(number), "subject_ids": key},
            **{"workflow_name": resource.name, "workflow_version": "1.1", "created_at": _now(), "metadata": "{}"},
            **{"annotations": json.dumps([{"task": "T0", "value": choice}]), "subject_data": "{}"},
        }
        resource.rows.append(row)

    def export(self, catalog: str, number: int | str, category: str = "classifications") -> None:
        """Make an export of what there is now, as a member of the project does on its page."""
        self.ask(f"{catalog}s", str(number), category)
        made = self._resources[f"{catalog}s", str(number)].exports[category]
        made.looks, made.state = 0, "ready"

    def ask(self, kind: str, number: str, category: str) -> None:
        """What POST does: an export is being made, and replaces the one before."""
        resource = self._resources[kind, number]
        before = resource.exports.get(category)
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(resource.rows)
        resource.exports[category] = _Export(
            text.getvalue().encode(), "creating" if self.slow else "ready", self.slow,
            before.made + 1 if before else 1, _now(),
        )  # fmt: skip

    # -- answers -----------------------------------------------------------------------------------------------------

    def find(self, kind: str, number: str) -> _Resource | None:
        """A project or workflow."""
        return self._resources.get((kind, number))

    def medium(self, kind: str, number: str, category: str) -> dict[str, Any] | None:
        """An export as the API describes it; each look brings it nearer to its end."""
        resource = self._resources.get((kind, number))
        made = resource.exports.get(category) if resource else None
        if made is None:
            return None
        if made.state == "creating":
            made.looks -= 1
            made.state = "creating" if made.looks >= 0 else "ready"
        name = f"{kind[:-1]}_{category}_export"
        path = f"/private/{name}/{number}/{made.made}.csv"
        signed = f"sp=r&sv=2018-11-09&se=2099-01-01T00%3A00%3A00Z&sr=b&sig={self.signature(path)}"
        return {
            "id": f"{number}{made.made}",
            "href": f"/{kind}/{number}/{category}_export",
            "src": f"{self.media_url or self.url}{path}?{signed}",
            "content_type": "text/csv",
            "media_type": name,
            "external_link": False,
            "created_at": made.updated,
            "metadata": {"state": made.state, "job_id": "5f0b", "recipients": [1]},
            "updated_at": made.updated,
            "links": {"linked": {"href": f"/{kind}/{number}", "id": number, "type": kind}},
        }

    def stored(self, path: str) -> bytes | None:
        """A file by its path, compressed as the real store has it."""
        for (kind, number), resource in self._resources.items():
            for category, made in resource.exports.items():
                if path == f"/private/{kind[:-1]}_{category}_export/{number}/{made.made}.csv":
                    return gzip.compress(made.data)
        return None

    @staticmethod
    def signature(path: str) -> str:
        """What the URL of a file has to hold."""
        return hashlib.sha256(f"sign{path}".encode()).hexdigest()[:32]

    def logged_in(self, user: str, password: str) -> str:
        """The session of a user; empty if the password is wrong."""
        if not password or self.members.get(user) != password:
            return ""
        session = hashlib.sha256(f"session {user}".encode()).hexdigest()
        self._sessions[session] = user
        return session

    def token(self, form: Mapping[str, str], session: str) -> dict[str, Any] | None:
        """What ``/oauth/token`` gives; None if it refuses."""
        grant = form.get("grant_type")
        user = self._sessions.get(session, "") if grant in ("password", "refresh_token") else ""
        if grant == "client_credentials":
            known = self.applications.get(form.get("client_id", ""))
            user = form["client_id"] if known and known == form.get("client_secret") else ""
        if not user:
            return None
        token = f"token-{len(self._tokens) + 1}-of-{user}"
        self._tokens[token] = user
        made = {"access_token": token, "token_type": "Bearer", "expires_in": 7200, "scope": "public project medium"}
        more = {} if grant == "client_credentials" else {"refresh_token": f"refresh-{token}"}
        return {**made, **more, "created_at": int(datetime.now(UTC).timestamp())}

    def is_member(self, header: str) -> bool:
        """Whether an ``Authorization`` header is that of somebody who may have exports."""
        return header.startswith("Bearer ") and header.removeprefix("Bearer ") in self._tokens


class _Handler(BaseHTTPRequestHandler):
    service: FakeZooniverse

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        """Login options, resources, descriptions of exports, and files."""
        parts = urlsplit(self.path)
        self.service.requests.append(f"GET {parts.path}")
        if parts.path == "/users/sign_in":
            headers = {"X-CSRF-Param": "authenticity_token", "X-CSRF-Token": "csrf"}
            self._answer(200, {"login": "/users/sign_in"}, headers)
        elif parts.path.startswith("/private/"):
            self._file(parts.path, parse_qs(parts.query))
        else:
            self._resource(parts.path, ask=False)

    def do_POST(self) -> None:
        """Log in, get a token, ask for an export."""
        path = urlsplit(self.path).path
        self.service.requests.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if path == "/users/sign_in":
            self._log_in(json.loads(body))
        elif path == "/oauth/token":
            cookies = dict(one.strip().partition("=")[::2] for one in self.headers.get("Cookie", "").split(";"))
            form = {name: values[0] for name, values in parse_qs(body).items()}
            made = self.service.token(form, cookies.get("_Panoptes_session", ""))
            refused = {"error": "invalid_grant", "error_description": "The provided authorization grant is invalid."}
            self._answer(200 if made else 401, made or refused)
        else:
            self._resource(path, ask=True)

    def _log_in(self, given: Mapping[str, Any]) -> None:
        user = given.get("user") or {}
        fine = given.get("authenticity_token") == "csrf"
        session = self.service.logged_in(str(user.get("login")), str(user.get("password"))) if fine else ""
        if not session:
            self._answer(401, {"error": "Invalid email or password."})
            return
        about = {"id": "7", "login": user["login"], "display_name": user["login"], "type": "users"}
        self._answer(200, {"users": [about]}, {"Set-Cookie": f"_Panoptes_session={session}; path=/; HttpOnly"})

    def _resource(self, path: str, *, ask: bool) -> None:
        words = path.strip("/").split("/")
        if self.headers.get("Accept") != JSON_API or words[0] != "api" or len(words) not in (3, 4):
            self._answer(404, {"errors": [{"message": "Not Found"}]})
            return
        kind, number, found = words[1], words[2], self.service.find(words[1], words[2])
        if found is None:
            self._answer(404, {"errors": [{"message": f"Could not find {kind[:-1]} with id='{number}'"}]})
        elif len(words) == 3:
            about = {"id": number, "href": f"/{kind}/{number}", "display_name": found.name, "links": {"project": "1"}}
            about |= {"configuration": {}, "tasks": {}, "retirement": {"criteria": "never_retire", "options": {}}}
            self._answer(200, {kind: [about], "links": {}, "meta": {kind: _page(kind, number)}}, {"ETag": '"1"'})
        else:
            self._export(kind, number, words[3].removesuffix("_export"), ask=ask)

    def _export(self, kind: str, number: str, category: str, *, ask: bool) -> None:
        if not self.service.is_member(self.headers.get("Authorization", "")):
            if ask:
                self._answer(401, {"errors": [{"message": "You must be logged in to access this resource."}]})
                return
            self._answer(404, {"errors": [{"message": self._missing(kind, number, category)}]})
            return
        if ask:
            self.service.ask(kind, number, category)
        medium = self.service.medium(kind, number, category)
        if medium is None:
            self._answer(404, {"errors": [{"message": self._missing(kind, number, category)}]})
            return
        answer = {"media": [medium], "links": {}, "meta": {"media": _page("media", medium["id"])}}
        self._answer(201 if ask else 200, answer, {"ETag": '"1"'})

    @staticmethod
    def _missing(kind: str, number: str, category: str) -> str:
        return f"No {category}_export exists for {kind[:-1]} #{number}"

    def _file(self, path: str, query: Mapping[str, list[str]]) -> None:
        data = self.service.stored(path)
        if data is None or query.get("sig") != [self.service.signature(path)]:
            self.send_response(403 if data else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _page(kind: str, number: str) -> dict[str, Any]:
    href = f"/{kind}?id={number}"
    return {
        **{"page": 1, "page_size": 20, "count": 1, "include": [], "page_count": 1, "previous_page": None},
        **{"next_page": None, "first_href": href, "previous_href": None, "next_href": None, "last_href": href},
    }


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
