"""Productions at the service: portions are their owner's runs; what failed is collected, retried and extended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl as command
from documents import expression
from issuing import Provided
from waiting import until
from wes import Wes, in_thread, serving

PATH = "/api/v1/productions"
SHOWER = expression(
    "${ if (inputs.seed == inputs.bad) throw 'no shower'; return {events: inputs.seed * 10}; }",
    {"seed": "int", "bad": {"type": "int", "default": 0}},
    {"events": "int"},
)


@pytest.fixture
def wes(tmp_path: Path, issuer: Provided) -> Iterator[Wes]:
    with serving(tmp_path, auth=issuer.auth(tmp_path)) as client:
        yield client


def create(wes: Wes, issuer: Provided, user: str = "ann", params: Any = None, **about: Any) -> Any:
    """POST a production; the response."""
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "shower.cwl"}
    fields["workflow_params"] = json.dumps(params or {})
    wanted = {"name": "mc", "input": "seed", "portion": 2} | ({} if "items" in about else {"seeds": [1, 4]}) | about
    fields["production"] = json.dumps(wanted)
    parts = [(name, (None, value)) for name, value in fields.items()]
    parts.append(("workflow_attachment", ("shower.cwl", json.dumps(SHOWER).encode())))  # type: ignore[arg-type]
    return wes.http.post(PATH, files=parts, headers=issuer.bearer(user))


def show(wes: Wes, issuer: Provided, user: str = "ann") -> dict[str, Any]:
    return dict(wes.http.get(f"{PATH}/mc", headers=issuer.bearer(user)).json())


def act(wes: Wes, issuer: Provided, action: str, user: str = "ann", **body: Any) -> Any:
    return wes.http.post(f"{PATH}/mc/{action}", json=body, headers=issuer.bearer(user))


def test_a_production_ends_complete_and_seeds_continue_when_it_is_extended(wes: Wes, issuer: Provided):
    made = create(wes, issuer)
    assert made.status_code == 200, made.text
    assert create(wes, issuer).status_code == 409
    until(lambda: show(wes, issuer)["state"] == "complete")
    assert act(wes, issuer, "extend", count=3).json()["total"] == 7
    until(lambda: show(wes, issuer)["state"] == "complete")
    about = show(wes, issuer)
    assert [(one["first"], one["last"], one["tries"]) for one in about["portions"]] == [
        (1, 2, 1), (3, 4, 1), (5, 6, 1), (7, 7, 1),
    ]  # fmt: skip
    runs = [wes.service.db.get(one["run"]) for one in about["portions"]]
    assert {(run.owner, run.tags["production"]) for run in runs} == {("ann", "mc")}
    assert [event for run in runs for event in run.outputs["events"]] == [10, 20, 30, 40, 50, 60, 70]
    assert act(wes, issuer, "rm").status_code == 200
    assert wes.http.get(f"{PATH}/mc", headers=issuer.bearer("ann")).status_code == 404


def test_what_fails_is_submitted_again_and_then_collected_with_its_reason(wes: Wes, issuer: Provided):
    create(wes, issuer, params={"bad": 3}, resubmit=1)
    until(
        lambda: (
            [(one["state"], one["tries"]) for one in show(wes, issuer)["portions"]] == [("success", 1), ("failed", 2)]
        )
    )
    about = show(wes, issuer)
    assert about["done"] + about["failed"] == 4
    assert "no shower" in json.dumps(about["failures"]) + about["portions"][1]["message"]
    act(wes, issuer, "retry")
    until(lambda: show(wes, issuer)["portions"][1]["tries"] == 2 and show(wes, issuer)["state"] == "failed")
    runs = wes.service.db.page(_all(), 100)
    assert len([run for run in runs if run.engine == about["portions"][1]["run"]]) == 4


def _all() -> Any:
    from gridcwl.service.db import Viewer

    return Viewer("x", sees_all=True)


def test_items_are_given_and_only_new_ones_are_taken_later(wes: Wes, issuer: Provided):
    create(wes, issuer, items=[5, 6])
    until(lambda: show(wes, issuer)["state"] == "complete")
    assert act(wes, issuer, "extend", items=[6, 7]).json()["total"] == 3
    until(lambda: show(wes, issuer)["state"] == "complete")
    assert show(wes, issuer)["done"] == 3


def test_one_that_is_created_only_is_begun_by_retry_and_a_stopped_one_continues(wes: Wes, issuer: Provided):
    create(wes, issuer, only_create=True)
    assert show(wes, issuer)["state"] == "stopped"
    act(wes, issuer, "retry")
    until(lambda: show(wes, issuer)["state"] == "complete")
    act(wes, issuer, "stop")
    act(wes, issuer, "extend", count=2, only_create=True)
    assert (show(wes, issuer)["state"], show(wes, issuer)["done"]) == ("stopped", 4)
    act(wes, issuer, "retry")
    until(lambda: show(wes, issuer)["state"] == "complete")


def test_nobody_else_sees_or_changes_a_production(wes: Wes, issuer: Provided):
    create(wes, issuer)
    assert wes.http.get(PATH, headers=issuer.bearer("eve")).json() == {"productions": []}
    for action in ("extend", "retry", "stop", "rm"):
        assert act(wes, issuer, action, "eve", count=1).status_code == 404
    assert create(wes, issuer, "eve").status_code == 200
    until(lambda: show(wes, issuer)["state"] == "complete")
    until(lambda: show(wes, issuer, "eve")["state"] == "complete")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"seeds": [4, 1]}, "FIRST..LAST"),
        ({"query": "rucio://a/b*"}, "one of: seeds, items, and what a query finds"),
        ({"items": []}, "one item at least"),
        ({"input": "sed"}, "seed is missing"),
        ({"name": "a b"}, "cannot be the name of a production"),
        ({"portion": 0}, "whole numbers from 1 on"),
        ({"unknown": 1}, "The field production is wrong"),
        ({"params": {"other": 1}}, "has no input other"),
    ],
)
def test_mistakes_are_explained(wes: Wes, issuer: Provided, about: dict[str, Any], message: str):
    params = about.pop("params", None)
    answer = create(wes, issuer, params=params, **about)
    assert answer.status_code == 400
    assert message in answer.json()["msg"]


def test_the_command_line_creates_shows_and_extends_productions_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shower.cwl").write_text(json.dumps(SHOWER))
    (tmp_path / "inputs.yml").write_text("bad: 0\n")
    with in_thread(tmp_path) as wes:
        server = ["--server", str(wes.http.base_url).rstrip("/")]
        made = command("production", "create", "mc", "--seeds", "seed=1..3", *server, "--", "shower.cwl", "inputs.yml")
        assert made.code == 0, made.stderr
        until(lambda: "complete" in command("production", "status", *server).stdout)
        extended = command("production", "extend", "mc", "--count", "1", *server)
        assert "of 4 done" in extended.stderr
        until(lambda: "4 of 4 done" in command("production", "status", "mc", *server).stdout)
        assert command("production", "stop", "mc", *server).code == 0
