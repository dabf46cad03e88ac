"""The page of the catalogue: what the operator offers, and the way to a run of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wes import Wes, serving

EVIL = "<img src=x onerror=alert(1)>"


def expression(label: str) -> dict[str, Any]:
    return {
        "cwlVersion": "v1.2",
        "class": "ExpressionTool",
        "label": label,
        "doc": f"It echoes. {EVIL}",
        "inputs": {"word": {"type": "string", "label": EVIL}, "number": "int?"},
        "outputs": {"said": "string"},
        "requirements": {"InlineJavascriptRequirement": {}},
        "expression": "${ return {said: inputs.word}; }",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalogue")


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Wes]:
    (folder / "echo.cwl").write_text(json.dumps(expression(f"Echo {EVIL}")))
    (folder / "broken.cwl").write_text("cwlVersion: v1.2\nclass: Workflow\n")
    (folder / ".hidden.cwl").write_text(json.dumps(expression("Hidden")))
    with serving(tmp_path_factory.mktemp("service"), catalogue=[str(folder)]) as client:
        yield client


def token(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_it_shows_what_is_offered_and_why_something_is_not(wes: Wes):
    page = wes.http.get("/catalogue").text
    assert "Echo &lt;img" in page
    assert "2 inputs" in page
    assert "number" in page
    assert "cannot be used" in page
    assert "Hidden" not in page
    assert "<img src=x" not in page
    assert 'href="/catalogue" aria-current="page"' in page


@pytest.mark.node
def test_a_workflow_is_run_from_the_page_to_its_end(wes: Wes):
    csrf = token(wes.http.get("/catalogue").text)
    form = wes.http.post("/catalogue/echo", data={"csrf": csrf})
    assert form.status_code == 200
    assert 'name="input:word"' in form.text

    sent = {"csrf": token(form.text), "input:word": "hello"}
    run = wes.http.post(str(form.url), data=sent, follow_redirects=False).headers["location"].rpartition("/")[2]

    log = wes.ended(run)
    assert (log["state"], log["outputs"]) == ("COMPLETE", {"said": "hello"})
    assert log["request"]["tags"]["workflow"] == "echo"
    assert f'href="/runs/{run}"' in wes.http.get("/catalogue").text


def test_a_workflow_that_was_changed_has_its_new_inputs(wes: Wes, folder: Path):
    path = folder / "changing.cwl"
    path.write_text(json.dumps(expression("First")))
    assert "First" in wes.http.get("/catalogue").text
    path.unlink()
    path.with_suffix(".new").write_text(json.dumps(expression("Second")))
    path.with_suffix(".new").rename(path)
    assert "Second" in wes.http.get("/catalogue").text
    path.unlink()
    assert "Second" not in wes.http.get("/catalogue").text


def test_without_its_token_or_its_name_nothing_is_chosen(wes: Wes):
    assert wes.http.post("/catalogue/echo", data={}).status_code == 403
    csrf = token(wes.http.get("/catalogue").text)
    assert wes.http.post("/catalogue/none", data={"csrf": csrf}).status_code == 404


def test_without_a_catalogue_nobody_is_led_there(tmp_path: Path):
    with serving(tmp_path) as wes:
        assert 'href="/catalogue"' not in wes.http.get("/").text
        assert "offers no workflows" in wes.http.get("/catalogue").text
