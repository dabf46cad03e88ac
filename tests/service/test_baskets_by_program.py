"""Baskets at the service for programs, and ``gridcwl basket ... --server URL``, with a fake ESAP gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl as command
from documents import expression
from issuing import Provided
from wes import Wes, in_thread, serving

from gridcwl.runs.record.journal import Journal
from gridcwl.service.folders import ServiceFolder
from gridcwl.testbed.fakes.esap import FakeEsap

COUNT = expression("${ return {said: inputs.events.length}; }", {"events": "File[]", "ra": "float?"}, {"said": "int"})
SAY = expression("${ return {said: inputs.word}; }", {"word": "string"}, {"said": "string"})
CART = [
    {"archive": "rucio", "record": {"scope": "cta", "name": "run1.zst", "type": "FILE"}},
    {"archive": "apertif", "record": {"name": "WSRTA1.MS", "ra": 1.5}},
    {"nothing": 1},
]
RULES = [{"input": "events", "archive": "apertif", "value": "https://h/{name}"}]


@pytest.fixture
def esap() -> Iterator[FakeEsap]:
    with FakeEsap({"ann": "token-of-ann"}) as gateway:
        gateway.cart("ann").extend(CART)
        yield gateway


@pytest.fixture
def wes(tmp_path: Path, esap: FakeEsap) -> Iterator[Wes]:
    with serving(tmp_path, esap_gateway=esap.url) as client:
        yield client


@pytest.fixture
def server(tmp_path: Path, esap: FakeEsap, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Wes, list[str]]]:
    """A service that listens, a folder with a document, and a file with a token for ESAP."""
    (tmp_path / "c").mkdir()
    for place in (tmp_path, tmp_path / "c"):
        (place / "count.cwl").write_text(json.dumps(COUNT))
    (tmp_path / "token").write_text("token-of-ann\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ESAP_HOST", raising=False)
    with in_thread(tmp_path, esap_gateway=esap.url, catalogue=[str(tmp_path / "c")]) as client:
        yield client, ["--server", str(client.http.base_url).rstrip("/")]


def sent(wes: Wes, what: str, document: Any = COUNT, headers: Any = None, **about: Any) -> Any:
    parts = [
        ("workflow_url", (None, "doc.cwl")),
        ("basket", (None, json.dumps(about))),
        ("workflow_attachment", ("doc.cwl", json.dumps(document).encode())),
    ]
    return wes.http.post(f"/api/v1/baskets/{what}", files=parts, headers=headers)  # type: ignore[arg-type]


def keep_outputs(wes: Wes, run: str, **values: Any) -> None:
    """Give a run the outputs that it would have with Rucio."""
    assert wes.settings is not None
    with closing(Journal(ServiceFolder(wes.settings.folder).record(run).journal)) as journal:
        journal.describe(values)


def file(location: str) -> dict[str, str]:
    return {"class": "File", "location": location, "basename": location.rpartition("/")[2]}


def test_what_items_become_is_previewed_and_what_does_not_fit_is_reported_item_by_item(wes: Wes):
    answer = sent(wes, "inputs", token="token-of-ann")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["inputs"] == {"events": [{"class": "File", "location": "rucio://cta/run1.zst"}], "ra": 1.5}
    assert [(one["number"], one["name"], one["inputs"], one["reason"]) for one in found["items"]] == [
        (1, "cta:run1.zst", ["events"], ""),
        (2, "WSRTA1.MS", [], "its record has no field url or the like"),
        (3, "", [], "it names no archive"),
    ]  # fmt: skip
    assert "token-of" not in answer.text


def test_a_preview_by_rules_of_the_caller(wes: Wes):
    found = sent(wes, "inputs", token="token-of-ann", rules=RULES).json()
    assert found["inputs"]["events"][0]["location"] == "https://h/WSRTA1.MS"
    assert found["items"][0]["reason"] == "no rule is for the archive rucio"
    given = sent(wes, "inputs", source="items", items=CART, rules=RULES).json()
    assert given == found


def test_the_usual_rules_for_a_document_are_given_out(wes: Wes):
    about = sent(wes, "rules").json()
    assert {"input": "events", "archive": "rucio", "value": "rucio://{scope}/{name}"} in about["rules"]
    assert about["inputs"][0] == {"name": "events", "type": "File", "many": True}


def test_items_are_listed_of_some_archives_only(wes: Wes):
    asked = {"token": "token-of-ann", "archives": ["apertif"]}
    answer = wes.http.post("/api/v1/baskets/items", json=asked).json()
    assert [(one["number"], one["name"]) for one in answer["items"]] == [(2, "WSRTA1.MS")]


@pytest.mark.parametrize(
    ("about", "status", "message"),
    [
        ({}, 400, "There is no token for ESAP"),
        ({"token": "other"}, 400, "refuses the token"),
        ({"source": "tap", "url": "https://h/tap"}, 400, "allowed_urls"),
        ({"source": "did", "dids": ["nothing"]}, 400, "is no run, no DID and no URL"),
        ({"source": "files"}, 400, "source"),
        ({"most": 0}, 400, "most"),
        ({"source": "items", "rules": [{"input": "event", "value": "x"}]}, 400, "which the document does not have"),
    ],
)
def test_mistakes_are_explained(wes: Wes, about: dict[str, Any], status: int, message: str):
    answer = sent(wes, "inputs", **about)
    assert (answer.status_code, message in answer.json()["msg"]) == (status, True), answer.text


def test_a_document_that_is_wrong_is_explained_without_folders_of_the_service(wes: Wes):
    step = {"run": "missing.cwl", "in": {}, "out": []}
    flow = {"cwlVersion": "v1.2", "class": "Workflow", "inputs": {}, "outputs": {}, "steps": {"a": step}}
    answer = sent(wes, "rules", flow)
    assert answer.status_code == 400
    assert "missing.cwl, which does not exist" in answer.json()["msg"]
    assert "/request-" not in answer.text


def test_a_service_without_a_gateway_says_so(tmp_path: Path):
    with serving(tmp_path) as client:
        assert "esap_gateway" in client.http.post("/api/v1/baskets/items", json={}).json()["msg"]


def test_a_gateway_that_does_not_answer_is_the_service_s_problem_and_not_the_caller_s(tmp_path: Path):
    with serving(tmp_path, esap_gateway="http://127.0.0.1:9/") as client:
        answer = client.http.post("/api/v1/baskets/items", json={"token": "t"})
        assert answer.status_code == 503


def test_whoever_may_not_submit_may_not_make_the_service_ask_others(tmp_path: Path, issuer: Provided, esap: FakeEsap):
    auth = issuer.auth(tmp_path, roles=[{"scope": "read", "may": ["read"]}])
    with serving(tmp_path, auth=auth, esap_gateway=esap.url) as client:
        reader = issuer.bearer("ann", scope="read")
        assert client.http.post("/api/v1/baskets/items", json={}, headers=reader).status_code == 403
        assert sent(client, "inputs", headers=reader).status_code == 403
        assert sent(client, "inputs").status_code == 401
    assert esap.requests == []


# -- into the basket -------------------------------------------------------------------------------------------------


def test_outputs_of_a_run_in_rucio_are_added_to_the_basket_once(wes: Wes, esap: FakeEsap):
    run = str(wes.run(SAY, {"word": "x"})["run_id"])
    keep_outputs(wes, run, outputs={"a": [file("rucio://cta/night%201/a"), file("rucio://cta/b")], "n": 5})
    before = list(esap.cart("ann"))
    added = wes.http.post(f"/api/v1/runs/{run}/basket", json={"token": "token-of-ann"})
    assert added.json() == {"added": 2, "present": 0, "left": []}
    assert esap.cart("ann") == [
        *before,
        {"archive": "rucio", "record": {"scope": "cta", "name": "night 1/a", "type": "FILE"}},
        {"archive": "rucio", "record": {"scope": "cta", "name": "b", "type": "FILE"}},
    ]
    again = wes.http.post(f"/api/v1/runs/{run}/basket", json={"token": "token-of-ann"})
    assert again.json() == {"added": 0, "present": 2, "left": []}


def test_a_run_whose_outputs_are_a_dataset_adds_the_dataset(wes: Wes, esap: FakeEsap):
    run = str(wes.run(SAY, {"word": "x"})["run_id"])
    keep_outputs(wes, run, outputs={"a": file("rucio://cta/b")}, rucio={"outputs": ["cta:results"]})
    wes.http.post(f"/api/v1/runs/{run}/basket", json={"token": "token-of-ann"})
    assert esap.cart("ann")[-1]["record"] == {"scope": "cta", "name": "results", "type": "DATASET"}


def test_outputs_that_are_at_the_service_only_are_named(wes: Wes):
    run = str(wes.run(SAY, {"word": "x"})["run_id"])
    keep_outputs(wes, run, outputs={"a": file("file:///somewhere/b")})
    answer = wes.http.post(f"/api/v1/runs/{run}/basket", json={"token": "token-of-ann"})
    assert answer.json() == {"added": 0, "present": 0, "left": ["a: b"]}


# -- on the command line -----------------------------------------------------------------------------------------------


def test_the_command_line_does_at_a_service_what_it_does_here(server: tuple[Wes, list[str]]):
    there, token = server[1], ["--token-file", "token"]
    listed = command("basket", "list", *there, *token)
    assert "cta:run1.zst" in listed.stdout, listed.stderr
    assert "item 3 of the basket is left out: it names no archive" in listed.stderr
    assert "rucio://{scope}/{name}" in command("basket", "rules", "count.cwl", *there).stdout
    done = command("basket", "inputs", "count.cwl", "--to", "in.yml", *there, *token)
    assert done.code == 1
    assert "location: rucio://cta/run1.zst" in Path("in.yml").read_text()
    assert "events: cta:run1.zst" in done.stderr
    assert "not used: WSRTA1.MS (apertif, item 2): its record has no field url or the like" in done.stderr
    assert "not used: item 3: it names no archive" in done.stderr


def test_a_workflow_of_the_catalogue_is_named_in_place_of_a_file(server: tuple[Wes, list[str]]):
    Path("count.cwl").unlink()
    done = command("basket", "inputs", "count", "--did", "cta:a", "--did", "https://h/b", *server[1])
    assert done.code == 0, done.stderr
    assert "rucio://cta/a" in done.stdout
    assert "https://h/b" in done.stdout


def test_dids_and_runs_of_a_service_are_added_from_the_command_line(server: tuple[Wes, list[str]], esap: FakeEsap):
    wes, there = server
    run = str(wes.run(SAY, {"word": "x"})["run_id"])
    keep_outputs(wes, run, outputs={"a": file("rucio://cta/made"), "b": file("file:///somewhere/here")})
    done = command("basket", "add", run, "cta:more", *there, "--token-file", "token")
    assert "2 item(s) added, 0 there already" in done.stderr
    assert "not added: b: here: it is at the service only" in done.stderr
    assert done.code == 1
    assert [one["record"]["name"] for one in esap.cart("ann")[-2:]] == ["made", "more"]


def test_a_gateway_of_the_user_and_a_service_exclude_each_other(server: tuple[Wes, list[str]]):
    done = command("basket", "list", "--host", "https://esap.example.org", *server[1])
    assert "exclude each other" in done.stderr
