"""DIRAC's accounting: its reports as numbers, and beside those of the journals."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from commandline import gridcwl
from report_runs import recorded, usage

from gridcwl import plugins
from gridcwl.backends.base import AccountedUsage
from gridcwl.backends.dirac.accounting import accounted
from gridcwl.backends.dirac.client import DiracClient
from gridcwl.errors import BackendError

NOW = 1_764_500_000.0


class Reports:
    """Answers as DIRAC's ReportGenerator does."""

    def __init__(self):
        self.queries = []

    def __call__(self, query):
        self.queries.append(query)
        group = "LCG.A" if query["grouping"] == "Site" else query["condDict"]["JobGroup"][0]
        number = {"TotalNumberOfJobs": 3.0, "TotalCPUUsed": 0.5, "TotalWallTime": 1.0}.get(query["reportName"])
        if number is not None:
            return {"data": {group: number}}
        grown = {"NormCPUUsed": 120.0, "CumulativeInputDataSize": 2.0}.get(query["reportName"], 0.0)
        return {"data": {group: {"1764500000": grown, "1764496400": grown / 2}}, "unit": "any"}


def test_sums_are_seconds_and_bytes():
    (found,) = accounted(Reports(), ["run-1"], "run", None, NOW)
    assert found == AccountedUsage("run-1", 3, 43_200.0, 86_400.0, 120.0, 2_000_000.0, 0.0)


def test_only_the_runs_are_asked_for_and_since_when():
    reports = Reports()
    accounted(reports, ["run-1", "run-2"], "site", NOW - 3600, NOW)
    query = reports.queries[0]
    assert (query["typeName"], query["grouping"], query["condDict"]) == (
        "Job",
        "Site",
        {"JobGroup": ["run-1", "run-2"]},
    )
    assert (query["startTime"], query["startTime"].tzinfo) == (datetime(2025, 11, 30, 9, 53, 20), None)
    assert query["endTime"] > query["startTime"]


def test_many_runs_are_asked_for_in_parts_and_added_up():
    (found,) = accounted(Reports(), [f"run-{number}" for number in range(401)], "site", None, NOW)
    assert (found.name, found.jobs, found.wall_s) == ("LCG.A", 9, 3 * 86_400.0)


def test_nothing_in_the_accounting_is_nothing():
    assert accounted(lambda _query: {"data": {}}, ["run-1"], "run", None, NOW) == []


class Modules:
    """Stands for DIRAC's own modules."""

    def __init__(self, answer):
        self._answer = answer

    def service(self, url, timeout):
        assert url == "Accounting/ReportGenerator"
        assert timeout > 0
        return self

    def getReport(self, query):  # noqa: N802  DIRAC's name
        return self._answer(query)


def test_the_client_asks_the_service_for_reports():
    reports = Reports()
    client = DiracClient(modules=Modules(lambda query: {"OK": True, "Value": reports(query)}))
    assert client.accounting(["run-1"], "run")[0].jobs == 3


def test_what_the_service_refuses_is_an_error():
    client = DiracClient(modules=Modules(lambda _query: {"OK": False, "Message": "Unauthorized query"}))
    with pytest.raises(BackendError, match="querying the accounting"):
        client.accounting(["run-1"], "run")


@pytest.fixture
def state(tmp_path, monkeypatch):
    made = DiracClient(modules=Modules(lambda query: {"OK": True, "Value": Reports()(query)}))
    monkeypatch.setattr("gridcwl.backends.dirac.client.DiracClient", lambda: made)
    return tmp_path / "state"


def test_the_command_shows_dirac_next_to_the_journals_and_what_dirac_has_not(state):
    for number in (1, 2):
        with recorded(state, name=f"20251129-10000{number}-000001") as run:
            run.run("process", usage(wall_s=7200.0, cpu_s=3600.0))

    lines = gridcwl("usage", "--backend", "dirac", "--state-dir", str(state)).stdout.splitlines()
    plain = json.loads(gridcwl("usage", "--backend=dirac", "--json", "--state-dir", str(state)).stdout)

    assert lines[1].split() == ["20251129-100002-000001", "3", "1", "24", "2", "12", "1", "120", "2", "MB"]
    assert lines[-2] == "1 of 2 are not in DIRAC's accounting: 20251129-100001-000001"
    assert plain["dirac"][0]["jobs"] == 3


def test_dirac_knows_neither_steps_nor_tools(state):
    result = gridcwl("usage", "--backend", "dirac", "--by", "step", "--state-dir", str(state))
    assert result.code == 2
    assert "DIRAC's accounting cannot be added up by step" in result.stderr


def test_only_backends_with_accounting_can_be_compared_with(tmp_path):
    assert plugins.backends_with("accounting") == ["dirac"]
    result = gridcwl("usage", "--backend", "local", "--state-dir", str(tmp_path))
    assert result.code == 2
    assert "local is not one of dirac" in result.stderr
