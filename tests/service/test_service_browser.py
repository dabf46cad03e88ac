"""The service's pages in a real browser: accessible, live, on a phone, and harmless whatever somebody writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import chromium
from documents import expression, shell, step, workflow
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import text
from waiting import until
from wes import IMAGE, Wes, in_thread

from gridcwl.service.db import Database

pytestmark = pytest.mark.browser

EVIL = '<img src=x onerror="window.hacked=1">'
SCRIPT = "</pre><script>window.hacked=1</script>"
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)  # what is expected may need a container; five seconds are the default
SAME = expression(
    "${ return {same: inputs.files, text: inputs.text}; }",
    {"files": {"type": "File[]", "label": f"Files {EVIL}", "doc": SCRIPT}, "text": {"type": "string", "default": EVIL}},
    {"same": "File[]", "text": "string"},
    label=f"Copies {EVIL}",
    doc=SCRIPT,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    before = os.environ.pop("GRIDCWL_ENGINE", None)
    with in_thread(tmp_path_factory.mktemp("browser")) as wes:
        yield wes
    if before is not None:
        os.environ["GRIDCWL_ENGINE"] = before


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """What a page does that it must not."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.found: list[str] = []
        self._url = url
        context.on("request", lambda request: self._note(request.url))
        context.on("console", lambda message: self.found.append(message.text) if message.type == "error" else None)
        context.on("dialog", lambda dialog: self.found.append(dialog.message))

    def _note(self, url: str) -> None:
        if not url.startswith(self._url):
            self.found.append(url)


@pytest.fixture
def context(browser: Browser, site: Wes) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=str(site.http.base_url))
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="module")
def hostile(site: Wes) -> str:
    """A run whose names, tags, inputs, outputs and messages are all hostile."""
    names = {
        "<img src=x onerror=window.hacked=1> %2e#?.csv": f"{EVIL},{SCRIPT}\n1,2\n".encode(),
        "a.txt": SCRIPT.encode(),
    }
    files = [{"class": "File", "location": quote(name)} for name in names]
    tags = json.dumps({"name": EVIL, EVIL: SCRIPT})
    run = str(site.run(SAME, {"files": files}, files=names, tags=tags)["run_id"])
    did = {"class": "File", "location": "rucio://user.ann/%3Cimg%20src=x%20onerror=window.hacked=1%3E;'$(x)"}
    assert site.settings is not None
    db = Database(site.settings.database_url)
    stored = db.get(run)
    assert stored is not None
    with db.engine.begin() as connection:
        outputs = json.dumps({**stored.outputs, SCRIPT: did})
        values = {"outputs": outputs, "message": EVIL, "run": run}
        connection.execute(text("UPDATE runs SET outputs=:outputs, message=:message WHERE id=:run"), values)
    db.close()
    return run


def test_nothing_keeps_people_from_using_the_pages(site: Wes, page: Page, hostile: str):
    failed = site.run({**SAME, "expression": "${ throw 'no'; }"}, {"files": []})["run_id"]
    page.goto(f"/runs/{hostile}")
    table = page.get_by_role("link", name="csv").first.get_attribute("href")
    serious: dict[str, Any] = {}
    for path in (
        "/",
        f"/runs/{hostile}",
        f"/runs/{failed}",
        table,
        "/submit",
        f"/runs/{hostile}/again",
        "/sites",
        "/runs/x",
    ):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(str(path))
            for one in Axe().run(page).response["violations"]:
                where = [node["html"][:200] for node in one["nodes"]]
                serious[f"{path} {scheme} {one['impact']} {one['id']}"] = where
    assert serious == {}


def test_pages_fit_on_a_phone(browser: Browser, site: Wes, hostile: str):
    context = browser.new_context(base_url=str(site.http.base_url), viewport={"width": 360, "height": 700})
    page = context.new_page()
    for path in ("/", f"/runs/{hostile}", "/submit", f"/runs/{hostile}/again", "/sites", "/runs/x"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def kept(wes: Wes, kind: str, **about: Any) -> None:
    """Have a service keep a schedule or a production of a document that fails."""
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "simulation-of-gammas.cwl"}
    parts: list[Any] = [(name, (None, text)) for name, text in {**fields, kind: json.dumps(about)}.items()]
    fails = expression("${ throw 'no shower: the energy is outside of the table'; }", {"seed": "int?"}, {"n": "int"})
    parts.append(("workflow_attachment", ("simulation-of-gammas.cwl", json.dumps(fails).encode())))
    made = wes.http.post(f"/api/v1/{kind}s", files=parts)
    assert made.status_code == 200, made.text


