"""Zooniverse's exports by its own client, against a fake with the API's real shapes."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import gridcwl as command

import gridcwl
from gridcwl.datasets import zooniverse
from gridcwl.datasets.zooniverse import NotReadyError, ZooniverseAccount, account_of, export
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model.confinement import Confinement
from gridcwl.testbed.fakes.zooniverse import FakeZooniverse

WEEK = {"catalog": "workflow", "project_id": 1, "workflow_id": 2, "category": "classifications"}
FILES = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"files": {"type": "File[]", "inputBinding": {}}},
    "outputs": {"out": {"type": "stdout"}},
}


@pytest.fixture
def api(desk, monkeypatch):
    for name in (*zooniverse.VARIABLES, "PANOPTES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with FakeZooniverse({"ann": "secret"}, {"program": "its-secret"}) as fake:
        fake.add("project", 1)
        fake.add("workflow", 2)
        fake.classify("workflow", 2, choice="spiral")
        fake.export("workflow", 2)
        yield fake


@pytest.fixture
def ann(api):
    return ZooniverseAccount("ann", "secret", endpoint=api.url)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_an_export_is_written_as_it_is_now(api, ann, tmp_path):
    path = export(WEEK, tmp_path / "exports", ann)
    assert path.name == "workflow-2-classifications.csv"
    assert lines(path)[0].startswith("classification_id,user_name,user_id")
    assert '""value"": ""spiral""' in lines(path)[1]
    api.classify("workflow", 2)
    assert len(lines(export(WEEK, tmp_path / "exports", ann))) == 2  # nobody has asked for a new one
    api.export("workflow", 2)
    assert len(lines(export(WEEK, tmp_path / "exports", ann))) == 3
    assert list((tmp_path / "exports").iterdir()) == [path]


def test_a_new_export_is_asked_for_once_and_waited_for(api, ann, tmp_path):
    api.classify("workflow", 2)
    api.slow = 3
    for _ in range(2):
        with pytest.raises(NotReadyError, match=r"is making the classifications of workflow 2 \(creating\)"):
            export({**WEEK, "generate": True}, tmp_path, ann)
    assert len(lines(export({**WEEK, "generate": True}, tmp_path, ann))) == 3
    assert api.requests.count("POST /api/workflows/2/classifications_export") == 1


def test_an_application_may_ask_in_place_of_a_user(api, tmp_path):
    program = ZooniverseAccount(client_id="program", client_secret="its-secret", endpoint=api.url)
    assert export(WEEK, tmp_path, program).exists()
    assert "POST /users/sign_in" not in api.requests


@pytest.mark.parametrize(
    ("change", "record", "message"),
    [
        ({"password": "wrong"}, WEEK, "Invalid email or password"),
        ({"user": "", "password": ""}, WEEK, "No classifications_export exists for workflow #2"),
        ({"user": "", "client_id": "program", "client_secret": "x"}, WEEK, "refuses the login"),
        ({}, {**WEEK, "workflow_id": 9}, "Could not find"),
        ({}, {"catalog": "project", "project_id": 1, "category": "subjects"}, "No subjects_export exists"),
        ({"endpoint": "http://127.0.0.1:9"}, WEEK, "127.0.0.1 does not answer"),
        ({"most_bytes": 20}, WEEK, "more than 0 MiB"),
        ({"media": Confinement(urls=("https://files.example.org/",))}, WEEK, "is not read here"),
    ],
)
def test_what_is_not_given_is_explained(api, ann, tmp_path, change, record, message):
    with pytest.raises(StoreError, match=message) as caught:
        export(record, tmp_path, replace(ann, **change))
    assert "secret" not in str(caught.value)
    assert "sig=" not in str(caught.value)
    assert list(tmp_path.glob("*.csv")) == []


@pytest.mark.parametrize(
    "record",
    [
        {**WEEK, "workflow_id": "two"},
        {**WEEK, "workflow_id": ""},
        {"catalog": "workflow", "project_id": 1},
        {**WEEK, "catalog": "group"},
        {**WEEK, "category": "users"},
        {**WEEK, "generate": "yes"},
    ],
)
def test_a_record_that_names_no_export_is_refused(record, tmp_path):
    with pytest.raises(ConfigError, match="Zooniverse"):
        export(record, tmp_path, ZooniverseAccount())


def test_nothing_of_this_machine_is_used_but_what_the_account_says(api, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PANOPTES_USERNAME", "ann")
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret")
    monkeypatch.setenv("PANOPTES_CLIENT_SECRET", "its-secret")
    level = logging.getLogger().level
    with pytest.raises(StoreError):
        export(WEEK, tmp_path, ZooniverseAccount(endpoint=api.url))
    assert logging.getLogger().level == level
    assert [one for one in api.requests if one.startswith("POST")] == []


def test_the_environment_has_the_account_of_the_command_line(api):
    found = account_of({"PANOPTES_USERNAME": "ann", "PANOPTES_PASSWORD": "secret", "PANOPTES_ENDPOINT": api.url})
    assert found == ZooniverseAccount("ann", "secret", endpoint=api.url)
    assert found.is_known
    assert "secret" not in repr(found)


# -- baskets and schedules -------------------------------------------------------------------------------------------


@pytest.fixture
def environment(api, monkeypatch):
    monkeypatch.setenv("PANOPTES_ENDPOINT", api.url)
    monkeypatch.setenv("PANOPTES_USERNAME", "ann")
    monkeypatch.setenv("PANOPTES_PASSWORD", "secret")


@pytest.mark.usefixtures("environment", "token")
def test_items_of_a_basket_become_files_and_those_that_are_not_given_are_reported(desk, api, esap):
    document = desk.write("doc.cwl", json.dumps(FILES))
    esap.cart("alice").append({**esap.cart("alice")[3], "workflow_id": 9})
    found = gridcwl.basket(archives=["zooniverse", "apertif"]).map(document, folder="exports")
    assert [file["location"].rpartition("/")[2] for file in found.inputs["files"]] == [
        "WSRTA1.MS", "workflow-2-classifications.csv",
    ]  # fmt: skip
    ((item, why),) = found.problems
    assert (item.number, "Could not find" in why) == (5, True)
    done = command("basket", "inputs", str(document), "--archive", "zooniverse", "--to", "in.yml")
    assert done.code == 1
    assert "not used: classifications of workflow 9 (zooniverse, item 5): Zooniverse gives no" in done.stderr


@pytest.mark.usefixtures("environment")
def test_a_schedule_waits_for_the_export_that_it_asked_for(desk, api):
    desk.write("doc.cwl", json.dumps(FILES))
    record = "{catalog: workflow, workflow_id: 2, category: classifications, generate: true}"
    desk.write("weekly.yml", f"files: [{{class: File, zooniverse: {record}}}]\n")
    api.classify("workflow", 2)
    api.slow = 1
    command("schedule", "add", "weekly", "--cron", "0 6 * * 1", "--", "--outdir", "out", "doc.cwl", "weekly.yml")
    command("schedule", "run-now", "weekly")
    done = command("schedule", "run", "--once")
    (tick,) = json.loads(command("schedule", "show", "weekly", "--json").stdout)["ticks"]
    assert tick["state"] == "success", done.stderr
    assert api.requests.count("POST /api/workflows/2/classifications_export") == 1
    (written,) = (desk.folder / "out").iterdir()
    assert len(lines(written)) == 3
