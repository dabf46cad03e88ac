"""Pages of the service: escaped, without anything from elsewhere, and usable without JavaScript."""

from __future__ import annotations

import re

import pytest
from documents import expression, shell, step, workflow
from wes import IMAGE, Wes

EVIL = "<img src=x onerror=alert(1)>"
TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})


def test_the_list_has_a_link_to_each_run_and_filters_by_state(wes: Wes):
    run = wes.run(TWICE, {"number": 1}, tags='{"name": "nightly"}')["run_id"]
    page = wes.http.get("/").text
    assert f'href="/runs/{run}"' in page
    assert "nightly" in page
    assert run in wes.http.get("/?state=COMPLETE").text
    assert run not in wes.http.get("/?state=CANCELED").text


@pytest.mark.docker
def test_a_run_has_its_steps_jobs_logs_and_outputs(wes: Wes):
    made = shell("echo x", outputs={"said": "stdout"}, stdout="said.txt", requirements=IMAGE)
    flow = workflow({}, {"said": {"type": "File", "outputSource": "make/said"}}, make=step(made, "said"))
    log = wes.run(flow)
    page = wes.http.get(f"/runs/{log['run_id']}").text
    assert "COMPLETE" in page
    assert f'href="{log["outputs"]["said"]["location"]}" download' in page
    assert 'aria-label="stderr of make"' in page
    for link in re.findall(r'href="(/[^"#]*)"', page):
        assert wes.http.get(link).status_code == 200, link


def test_hostile_names_are_text(wes: Wes):
    document = {**TWICE, "outputs": {"twice": "int"}}
    files = {f"{EVIL}.cwl": document}
    run = wes.run(
        None, {"number": 1}, files=files, workflow_url=f"{EVIL}.cwl", tags='{"name": "<script>alert(1)</script>"}'
    )
    failed = wes.run({**TWICE, "inputs": {"number": EVIL}}, {"number": 1})
    for path in ("/", f"/runs/{run['run_id']}", f"/runs/{failed['run_id']}", f"/?state={EVIL}"):
        page = wes.http.get(path).text
        assert "<img" not in page
        assert "<script>" not in page


def test_a_page_loads_nothing_from_elsewhere(wes: Wes):
    answer = wes.http.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", answer.text)
    for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text):
        assert wes.http.get(name).status_code == 200
    assert wes.http.get("/static/..%2fapp.py").status_code == 404


def test_another_site_cannot_cancel_a_run(wes: Wes):
    run = wes.submit(TWICE, {"number": 1})
    answer = wes.http.post(f"/runs/{run}/cancel", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
