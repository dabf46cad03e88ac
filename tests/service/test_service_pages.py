"""Pages of the service: escaped, without anything from elsewhere, and usable without JavaScript."""

from __future__ import annotations

import io
import re
import zipfile
from html import unescape
from pathlib import Path

import httpx
import pytest
from documents import expression, shell, step, workflow
from wes import IMAGE, Wes, in_thread

from gridcwl.service.pages.outputs import shown_outputs

EVIL = "<img src=x onerror=alert(1)>"
TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})


def token(wes: Wes) -> dict[str, str]:
    """The field that each form has, and the cookie that it is compared with."""
    wes.http.get("/")
    return {"csrf": wes.http.cookies["gridcwl_csrf"]}


def test_the_list_has_a_link_to_each_run_and_filters_by_state(wes: Wes):
    run = wes.run(TWICE, {"number": 1}, tags='{"name": "nightly"}')["run_id"]
    page = wes.http.get("/").text
    assert f'href="/runs/{run}"' in page
    assert "nightly" in page
    assert run in wes.http.get("/?state=COMPLETE").text
    assert run not in wes.http.get("/?state=CANCELED").text


def test_the_list_is_searched_by_id_name_document_and_tag(wes: Wes):
    tags = '{"name": "Nächtlich", "campaign": "LST-2"}'
    run = wes.run(None, {"number": 1}, files={"twice.cwl": TWICE}, workflow_url="twice.cwl", tags=tags)["run_id"]
    for words in (run[-6:], "nächtlich", "TWICE.cwl", "lst-2", "lst-2 anonymous"):
        assert f'href="/runs/{run}"' in wes.http.get("/", params={"q": words}).text, words
    for words in ("100%", "lst_2", "lst-2 elsewhere"):
        assert f'href="/runs/{run}"' not in wes.http.get("/", params={"q": words}).text, words


@pytest.mark.docker
def test_a_run_has_its_graph_steps_jobs_logs_and_outputs(wes: Wes):
    made = shell("echo x; echo y >&2", outputs={"said": "stdout"}, stdout="said.txt", requirements=IMAGE)
    flow = workflow({}, {"said": {"type": "File", "outputSource": "make/said"}}, make=step(made, "said"))
    log = wes.run(flow)
    page = wes.http.get(f"/runs/{log['run_id']}").text
    assert "COMPLETE" in page
    assert 'href="' + log["outputs"]["said"]["location"].removeprefix("http://127.0.0.1") + '" download' in page
    assert '<svg class="graph"' in page
    for link in re.findall(r'href="(/[^"#]*)"', page):
        assert wes.http.get(unescape(link)).status_code == 200, link
    job = next(link for link in re.findall(r'href="(/[^"#]*)"', page) if "/jobs/" in link)
    shown = wes.http.get(job).text
    assert ">y\n</pre>" in shown
    assert "echo x; echo y &gt;&amp;2" in shown
    assert "There are none" in wes.http.get(f"/runs/{log['run_id']}", params={"state": "failed"}).text
    assert "make" in wes.http.get(f"/runs/{log['run_id']}", params={"state": "done", "step": "make"}).text


@pytest.mark.docker
def test_a_failed_run_says_why_and_is_resumed_by_its_form(wes: Wes):
    failing = shell("echo the disk is full >&2; exit 3", requirements=IMAGE)
    run = wes.run(workflow({}, {}, fail=step(failing)))["run_id"]
    page = wes.http.get(f"/runs/{run}").text
    assert "the disk is full" in page
    assert "exit code 3" in page
    answer = wes.http.post(f"/runs/{run}/resume", data=token(wes), follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] != f"/runs/{run}"
    assert wes.ended(answer.headers["location"].removeprefix("/runs/"))["state"] == "EXECUTOR_ERROR"


