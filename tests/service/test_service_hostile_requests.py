"""Requests that are made to harm: refused with a reason, never an error of the service, and nothing of them is left."""

from __future__ import annotations

import contextlib
import fcntl
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from sqlalchemy import func, select
from starlette.routing import Route
from wes import PREFIX, Wes, process, serving

from gridcwl.service import forms, guard
from gridcwl.service.db import Database, NewRun
from gridcwl.service.schema import run_files
from gridcwl.service.states import State

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
MEANT = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}


def multipart(*parts: tuple[str, bytes]) -> dict[str, Any]:
    """A request with these parts, each with the headers behind its name: for ``http.post``."""
    body = b"".join(
        b"--cut\r\nContent-Disposition: form-data; name=" + name.encode() + b"\r\n\r\n" + data + b"\r\n"
        for name, data in parts
    )
    return {"content": body + b"--cut--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=cut"}}


def kept(wes: Wes) -> list[str]:
    """What the service has of runs on its disk."""
    return sorted(path.name for path in (wes.service.folder.path / "runs").iterdir())


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([(f"field{number}", b"x") for number in range(5000)], 400),
        ([(f"workflow_attachment; filename=f{number}", b"x") for number in range(5000)], 400),
        ([("workflow_attachment; filename=" + "x" * 200_000, b"x")], 400),
        ([("x\r\nX-Large: " + "y" * 200_000, b"x")], 400),
        ([("x" + "\r\nX-Many: y" * 20_000, b"x")], 400),
        ([("workflow_attachment; filename=../../up", b"x")], 400),
        ([("workflow_attachment; filename=/etc/up", b"x")], 400),
        ([("workflow_attachment; filename=" + "d/" * 3000 + "up", b"x")], 400),
        ([("workflow_attachment; filename=" + "n" * 300, b"x")], 400),
        ([("workflow_attachment; filename=a", b"x"), ("workflow_attachment; filename=a/b", b"x")], 400),
    ],
    ids=["fields", "files", "file name", "header", "headers", "up", "root", "deep", "long", "file and folder"],
)
def test_a_form_that_is_made_to_harm_is_refused_and_leaves_nothing(
    wes: Wes, parts: list[tuple[str, bytes]], status: int
):
    before = kept(wes)
    fields = [(name, value.encode()) for name, value in MEANT.items()]
    answer = wes.http.post(f"{PREFIX}/runs", **multipart(*fields, *parts))
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.json()["msg"]) < 1000
    assert kept(wes) == before


def test_the_fields_of_a_form_have_a_limit_together(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forms, "MOST_FIELDS_BYTES", 1 << 20)
    large = [(f"field{number}", b"x" * (400 << 10)) for number in range(3)]
    answer = wes.http.post(f"{PREFIX}/runs", **multipart(*large))
    assert (answer.status_code, "1 MiB" in answer.json()["msg"]) == (413, True)
    files = [(f"workflow_attachment; filename=f{number}", data) for number, (_, data) in enumerate(large)]
    answer = wes.http.post(f"{PREFIX}/runs", **multipart(*files))
    assert "workflow_type is missing" in answer.json()["msg"]  # files are not kept in memory


def test_what_is_kept_in_memory_has_a_smaller_limit_than_files(wes: Wes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guard, "_MOST_IN_MEMORY", 1 << 20)
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        for path in (f"{PREFIX}/runs", "/ga4gh/tes/v1/tasks", "/api/v1/runs/x/resume"):
            answer = wes.http.post(path, content=b"x" * (2 << 20), headers={"Content-Type": kind})
            assert answer.status_code == 413, (kind, path)
    assert wes.post(TWICE, {"number": 1}, files={"large": b"x" * (2 << 20)}).status_code == 200


