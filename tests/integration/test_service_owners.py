"""Two users of one service at the testbed's DIRAC and Rucio: jobs and files of each are their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from documents import glob, shell
from grid_site import jobs_at_dirac
from waiting import until
from wes import ENDS, Wes, serving

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

pytestmark = [pytest.mark.timeout(400), pytest.mark.dirac, pytest.mark.rucio, pytest.mark.docker]

DOCUMENT = shell("printf '%s' made > made.txt", outputs={"made": glob("made.txt")})
GROUPS = {"alice": "gridcwl_user", "bob": "gridcwl_admin"}


@pytest.fixture
def wes(
    testbed: Testbed, dirac: DiracService, rucio: RucioService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Wes]:
    from rucio.common.config import clean_cached_config

    from gridcwl.testbed.oidc.service import CLIENT
    from gridcwl.testbed.oidc.tokens import SCOPES
    from gridcwl.testbed.secrets import secret

    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BEARER_TOKEN", "of-the-service-itself")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(testbed.authority.ca_certificate))
    monkeypatch.delenv("GRIDCWL_ENGINE", raising=False)
    (tmp_path / "config.toml").write_text('[dirac.engines]\n"*" = ["docker"]\n')
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    clean_cached_config()
    (tmp_path / "secret").write_text(secret(testbed.place, "oidc-client"))
    client = {"client_id": CLIENT, "client_secret_file": str(tmp_path / "secret")}
    issuer = testbed.service("oidc").url  # type: ignore[attr-defined]
    how = {"dirac": "proxy", "rucio": "token", "exchange": {"audience": "rucio", "scope": SCOPES}}
    runs = {
        "backend": "dirac",
        "store": "rucio",
        "default_container": "debian:stable-slim",
        "rucio": {"rse": "LYON-DISK"},
    }
    auth = {"issuer": issuer, "audience": "gridcwl", **client}
    with serving(tmp_path, auth=auth, credentials=how, runs=runs) as made:
        yield made
    clean_cached_config()


def test_each_run_has_its_owners_jobs_at_dirac_and_files_in_rucio(
    wes: Wes, testbed: Testbed, dirac: DiracService, dirac_clients: Any, log_in: Any
):
    from gridcwl.testbed.oidc.service import issuer_of

    issuer = issuer_of(testbed.place)
    headers: dict[str, dict[str, str]] = {}
    runs: dict[str, str] = {}
    for user in GROUPS:
        token = issuer.access_token(user, timedelta(hours=1), audience="gridcwl")
        headers[user] = {"Authorization": f"Bearer {token}"}
        answer = wes.post(DOCUMENT, {}, headers=headers[user])
        assert answer.status_code == 200, answer.text
        runs[user] = answer.json()["run_id"]

    def about(user: str) -> Any:
        return wes.get(f"/runs/{runs[user]}", headers=headers[user]).json()

    until(lambda: all("a proxy certificate" in str(about(user)["run_log"]["system_logs"]) for user in runs))
    for user, proxy in (("alice", dirac.proxies.user), ("bob", dirac.proxies.admin)):
        body = {"text": proxy.read_text()}
        assert wes.http.put("/api/v1/credentials/proxy", json=body, headers=headers[user]).status_code == 200
    until(lambda: all(about(user)["state"] in ENDS for user in runs))
    for user, run in runs.items():
        assert about(user)["state"] == "COMPLETE", wes.get(f"/runs/{run}/stderr", headers=headers[user]).text
        jobs = jobs_at_dirac(dirac_clients, run)
        assert {job["OwnerGroup"] for job in jobs.values()} == {GROUPS[user]}
    for user in runs:  # from here on, this process is somebody else at DIRAC
        location = about(user)["outputs"]["made"]["location"]
        scope, name = location.removeprefix("rucio://").split("/", 1)
        assert scope == f"user.{user}"
        assert log_in(user).get_did(scope, name)["account"] == user