def test_a_run_can_be_downloaded_as_a_crate_and_as_a_report(wes: Wes):
    run = wes.run(TWICE, {"number": 4})["run_id"]
    crate = wes.http.get(f"/runs/{run}/crate")
    assert "ro-crate-metadata.json" in zipfile.ZipFile(io.BytesIO(crate.content)).namelist()
    assert "attachment" in crate.headers["Content-Disposition"]
    assert not list(wes.service.folder.work.glob("request-*"))
    assert wes.http.get(f"/api/v1/runs/{run}/report").status_code == 200


def test_events_say_that_a_run_is_there_and_that_it_has_ended(wes: Wes):
    run = wes.run(TWICE, {"number": 1})["run_id"]
    assert re.findall("event: (.*)", wes.http.get(f"/runs/{run}/live").text) == ["ready", "end"]
    messages = wes.http.get(f"/runs/{run}/messages/live").text
    assert "has started" in messages
    last = re.findall("id: (.*)", messages)[-1]
    again = wes.http.get(f"/runs/{run}/messages/live", headers={"Last-Event-ID": last}).text
    assert re.findall("event: (.*)", again) == ["ready", "end"]
    assert wes.http.get(f"/runs/{run}/jobs/1/nonsense/live").status_code == 404


def test_hostile_names_are_text(wes: Wes):
    document = {**TWICE, "outputs": {"twice": "int"}}
    files = {f"{EVIL}.cwl": document}
    run = wes.run(
        None, {"number": 1}, files=files, workflow_url=f"{EVIL}.cwl", tags='{"name": "<script>alert(1)</script>"}'
    )
    failed = wes.run({**TWICE, "inputs": {"number": EVIL}}, {"number": 1})
    for path in ("/", f"/runs/{run['run_id']}", f"/runs/{failed['run_id']}", f"/?state={EVIL}"):
        page = wes.http.get(path).text
        assert "<img src=x" not in page
        assert "<script>" not in page
        assert page.count("<script") == 1


def test_a_page_loads_nothing_from_elsewhere(wes: Wes):
    answer = wes.http.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", answer.text)
    for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text):
        assert wes.http.get(name).status_code == 200
    assert wes.http.get("/static/..%2fapp.py").status_code == 404


def test_every_form_needs_the_token_of_a_page(wes: Wes):
    run = wes.run(TWICE, {"number": 1})["run_id"]
    fields = token(wes)
    for what in ("cancel", "resume"):
        for wrong in ({}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": "é" * 43}):
            assert wes.http.post(f"/runs/{run}/{what}", data=wrong).status_code == 403, wrong
        other = wes.http.post(f"/runs/{run}/{what}", data=fields, headers={"Sec-Fetch-Site": "cross-site"})
        assert other.status_code == 403
    assert wes.http.post(f"/runs/{run}/cancel", data=fields, follow_redirects=False).status_code == 303


def test_the_cookie_of_the_token_is_of_no_use_to_scripts_and_other_sites(wes: Wes):
    wes.http.cookies.clear()
    cookie = wes.http.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Set-Cookie" not in wes.http.get("/").headers


def test_what_is_not_there_is_a_page_that_says_so(wes: Wes):
    answer = wes.http.get(f"/runs/{EVIL}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "There is no run" in answer.text
    assert "<img src=x" not in answer.text


def test_another_site_cannot_cancel_a_run(wes: Wes):
    run = wes.submit(TWICE, {"number": 1})
    answer = wes.http.post(f"/runs/{run}/cancel", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_an_open_page_ends_with_its_service(tmp_path: Path):
    with httpx.Client() as browser:
        with in_thread(tmp_path) as served:
            events = browser.stream("GET", f"{served.http.base_url}/live/runs")
            lines = events.__enter__().iter_lines()
            assert next(lines) == "event: ready"
        assert "event: end" not in list(lines)  # it is closed in good order, and a browser asks again
        events.__exit__(None, None, None)


def test_a_page_has_only_some_pictures_of_many():
    files = [{"class": "File", "location": f"http://x/ga4gh/wes/v1/runs/r/outputs/{n}.fits"} for n in range(50)]
    (shown,) = shown_outputs({"all": files}, "r")
    assert len(shown["files"]) == 50
    assert sum(bool(file["image"]) for file in shown["files"]) == 12
