"""Webhooks: changes of runs' states reach those who asked for them, signed, in order, and nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from issuing import Provided
from sqlalchemy import select, update
from waiting import until
from wes import Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service.driver import Driver
from gridcwl.service.public_session import is_public
from gridcwl.service.schema import deliveries, webhooks
from gridcwl.service.settings import load
from gridcwl.service.webhooks import DELIVERY, SIGNATURE

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
PATH = "/api/v1/webhooks"
ALL = ["QUEUED", "INITIALIZING", "RUNNING", "COMPLETE"]


class Receiver(ThreadingHTTPServer):
    """Takes deliveries, and gives the answers that a test has chosen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[tuple[str, dict[str, str], str]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/"

    def states(self, run: str) -> list[str]:
        """The states of a run that were accepted, in the order in which they came."""
        bodies = [json.loads(body) for _, headers, body in self.taken if headers["answer"] == "200"]
        return [body["state"] for body in bodies if body["run_id"] == run]


class Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.server.taken.append((self.path, {**dict(self.headers.items()), "answer": str(code)}, body))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", f"{self.server.url}elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def wes(tmp_path: Path, issuer: Provided, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wes]:
    monkeypatch.setattr("gridcwl.service.webhooks._LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("gridcwl.service.webhooks._FIRST_S", 0.05)
    allowed = {"urls": [receiver.url], "private": True}
    with serving(tmp_path, auth=issuer.auth(tmp_path), webhooks=allowed) as client:
        yield client


def hook(wes: Wes, issuer: Provided, user: str, url: str, **more: Any) -> Any:
    return wes.http.post(PATH, json={"url": url, **more}, headers=issuer.bearer(user))


def submit(wes: Wes, issuer: Provided, user: str) -> str:
    return str(wes.post(TWICE, {"number": 1}, headers=issuer.bearer(user)).json()["run_id"])


def test_all_states_of_a_users_runs_are_delivered_in_order_and_signed(wes: Wes, issuer: Provided, receiver: Receiver):
    made = hook(wes, issuer, "ann", f"{receiver.url}ann?x=1").json()
    run = submit(wes, issuer, "ann")
    submit(wes, issuer, "bob")
    until(lambda: receiver.states(run) == ALL)
    path, headers, body = receiver.taken[0]
    assert path == "/hooks/ann?x=1"
    assert headers[DELIVERY].isdigit()
    when, _, signed = headers[SIGNATURE].partition(",v1=")
    digest = hmac.new(made["secret"].encode(), f"{when.removeprefix('t=')}.{body}".encode(), hashlib.sha256).hexdigest()
    assert signed == digest
    assert {json.loads(body)["run_id"] for _, _, body in receiver.taken} == {run}


def test_a_webhook_of_one_run_and_of_some_states_gets_these_and_is_gone_with_the_run(
    wes: Wes, issuer: Provided, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    gate, begun = threading.Event(), Driver._begun

    async def held_up(self: Driver, run: Any) -> Any:
        await asyncio.to_thread(gate.wait)
        return await begun(self, run)

    monkeypatch.setattr(Driver, "_begun", held_up)
    run, other = submit(wes, issuer, "ann"), submit(wes, issuer, "ann")
    assert hook(wes, issuer, "ann", receiver.url, run=run, states=["COMPLETE"]).status_code == 200
    assert hook(wes, issuer, "eve", receiver.url, run=run).status_code == 404
    gate.set()
    until(lambda: wes.http.get(PATH, headers=issuer.bearer("ann")).json()["webhooks"] == [])
    until(lambda: wes.service.db.get(other).state == "COMPLETE")
    assert [json.loads(body)["state"] for _, _, body in receiver.taken] == ["COMPLETE"]
    assert hook(wes, issuer, "ann", receiver.url, run=run).status_code == 409


def test_a_delivery_that_fails_is_repeated_and_later_ones_wait_for_it(wes: Wes, issuer: Provided, receiver: Receiver):
    receiver.answers = [500, 302, 404]
    hook(wes, issuer, "ann", receiver.url)
    run = submit(wes, issuer, "ann")
    until(lambda: receiver.states(run) == ALL)
    assert [headers["answer"] for _, headers, _ in receiver.taken[:4]] == ["500", "302", "404", "200"]
    assert not [path for path, _, _ in receiver.taken if "elsewhere" in path]
    assert len({headers[DELIVERY] for _, headers, _ in receiver.taken[:4]}) == 1


def test_deliveries_outlive_the_service(tmp_path: Path, issuer: Provided, receiver: Receiver):
    allowed = {"urls": [receiver.url], "private": True}
    receiver.answers = [503] * 3
    auth = issuer.auth(tmp_path)
    with serving(tmp_path, auth=auth, webhooks=allowed) as wes:
        hook(wes, issuer, "ann", receiver.url, states=["COMPLETE"])
        run = submit(wes, issuer, "ann")
        until(lambda: wes.service.db.get(run).state == "COMPLETE")
        until(lambda: receiver.taken)
    receiver.answers = []
    with serving(tmp_path, auth=auth, webhooks=allowed) as wes:
        with wes.service.db.engine.begin() as connection:
            connection.execute(update(deliveries).values(due=0.0, leased=0.0))
        until(lambda: receiver.states(run) == ["COMPLETE"])


def test_what_was_not_delivered_for_a_day_is_left_out_and_the_owner_sees_why(
    wes: Wes, issuer: Provided, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gridcwl.service.webhooks._GIVE_UP_S", -1.0)
    receiver.answers = [500] * 4
    hook(wes, issuer, "ann", receiver.url)
    run = submit(wes, issuer, "ann")
    until(lambda: len(receiver.taken) == 4)
    until(lambda: _pending(wes) == 0)
    assert receiver.states(run) == []
    listed = wes.http.get(PATH, headers=issuer.bearer("ann")).json()["webhooks"]
    assert listed[0]["failed"] == "the receiver answers 500"
    assert "secret" not in listed[0]


def _pending(wes: Wes) -> int:
    with wes.service.db.engine.connect() as connection:
        return len(connection.execute(select(deliveries.c.number)).all())


def test_a_receiver_that_is_gone_is_forgotten(wes: Wes, issuer: Provided, receiver: Receiver):
    receiver.answers = [410]
    hook(wes, issuer, "ann", receiver.url)
    submit(wes, issuer, "ann")
    until(lambda: wes.http.get(PATH, headers=issuer.bearer("ann")).json()["webhooks"] == [])
    assert _pending(wes) == 0


def test_the_secret_is_shown_once_and_is_encrypted(wes: Wes, issuer: Provided, receiver: Receiver):
    made = hook(wes, issuer, "ann", receiver.url).json()
    with wes.service.db.engine.connect() as connection:
        row = connection.execute(select(webhooks)).one()
    assert made["secret"] not in str(row)
    assert wes.http.delete(f"{PATH}/{made['id']}", headers=issuer.bearer("eve")).status_code == 404
    assert wes.http.delete(f"{PATH}/{made['id']}", headers=issuer.bearer("ann")).status_code == 200
    assert wes.http.get(PATH, headers=issuer.bearer("ann")).json()["webhooks"] == []


@pytest.mark.parametrize(
    "url",
    [
        *("https://evil.example/", "http://127.0.0.1:1/hooks/", "http://127.0.0.1@evil.example/hooks/", "file:///etc/"),
        *("{url}../admin", "{url}%2e%2e/admin", "{url}\r\nX: y", "", "http://[::1]/hooks/", "{url}" + "x" * 3000),
    ],
)
def test_a_url_that_the_operator_does_not_allow_is_refused(wes: Wes, issuer: Provided, receiver: Receiver, url: str):
    answer = hook(wes, issuer, "ann", url.replace("{url}", receiver.url))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"url": 1}, {"url": "{url}", "states": ["DONE"]}, {"url": "{url}", "states": "x"}]
)
def test_a_malformed_request_for_a_webhook_is_refused(
    wes: Wes, issuer: Provided, receiver: Receiver, body: dict[str, Any]
):
    if body.get("url") == "{url}":
        body = body | {"url": receiver.url}
    assert wes.http.post(PATH, json=body, headers=issuer.bearer("ann")).status_code == 400


def test_an_address_in_a_private_network_is_called_only_if_the_operator_says_so(
    tmp_path: Path, issuer: Provided, receiver: Receiver
):
    with serving(tmp_path, auth=issuer.auth(tmp_path), webhooks={"urls": [receiver.url]}) as wes:
        refused = hook(wes, issuer, "ann", receiver.url)
        assert (refused.status_code, "private network" in refused.text) == (400, True)
        made = wes.service.webhooks
        with wes.service.db.engine.begin() as connection:  # its name led elsewhere when it was made
            row = {
                "id": "x",
                "owner": "ann",
                "url": receiver.url,
                "states": [],
                "sealed": "",
                "failed": "",
                "created": 1.0,
            }
            connection.execute(webhooks.insert().values(**row))
        run = submit(wes, issuer, "ann")
        until(lambda: "private network" in made.all_of("ann")[0]["failed"])
        assert wes.service.db.get(run) is not None
        assert receiver.taken == []


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0"],
)
def test_private_addresses_are_known(host: str):
    assert not is_public(f"http://{host}/")
    assert is_public("http://8.8.8.8/")


def test_a_service_without_allowed_urls_has_no_webhooks(tmp_path: Path, issuer: Provided):
    with serving(tmp_path, auth=issuer.auth(tmp_path)) as wes:
        assert wes.http.get(PATH, headers=issuer.bearer("ann")).status_code == 404
    with pytest.raises(ConfigError, match=r"webhooks\.urls"):
        load(None, {"folder": tmp_path, "webhooks": {"urls": ["https://hooks.example.org"]}})
