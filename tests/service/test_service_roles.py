"""Roles, and that every route of the service is closed to who may not use it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from documents import glob, shell
from fastapi.routing import APIRoute
from issuing import Provided
from wes import IMAGE, Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service.settings import load
from gridcwl.service.web import viewer_of
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder

PUBLIC = {
    "/ga4gh/wes/v1/service-info",
    "/ga4gh/tes/v1/service-info",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/static/{name}",
    *("/login", "/login/callback", "/logout", "/api/v1/login"),
    # VOSI is asked before anybody logs in
    *(f"/uws{workflow}/{what}" for workflow in ("", "/{workflow}") for what in ("availability", "capabilities")),
}
"""What anybody may see: nothing of any run."""
MARK = "known-to-ann-only"
MADE = {**shell(f"echo {MARK} | tee made.txt; echo {MARK} >&2", outputs={"made": glob("made.txt")})}
TASK: dict[str, str] = {}
"""The run's task: its id and name."""
ROLES = [
    {"scope": "read", "may": ["read"]},
    {"scope": "submit", "may": ["read", "submit"], "dirac_group": "cta_user"},
    {"group": "operators", "may": ["operate"]},
    {"group": "admins", "may": ["admin"]},
]


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, issuer: Provided) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, auth=issuer.auth(folder, roles=ROLES)) as client:
        yield client


@pytest.fixture
def impatient(wes: Wes) -> Iterator[None]:
    """Streams of events end at once, as when the service ends."""
    wes.service.ending = True
    yield
    wes.service.ending = False


@pytest.fixture(scope="module")
def run(wes: Wes, issuer: Provided) -> str:
    """A run of ann's that has ended."""
    wes.http.headers.update(issuer.bearer("ann", scope="submit", groups=["cta"]))
    document = MADE | {"requirements": {**MADE.get("requirements", {}), **IMAGE}}
    found: str = wes.run(document, {}, tags=f'{{"name": "{MARK}"}}')["run_id"]
    task = wes.get(f"/runs/{found}/tasks").json()["task_logs"][0]
    TASK.update(id=task["id"], name=task["name"])
    del wes.http.headers["Authorization"]
    return found


def routes(wes: Wes) -> list[APIRoute]:
    """All routes, those of included routers, too; but the public ones."""

    def below(router: Any, prefix: str = "") -> Iterator[APIRoute]:
        for route in router.routes:
            if isinstance(route, APIRoute):
                whole = copy.copy(route)
                whole.path = f"{prefix}{route.path}"
                yield whole
            elif hasattr(route, "original_router"):
                yield from below(route.original_router, f"{prefix}{route.include_context.prefix}")

    return [route for route in below(wes.http.app) if route.path not in PUBLIC]


def asked(wes: Wes, route: APIRoute, run: str, headers: Any) -> Iterator[tuple[str, Any]]:
    """What each method of a route answers about a run."""
    names = {"run_id": run, "job": run, "task_id": TASK["id"], "stream": "stdout", "path": "made.txt", "kind": "proxy"}
    path = route.path.replace(":path}", "}").format_map(_Any(names))
    query = {"name": TASK["name"], "attempt": 1, "stream": "stdout", "step": TASK["name"], "format": "json"}
    options: dict[str, Any] = {"params": query, "headers": dict(headers), "follow_redirects": False}
    for method in sorted(route.methods - {"HEAD"}):
        if method == "POST" and not path.startswith(("/api", "/ga4gh", "/uws")):  # a form of our own page
            options["data"] = {"csrf": "c" * 43}
            options["headers"]["Cookie"] = f"gridcwl_csrf={'c' * 43}"
        with wes.http.stream(method, path, **options) as answer:
            answer.read()
            yield method, answer


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("impatient")
def test_no_route_answers_who_has_no_token(wes: Wes, run: str):
    walked = 0
    for route in routes(wes):
        for method, answer in asked(wes, route, run, {}):
            walked += 1
            assert answer.status_code in (401, 303), (method, route.path, answer.status_code)
            assert MARK not in answer.text
    assert walked > 25


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("impatient")
def test_no_route_shows_or_changes_a_run_of_somebody_else(wes: Wes, issuer: Provided, run: str):
    headers = issuer.bearer("eve", scope="submit", groups=["other"])
    for route in routes(wes):
        for method, answer in asked(wes, route, run, headers):
            assert MARK not in answer.text, (method, route.path)
            assert run not in answer.text or answer.status_code == 404, (method, route.path)
            if "{run_id}" in route.path:
                assert answer.status_code in (403, 404), (method, route.path, answer.status_code)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("impatient")
