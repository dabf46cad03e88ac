"""The page of a user's own things: usage, credentials, API keys, webhooks. Nobody else sees or changes them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import chromium
from documents import expression
from issuing import Provided
from playwright.sync_api import sync_playwright
from sqlalchemy import update
from wes import Wes, in_thread, serving

from gridcwl.service import public_session
from gridcwl.service.schema import api_keys, credentials
from gridcwl.service.sessions import Session
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
EVIL = '<img src=x onerror="window.hacked=1">'


class Receiver(ThreadingHTTPServer):
    """Takes deliveries, and answers as a test has chosen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[dict[str, Any]] = []
        self.code = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/"


class Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(InstallFolder(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="module")
def receiving() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver(receiving: Receiver) -> Receiver:
    receiving.taken.clear()
    receiving.code = 200
    return receiving


def options(folder: Path, issuer: Provided, receiving: Receiver) -> dict[str, Any]:
    return {
        "auth": issuer.auth(folder),
        "credentials": {"dirac": "proxy", "rucio": "token"},
        "webhooks": {"urls": [receiving.url], "private": True},
        "quotas": {"active_runs": 4, "queued_runs": 50, "stored_mib": 2048},
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, issuer: Provided, receiving: Receiver) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, **options(folder, issuer, receiving)) as client:
        yield client


