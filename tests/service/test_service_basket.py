"""The step of the form that fills inputs from an ESAP basket, DIDs, or Virtual Observatory results."""

from __future__ import annotations

import html
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from documents import expression
from wes import Wes, serving

COUNT = expression("${ return {said: inputs.events.length}; }", {"events": "File[]", "ra": "float?"}, {"said": "int"})
CART = [
    {"archive": "rucio", "record": {"scope": "cta", "name": "run1.zst", "type": "FILE"}},
    {"archive": "apertif", "record": {"name": "WSRTA1.MS"}},
    {"archive": "zooniverse", "catalog": "workflow", "workflow_id": 2, "category": "classifications"},
    {"nothing": 1},
]
VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/><TABLE>
<FIELD name="obs_id" datatype="char" arraysize="*"/><FIELD name="access_url" datatype="char" arraysize="*"/>
<FIELD name="semantics" datatype="char" arraysize="*"/><FIELD name="ra" datatype="double"/>
<DATA><TABLEDATA><TR><TD>one</TD><TD>https://h/1.fits</TD><TD>#this</TD><TD>83.6</TD></TR></TABLEDATA></DATA>
</TABLE></RESOURCE></VOTABLE>
"""


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """An ESAP gateway, and services of the Virtual Observatory."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", "")))
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/vo/elsewhere")
            self.end_headers()
            return
        profile = {"results": [{"user_name": "ann", "oidc_access_token": "secret", "shopping_cart": CART}]}
        fine = not self.path.startswith("/esap") or self.headers.get("Authorization") == "Bearer mine"
        self.send_response(200 if fine else 401)
        self.end_headers()
        self.wfile.write((json.dumps(profile) if self.path.startswith("/esap") else VOTABLE).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    Elsewhere.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def wes(tmp_path: Path, elsewhere: str) -> Iterator[Wes]:
    allowed = [f"{elsewhere}/vo/", f"{elsewhere}/moved/", "https://h/"]
    with serving(tmp_path, esap_gateway=f"{elsewhere}/", allowed_urls=allowed) as client:
        client.http.get("/")
        yield client


@pytest.fixture
def draft(wes: Wes) -> str:
    upload = [("files", ("count.cwl", json.dumps(COUNT).encode()))]
    made = wes.http.post("/submit", data=token(wes), files=upload, follow_redirects=False)
    assert f"{made.headers['location']}/basket" in wes.http.get(made.headers["location"]).text
    return str(made.headers["location"])


def token(wes: Wes) -> dict[str, str]:
    return {"csrf": wes.http.cookies["gridcwl_csrf"]}


def step(wes: Wes, draft: str, do: str, **fields: Any) -> Any:
    files = {"table": fields.pop("table")} if "table" in fields else None
    sent = token(wes) | {"do": do} | fields
    return wes.http.post(f"{draft}/basket", data=sent, files=files, follow_redirects=False)


def test_items_of_the_basket_are_shown_with_what_they_become_and_used(wes: Wes, draft: str):
    found = step(wes, draft, "find", source="esap", token="mine")
    assert found.status_code == 200
    page = html.unescape(found.text)
    assert "cta:run1.zst" in page
    assert "its record has no field url" in page
    assert "on your machine" in page
    assert "it names no archive" in page
    assert "secret" not in page
    assert (
        "mine" not in (Path(wes.service.folder.path) / "drafts" / draft.rpartition("/")[2] / "basket.json").read_text()
    )
    used = step(wes, draft, "use")
    assert used.headers["location"] == draft
    assert "rucio://cta/run1.zst" in wes.http.get(draft).text


def test_rules_are_edited_and_mistakes_in_them_are_explained(wes: Wes, draft: str):
    step(wes, draft, "find", source="esap", token="mine")
    rules = "rules:\n- {input: events, archive: apertif, value: 'https://h/{name}'}\n"
    assert "no rule is for the archive rucio" in step(wes, draft, "map", rules=rules).text
    step(wes, draft, "use", rules=rules)
    assert "https://h/WSRTA1.MS" in wes.http.get(draft).text
    wrong = step(wes, draft, "map", rules="rules:\n- {input: event, value: x}\n")
    assert wrong.status_code == 422
    assert "which the document does not have" in html.unescape(wrong.text)


def test_a_refused_or_missing_token_is_explained_and_the_service_s_own_is_not_used(
    wes: Wes, draft: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "token").write_text("mine")
    monkeypatch.setenv("RUCIO_OIDC_FILE_NAME", str(tmp_path / "token"))
    assert "There is no token for ESAP" in step(wes, draft, "find", source="esap").text
    assert "refuses the token" in step(wes, draft, "find", source="esap", token="other").text
    assert [sent for _, sent in Elsewhere.asked] == ["Bearer other"]


@pytest.mark.parametrize("source", ["tap", "datalink", "votable"])
def test_rows_of_the_virtual_observatory_become_inputs(wes: Wes, draft: str, elsewhere: str, source: str):
    fields: dict[str, Any] = {"url": f"{elsewhere}/vo/x", "query": "SELECT 1"}
    if source == "votable":
        fields = {"table": ("found.vot", VOTABLE.encode())}
    found = step(wes, draft, "find", source=source, **fields)
    assert found.status_code == 200, found.text
    step(wes, draft, "use")
    form = wes.http.get(draft).text
    assert "https://h/1.fits" in form
    assert "83.6" in form


def test_only_urls_that_the_operator_allows_are_read_and_none_leads_elsewhere(wes: Wes, draft: str, elsewhere: str):
    refused = step(wes, draft, "find", source="datalink", url=f"{elsewhere}/private")
    assert "allows some by allowed_urls" in refused.text
    assert Elsewhere.asked == []
    moved = step(wes, draft, "find", source="datalink", url=f"{elsewhere}/moved/x")
    assert moved.status_code == 422
    assert [path for path, _ in Elsewhere.asked] == ["/moved/x"]
