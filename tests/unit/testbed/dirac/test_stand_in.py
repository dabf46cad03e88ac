"""What stands where OpenSearch would: DIRAC's calls for job parameters."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

from gridcwl.testbed.dirac.inside.opensearch_stand_in import Documents, _Handler


@pytest.fixture
def documents() -> Documents:
    return Documents()


def test_a_document_that_was_put_is_found(documents):
    assert documents.answer("PUT", "/jobs/_create/7", {"CPU": 1})[0] == 201
    assert documents.answer("GET", "/jobs/_doc/7", {})[1]["_source"] == {"CPU": 1}


def test_an_update_adds_to_a_document(documents):
    documents.answer("POST", "/jobs/_update/7", {"doc": {"A": 1}})
    documents.answer("POST", "/jobs/_update/7", {"doc": {"B": 2}})
    assert documents.answer("GET", "/jobs/_doc/7", {})[1]["_source"] == {"A": 1, "B": 2}


def test_a_script_removes_from_a_document(documents):
    documents.answer("POST", "/jobs/_update/7", {"doc": {"A": 1, "B": 2}})
    documents.answer("POST", "/jobs/_update/7", {"script": "ctx._source.remove('A')"})
    assert documents.answer("GET", "/jobs/_doc/7", {})[1]["_source"] == {"B": 2}


def test_several_documents_are_found_at_once(documents):
    documents.answer("PUT", "/jobs/_doc/1", {"A": 1})
    _, answer = documents.answer("POST", "/jobs/_mget", {"docs": [{"_id": 1}, {"_id": 2, "_index": "jobs"}]})
    assert [(each["found"], each.get("_source")) for each in answer["docs"]] == [(True, {"A": 1}), (False, None)]


def test_a_deleted_document_is_gone(documents):
    documents.answer("PUT", "/jobs/_doc/1", {})
    assert documents.answer("DELETE", "/jobs/_doc/1", {})[0] == 200
    assert documents.answer("DELETE", "/jobs/_doc/1", {})[0] == 404
    assert documents.answer("GET", "/jobs/_doc/1", {})[0] == 404


def test_an_index_is_there_once_it_was_made(documents):
    assert documents.answer("HEAD", "/jobs", {})[0] == 404
    documents.answer("PUT", "/jobs", {})
    assert documents.answer("HEAD", "/jobs", {})[0] == 200


def test_searches_find_nothing(documents):
    documents.answer("PUT", "/jobs/_doc/1", {"A": 1})
    assert documents.answer("POST", "/jobs/_search", {})[1]["hits"]["hits"] == []


def test_it_reports_that_it_is_not_opensearch(documents):
    assert "not OpenSearch" in documents.answer("GET", "/", {})[1]["cluster_name"]


def test_it_answers_over_http():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/http/_doc/1"
    try:
        put = urllib.request.Request(address, json.dumps({"A": 1}).encode(), method="PUT")
        assert urllib.request.urlopen(put).status == 201
        assert json.load(urllib.request.urlopen(address))["_source"] == {"A": 1}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + "0")
    finally:
        server.shutdown()
        server.server_close()