class User:
    """Somebody at the pages."""

    def __init__(self, wes: Wes, headers: dict[str, str]) -> None:
        self.wes, self.headers = wes, headers

    def page(self) -> str:
        answer = self.wes.http.get("/account", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    def send(self, path: str, fields: dict[str, Any] | None = None, **more: Any) -> Any:
        """Send a form of the page; with ``csrf=None`` as another page would."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.page())
        assert token is not None
        data = {"csrf": token[1], **(fields or {})}
        headers = self.headers | more.pop("headers", {})
        return self.wes.http.post(f"/account/{path}", data=data, headers=headers, follow_redirects=False, **more)

    def done(self, path: str, fields: dict[str, Any] | None = None, **more: Any) -> str:
        """Send a form that is accepted; the text of the page that follows."""
        answer = self.send(path, fields, **more)
        assert answer.status_code == 303, answer.text
        return str(self.wes.http.get(answer.headers["location"], headers=self.headers).text)


@pytest.fixture
def ann(service: Wes, issuer: Provided) -> User:
    return User(service, issuer.bearer("ann"))


@pytest.fixture
def eve(service: Wes, issuer: Provided) -> User:
    return User(service, issuer.bearer("eve"))


def secret_in(page: str) -> str:
    found = re.search(r'role="status">.*?<pre[^>]*>([^<]+)</pre>', page, re.DOTALL)
    assert found is not None, page
    return unescape(found[1])


def test_usage_is_shown_next_to_the_quotas_and_only_ones_own(ann: User, eve: User, issuer: Provided):
    for _ in range(3):
        assert eve.wes.post(TWICE, {"number": 1}, headers=issuer.bearer("eve")).status_code == 200
    plain = re.sub(r"<[^>]*>|\s+", " ", eve.page())
    assert re.search(r"Queued runs +3 of 50", plain)  # they wait for credentials
    assert re.search(r"Stored here +0 B of 2(\.0)? GiB|Stored here .* of 2", plain)
    used = eve.wes.http.get("/api/v1/usage", headers=issuer.bearer("eve")).json()
    assert used["queued_runs"] == {"used": 3, "most": 50}
    assert used["active_runs"] == {"used": 0, "most": 4}
    assert re.search(r"Queued runs +0 of 50", re.sub(r"<[^>]*>|\s+", " ", ann.page()))


def test_a_key_is_shown_once_listed_without_itself_and_revoked(ann: User, eve: User):
    made = ann.send("keys", {"name": f"nightly {EVIL}", "may": ["read"], "days": "7"})
    key = secret_in(made.text)
    assert key.startswith("gridcwl_")
    assert made.headers["cache-control"] == "no-store"
    header = {"Authorization": f"Bearer {key}"}
    assert ann.wes.http.get("/api/v1/whoami", headers=header).json() == {
        "user": "ann", "groups": [], "may": ["read"], "dirac_group": "",
    }  # fmt: skip
    page = ann.page()
    assert key not in page
    assert EVIL not in page
    assert "nightly &lt;img" in page
    number = key.split("_")[1]
    assert number not in eve.page()
    assert eve.send(f"keys/{number}/revoke").status_code == 404
    assert "was revoked" in ann.done(f"keys/{number}/revoke")
    assert ann.wes.http.get("/api/v1/whoami", headers=header).status_code == 401


@pytest.mark.parametrize(
    "fields", [{"days": "7"}, {"may": ["operate"], "days": "7"}, {"may": ["read"], "days": "9999"},
               {"may": ["read"], "days": "²"}, {"may": ["read"]}],
)  # fmt: skip
def test_a_form_for_a_key_that_is_not_possible_is_answered_with_the_reason(ann: User, fields: dict[str, Any]):
    answer = ann.send("keys", fields)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "gridcwl_" not in answer.text.replace("gridcwl_csrf", "")


def test_an_api_key_makes_no_others_and_one_that_may_only_read_removes_nothing(ann: User, proxies: Authority,
                                                                              tmp_path: Path):  # fmt: skip
    text = proxies.proxy(proxies.certificate("ann", "ann"), tmp_path / "p.pem", timedelta(hours=2)).read_text()
    ann.done("credentials/proxy", {"text": text, "account": ""})
    hook = ann.wes.http.post(
        "/api/v1/webhooks",
        json={"url": ann.wes.settings.webhooks.urls[0]},
        headers=ann.headers,  # type: ignore[union-attr]
    ).json()["id"]
    other = secret_in(ann.send("keys", {"may": ["read"], "days": "7"}).text)
    for may in (["read"], ["read", "submit"]):
        key = secret_in(ann.send("keys", {"may": may, "days": "7"}).text)
        robot = User(ann.wes, {"Authorization": f"Bearer {key}"})
        assert robot.send("keys", {"may": ["read"], "days": "365"}).status_code == 403
        assert robot.send(f"keys/{other.split('_')[1]}/revoke").status_code == 403
        if may == ["read"]:
            assert robot.send("credentials/proxy/remove").status_code == 403
            assert robot.send("credentials/proxy", {"text": text}).status_code == 403
            assert robot.send(f"webhooks/{hook}/remove").status_code == 403
            assert robot.send(f"webhooks/{hook}/test").status_code == 403
        assert "was revoked" in ann.done(f"keys/{key.split('_')[1]}/revoke")
    ann.done(f"keys/{other.split('_')[1]}/revoke")
    ann.done(f"webhooks/{hook}/remove")
    ann.done("credentials/proxy/remove")


def test_credentials_are_stored_replaced_and_removed_and_never_shown(
    ann: User, eve: User, issuer: Provided, proxies: Authority, tmp_path: Path
):
    assert "a proxy certificate of ann is missing" in ann.page()
    text = proxies.proxy(proxies.certificate("ann", "ann"), tmp_path / "p.pem", timedelta(hours=2)).read_bytes()
    page = ann.done("credentials/proxy", {"account": "ann_cta"}, files={"file": ("x509up_u1000", text)})
    assert "The credentials were stored" in page
    assert "CN=ann" in page
    assert "ann_cta" in page
    token = issuer.token("ann")
    page = ann.done("credentials/token", {"text": token}, files={"file": ("", b"")})
    assert page.count(">valid</span>") == 2
    secret = text.decode().partition("PRIVATE KEY-----\n")[2].splitlines()[1]
    assert secret not in page
    assert token.rpartition(".")[2] not in page
    assert "CN=ann" not in eve.page()
    with ann.wes.service.db.engine.begin() as connection:
        stored = ann.wes.service.vault.get("ann", "token")
        row = ann.wes.service.vault._row("ann", type(stored)("token", stored.text, time.time() - 60))
        connection.execute(update(credentials).where(credentials.c.kind == "token").values(**row))
    page = ann.page()
    assert ">expired</span>" in page
    assert "a token of ann ended at" in page
    for kind in ("token", "proxy"):
        assert "were removed" in ann.done(f"credentials/{kind}/remove")
        assert ann.send(f"credentials/{kind}/remove").status_code == 404


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "nonsense"}, "no PEM file"),
        ({"text": " "}, "Choose the file"),
        ({"text": "x", "account": "a b"}, "account"),
        ({"text": "x" * 70_000}, "64 KiB"),
    ],
)
def test_what_is_no_credential_is_answered_with_the_reason(ann: User, fields: dict[str, Any], reason: str):
    answer = ann.send("credentials/proxy", fields)
    assert answer.status_code == 400
    assert reason in answer.text


def test_a_file_that_is_too_large_for_a_credential_is_not_read(ann: User):
    answer = ann.send("credentials/proxy", files={"file": ("x", b"x" * 300_000)})
    assert answer.status_code == 413
    unknown = ann.wes.http.post("/account/credentials/proxy", content=iter([b"x"] * 10), headers=ann.headers)
    assert unknown.status_code == 413


def test_a_webhook_is_made_tested_and_removed_and_its_deliveries_are_shown(ann: User, eve: User, receiver: Receiver):
    made = ann.send("webhooks", {"url": f"{receiver.url}ann", "states": ["COMPLETE"]})
    secret = secret_in(made.text)
    assert secret not in ann.page()
    hook = re.findall(r"/account/webhooks/(\w+)/test", ann.page())[0]
    assert "accepted the test" in ann.done(f"webhooks/{hook}/test")
    assert [(one["run_id"], one["state"]) for one in receiver.taken] == [("", "TEST")]
    receiver.code = 500
    assert "the receiver answers 500" in ann.done(f"webhooks/{hook}/test")
    listed = ann.wes.http.get(f"/api/v1/webhooks/{hook}/deliveries", headers=ann.headers).json()["deliveries"]
    assert [one["problem"] for one in listed] == ["the receiver answers 500", ""]
    for _ in range(12):
        ann.send(f"webhooks/{hook}/test")
    assert len(ann.wes.service.webhooks.attempts("ann", hook)) == 10

    assert hook not in eve.page()
    sent = len(receiver.taken)
    assert eve.send(f"webhooks/{hook}/test").status_code == 404
    assert eve.send(f"webhooks/{hook}/remove").status_code == 404
    assert eve.wes.http.get(f"/api/v1/webhooks/{hook}/deliveries", headers=eve.headers).status_code == 404
    assert len(receiver.taken) == sent
    assert "The webhook was removed" in ann.done(f"webhooks/{hook}/remove")
    assert ann.wes.service.webhooks.attempts("ann", hook) == []


def test_a_webhook_that_is_not_allowed_is_refused_and_what_was_typed_stays(ann: User):
    url = f"http://169.254.169.254/{EVIL}"
    answer = ann.send("webhooks", {"url": url})
    assert answer.status_code == 400
    assert EVIL not in answer.text
    assert "169.254.169.254" in answer.text


def test_a_name_that_leads_to_a_private_address_when_it_is_looked_up_again_gets_nothing(
    tmp_path: Path, issuer: Provided, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(public_session, "is_public", lambda _url: True)  # as its first look-up has it
    with serving(tmp_path, auth=issuer.auth(tmp_path), webhooks={"urls": [receiver.url]}) as wes:
        ann = User(wes, issuer.bearer("ann"))
        ann.send("webhooks", {"url": receiver.url})
        hook = re.findall(r"/account/webhooks/(\w+)/test", ann.page())[0]
        assert "private network" in ann.done(f"webhooks/{hook}/test")
    assert receiver.taken == []


PATHS = [
    *("credentials/proxy", "credentials/proxy/remove", "keys", "keys/x/revoke", "webhooks", "webhooks/x/test"),
    "webhooks/x/remove",
]


@pytest.mark.parametrize("path", PATHS)
def test_forms_of_other_sites_are_refused(ann: User, receiver: Receiver, path: str):
    fields = {"url": receiver.url, "may": ["read"], "days": "7", "text": "x"}
    assert ann.send(path, fields | {"csrf": "x" * 43}).status_code == 403
    assert ann.send(path, fields, headers={"Origin": "https://evil.example"}).status_code == 403
    assert ann.send(path, fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert ann.wes.http.post(f"/account/{path}", data=fields).status_code in (401, 403)


@pytest.mark.parametrize("path", ["", *PATHS])
def test_who_has_not_logged_in_sees_nothing(service: Wes, path: str):
    service.http.cookies.clear()
    method = "POST" if path else "GET"
    url = f"/account/{path}".rstrip("/")
    answer = service.http.request(method, url, headers={"accept": "application/json"}, follow_redirects=False)
    assert answer.status_code == 401


def test_a_service_without_login_shows_usage_and_its_webhooks(tmp_path: Path, receiver: Receiver):
    with serving(tmp_path, webhooks={"urls": [receiver.url], "private": True}) as wes:
        user = User(wes, {})
        assert "API keys" not in user.page()
        assert "Credentials" not in user.page()
        assert user.send("keys", {"may": ["read"], "days": "7"}).status_code == 404
        user.send("webhooks", {"url": receiver.url})
        hook = re.findall(r"/account/webhooks/(\w+)/test", user.page())[0]
        assert "accepted the test" in user.done(f"webhooks/{hook}/test")


@pytest.mark.browser
def test_the_account_page_is_accessible_fits_on_a_phone_and_needs_no_javascript(
    tmp_path: Path, issuer: Provided, receiver: Receiver, proxies: Authority
):
    text = proxies.proxy(proxies.certificate("ann", "ann"), tmp_path / "p.pem", timedelta(hours=2)).read_text()
    with in_thread(tmp_path, **options(tmp_path, issuer, receiver)) as wes, sync_playwright() as playwright:
        url = str(wes.http.base_url)
        wes.http.put("/api/v1/credentials/proxy", json={"text": text}, headers=issuer.bearer("ann"))
        wes.http.post("/api/v1/keys", json={"name": "w" * 100}, headers=issuer.bearer("ann"))
        word = _session(tmp_path, issuer)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context(base_url=url, viewport={"width": 360, "height": 700}, java_script_enabled=False)
        context.add_cookies([{"name": "gridcwl_session", "value": word, "url": url}])
        plain = context.new_page()
        plain.goto("/")
        plain.get_by_role("link", name="Account").click()
        plain.get_by_label("URL", exact=True).fill(f"{receiver.url}{'long' * 40}")
        plain.get_by_role("button", name="Make a webhook").click()
        assert plain.get_by_role("status").first.inner_text().startswith("Secret of the webhook")
        plain.goto("/account")
        plain.get_by_role("button", name="Send a test").click()
        assert plain.get_by_text("The receiver accepted the test.").is_visible()
        context.close()

        context = browser.new_context(base_url=url, viewport={"width": 360, "height": 700})
        context.add_cookies([{"name": "gridcwl_session", "value": word, "url": url}])
        page, errors = context.new_page(), list[str]()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto("/account")
        page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert [(one["id"], one["nodes"][0]["html"]) for one in Axe().run(page).response["violations"]] == []
        assert errors == []
        browser.close()


def _session(folder: Path, issuer: Provided) -> str:
    """The cookie of a browser that has logged in."""
    from gridcwl.service.db import Database
    from gridcwl.service.opening import authenticator
    from gridcwl.service.settings import load

    settings = load(None, {"folder": folder / "service", "auth": issuer.auth(folder)})
    db = Database(settings.database_url)
    try:
        sessions = authenticator(settings, db).sessions  # type: ignore[attr-defined]
        return str(sessions.begin(Session("ann", frozenset(), frozenset({"openid"}), time.time() + 600)))
    finally:
        db.close()


def test_an_expired_key_is_shown_as_such(ann: User):
    key = secret_in(ann.send("keys", {"may": ["read"], "days": "7"}).text)
    with ann.wes.service.db.engine.begin() as connection:
        mine = api_keys.c.id == key.split("_")[1]
        connection.execute(update(api_keys).where(mine).values(ends=time.time() - 60))
    assert ">expired</span>" in ann.page()
    ann.done(f"keys/{key.split('_')[1]}/revoke")
