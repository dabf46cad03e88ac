"""Exports of Zooniverse as inputs at the service: fetched when a run begins, with its owner's account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl as command
from documents import expression
from issuing import Provided
from waiting import until
from wes import Wes, process, serving

from gridcwl.errors import ConfigError
from gridcwl.service.settings import load
from gridcwl.service.shared_folder import SharedFolder
from gridcwl.testbed.fakes.zooniverse import FakeZooniverse

COUNT = expression(
    "${ return {rows: inputs.rows.contents.trim().split('\\n').length - 1, week: inputs.week}; }",
    {"rows": {"type": "File", "loadContents": True}, "week": "string?"},
    {"rows": "int", "week": "string?"},
)
RECORD = {"catalog": "workflow", "workflow_id": 2, "category": "classifications"}
ROWS = {"rows": {"class": "File", "zooniverse": RECORD}}
NEW = {"rows": {"class": "File", "zooniverse": {**RECORD, "generate": True}}}
ACCOUNT = "# of the project\nPANOPTES_USERNAME=ann\nexport PANOPTES_PASSWORD='secret'\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from gridcwl.service import zooniverse_exports

    monkeypatch.setattr(zooniverse_exports, "_LOOK_EVERY_S", 0.05)
    for name in ("PANOPTES_USERNAME", "PANOPTES_PASSWORD", "PANOPTES_CLIENT_ID", "PANOPTES_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def api() -> Iterator[FakeZooniverse]:
    with FakeZooniverse({"ann": "secret"}) as fake:
        fake.add("workflow", 2)
        fake.classify("workflow", 2)
        fake.export("workflow", 2)
        yield fake


def allowed(api: FakeZooniverse, **more: Any) -> dict[str, Any]:
    return {"zooniverse": {"endpoint": api.url, "media": [f"{api.url}/"], **more}}


@pytest.fixture
def wes(tmp_path: Path, api: FakeZooniverse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wes]:
    """A service for one user, whose environment has the account."""
    monkeypatch.setenv("PANOPTES_USERNAME", "ann")
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret")
    with serving(tmp_path, **allowed(api)) as client:
        yield client


def test_a_run_has_the_export_as_it_is_when_it_begins(wes: Wes, api: FakeZooniverse):
    api.classify("workflow", 2)
    api.slow = 2
    assert wes.run(COUNT, ROWS)["outputs"]["rows"] == 1
    log = wes.run(COUNT, NEW)
    assert log["outputs"]["rows"] == 2
    assert log["request"]["workflow_params"] == NEW
    assert api.requests.count("POST /api/workflows/2/classifications_export") == 1


def test_a_run_shows_that_it_waits_and_can_be_stopped(wes: Wes, api: FakeZooniverse):
    api.slow = 10**6
    run = wes.submit(COUNT, NEW)
    until(lambda: "is making the classifications of workflow 2" in str(wes.get(f"/runs/{run}").json()["run_log"]))
    wes.http.post(f"/ga4gh/wes/v1/runs/{run}/cancel")
    assert wes.ended(run)["state"] == "CANCELED"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"media": ["https://files.example.org/"]}, "which is not read here"),
        ({"max_mib": 0}, "more than 0 MiB"),
        ({"wait_hours": 0}, "took too long"),
    ],
)
def test_limits_of_the_operator_hold(tmp_path: Path, api: FakeZooniverse, monkeypatch, more, message):
    monkeypatch.setenv("PANOPTES_USERNAME", "ann")
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret")
    api.slow = 10
    with serving(tmp_path, **allowed(api, **more)) as client:
        log = client.run(COUNT, NEW if "wait_hours" in more else ROWS)
    assert log["state"] in ("EXECUTOR_ERROR", "SYSTEM_ERROR")
    assert message in str(log["run_log"])
    assert "sig=" not in str(log)


@pytest.mark.parametrize(
    ("record", "message"),
    [({**RECORD, "workflow_id": "x"}, "It is a number"), ({"catalog": "group"}, "Zooniverse has")],
)
def test_a_record_that_names_no_export_is_refused_at_once(wes: Wes, record: dict[str, Any], message: str):
    answer = wes.post(COUNT, {"rows": {"class": "File", "zooniverse": record}})
    assert (answer.status_code, message in answer.json()["msg"]) == (400, True)


def test_a_service_whose_operator_allows_none_refuses_them_and_says_how(tmp_path: Path):
    with serving(tmp_path) as client:
        assert "[zooniverse]" in client.post(COUNT, ROWS).json()["msg"]


@pytest.mark.parametrize("about", [{"endpoint": "http://zooniverse.org"}, {"media": ["https://files"]}])
def test_places_that_are_no_https_urls_are_refused(tmp_path: Path, about: dict[str, Any]):
    with pytest.raises(ConfigError, match="zooniverse"):
        load(None, {"folder": tmp_path, "zooniverse": about})


# -- accounts of users -----------------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path, api: FakeZooniverse, issuer: Provided) -> Iterator[Wes]:
    """A service for many."""
    with serving(
        tmp_path, auth=issuer.auth(tmp_path), credentials={"rucio": "token"}, **allowed(api)
    ) as client:  # fmt: skip
        yield client


def put(wes: Wes, issuer: Provided, user: str, kind: str, text: str) -> Any:
    return wes.http.put(f"/api/v1/credentials/{kind}", json={"text": text}, headers=issuer.bearer(user))


def test_each_user_has_an_account_of_their_own_and_runs_wait_for_it(shared: Wes, issuer: Provided, api, monkeypatch):
    monkeypatch.setenv("PANOPTES_USERNAME", "ann")  # the service's own is not for users
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret")
    put(shared, issuer, "ann", "token", issuer.token("ann"))
    who = issuer.bearer("ann")
    run = shared.post(COUNT, ROWS, headers=who).json()["run_id"]
    log = lambda: shared.get(f"/runs/{run}", headers=who).json()  # noqa: E731
    until(lambda: "an account of ann at Zooniverse is missing" in str(log()["run_log"]))
    assert api.requests == []
    stored = put(shared, issuer, "ann", "zooniverse", ACCOUNT)
    assert (stored.status_code, stored.json()["about"], stored.json()["unlimited"]) == (200, "ann", True)
    assert "secret" not in stored.text
    until(lambda: log()["state"] == "COMPLETE")
    assert log()["outputs"]["rows"] == 1


@pytest.mark.parametrize("text", ["", "PANOPTES_USERNAME=ann\n", "PATH=/bin\n", "secret", "PANOPTES_PASSWORD=secret"])
def test_what_is_no_account_is_refused_without_showing_it(shared: Wes, issuer: Provided, text: str):
    answer = put(shared, issuer, "ann", "zooniverse", text)
    assert answer.status_code == 400
    assert "secret" not in answer.text


def test_the_page_has_the_account_as_an_optional_credential(tmp_path: Path, api, issuer: Provided):
    with serving(tmp_path, issuer.bearer("ann"), auth=issuer.auth(tmp_path), credentials={"rucio": "token"},
                 **allowed(api)) as client:  # fmt: skip
        assert "Account at Zooniverse" in client.http.get("/account").text
        client.http.put("/api/v1/credentials/zooniverse", json={"text": ACCOUNT})
        text = client.http.get("/account").text
        assert "<dd>ann</dd>" in text
        assert "secret" not in text


def test_the_command_line_stores_and_removes_it(tmp_path: Path, api, issuer: Provided, monkeypatch):
    (tmp_path / "account").write_text(ACCOUNT)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BEARER_TOKEN", issuer.token("ann"))
    auth = issuer.auth(tmp_path)
    with process(tmp_path, auth=auth, credentials={"rucio": "token"}, **allowed(api)) as (client, _):
        there = ["--server", str(client.http.base_url).rstrip("/")]
        done = command("credentials", "add", *there, "--zooniverse", str(tmp_path / "account"))
        assert "has your account at Zooniverse\n" in done.stderr
        assert "ann" in command("credentials", "ls", *there).stdout
        command("credentials", "rm", "zooniverse", *there)
        assert "ann" not in command("credentials", "ls", *there).stdout


# -- schedules, baskets, several machines ------------------------------------------------------------------------------


def test_each_run_of_a_schedule_fetches_the_export(wes: Wes, api: FakeZooniverse):
    about = {"name": "weekly", "cron": "0 6 * * 1"}
    params = {**NEW, "week": "{tick:%G}"}
    form = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "doc.cwl"}
    parts = [(name, (None, value)) for name, value in form.items()]
    parts += [("workflow_params", (None, json.dumps(params))), ("schedule", (None, json.dumps(about)))]
    upload = ("workflow_attachment", ("doc.cwl", json.dumps(COUNT).encode()))
    made = wes.http.post("/api/v1/schedules", files=[*parts, upload])  # type: ignore[list-item]
    assert made.status_code in (200, 201), made.text
    for rows in (2, 3):
        api.classify("workflow", 2)
        run = wes.http.post("/api/v1/schedules/weekly/run-now").json()["run"]
        until(lambda run=run: wes.get(f"/runs/{run}").status_code == 200)
        outputs = wes.ended(run)["outputs"]
        assert (outputs["rows"], len(outputs["week"])) == (rows, 4)


def test_items_of_a_basket_become_exports(wes: Wes):
    about = {"source": "items", "items": [{"archive": "zooniverse", **RECORD}]}
    parts = [("workflow_url", (None, "doc.cwl")), ("basket", (None, json.dumps(about)))]
    upload = ("workflow_attachment", ("doc.cwl", json.dumps(COUNT).encode()))
    found = wes.http.post("/api/v1/baskets/inputs", files=[*parts, upload]).json()  # type: ignore[list-item]
    assert found["inputs"] == ROWS
    assert wes.run(COUNT, found["inputs"])["outputs"]["rows"] == 1


def test_another_machine_has_the_export_of_a_run_that_it_takes_over(wes: Wes, tmp_path: Path):
    run = wes.submit(COUNT, ROWS)
    wes.ended(run)
    engine = wes.service.db.engine
    folder = wes.service.folder.run(run)
    here = SharedFolder(wes.service.folder.path, engine, 1 << 20)
    here.submitted(run)
    here.added(run, [folder.params, *(folder.files / "zooniverse").iterdir()])
    there = SharedFolder(tmp_path / "there", engine, 1 << 20)
    there.make()
    restored = there.restored(run)
    assert restored.read_params()["rows"]["location"] == "zooniverse/workflow-2-classifications.csv"
    assert (restored.files / "zooniverse" / "workflow-2-classifications.csv").exists()
