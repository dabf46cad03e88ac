"""The plug-in of ESAP gateways against a service: facilities, workflows, and jobs with their users' tokens.

In the gateway itself it is tested by ``make test-esap``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from documents import expression, shell
from gridcwl_esap import batch
from gridcwl_esap.client import GridcwlClient, GridcwlError, basket_item
from gridcwl_esap.connector import TOKEN, concordia_connector
from issuing import Provided
from waiting import until
from wes import Wes, in_thread

from gridcwl.backends.base import QueueOffer, SiteOffer

ECHO = {
    **expression("${ return {said: inputs.word}; }", {"word": "string"}, {"said": "string"}),
    "label": "An echo whose label is longer than thirty characters",
    "doc": "It says\nwhat it hears.",
}
FACILITIES = [{"name": "Italy", "sites": ["LCG.*.it"], "description": "INFN", "kind": "DIRAC"}]
SITES = [
    SiteOffer("LCG.Bari.it", (QueueOffer(cores=8, ram_mib=16384, tags=("GPU",)),)),
    SiteOffer("LCG.Pisa.it", (), status="Banned", is_open=False),
]
STUB = ("JobID", "OK", "MinorStatus", "Status", "Site")
"""What the gateway's stub answered, and its front end shows."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, issuer: Provided) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("esap")
    (folder / "c").mkdir()
    (folder / "c" / "echo.cwl").write_text(json.dumps(ECHO))
    (folder / "c" / "large.cwl").write_text(
        json.dumps(shell("true", requirements={"ResourceRequirement": {"coresMin": 4000}}))
    )
    with in_thread(
        folder, auth=issuer.auth(folder), catalogue=[str(folder / "c")], facilities=FACILITIES, max_active=1
    ) as wes:
        yield wes


@pytest.fixture
def client(service: Wes, issuer: Provided) -> GridcwlClient:
    return GridcwlClient(str(service.http.base_url), issuer.token("ann"))


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    from gridcwl.service.sites import Sites

    known = Sites.offers
    monkeypatch.setattr(Sites, "offers", lambda self: _with(known(self), SITES))


def _with(offers: Any, found: list[SiteOffer]) -> Any:
    from dataclasses import replace

    return replace(offers, backend="dirac", sites=tuple(found))


def session(issuer: Provided, user: str = "ann") -> dict[str, Any]:
    return {TOKEN: issuer.token(user)}


def ask(service: Wes, signed_in: Any, **params: str) -> Any:
    """As the gateway's query_controller asks: parameters in lists, the query handed on as it is."""
    connector = concordia_connector(str(service.http.base_url))
    query, _, errors = connector.construct_query(None, {name: [value] for name, value in params.items()}, {})
    return errors or connector.run_query(None, "gridcwl", query, session=signed_in)


@pytest.mark.usefixtures("grid")
def test_facilities_have_their_sites_and_what_these_offer(client: GridcwlClient):
    (italy,) = client.facilities()
    assert (italy["name"], italy["kind"], italy["gpu"], italy["open"]) == ("Italy", "DIRAC", True, True)
    assert italy["capacity"][0]["offers"] == "8 cores, 17.2 GB memory, GPU"
    (entry,) = batch.facility_entries(client)
    assert entry["description"] == ("INFN. 1 of 2 sites open, 1 with a GPU. LCG.Bari.it: 8 cores, 17.2 GB memory, GPU.")
    assert (entry["facilitytype"], entry["runtimeengine"]) == ("DIRAC", "gridcwl")


@pytest.mark.usefixtures("grid")
def test_workflows_are_entries_that_fit_the_gateways_fields(client: GridcwlClient):
    echo, large = batch.workflow_entries(client)
    assert echo["name"] == ECHO["label"][:30]
    assert echo["description"].startswith("It says what it hears. 1 site can run this")
    assert echo["filepath"] == "echo"
    assert "None of the 2 sites can run this." in large["description"]
    assert all(len(text) <= 240 for entry in (echo, large) for text in entry.values())
    assert [one["filepath"] for one in batch.found([echo, large], "HEARS")] == ["echo"]


def test_lists_of_the_gateway_stay_when_the_service_is_down():
    down = GridcwlClient("http://127.0.0.1:9")
    assert batch.search_facilities(["own"], down, dict, None) == ["own"]
    assert batch.search_workflows({"results": ["own"], "pages": 1}, down, "x")["results"] == ["own"]


