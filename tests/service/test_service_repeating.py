"""Pages of schedules and productions: added by the form for a run, shown, and changed by their buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from waiting import until
from wes import Wes, serving

COUNT = expression(
    "${ return {said: inputs.night + ' ' + (inputs.seed || 0)}; }",
    {"night": "string", "seed": "int?", "events": "File[]?"},
    {"said": "string"},
)


@pytest.fixture
def wes(tmp_path: Path) -> Iterator[Wes]:
    with serving(tmp_path) as client:
        client.http.get("/")
        yield client


def fill(wes: Wes, **fields: str) -> Any:
    """Upload the document, fill its form, and send it; the response."""
    import json

    token = {"csrf": wes.http.cookies["gridcwl_csrf"]}
    upload = [("files", ("count.cwl", json.dumps(COUNT).encode()))]
    made = wes.http.post("/submit", data=token, files=upload, follow_redirects=False)
    page = wes.http.get(made.headers["location"]).text
    names = dict(re.findall(r'<label for="(f\d+)">(\w+)', page))
    controls = {label: re.search(rf'id="{id_}"[^>]* name="([^"]+)"', page) for id_, label in names.items()}
    files = re.search(r'<legend>events.*?<textarea id="\w+" name="([^"]+)"', page, re.DOTALL)
    known = {label: found[1] for label, found in (controls | {"events": files}).items() if found}
    sent = {known.get(name, name): value for name, value in fields.items()}
    return wes.http.post(made.headers["location"], data=token | sent, follow_redirects=False)


def press(wes: Wes, path: str, **fields: str) -> Any:
    token = {"csrf": wes.http.cookies["gridcwl_csrf"]}
    return wes.http.post(path, data=token | fields, follow_redirects=False)


def test_a_form_adds_a_schedule_whose_page_shows_its_times_and_runs(wes: Wes):
    made = fill(
        wes, night="{tick:%Y}", events="{dids}", repeat="schedule", repeat_name="nightly", repeat_when="cron",
        repeat_cron="0 2 * * *", repeat_timezone="Europe/Berlin",
    )  # fmt: skip
    assert made.headers.get("location") == "/schedules/nightly", made.text
    page = wes.http.get("/schedules/nightly").text
    assert page.count("02:00:00 CE") == 5
    assert "It has not run yet" in page
    assert press(wes, "/schedules/nightly/run-now").headers["location"] == "/schedules/nightly"
    until(lambda: ">success<" in wes.http.get("/schedules/nightly").text)
    (run,) = set(re.findall(r'href="/runs/([^"]+)"', wes.http.get("/schedules/nightly").text))
    assert wes.get(f"/runs/{run}").json()["outputs"]["said"] == f"{run[:4]} 0"
    press(wes, "/schedules/nightly/pause")
    assert "Paused by its user" in wes.http.get("/schedules/nightly").text
    assert "paused" in wes.http.get("/schedules").text
    press(wes, "/schedules/nightly/rm")
    assert "There are no schedules yet" in wes.http.get("/schedules").text


def test_a_form_creates_a_production_whose_page_shows_progress_and_extends_it(wes: Wes):
    made = fill(
        wes, night="x", repeat="production", production_name="mc", production_input="seed", production_over="1..5",
        production_portion="2",
    )  # fmt: skip
    assert made.headers.get("location") == "/productions/mc", made.text
    until(lambda: "5 of 5 done" in wes.http.get("/productions/mc").text)
    press(wes, "/productions/mc/extend", count="2")
    until(lambda: "7 of 7 done" in wes.http.get("/productions/mc").text)
    assert "7 of 7" in wes.http.get("/productions").text
    press(wes, "/productions/mc/rm")
    assert "There are no productions yet" in wes.http.get("/productions").text


def test_a_mistake_is_shown_with_what_was_filled_in(wes: Wes):
    made = fill(wes, night="x", repeat="schedule", repeat_name="n", repeat_when="cron", repeat_cron="99 * * * *")
    assert made.status_code == 422
    assert "is no cron expression" in made.text
    assert 'value="99 * * * *"' in made.text
    other = fill(wes, night="x", repeat="production", production_name="p", production_over="9..1")
    assert other.status_code == 422
    assert "are no seeds" in other.text


def test_buttons_of_other_pages_change_nothing(wes: Wes):
    fill(wes, night="x", repeat="schedule", repeat_name="n", repeat_when="every", repeat_every="1d")
    assert wes.http.post("/schedules/n/rm", data={"csrf": "wrong"}).status_code == 403
    assert wes.http.get("/schedules/n").status_code == 200