def test_the_same_routes_answer_the_runs_owner(wes: Wes, issuer: Provided, run: str):
    """The walk above would prove nothing, were all of these addresses wrong."""
    headers = issuer.bearer("ann", scope="submit")
    found = {
        (method, route.path): answer.status_code
        for route in routes(wes)
        if route.methods <= {"GET", "HEAD"} and "{run_id}" in route.path
        for method, answer in asked(wes, route, run, headers)
    }
    good = [path for path, code in found.items() if code == 200]
    assert len(good) > len(found) / 2, found


def test_every_route_finds_out_who_asks(wes: Wes):
    def asks(dependant: Any) -> bool:
        return dependant.call is viewer_of or any(asks(one) for one in dependant.dependencies)

    open_ones = [route.path for route in routes(wes) if not asks(route.dependant)]
    assert open_ones == []


def test_members_of_a_group_see_a_run_and_do_not_change_it(wes: Wes, issuer: Provided, run: str):
    headers = issuer.bearer("bob", scope="submit", groups=["cta"])
    assert wes.get(f"/runs/{run}", headers=headers).status_code == 200
    for path in (f"/ga4gh/wes/v1/runs/{run}/cancel", f"/api/v1/runs/{run}/resume"):
        answer = wes.http.post(path, headers=headers)
        assert (answer.status_code, "somebody else" in answer.text) == (403, True)


@pytest.mark.parametrize("group", ["operators", "admins"])
def test_operators_see_all_runs_and_resume_them_for_their_owners(wes: Wes, issuer: Provided, run: str, group: str):
    headers = issuer.bearer("ops", groups=[group])
    assert run in {one["run_id"] for one in wes.get("/runs", headers=headers).json()["runs"]}
    assert wes.http.post(f"/ga4gh/wes/v1/runs/{run}/cancel", headers=headers).status_code == 200
    again = wes.http.post(f"/api/v1/runs/{run}/resume", headers=headers).json()["run_id"]
    assert wes.service.db.get(again).owner == "ann"
    assert wes.service.db.groups_of(again) == {"cta"}
    wes.http.headers.update(headers)
    assert wes.ended(again)["state"] == "COMPLETE"
    del wes.http.headers["Authorization"]


def test_operators_run_nothing_of_their_own(wes: Wes, issuer: Provided):
    assert wes.post(MADE, {}, headers=issuer.bearer("ops", groups=["operators"])).status_code == 403


@pytest.mark.parametrize(
    ("claims", "may", "dirac_group"),
    [
        ({"scope": "read"}, ["read"], ""),
        ({"scope": "openid submit"}, ["read", "submit"], "cta_user"),
        ({"groups": ["operators"]}, ["read", "operate"], ""),
        ({"groups": "admins other"}, ["read", "submit", "operate"], ""),
    ],
)
def test_a_caller_can_ask_what_they_may_do(
    wes: Wes, issuer: Provided, claims: dict[str, Any], may: list[str], dirac_group: str
):
    found = wes.http.get("/api/v1/whoami", headers=issuer.bearer("ann", **claims)).json()
    assert (found["user"], found["may"], found["dirac_group"]) == ("ann", may, dirac_group)


def test_a_proxy_has_to_be_of_the_group_at_dirac_that_its_owners_role_gives(tmp_path: Path, issuer: Provided):
    authority = Authority(InstallFolder(tmp_path / "pki"))
    certificate = authority.certificate("ann", "ann")
    auth = issuer.auth(tmp_path, roles=ROLES)
    headers = issuer.bearer("ann", scope="submit")
    with serving(tmp_path, auth=auth, credentials={"dirac": "proxy"}) as wes:
        for group, code in (("cta_user", 200), ("cta_admin", 400), (None, 400)):
            text = authority.proxy(certificate, tmp_path / "proxy", timedelta(hours=1), group=group).read_text()
            answer = wes.http.put("/api/v1/credentials/proxy", json={"text": text}, headers=headers)
            assert answer.status_code == code, answer.text
            assert "cta_user" in answer.text


@pytest.mark.parametrize(
    ("role", "match"),
    [
        ({"may": ["read"]}, "neither scope nor group"),
        ({"scope": "x"}, "allows nothing"),
        ({"scope": "x", "may": ["amdin"]}, "amdin"),
    ],
)
def test_roles_that_nobody_has_or_that_allow_nothing_are_refused(tmp_path: Path, role: dict[str, Any], match: str):
    auth = {"issuer": "https://iam.example.org/", "audience": "x", "roles": [role]}
    with pytest.raises(ConfigError, match=match):
        load(None, {"folder": tmp_path, "auth": auth})