@pytest.mark.node
def test_a_query_submits_its_workflow_once_and_shows_how_the_job_stands(service: Wes, issuer: Provided):
    signed_in = session(issuer)
    asked = {"workflow": "echo", "inputs": '{"word": "hello"}', "name": "mine", "jobid": "undefined"}
    (row,) = ask(service, signed_in, **asked)
    assert set(STUB) <= set(row)
    assert (row["OK"], row["Workflow"], row["Name"]) == (True, "echo", "mine")
    assert [again["JobID"] for again in ask(service, signed_in, **asked)] == [row["JobID"]], "a page that is reloaded"
    assert [again["JobID"] for again in ask(service, signed_in, **asked, again="true")] != [row["JobID"]]
    until(lambda: ask(service, signed_in, jobid=row["JobID"])[0]["Status"] == "Done")
    assert row["JobID"] in {one["JobID"] for one in ask(service, signed_in, action="list")}
    assert row["URL"] == f"{str(service.http.base_url).rstrip('/')}/runs/{row['JobID']}"


def test_a_job_is_stopped_and_is_nobody_elses(service: Wes, issuer: Provided):
    signed_in = session(issuer, "bob")
    (row,) = ask(service, signed_in, workflow="large")
    (stranger,) = ask(service, session(issuer, "eve"), jobid=row["JobID"], action="cancel")
    assert not stranger["OK"]
    assert ask(service, session(issuer, "eve"), action="list")[0]["MinorStatus"] == "You have no jobs"
    ask(service, signed_in, jobid=row["JobID"], action="cancel")
    until(lambda: ask(service, signed_in, jobid=row["JobID"])[0]["Status"] in ("Killed", "Failed"))


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"workflow": "none"}, "The catalogue has no workflow none"),
        ({"workflow": "../../runs"}, "There is no workflow"),
        ({"jobid": "../service-info"}, "There is no job"),
        ({"jobid": "x?y=z"}, "There is no job"),
        ({"jobid": "20260101-000000-aaaaaa"}, "20260101-000000-aaaaaa"),
        ({"workflow": "echo", "facility": "Mars"}, "no site or facility 'Mars'"),
        ({"workflow": "echo", "inputs": '{"word": {"class": "File", "location": "file:///etc/passwd"}}'}, "not below"),
    ],
)
def test_what_is_refused_is_a_row_that_says_why(service: Wes, issuer: Provided, params: dict[str, str], why: str):
    (row,) = ask(service, session(issuer), **params)
    assert not row["OK"]
    assert why in row["MinorStatus"]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "workflow is missing"),
        ({"workflow": "echo", "inputs": "[1]"}, "inputs is not a JSON object"),
        ({"workflow": "echo", "inputs": "{" * 100_000}, "inputs is not a JSON object"),
        ({"action": "destroy"}, "action is 'destroy'"),
        ({"action": "cancel"}, "jobid is missing"),
    ],
)
def test_parameters_that_are_wrong_are_found_before_anything_is_sent(
    service: Wes, issuer: Provided, params: dict[str, str], why: str
):
    assert why in ask(service, session(issuer), **params)[0]


def test_only_who_has_logged_in_is_served(service: Wes, issuer: Provided):
    for signed_in in (None, {}, {TOKEN: ""}):
        assert ask(service, signed_in, workflow="echo")[0]["MinorStatus"] == "Log in to run workflows"
    expired = {TOKEN: issuer.token("ann", seconds=-600)}
    (row,) = ask(service, expired, workflow="echo")
    assert row["MinorStatus"] == "The gridcwl service does not accept the login: log in again"
    assert expired[TOKEN] not in json.dumps(row)


@pytest.mark.parametrize("url", ["http://gridcwl.example.org", "ftp://a", "gridcwl", "https://"])
def test_tokens_are_sent_by_https_only(url: str):
    with pytest.raises(GridcwlError, match="https URL"):
        GridcwlClient(url)


def test_results_are_files_with_their_items_of_the_basket(monkeypatch: pytest.MonkeyPatch):
    file = {"class": "File", "location": "rucio://user.ann/a/b.dat", "basename": "b.dat", "size": 3}
    folder = {"class": "Directory", "listing": [{"class": "File", "location": "https://h/x.png"}]}
    answers = {"outputs": {"data": [file], "plots": folder, "count": 4}}
    client = GridcwlClient("https://gridcwl.example.org", "t")
    monkeypatch.setattr(client, "_send", lambda *_, **__: answers)
    data, plot = client.results("r1")
    assert basket_item(data) == {
        "archive": "rucio",
        "record": {"scope": "user.ann", "name": "a/b.dat", "type": "FILE", "bytes": 3},
    }
    assert basket_item(plot)["record"] == {"name": "x.png", "url": "https://h/x.png"}
