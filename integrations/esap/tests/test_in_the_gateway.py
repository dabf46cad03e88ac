"""The plug-in in a real gateway: its views, its query controller, its models and its serializers.

``make test-esap`` starts a gridcwl service without authentication, whose catalogue has ``echo``, and names it in
GRIDCWL_URL.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client
from django.urls import include, path
from gridcwl_esap.connector import TOKEN, concordia_connector
from query.api.services import concordia, query_controller
from query.models import Archive, Catalog, DataSet, ParameterMapping
from rest_framework.test import APIClient

QUERY = "/esap-api/query/query/"


@pytest.fixture(scope="module", autouse=True)
def gateway() -> None:
    """The gateway's own entries of its database for CONCORDIA, and the plug-in's URLs."""
    import esap.urls
    from django.conf import settings

    mapping = ParameterMapping.objects.create(uri="concordia", parameters="{}")
    catalog = Catalog.objects.create(
        uri="concordia", name="concordia", url=settings.GRIDCWL_URL, parameters=mapping, institute="CTA"
    )
    archive = Archive.objects.create(uri="concordia", name="concordia", instrument="CTA", institute="CTA")
    DataSet.objects.create(
        uri="concordia", name="concordia", dataset_catalog=catalog, dataset_archive=archive,
        service_connector="concordia.concordia_connector", institute="CTA",
    )  # fmt: skip
    esap.urls.urlpatterns.append(path("esap-api/gridcwl/", include("gridcwl_esap.urls")))


@pytest.fixture
def browser() -> APIClient:
    """Somebody who has logged in at the gateway."""
    client = APIClient()
    session = client.session
    session[TOKEN] = "a-token"
    session.save()
    return client


def query(browser: APIClient, **params: str) -> Any:
    return browser.get(QUERY, {"archive_uri": "concordia", **params}).json()


def ended(browser: APIClient, job: str) -> dict[str, Any]:
    for _ in range(600):
        (row,) = query(browser, jobid=job)["results"]
        if row["Status"] in ("Done", "Failed", "Killed"):
            return row
        time.sleep(0.1)
    raise AssertionError(row)


def test_the_stub_is_gone_and_the_gateway_finds_the_connector():
    assert concordia.concordia_connector is concordia_connector
    found = query_controller.instantiate_connector(DataSet.objects.get(uri="concordia"))
    assert isinstance(found, concordia_connector)
    assert found.url


def test_a_query_of_the_gateway_runs_a_workflow_to_its_end(browser: APIClient):
    asked = {"workflow": "echo", "inputs": json.dumps({"word": "hello"}), "name": "from ESAP"}
    answer = query(browser, **asked)
    assert answer["description"] == "ESAP API Gateway"
    (row,) = answer["results"]
    assert row["OK"] is True, row
    assert query(browser, **asked)["results"][0]["JobID"] == row["JobID"], "a page that is reloaded"
    done = ended(browser, row["JobID"])
    assert (done["Status"], done["Workflow"], done["Name"]) == ("Done", "echo", "from ESAP")
    assert row["JobID"] in {one["JobID"] for one in query(browser, action="list")["results"]}
    results = query(browser, action="results", jobid=row["JobID"])["results"]
    assert [(one["output"], one["name"]) for one in results] == [("said", "said.txt")]


def test_what_is_wrong_is_told_in_the_gateways_way(browser: APIClient):
    answer = browser.get(QUERY, {"archive_uri": "concordia", "action": "destroy"})
    assert "action is" in answer.content.decode()
    (row,) = query(browser, workflow="none")["results"]
    assert (row["OK"], row["MinorStatus"]) == (False, "The catalogue has no workflow none")
    (row,) = query(APIClient(), workflow="echo")["results"]
    assert row["MinorStatus"] == "Log in to run workflows"


def test_facilities_and_workflows_stand_among_the_gateways_own(browser: APIClient):
    from batch.models import Facility, Workflow

    Facility.objects.create(name="Rosetta @ INAF OATS", description="d", url="https://a", facilitytype="rosetta")
    Workflow.objects.create(name="CTA Monte Carlo Generation", description="d", url="None", workflowtype="container")
    facilities = browser.get("/esap-api/batch/facilities/search").json()["results"]
    assert [one["name"] for one in facilities] == ["Rosetta @ INAF OATS", "local"]
    assert "this machine" in facilities[1]["description"]
    assert facilities[1]["runtimeengine"] == "gridcwl"
    workflows = browser.get("/esap-api/batch/workflows/search").json()["results"]
    assert [one["filepath"] for one in workflows] == ["", "echo"]
    assert len(browser.get("/esap-api/batch/facilities/search?keyword=rosetta").json()["results"]) == 1


def test_jobs_are_resources_for_the_front_end(browser: APIClient):
    made = browser.post("/esap-api/gridcwl/jobs", {"workflow": "echo", "inputs": {"word": "a"}}, format="json").json()
    assert "JobID" in made, made
    done = ended(browser, made["JobID"])
    assert done["Status"] == "Done"
    (file,) = browser.get(f"/esap-api/gridcwl/jobs/{made['JobID']}/results").json()["results"]
    assert file["basket"]["record"]["name"] == "said.txt"
    assert made["JobID"] in {one["JobID"] for one in browser.get("/esap-api/gridcwl/jobs").json()["results"]}
    assert browser.delete(f"/esap-api/gridcwl/jobs/{made['JobID']}").status_code in (200, 400)
    capacity = browser.get("/esap-api/gridcwl/capacity").json()
    assert capacity["workflows"][0]["name"] == "echo"
    assert capacity["facilities"][0]["capacity"][0]["offers"]
    assert browser.get("/esap-api/gridcwl/jobs/none").status_code == 400
    assert APIClient().get("/esap-api/gridcwl/jobs").status_code == 401


def test_forms_of_other_sites_are_refused():
    client = Client(enforce_csrf_checks=True)
    session = client.session
    session[TOKEN] = "a-token"
    session.save()
    sent = client.post("/esap-api/gridcwl/jobs", {"workflow": "echo"}, content_type="application/json")
    assert sent.status_code == 403
    assert isinstance(sent.wsgi_request, HttpRequest)
