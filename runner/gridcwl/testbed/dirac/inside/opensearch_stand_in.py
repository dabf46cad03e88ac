"""Stands where OpenSearch stands in production: an HTTP server that keeps job parameters in memory, and nothing more.

    python -m gridcwl.testbed.dirac.inside.opensearch_stand_in PORT

DIRAC keeps a job's parameters (its wrapper's pid, the memory it took, an error) in OpenSearch and nothing else that
matters here. This answers the few calls that DIRAC's ElasticSearchDB makes for that: documents by index and identifier.
Searches find nothing. What it holds is lost when it ends.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_SHARDS = {"total": 1, "successful": 1, "failed": 0}
_ABOUT = {
    "name": "stand-in",
    "cluster_name": "gridcwl testbed: not OpenSearch",
    "cluster_uuid": "none",
    "version": {"distribution": "opensearch", "number": "2.11.0"},
    "tagline": "",
}
_NOTHING = {
    "took": 1,
    "timed_out": False,
    "_shards": _SHARDS,
    "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []},
    "aggregations": {},
}
_REMOVE = re.compile(r"remove\('(.*)'\)")

Answer = tuple[int, dict[str, Any]]


class Documents:
    """Indices of documents by identifier."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._indices: dict[str, dict[str, dict[str, Any]]] = {}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Status and JSON for a request."""
        parts = [unquote(part) for part in urlsplit(path).path.split("/") if part]
        with self._lock:
            match parts:
                case []:
                    return 200, _ABOUT
                case [*_, "_mget"]:
                    return 200, {"docs": [self._found(each.get("_index") or parts[0], each) for each in body["docs"]]}
                case [*_, "_search"]:
                    return 200, _NOTHING
                case [index, "_doc" | "_create" | "_update" as operation, identifier]:
                    return self._document(method, index, operation, identifier, body=body)
                case [index] if not index.startswith("_"):
                    return self._index(method, index)
        return 200, {"acknowledged": True}

    def _found(self, index: str, wanted: dict[str, Any]) -> dict[str, Any]:
        identifier = str(wanted["_id"])
        source = self._indices.get(index, {}).get(identifier)
        found = {"_index": index, "_id": identifier, "found": source is not None}
        return found if source is None else {**found, "_source": source}

    def _document(self, method: str, index: str, operation: str, identifier: str, *, body: dict[str, Any]) -> Answer:
        about = {"_index": index, "_id": identifier}
        documents = self._indices.setdefault(index, {})
        if method in {"GET", "HEAD"}:
            there = identifier in documents
            return 200 if there else 404, {**about, "found": there, "_source": documents.get(identifier, {})}
        if method == "DELETE":
            gone = documents.pop(identifier, None)
            return 200 if gone is not None else 404, {**about, "result": "deleted" if gone is not None else "not_found"}
        created = identifier not in documents
        if operation == "_update":
            self._update(documents.setdefault(identifier, {}), body)
        else:
            documents[identifier] = body
        answer = {"result": "created" if created else "updated", "_version": 1, "_seq_no": 1, "_primary_term": 1}
        return 201 if created else 200, {**about, **answer, "_shards": _SHARDS}

    @staticmethod
    def _update(document: dict[str, Any], body: dict[str, Any]) -> None:
        document.update(body.get("doc") or {})
        script = body.get("script") or ""
        removed = _REMOVE.search(script if isinstance(script, str) else script.get("source", ""))
        if removed:
            document.pop(removed.group(1), None)

    def _index(self, method: str, index: str) -> Answer:
        if method in {"HEAD", "GET"}:
            return 200 if index in self._indices else 404, {index: {}}
        if method == "PUT":
            self._indices.setdefault(index, {})
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": index}
        if method == "DELETE":
            self._indices.pop(index, None)
        return 200, {"acknowledged": True}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    documents = Documents()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads a line for every parameter."""

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).strip()
        # a bulk request is several JSON objects, one a line: nothing here is kept that way
        body = json.loads(raw) if raw.startswith(b"{") and b"\n{" not in raw else {}
        status, value = self.documents.answer(self.command, self.path, body)
        answer = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
