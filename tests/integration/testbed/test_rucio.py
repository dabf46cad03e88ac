"""The testbed's Rucio does what a production Rucio does: accounts, storage, rules that move bytes, expiry."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
import uuid
import zlib
from datetime import timedelta

import pytest
import requests
from rucio.common import exception
from rucio.common.config import clean_cached_config

from gridcwl.testbed.sites import SITES


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def dataset(name, log_in, rucio):
    """A dataset of runner's with one file at Lyon; the file's bytes are really there."""
    client = log_in("runner")
    data = name.encode() * 100
    file = {"scope": "user.runner", "name": f"{name}.dat", "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}
    client.add_dataset("user.runner", name)
    client.attach_dids_to_dids([{"scope": "user.runner", "name": name, "rse": "LYON-DISK", "dids": [file]}])
    path = rucio.path("LYON-DISK", "user.runner", file["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


@pytest.mark.parametrize("account", ["root", "runner", "alice", "bob"])
def test_everybody_logs_in_with_a_password(log_in, account):
    assert log_in(account).whoami()["account"] == account


def test_a_proxy_reports_who_it_is(log_in, rucio):
    proxy = {"auth_type": "x509_proxy", "client_x509_proxy": str(rucio.clients.proxy("alice"))}
    assert log_in("alice", rucio.clients.configuration("alice", auth=proxy)).whoami()["account"] == "alice"


def test_alice_does_not_become_bob_with_her_proxy(log_in, rucio):
    proxy = {"auth_type": "x509_proxy", "client_x509_proxy": str(rucio.clients.proxy("alice"))}
    with pytest.raises(exception.CannotAuthenticate):
        log_in("bob", rucio.clients.configuration("bob", auth=proxy))


def test_a_token_reports_who_it_is(log_in, rucio, testbed):
    token = testbed.service("oidc").token("alice")
    assert log_in("alice", rucio.clients.with_token("alice", token)).whoami()["account"] == "alice"


def _ask(rucio, token: str) -> str:
    """Who Rucio takes the bearer of a token for."""
    context = ssl.create_default_context(cafile=rucio.clients.ca)
    request = urllib.request.Request(f"{rucio.url}/accounts/whoami", headers={"X-Rucio-Auth-Token": token})
    with urllib.request.urlopen(request, context=context) as answer:
        return answer.read().decode()


def test_a_token_that_has_expired_is_refused(rucio, testbed):
    issuer = testbed.service("oidc")
    assert '"alice"' in _ask(rucio, issuer.token("alice"))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _ask(rucio, issuer.token("alice", timedelta(seconds=-1)))


def test_a_token_of_another_issuer_is_refused(rucio, testbed, tmp_path):
    from gridcwl.testbed.oidc.tokens import issuer

    forged = issuer(testbed.service("oidc").url, tmp_path / "other.key").access_token("alice", timedelta(hours=1))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _ask(rucio, forged)


def test_a_session_by_browser_is_refreshed_without_the_user(rucio, testbed):
    """What Rucio's client does with auth_type oidc and polling, with the browser's part, which nobody here clicks."""
    asked = {
        "X-Rucio-Account": "alice",
        "X-Rucio-Client-Authorize-Polling": "True",
        "X-Rucio-Client-Authorize-Scope": "openid profile offline_access",
        "X-Rucio-Client-Authorize-Refresh-Lifetime": "1",
    }
    ca = str(rucio.clients.ca)
    page = requests.get(f"{rucio.url}/auth/oidc", headers=asked, verify=ca).headers["X-Rucio-OIDC-Auth-URL"]
    visited = requests.get(page, verify=ca)
    assert visited.history[1].url.startswith(testbed.service("oidc").url)
    got = requests.get(page, headers=asked | {"X-Rucio-Client-Fetch-Token": "True"}, verify=ca)
    session = got.headers["X-Rucio-Auth-Token"]
    assert '"alice"' in _ask(rucio, session)
    renewing = {"X-Rucio-Auth-Token": session, "X-Rucio-Account": "alice"}
    answer = requests.get(f"{rucio.url}/auth/oidc_refresh", headers=renewing, verify=ca)
    assert answer.ok, answer.text
    assert '"alice"' in _ask(rucio, answer.headers["X-Rucio-Auth-Token"])


def test_every_site_has_its_storage_element(log_in):
    client = log_in("alice")
    found = {each["rse"]: client.list_rse_attributes(each["rse"])["site"] for each in client.list_rses()}
    assert found == {site.storage: site.name for site in SITES}


def test_an_ordinary_user_registers_replicas_only_on_user_disks(log_in, name):
    client = log_in("alice")
    file = {"scope": "user.alice", "name": name, "bytes": 1, "adler32": "00010001"}
    assert client.add_replicas("ORSAY_USERDISK", [file])
    with pytest.raises(exception.AccessDenied):
        client.add_replicas("LYON-DISK", [{**file, "name": f"{name}-2"}])


def test_rules_move_bytes_over_davs_and_back(log_in, rucio, dataset):
    client = log_in("runner")
    did = {"scope": "user.runner", "name": dataset}
    source = rucio.path("LYON-DISK", "user.runner", f"{dataset}.dat").read_bytes()
    for target in ("CNAF-DAVS", "ORSAY_USERDISK"):
        client.add_replication_rule([did], 1, target)
        rucio.run_daemons()
        assert rucio.path(target, "user.runner", f"{dataset}.dat").read_bytes() == source
    assert {rule["state"] for rule in client.list_did_rules(**did)} == {"OK"}


def test_a_damaged_source_is_not_copied(log_in, rucio, dataset):
    client = log_in("runner")
    rucio.path("LYON-DISK", "user.runner", f"{dataset}.dat").write_bytes(b"damaged")
    client.add_replication_rule([{"scope": "user.runner", "name": dataset}], 1, "ORSAY_USERDISK")
    rucio.run_daemons()
    assert not rucio.path("ORSAY_USERDISK", "user.runner", f"{dataset}.dat").exists()
    [rule] = client.list_did_rules("user.runner", dataset)
    assert rule["locks_ok_cnt"] == 0


def test_a_quota_holds(log_in, dataset):
    log_in("root").set_local_account_limit("bob", "MEUDON-DISK", 10)
    client = log_in("bob")
    with pytest.raises(exception.InsufficientAccountLimit):
        client.add_replication_rule([{"scope": "user.runner", "name": dataset}], 1, "MEUDON-DISK")


def test_a_session_that_has_expired_is_renewed_with_the_password(log_in, faults):
    log_in("alice")
    faults.expire_session("alice")
    assert log_in("alice").whoami()["account"] == "alice"


def test_without_its_database_rucio_reports_it_and_recovers(log_in, faults):
    client = log_in("alice")
    faults.kill("postgresql")
    with pytest.raises(exception.DatabaseException):
        client.get_rse("LYON-DISK")
    faults.undo()
    assert client.get_rse("LYON-DISK")["rse"] == "LYON-DISK"


def test_a_server_that_is_down_refuses_connections_until_it_is_back(log_in, faults):
    client = log_in("alice")
    faults.stop("rucio")
    with pytest.raises(exception.ServerConnectionException):
        client.ping()
    faults.start("rucio")
    assert client.ping()


def test_a_paused_server_answers_when_it_continues(rucio, faults):
    context = ssl.create_default_context(cafile=rucio.clients.ca)
    faults.pause("rucio")
    with pytest.raises(OSError, match="timed out"):
        urllib.request.urlopen(f"{rucio.url}/ping", context=context, timeout=0.5)
    faults.resume("rucio")
    assert urllib.request.urlopen(f"{rucio.url}/ping", context=context, timeout=60).status == 200


def test_a_slow_server_is_slow(log_in, rucio, faults):
    import time

    url = f"https://localhost:{faults.slow('rucio', 0.3)}"
    client = log_in("alice", rucio.clients.configuration("alice", url=url))
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.3


def test_upload_to_a_full_disk_fails_and_registers_nothing(log_in, faults, name, tmp_path):
    from rucio.client.uploadclient import UploadClient

    from gridcwl.testbed.faults import can_fill

    if not can_fill():
        pytest.skip("only root may mount a small disk")
    client = log_in("runner")
    (tmp_path / name).write_bytes(bytes(1_000_000))
    faults.fill("LYON-DISK")
    with pytest.raises(exception.NoFilesUploaded):
        UploadClient(client).upload(
            [
                {
                    "path": str(tmp_path / name),
                    "rse": "LYON-DISK",
                    "did_scope": "user.runner",
                    "register_after_upload": True,
                }
            ]
        )
    with pytest.raises(exception.DataIdentifierNotFound):
        client.get_did("user.runner", name)
    clean_cached_config()