def writing_routes(wes: Wes) -> Iterator[tuple[str, str]]:
    """The methods and paths of all routes that take a body."""
    for route in wes.http.app.routes:
        if isinstance(route, Route):
            for method in sorted((route.methods or set()) & {"POST", "PUT", "PATCH"}):
                yield method, route.path


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[" * 50_000 + b"]" * 50_000,
        b"1" * 100_000,
        b'"\\ud800"',
        b"\xff\xfe",
        b"NaN",
    ],
    ids=["lists", "objects", "closed lists", "digits", "half a character", "no UTF-8", "NaN"],
)
def test_no_body_is_an_error_of_the_service(wes: Wes, body: bytes):
    for method, path in writing_routes(wes):
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            answer = wes.http.request(method, path, content=body, headers={"Content-Type": kind})
            assert answer.status_code < 500, (method, path, answer.text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=" + ",".join(f"{n}-{n}" for n in range(5000))},
        {"Range": f"bytes={'9' * 5000}-"},
        {"Range": "bytes=-" + "1" * 5000},
        {"Range": "bytes=5-1,, -"},
        {"If-Range": "\xff" * 100, "Range": "bytes=0-1"},
        {"If-Modified-Since": "x" * 1000},
        {"Accept": "*/*;q=" + "9" * 1000},
        {"Authorization": "Bearer " + "a.b" * 5000},
        {"Authorization": "Basic \xff"},
        {"Cookie": "=;" * 5000},
        {"Content-Type": "multipart/form-data; boundary=" + "x" * 5000},
        {"Content-Type": "multipart/form-data"},
        {"Content-Length": "9" * 400},
        {"X-Forwarded-For": "a," * 5000},
        {"Last-Event-ID": "9" * 5000},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_is_an_error_of_the_service(wes: Wes, headers: dict[str, str]):
    run = wes.run(TWICE, {"number": 1})["run_id"]
    for path in (f"{PREFIX}/runs/{run}/stderr", f"{PREFIX}/runs", "/", "/ga4gh/tes/v1/tasks", "/api/v1/runs"):
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        assert wes.http.get(path, headers=raw).status_code < 500
        if "Content-Length" not in headers:
            assert wes.http.post(path, content=b"x", headers=raw).status_code < 500


@pytest.mark.parametrize("seed", range(4))
def test_whatever_ends_a_run_first_is_its_end(tmp_path: Path, seed: int):
    """Ends and cancellations at the same moment: one of them counts, and nothing changes it."""
    chance = random.Random(seed)
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'runs.db'}")) as db:
        for number in range(10):
            run = f"run{number}"
            assert db.add(NewRun(id=run, owner="ann", request={}, document="x.cwl"), 100)
            for state in (State.INITIALIZING, State.RUNNING):
                assert db.move(run, state)
            ways = [[State.COMPLETE], [State.EXECUTOR_ERROR], [State.CANCELING, State.CANCELED], [State.SYSTEM_ERROR]]
            chance.shuffle(ways)
            won: list[State] = []
            together = threading.Barrier(len(ways))

            def end(way: list[State], run: str = run, won: list[State] = won, together: Any = together) -> None:
                together.wait()
                for state in way:
                    if db.move(run, state) and state.is_terminal:
                        won.append(state)

            threads = [threading.Thread(target=end, args=(way,)) for way in ways]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stored = db.get(run)
            assert stored is not None
            assert won == [stored.state]
            for state in State:
                assert not db.move(run, state)


def test_a_run_that_is_cancelled_as_it_ends_has_one_end(wes: Wes):
    chance = random.Random(1)
    for number in range(6):
        run = wes.submit(TWICE, {"number": number})
        threading.Event().wait(chance.uniform(0, 0.3))
        assert wes.http.post(f"{PREFIX}/runs/{run}/cancel").status_code == 200
        log = wes.ended(run)
        assert log["state"] in ("COMPLETE", "CANCELED")
        assert (log["outputs"] == {"twice": 2 * number}) == (log["state"] == "COMPLETE")
        assert wes.http.post(f"{PREFIX}/runs/{run}/cancel").status_code == 200
        assert wes.http.get(f"{PREFIX}/runs/{run}").json() == log


def test_an_upload_that_a_kill_interrupts_leaves_nothing_and_can_be_repeated(tmp_path: Path):
    with process(tmp_path) as (wes, serving_process):
        address = (wes.http.base_url.host, wes.http.base_url.port)
        with socket.create_connection(address) as half:
            request = multipart(("workflow_attachment; filename=main.cwl", b"x" * 3_000_000))
            head = f"POST {PREFIX}/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(request['content'])}\r\n"
            head += f"Content-Type: {request['headers']['Content-Type']}\r\n\r\n"
            half.sendall(head.encode() + request["content"][:2_000_000])
            assert wes.get("/runs").json()["runs"] == []
            serving_process.kill()
            serving_process.wait()
            half.settimeout(60)
            with contextlib.suppress(ConnectionError):
                assert half.recv(100) == b""
    (tmp_path / "d").rename(tmp_path / "service")
    with serving(tmp_path) as again:
        assert kept(again) == []
        assert again.get("/runs").json()["runs"] == []
        assert again.run(TWICE, {"number": 2})["outputs"] == {"twice": 4}


def test_what_a_killed_process_had_received_is_removed_and_that_of_others_is_not(tmp_path: Path):
    with serving(tmp_path) as wes:
        known = wes.run(TWICE, {"number": 2})["run_id"]
        runs = wes.service.folder.path / "runs"
    for name in ("killed", "received"):
        (runs / name / "files").mkdir(parents=True)
        (runs / f".{name}.receiving").touch()
    (runs / f".{known}.receiving").touch()
    with (runs / ".received.receiving").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with serving(tmp_path) as wes:
            assert kept(wes) == [".received.receiving", known, "received"]
            assert wes.get(f"/runs/{known}").json()["outputs"] == {"twice": 4}


@pytest.mark.postgresql
def test_what_is_refused_leaves_nothing_in_a_database_that_machines_share(tmp_path: Path, postgresql_url: str):
    with serving(tmp_path, db=postgresql_url, drivers=0, max_queued=1) as wes:
        assert wes.post(TWICE, {"number": 1}).status_code == 200
        count = select(func.count(func.distinct(run_files.c.engine)))
        refused = [wes.post(TWICE, {"number": 1}), wes.http.post("/ga4gh/tes/v1/tasks", json=TASK)]
        assert [answer.status_code for answer in refused] == [429, 429]
        with wes.service.db.engine.connect() as connection:
            assert connection.execute(count).scalar_one() == 1
        assert len(kept(wes)) == 1


TASK = {"executors": [{"image": "debian:stable-slim", "command": ["true"]}]}
