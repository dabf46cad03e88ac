"""Quotas and rate limits: what a user may have, and how often anybody may ask."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from issuing import Provided
from waiting import until
from wes import Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service.db import OwnersQueue
from gridcwl.service.driver import Driver
from gridcwl.service.limits import RateLimit
from gridcwl.service.quotas import why_held
from gridcwl.service.settings import Quotas, load

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})


def submitted(wes: Wes, issuer: Provided, user: str, **files: bytes) -> Any:
    return wes.post(TWICE, {"number": 1}, headers=issuer.bearer(user), files=files)


def test_a_user_with_the_most_active_runs_or_jobs_waits_and_is_told_of_it():
    quotas = Quotas(active_runs=2, jobs=10)
    assert why_held(quotas, OwnersQueue("ann", 5, 1, 1, 9)) == ""
    assert why_held(quotas, OwnersQueue("ann", 5, 2, 1, 0)) == (
        "2 runs of ann are active, the most that a user may have"
    )
    assert "10 jobs of ann are running" in why_held(quotas, OwnersQueue("ann", 5, 1, 1, 10))
    assert why_held(Quotas(), OwnersQueue("ann", 5, 900, 1, 900)) == ""


def test_runs_beyond_the_quota_wait_and_those_of_others_begin(
    tmp_path: Path, issuer: Provided, monkeypatch: pytest.MonkeyPatch
):
    gate, genuine = threading.Event(), Driver._begun

    async def held_up(self: Driver, run: Any) -> Any:
        if run.owner == "ann":
            await asyncio.to_thread(gate.wait)
        return await genuine(self, run)

    monkeypatch.setattr(Driver, "_begun", held_up)
    with serving(tmp_path, auth=issuer.auth(tmp_path), quotas={"active_runs": 1, "queued_runs": 2}) as wes:
        first = submitted(wes, issuer, "ann").json()["run_id"]
        until(lambda: wes.service.db.get(first).state == "INITIALIZING")
        second, third = (submitted(wes, issuer, "ann").json()["run_id"] for _ in range(2))
        until(lambda: "1 run of ann is active" in wes.service.db.get(second).reason)
        refused = submitted(wes, issuer, "ann")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        other = submitted(wes, issuer, "bob").json()["run_id"]
        until(lambda: wes.service.db.get(other).state == "COMPLETE")
        assert wes.service.db.get(third).state == "QUEUED"
        gate.set()
        until(lambda: wes.service.db.get(third).state == "COMPLETE")


def stored(wes: Wes, issuer: Provided, what: str, about: dict[str, Any], data: bytes) -> Any:
    """POST a schedule or a production with an attachment; the response."""
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl"}
    fields |= {"workflow_params": '{"number": 1}', what: json.dumps(about)}
    parts = [(name, (None, value)) for name, value in fields.items()]
    files = [("main.cwl", json.dumps(TWICE).encode()), ("data.bin", data)]
    attached = [("workflow_attachment", one) for one in files]
    return wes.http.post(f"/api/v1/{what}s", files=[*parts, *attached], headers=issuer.bearer("ann"))


@pytest.mark.parametrize(
    ("what", "about"),
    [
        ("schedule", {"name": "s", "cron": "0 2 * * *"}),
        ("production", {"name": "s", "input": "number", "seeds": [1, 2], "only_create": True}),
    ],
)
def test_what_is_kept_for_schedules_and_productions_counts_until_they_are_removed(
    tmp_path: Path, issuer: Provided, what: str, about: dict[str, Any]
):
    large = b"x" * 700_000
    with serving(tmp_path, auth=issuer.auth(tmp_path), quotas={"stored_mib": 1}) as wes:
        ann = issuer.bearer("ann")
        assert stored(wes, issuer, what, about, large).status_code in (200, 201)
        assert wes.http.get("/api/v1/usage", headers=ann).json()["stored_bytes"]["used"] >= len(large)
        assert stored(wes, issuer, what, {**about, "name": "other"}, large).status_code == 413
        assert submitted(wes, issuer, "ann", **{"data.bin": large}).status_code == 413
        assert wes.http.delete(f"/api/v1/{what}s/s", headers=ann).status_code == 200
        assert submitted(wes, issuer, "ann", **{"data.bin": large}).status_code == 200
        assert [path.name for path in (tmp_path / "service" / "runs").glob("kept-*")] == []


def test_folders_of_requests_that_were_never_stored_are_removed_at_the_next_start(tmp_path: Path, issuer: Provided):
    runs = tmp_path / "service" / "runs"
    with serving(tmp_path, auth=issuer.auth(tmp_path)) as wes:
        stored(wes, issuer, "schedule", {"name": "s", "cron": "0 2 * * *"}, b"x")
    (known,) = runs.glob("kept-*")
    for path in (runs / "kept-0123", runs / "kept-4567"):
        (path / "files").mkdir(parents=True)
    for path in (known, runs / "kept-0123"):
        os.utime(path, (0, 0))  # kept-4567 may be being received
    with serving(tmp_path, auth=issuer.auth(tmp_path)):
        assert {path.name for path in runs.glob("kept-*")} == {known.name, "kept-4567"}


def test_stored_bytes_have_a_quota_and_are_freed_by_removing_runs(tmp_path: Path, issuer: Provided):
    with serving(tmp_path, auth=issuer.auth(tmp_path), quotas={"stored_mib": 1}) as wes:
        large = b"x" * 700_000
        run = submitted(wes, issuer, "ann", **{"data.bin": large}).json()["run_id"]
        until(lambda: wes.service.db.get(run).state == "COMPLETE")
        assert wes.service.db.get(run).stored >= len(large)
        refused = submitted(wes, issuer, "ann", **{"data.bin": large})
        assert refused.status_code == 413
        assert "1 MiB" in refused.json()["msg"]
        assert submitted(wes, issuer, "bob", **{"data.bin": large}).status_code == 200

        path = f"/api/v1/runs/{run}"
        assert wes.http.delete(path, headers=issuer.bearer("bob")).status_code == 404
        folder = wes.service.folder.run(run).path
        assert folder.is_dir()
        assert wes.http.delete(path, headers=issuer.bearer("ann")).status_code == 200
        assert not folder.exists()
        assert not wes.service.folder.record(run).path.exists()
        assert wes.get(f"/runs/{run}", headers=issuer.bearer("ann")).status_code == 404
        assert submitted(wes, issuer, "ann", **{"data.bin": large}).status_code == 200


def test_a_user_who_asks_too_often_is_told_when_to_ask_again(tmp_path: Path, issuer: Provided):
    with serving(tmp_path, auth=issuer.auth(tmp_path), quotas={"requests_per_minute": 3}) as wes:
        codes = [wes.get("/runs", headers=issuer.bearer("ann")).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        refused = wes.get("/runs", headers=issuer.bearer("ann"))
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.json().keys() == {"msg", "status_code"}
        assert wes.get("/runs", headers=issuer.bearer("bob")).status_code == 200


def test_an_address_that_asks_too_often_is_refused_before_anything_else(tmp_path: Path, issuer: Provided):
    with serving(tmp_path, auth=issuer.auth(tmp_path), quotas={"requests_per_minute_and_address": 2}) as wes:
        codes = [wes.get("/runs", headers={"Authorization": "Bearer guess"}).status_code for _ in range(3)]
        assert codes == [401, 401, 429]


def test_requests_are_allowed_again_as_time_goes_by_and_old_keys_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    limit = RateLimit(60, lambda: now[0])
    assert [limit.wait_s("ann") for _ in range(61)] == [0] * 60 + [1]
    assert limit.wait_s("bob") == 0
    now[0] = 2.0
    assert [limit.wait_s("ann") for _ in range(3)] == [0, 0, 1]
    monkeypatch.setattr("gridcwl.service.limits._MOST_KEYS", 5)
    for number in range(20):
        limit.wait_s(str(number))
    assert len(limit._left) == 5
    assert RateLimit(0).wait_s("ann") == 0


def test_a_negative_quota_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"quotas\.jobs"):
        load(None, {"folder": tmp_path, "quotas": {"jobs": -1}})