def test_schedules_and_productions_fit_on_a_phone(browser: Browser, tmp_path: Path):
    name = "prod6-gamma-diffuse-20deg-south-lst"
    with in_thread(tmp_path) as wes:
        numbers = {"input": "seed", "portion": 1_000_000}
        kept(wes, "production", name="large", seeds=[1, 1_000_000], only_create=True, **numbers)
        kept(wes, "production", name=name, seeds=[1, 2], resubmit=0, **numbers)
        kept(wes, "schedule", name=name, cron="0 2 * * 1-5", timezone="Europe/Berlin")
        wes.http.post(f"/api/v1/schedules/{name}/run-now")
        until(lambda: wes.http.get(f"/api/v1/productions/{name}").json()["state"] == "failed")
        until(lambda: wes.http.get(f"/api/v1/schedules/{name}").json()["ticks"][0]["state"] == "failed")
        context = browser.new_context(base_url=str(wes.http.base_url), viewport={"width": 360, "height": 700})
        page = context.new_page()
        for path in ("/schedules", f"/schedules/{name}", "/productions", "/productions/large", f"/productions/{name}"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        links = page.locator("td a code")
        assert links.evaluate_all("all => all.map(one => one.getClientRects().length)") == [1]
        context.close()


def test_hostile_names_texts_and_files_are_only_shown(site: Wes, context: BrowserContext, page: Page, hostile: str):
    watched = Watched(context, str(site.http.base_url))
    paths = ["/", f"/?q={EVIL}", f"/runs/{hostile}", f"/runs/{hostile}/again", f"/submit?x={SCRIPT}"]
    page.goto(f"/runs/{hostile}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(EVIL)
    expect(page.get_by_text("rucio download 'user.ann:<img src=x onerror=window.hacked=1>;'")).to_be_visible()
    paths += page.locator(".file a[href*='/files/']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert len(paths) >= 7
    for path in paths:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("window.hacked") is None, path
        assert page.locator("img[src='x']").count() == 0, path
    assert watched.found == []


@pytest.mark.docker
def test_a_run_is_followed_and_cancelled_without_reloading(site: Wes, context: BrowserContext, page: Page):
    watched = Watched(context, str(site.http.base_url))
    page.goto("/")
    expect(page.locator("body")).to_have_attribute("data-state", "live")
    script = f"echo first; echo '{SCRIPT}'; sleep 1; echo second; sleep 600"
    slow = shell(script, stdout="said.txt", outputs={"said": "stdout"}, requirements=IMAGE)
    name = "<img src=x onerror=window.hacked=1>"
    flow = workflow({}, {}, **{name: step(slow, "said")})
    site.submit(flow, tags='{"name": "followed"}')
    page.get_by_role("link", name="followed").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("running")
    expect(page.get_by_role("img", name="Workflow graph")).to_be_visible()
    page.locator("a[href*='/jobs/']").first.click()
    expect(page.get_by_role("log", name=f"stdout of {name}")).to_contain_text("second")
    expect(page.get_by_role("log", name=f"stdout of {name}")).to_contain_text(SCRIPT)
    page.get_by_role("link", name="followed").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert watched.found == []


def test_a_document_is_submitted_without_javascript(browser: Browser, site: Wes, tmp_path: Path):
    (tmp_path / "copy.cwl").write_text(json.dumps(SAME))
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    context = browser.new_context(base_url=str(site.http.base_url), java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="Submit a document").first.click()
    page.get_by_label("CWL documents").set_input_files(tmp_path / "copy.cwl")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("Correct 1 field")
    page.get_by_label("Upload").set_input_files(tmp_path / "one.csv")
    page.get_by_label("text").fill("by hand")
    page.locator("input[name=name]").fill("without a script")  # productions and schedules have names, too
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/runs/*")
    run = page.url.rpartition("/")[2]
    site.ended(run)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("without a script complete")
    page.get_by_role("link", name="one.csv", exact=True).click()
    expect(page.get_by_role("cell", name="2")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_text() == "a,b\n1,2\n"
    context.close()


def test_the_keyboard_is_enough(page: Page, hostile: str):
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    search = page.get_by_role("searchbox")
    for _ in range(3):
        if search.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(search).to_be_focused()
    page.keyboard.type(hostile)
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("row").nth(1).get_by_role("link").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{hostile}")
