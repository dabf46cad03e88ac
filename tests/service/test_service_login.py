"""Logging in: browsers by the code flow with PKCE, the command line by the device flow, machines by API keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from commandline import gridcwl
from documents import expression
from issuing import Provided
from sqlalchemy import select, update
from waiting import until
from wes import Wes, process, serving

from gridcwl.errors import ConfigError
from gridcwl.remote import logins
from gridcwl.service.schema import api_keys, sessions

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
HTML = {"accept": "text/html"}
COOKIE = "gridcwl_session"


def auth(issuer: Provided, folder: Path, **more: Any) -> dict[str, Any]:
    return issuer.auth(folder, login_audience="gridcwl", cli_client_id="gridcwl-cli", **more)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, issuer: Provided) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, auth=auth(issuer, folder)) as client:
        yield client


@pytest.fixture
def wes(service: Wes) -> Iterator[Wes]:
    """The service, and a browser without cookies."""
    service.http.cookies.clear()
    yield service
    service.http.cookies.clear()


def begun(wes: Wes, path: str = "/") -> str:
    """Where a browser without a session is sent: the issuer's page."""
    there = wes.http.get(path, headers=HTML, follow_redirects=False)
    assert there.status_code == 303
    assert there.headers["location"].startswith("/login?next=")
    login = wes.http.get(there.headers["location"], headers=HTML, follow_redirects=False)
    assert login.status_code == 303
    return str(login.headers["location"])


def agreed(url: str, user: str = "ann") -> str:
    """Where the issuer sends the browser back to."""
    location = httpx.get(f"{url}&user={user}").headers["location"]
    return str(location).removeprefix("http://127.0.0.1")


def log_in(wes: Wes, user: str = "ann", path: str = "/") -> Any:
    return wes.http.get(agreed(begun(wes, path), user), headers=HTML, follow_redirects=False)


def test_a_browser_logs_in_at_the_issuer_and_comes_back_to_its_page(wes: Wes):
    answer = log_in(wes, "ann", "/?state=RUNNING")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=RUNNING")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(COOKIE)).lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    shown = wes.http.get("/", headers=HTML)
    assert shown.status_code == 200
    assert "ann" in shown.text
    assert "Log out" in shown.text
    assert wes.http.get("/api/v1/whoami").json()["user"] == "ann"


def test_the_code_is_asked_for_with_pkce_a_state_and_a_nonce(wes: Wes):
    asked = dict(parse_qsl(urlsplit(begun(wes)).query))
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert all(len(asked[name]) >= 32 for name in ("state", "nonce", "code_challenge"))
    assert asked["redirect_uri"] == "http://127.0.0.1/login/callback"


def test_by_https_the_cookie_is_secure_and_this_hosts_alone(tmp_path: Path, issuer: Provided):
    with serving(tmp_path, auth=auth(issuer, tmp_path), public_url="https://gridcwl.example.org") as wes:
        there = wes.http.get("/login", follow_redirects=False)
        assert "Secure" in there.headers["set-cookie"]
        back = str(httpx.get(f"{there.headers['location']}&user=ann").headers["location"])
        assert back.startswith("https://gridcwl.example.org/login/callback?")
        pending = {"Cookie": there.headers["set-cookie"].partition(";")[0]}
        answer = wes.http.get(
            back.removeprefix("https://gridcwl.example.org"), headers=HTML | pending, follow_redirects=False
        )
        cookie = next(one for one in answer.headers.get_list("set-cookie") if COOKIE in one)
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie
        assert "Path=/" in cookie


def test_after_logging_out_the_cookie_is_worth_nothing(wes: Wes):
    log_in(wes)
    word = wes.http.cookies[COOKIE]
    token = _form_token(wes)
    assert wes.http.post("/logout", data={"csrf": "wrong"}).status_code == 403
    answer = wes.http.post("/logout", data={"csrf": token})
    assert answer.status_code == 200
    assert "logged out" in answer.text
    wes.http.cookies.clear()
    assert wes.get("/runs", headers={"Cookie": f"{COOKIE}={word}"}).status_code == 401


