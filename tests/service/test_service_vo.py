"""Rows of TAP, SIA 2 and DataLink as inputs at the service: pyvo asks, and reads what the operator allows."""

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

COUNT = expression("${ return {said: inputs.images.length}; }", {"images": "File[]", "ra": "float?"}, {"said": "int"})
FIELDS = ("obs_publisher_did", "access_url", "access_format", "dataproduct_type")
TABLE = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}<FIELD name="s_ra" datatype="double"/>
<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""
CAPABILITIES = """<?xml version="1.0"?>
<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0"
 xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/SIA#query-2.0"><interface xsi:type="vs:ParamHTTP" role="std" version="2.0">
<accessURL use="base">{url}</accessURL></interface></capability></vosi:capabilities>
"""


def table(*rows: tuple[str, ...], names: tuple[str, ...] = FIELDS) -> str:
    fields = "".join(f'<FIELD name="{name}" datatype="char" arraysize="*"/>' for name in names)
    written = ["".join(f"<TD>{html.escape(cell)}</TD>" for cell in (*row, "83.6")) for row in rows]
    return TABLE.format(fields=fields, rows="".join(f"<TR>{row}</TR>" for row in written))


IMAGES = table(
    ("ivo://a?one", "https://h/1.fits", "image/fits", "image"),
    ("ivo://a?two", "https://h/2.fits", "image/fits", "image"),
    ("ivo://a?three", "ftp://h/3.fits", "image/fits", "image"),
)
LINKS = table(
    ("ivo://a?one", "https://h/1.fits", "#this", ""), ("ivo://a?one", "https://h/1.png", "#preview", ""),
    names=("ID", "access_url", "semantics", "error_message"),
)  # fmt: skip


class Observatory(http.server.BaseHTTPRequestHandler):
    """A TAP, an SIA 2 and a DataLink service."""

    asked: ClassVar[list[str]] = []
    query: ClassVar[str] = ""
    answer: ClassVar[str] = ""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        type(self).asked.append(f"{self.path} {body}".strip())
        where = self.path.partition("?")[0]
        text = LINKS if where.endswith("/links") else IMAGES
        if where.endswith("/capabilities"):
            text = CAPABILITIES.format(url=self.query)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.end_headers()
        self.wfile.write((self.answer or text).encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def vo() -> Iterator[str]:
    Observatory.asked, Observatory.answer = [], ""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Observatory) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/vo"
        Observatory.query = f"{base}/sia/query"
        yield base
        server.shutdown()
        thread.join()


@pytest.fixture
def wes(tmp_path: Path, vo: str) -> Iterator[Wes]:
    with serving(tmp_path, allowed_urls=[f"{vo}/", "https://h/"]) as client:
        client.http.get("/")
        yield client


SOURCES = {
    "tap": ({"query": "SELECT * FROM ivoa.obscore"}, "tap", 3),
    "sia": ({"position": [83.6, 22.0, 0.1]}, "sia", 3),
    "datalink": ({}, "links", 1),
}


@pytest.mark.parametrize("source", SOURCES)
def test_rows_are_listed_and_become_files_item_by_item(wes: Wes, vo: str, source: str):
    more, place, count = SOURCES[source]
    about = {"source": source, "url": f"{vo}/{place}", **more}
    listed = wes.http.post("/api/v1/baskets/items", json=about).json()
    assert [one["archive"] for one in listed["items"]] == [source] * count
    parts = [("workflow_url", (None, "doc.cwl")), ("basket", (None, json.dumps(about)))]
    upload = ("workflow_attachment", ("doc.cwl", json.dumps(COUNT).encode()))
    found = wes.http.post("/api/v1/baskets/inputs", files=[*parts, upload]).json()  # type: ignore[list-item]
    assert [file["location"] for file in found["inputs"]["images"]] == [
        f"https://h/{n}.fits" for n in range(1, max(count, 2))
    ]
    reasons = {one["number"]: one["reason"] for one in found["items"] if one["reason"]}
    refused = "'ftp://h/3.fits' is not a DID or a URL that a job could read (rucio, https, http)"
    assert reasons == ({3: refused} if count == 3 else {})


def test_where_and_how_much_to_look_reaches_the_service(wes: Wes, vo: str):
    about = {"source": "sia", "url": f"{vo}/sia", "position": [83.6, 22.0, 0.1], "most": 2}
    assert len(wes.http.post("/api/v1/baskets/items", json=about).json()["items"]) == 2
    (query,) = [one for one in Observatory.asked if "/query" in one]
    assert "POS=CIRCLE+83.6+22.0+0.1" in query
    assert "MAXREC=2" in query


@pytest.mark.parametrize("position", [[400, 0, 1], [0, 91, 1], [0, 0, 0], [0, 0, 181], [0, 0], "here", None])
def test_a_position_that_is_none_is_refused(wes: Wes, vo: str, position: Any):
    about = {"source": "sia", "url": f"{vo}/sia", "position": position}
    assert wes.http.post("/api/v1/baskets/items", json=about).status_code == 400
    assert Observatory.asked == []


def test_the_page_has_images_around_a_position(wes: Wes, vo: str):
    token = {"csrf": wes.http.cookies["gridcwl_csrf"]}
    upload = [("files", ("count.cwl", json.dumps(COUNT).encode()))]
    draft = wes.http.post("/submit", data=token, files=upload, follow_redirects=False).headers["location"]
    sent = {**token, "do": "find", "source": "sia", "url": f"{vo}/sia", "position": "83.6, 22, 0.1"}
    page = html.unescape(wes.http.post(f"{draft}/basket", data=sent).text)
    assert "ivo://a?one" in page
    assert "'ftp://h/3.fits' is not a DID or a URL" in page
    wes.http.post(f"{draft}/basket", data={**token, "do": "use"})
    assert "https://h/2.fits" in wes.http.get(draft).text
    wrong = wes.http.post(f"{draft}/basket", data={**sent, "position": "83.6"})
    assert (wrong.status_code, "RA,DEC,RADIUS" in wrong.text) == (422, True)


def test_a_service_that_names_a_place_which_is_not_allowed_is_not_followed(wes: Wes, vo: str):
    Observatory.query = vo.replace("/vo", "/private/query")
    about = {"source": "sia", "url": f"{vo}/sia", "position": [83.6, 22.0, 0.1]}
    answer = wes.http.post("/api/v1/baskets/items", json=about)
    assert (answer.status_code, "which this service does not read" in answer.json()["msg"]) == (503, True)
    assert not any("private" in one for one in Observatory.asked)


def test_an_answer_without_end_is_not_read_to_its_end(wes: Wes, vo: str, monkeypatch: pytest.MonkeyPatch):
    from gridcwl.model import limits

    monkeypatch.setattr(limits, "TEXT_BYTES", 1 << 20)
    Observatory.answer = IMAGES.replace("<DATA>", f"<DATA><!--{'x' * (2 << 20)}-->")
    answer = wes.http.post("/api/v1/baskets/items", json={"source": "tap", "url": f"{vo}/tap", "query": "SELECT 1"})
    assert answer.status_code == 503
    assert "more than 1 MiB" in answer.json()["msg"]


def test_what_is_no_table_is_explained(wes: Wes, vo: str):
    Observatory.answer = "<html>maintenance</html>"
    answer = wes.http.post("/api/v1/baskets/items", json={"source": "datalink", "url": f"{vo}/links"})
    assert answer.status_code == 503
    assert "Traceback" not in answer.text