def _form_token(wes: Wes) -> str:
    text = wes.http.get("/", headers=HTML).text
    return str(text.partition('name="csrf" value="')[2].partition('"')[0])


def test_the_database_holds_nothing_that_a_browser_could_log_in_with(wes: Wes):
    log_in(wes, "bob")
    word = wes.http.cookies[COOKIE]
    with wes.service.db.engine.connect() as connection:
        row = connection.execute(select(sessions).where(sessions.c.owner == "bob")).one()
    session = wes.service.authenticator.sessions.find(word)
    assert session.token
    kept = json.dumps([str(one) for one in row])
    assert word not in kept
    assert session.token not in kept
    assert session.token not in repr(session)
    headers = {"Cookie": f"{COOKIE}={row.id}"}
    wes.http.cookies.clear()
    assert wes.get("/runs", headers=headers).status_code == 401


def test_a_session_ends_by_itself(wes: Wes):
    log_in(wes, "cid")
    with wes.service.db.engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.owner == "cid").values(ends=time.time() - 1))
    assert wes.get("/runs").status_code == 401
    assert wes.http.get("/", headers=HTML, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "next_",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\r\nX: y",
    ],
)
def test_a_login_leads_to_no_other_site(wes: Wes, next_: str):
    there = wes.http.get(f"/login?{urlencode({'next': next_})}", headers=HTML, follow_redirects=False)
    answer = wes.http.get(agreed(there.headers["location"]), headers=HTML, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_a_code_counts_only_in_the_browser_that_asked_for_it(wes: Wes):
    back = agreed(begun(wes))
    cookies = dict(wes.http.cookies)
    wes.http.cookies.clear()
    assert wes.http.get(back, headers=HTML, follow_redirects=False).status_code == 400  # another browser
    begun(wes)
    assert wes.http.get(back, headers=HTML, follow_redirects=False).status_code == 400  # another login
    for name, value in cookies.items():
        wes.http.cookies.set(name, value, path="/login")
    wrong = back.replace("state=", "state=x")
    assert wes.http.get(wrong, headers=HTML, follow_redirects=False).status_code == 400
    assert COOKIE not in wes.http.cookies


def test_a_stolen_code_is_of_no_use_without_its_verifier(wes: Wes, issuer: Provided):
    code = parse_qs(urlsplit(agreed(begun(wes))).query)["code"][0]
    redirect = "http://127.0.0.1/login/callback"
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": "x" * 43}
    answer = httpx.post(f"{issuer.url}token", data=fields, auth=("gridcwl", "the-secret-of-the-client"))
    assert answer.json()["error"] == "invalid_grant"


def test_an_id_token_of_another_login_or_for_somebody_else_is_refused(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    from gridcwl.testbed.oidc.tokens import TokenSigner

    genuine = TokenSigner.id_token
    for client, nonce in (("gridcwl", "another"), ("another-client", None)):

        def made(self: Any, user: str, life: timedelta, _c: str, given: str | None, client: str = client,
                 nonce: str | None = nonce) -> str:  # fmt: skip
            return genuine(self, user, life, client, nonce or given)

        monkeypatch.setattr(TokenSigner, "id_token", made)
        answer = log_in(wes)
        assert answer.status_code in (401, 403)
        assert COOKIE not in wes.http.cookies


def test_what_the_issuer_refuses_is_shown_as_text(wes: Wes):
    url = begun(wes)
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    query = urlencode({"state": state, "error": "access_denied", "error_description": "<script>alert(1)</script>"})
    answer = wes.http.get(f"/login/callback?{query}", headers=HTML, follow_redirects=False)
    assert answer.status_code == 403
    assert "<script>alert" not in answer.text
    assert "alert(1)" in answer.text


def test_a_page_of_another_site_does_nothing_with_a_session(wes: Wes):
    log_in(wes)
    run = wes.submit(TWICE, {"number": 1})
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        for path in (f"/ga4gh/wes/v1/runs/{run}/cancel", f"/api/v1/runs/{run}/resume", "/api/v1/keys"):
            answer = wes.http.post(path, json={}, headers=headers)
            assert answer.status_code == 403, (path, answer.text)
            assert "another site" in answer.text
    assert wes.ended(run)["state"] == "COMPLETE"


def test_the_session_of_one_user_shows_no_run_of_another(wes: Wes):
    log_in(wes, "dan")
    run = wes.submit(TWICE, {"number": 1})
    wes.http.cookies.clear()
    log_in(wes, "eve")
    assert wes.get(f"/runs/{run}").status_code == 404
    assert run not in wes.http.get("/", headers=HTML).text


def test_an_api_key_is_its_owner_as_far_as_it_allows_and_until_it_is_removed(wes: Wes, issuer: Provided):
    owner = issuer.bearer("fay", groups=["cta"])
    made = wes.http.post("/api/v1/keys", json={"name": "nightly", "may": ["read"]}, headers=owner).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    assert wes.http.get("/api/v1/whoami", headers=key).json() == {
        **{"user": "fay", "groups": ["cta"], "may": ["read"], "dirac_group": ""},
    }
    assert wes.post(TWICE, {"number": 1}, headers=key).status_code == 403
    assert wes.http.post("/api/v1/keys", json={}, headers=key).status_code == 403
    with wes.service.db.engine.connect() as connection:
        rows = connection.execute(select(api_keys)).all()
    assert not [row for row in rows if made["key"] in str(row) or made["key"].split("_")[2] in str(row)]
    listed = wes.http.get("/api/v1/keys", headers=owner).json()["keys"]
    assert [(one["name"], one["used"] is not None) for one in listed] == [("nightly", True)]
    assert "key" not in listed[0]

    assert wes.http.delete(f"/api/v1/keys/{made['id']}", headers=issuer.bearer("eve")).status_code == 404
    assert wes.http.delete(f"/api/v1/keys/{made['id']}", headers=owner).status_code == 200
    assert wes.get("/runs", headers=key).status_code == 401


def test_a_key_that_may_submit_submits_and_an_expired_one_does_nothing(wes: Wes, issuer: Provided):
    made = wes.http.post("/api/v1/keys", json={"days": 1}, headers=issuer.bearer("gus")).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    answer = wes.post(TWICE, {"number": 1}, headers=key)
    assert answer.status_code == 200
    until(lambda: wes.get(f"/runs/{answer.json()['run_id']}", headers=key).json()["state"] == "COMPLETE")
    with wes.service.db.engine.begin() as connection:
        connection.execute(update(api_keys).where(api_keys.c.id == made["id"]).values(ends=time.time() - 1))
    assert wes.get("/runs", headers=key).status_code == 401


@pytest.mark.parametrize(
    "asked",
    [
        *({"may": ["operate"]}, {"may": ["admin"]}, {"may": "read"}, {"may": [1]}, {"days": 0}, {"days": -1}),
        *({"days": 4000}, {"days": "7"}, {"days": True}, {"name": 5}, {"days": float("1e400")}),
    ],
)
def test_a_key_for_more_than_its_owner_may_or_for_ever_is_refused(wes: Wes, issuer: Provided, asked: dict[str, Any]):
    content = json.dumps(asked).replace("Infinity", "1e400")
    answer = wes.http.post("/api/v1/keys", content=content, headers=issuer.bearer("hal"))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("word", ["gridcwl_", "gridcwl_x_y", "gridcwl_" + "a" * 5000, "gridcwl_é"])
def test_what_is_no_key_is_refused(wes: Wes, word: str):
    assert wes.http.get("/api/v1/whoami", headers={"Authorization": f"Bearer {word}".encode()}).status_code == 401


def test_a_service_without_a_client_has_tokens_and_keys_but_no_pages(tmp_path: Path, issuer: Provided):
    plain = {"issuer": issuer.url, "audience": "gridcwl"}
    with serving(tmp_path, auth=plain) as wes:
        assert wes.http.get("/", headers=HTML).status_code == 404
        assert wes.http.get("/api/v1/login").status_code == 404
        assert wes.http.get("/api/v1/keys", headers=issuer.bearer("ann")).status_code == 200


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("GRIDCWL_STATE_DIR", raising=False)
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _agree_soon(issuer: Provided, user: str) -> threading.Thread:
    """Somebody who agrees once a device has asked."""

    def agree() -> None:
        devices = issuer.provider.devices
        code = until(lambda: next((one["user_code"] for one in list(devices.values()) if "user" not in one), ""))
        httpx.get(f"{issuer.url}device?user_code={code}&user={user}")

    thread = threading.Thread(target=agree)
    thread.start()
    return thread


def test_the_command_line_logs_in_by_the_device_flow(tmp_path: Path, issuer: Provided, home: Path):
    with process(tmp_path, auth=auth(issuer, tmp_path)) as (wes, _):
        url = str(wes.http.base_url).rstrip("/")
        missing = gridcwl("whoami", "--server", url)
        assert missing.code != 0
        assert "gridcwl login --server" in missing.stderr
        agreeing = _agree_soon(issuer, "mia")
        result = gridcwl("login", "--server", url)
        agreeing.join()
        assert result.code == 0, result.stderr
        assert "device?user_code=" in result.stderr
        file = next((home / "state").rglob("logins/*.json"))
        assert file.stat().st_mode & 0o077 == 0
        token = json.loads(file.read_text())["access"]
        assert token not in result.stderr + result.stdout
        assert gridcwl("whoami", "--server", url).stdout.splitlines()[0] == "mia"

        made = gridcwl("keys", "add", "--server", url, "--name", "robot", "--may", "read")
        assert made.code == 0, made.stderr
        assert made.stdout.startswith("gridcwl_")
        assert "robot" in gridcwl("keys", "ls", "--server", url).stdout
        number = made.stdout.split("_")[1]
        assert gridcwl("keys", "rm", "--server", url, number).code == 0
        assert "robot" not in gridcwl("keys", "ls", "--server", url).stdout

        (tmp_path / "token").write_text(issuer.token("mia"))
        refused = gridcwl("credentials", "add", "--server", url, "--token", str(tmp_path / "token"))
        assert "uses no credentials" in refused.stderr
        assert gridcwl("credentials", "ls", "--server", url).code == 0

        assert gridcwl("logout", "--server", url).code == 0
        assert not file.exists()
        assert gridcwl("whoami", "--server", url).code != 0


@pytest.mark.usefixtures("home")
def test_a_login_is_renewed_before_it_ends_and_each_refresh_token_is_used_once(issuer: Provided):
    server = "http://127.0.0.1:1"
    refresh = issuer.provider.issuer.refresh_token("ann", timedelta(days=1), "openid offline_access", "gridcwl")
    endpoint = f"{issuer.url}token"
    logins.save(logins.Login(server, endpoint, "gridcwl-cli", time.time() + 5, "old", refresh))
    first = logins.token_for(server)
    assert issuer.provider.issuer.checked(first)["sub"] == "ann"
    assert logins.token_for(server) == first
    assert logins.token_for("http://127.0.0.1:2") == ""

    logins.save(logins.Login(server, endpoint, "gridcwl-cli", time.time() - 5, "old", refresh))  # it is spent
    with pytest.raises(ConfigError, match="has ended"):
        logins.token_for(server)
    assert logins.forget(server)
    assert not logins.forget(server)


@pytest.mark.usefixtures("home")
def test_a_login_that_others_can_read_is_not_used():
    file = logins.save(logins.Login("http://127.0.0.1:1", "http://127.0.0.1:1/token", "x", time.time() + 500, "word"))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="Others can read") as raised:
        logins.token_for("http://127.0.0.1:1")
    assert "word" not in str(raised.value)


@pytest.mark.usefixtures("home")
def test_an_issuer_that_is_not_reached_by_https_gets_nothing():
    how = {"issuer": "http://iam.example.org/", "client_id": "x"}
    with pytest.raises(ConfigError, match="https"):
        logins.log_in("https://gridcwl.example.org", how, lambda *_: None)
