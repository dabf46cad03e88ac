"""Runs use their owners' credentials: they wait without them, and no secret is kept where it can be read."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from documents import expression
from issuing import SECRET, Provided
from sqlalchemy import select, update
from waiting import until
from wes import Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service.db import OwnersQueue
from gridcwl.service.owners import Owners
from gridcwl.service.schema import credentials
from gridcwl.service.settings import load
from gridcwl.service.sharing import next_owner
from gridcwl.service.vault import VARIABLE, Stored, keys_of
from gridcwl.testbed.pki import Authority
from gridcwl.testbed.place import InstallFolder

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
PATH = "/api/v1/credentials"


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(InstallFolder(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="module", autouse=True)
def soon() -> Iterator[None]:
    from gridcwl.service import owner_credentials

    before = owner_credentials._LOOK_EVERY_S
    owner_credentials._LOOK_EVERY_S = 0.1
    yield
    owner_credentials._LOOK_EVERY_S = before


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory, issuer: Provided) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("service")
    with serving(folder, auth=issuer.auth(folder), credentials={"dirac": "proxy", "rucio": "token"}) as client:
        yield client


def proxy(authority: Authority, user: str, folder: Path, lifetime: timedelta = timedelta(hours=2)) -> str:
    return authority.proxy(authority.certificate(user, user), folder / "proxy.pem", lifetime).read_text()


def put(wes: Wes, issuer: Provided, user: str, kind: str, text: str, **more: Any) -> Any:
    return wes.http.put(f"{PATH}/{kind}", json={"text": text, **more}, headers=issuer.bearer(user))


def submit(wes: Wes, issuer: Provided, user: str) -> str:
    answer = wes.post(TWICE, {"number": 4}, headers=issuer.bearer(user))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def log_of(wes: Wes, issuer: Provided, user: str, run: str) -> dict[str, Any]:
    return dict(wes.get(f"/runs/{run}", headers=issuer.bearer(user)).json())


def stored(wes: Wes, owner: str, kind: str) -> Any:
    with wes.service.db.engine.connect() as connection:
        query = select(credentials).where(credentials.c.owner == owner, credentials.c.kind == kind)
        return connection.execute(query).one()


def test_a_run_waits_for_its_owners_credentials_and_begins_when_they_come(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path
):
    run = submit(wes, issuer, "ann")
    until(
        lambda: "a proxy certificate of ann is missing" in log_of(wes, issuer, "ann", run)["run_log"]["system_logs"][0]
    )
    assert log_of(wes, issuer, "ann", run)["state"] == "QUEUED"
    status = wes.http.get(f"/api/v1/runs/{run}", headers=issuer.bearer("ann")).json()
    assert "gridcwl credentials add" in status["message"]

    assert put(wes, issuer, "bob", "proxy", proxy(proxies, "bob", tmp_path)).status_code == 200
    assert put(wes, issuer, "ann", "proxy", proxy(proxies, "ann", tmp_path)).status_code == 200
    until(lambda: "a token of ann is missing" in log_of(wes, issuer, "ann", run)["run_log"]["system_logs"][0])
    assert put(wes, issuer, "ann", "token", issuer.token("ann")).status_code == 200
    until(lambda: log_of(wes, issuer, "ann", run)["state"] == "COMPLETE")


def test_a_user_whose_runs_wait_for_credentials_holds_up_nobody_else(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path
):
    waiting = [submit(wes, issuer, "eve") for _ in range(wes.settings.max_active + 1)]  # type: ignore[union-attr]
    put(wes, issuer, "dan", "proxy", proxy(proxies, "dan", tmp_path))
    put(wes, issuer, "dan", "token", issuer.token("dan"))
    run = submit(wes, issuer, "dan")
    until(lambda: log_of(wes, issuer, "dan", run)["state"] == "COMPLETE")
    assert log_of(wes, issuer, "eve", waiting[0])["state"] == "QUEUED"
    for one in waiting:
        wes.http.post(f"/ga4gh/wes/v1/runs/{one}/cancel", headers=issuer.bearer("eve"))


def test_what_is_stored_is_encrypted_and_shown_to_nobody(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    text, token = proxy(proxies, "fay", tmp_path), issuer.token("fay")
    secrets = [text.partition("PRIVATE KEY-----\n")[2].splitlines()[1], token.rpartition(".")[2]]
    answers = [put(wes, issuer, "fay", "proxy", text, account="fay_cta"), put(wes, issuer, "fay", "token", token)]
    answers.append(wes.http.get(PATH, headers=issuer.bearer("fay")))
    run = submit(wes, issuer, "fay")
    until(lambda: log_of(wes, issuer, "fay", run)["state"] == "COMPLETE")

    assert answers[0].json()["about"].endswith("CN=fay")
    assert answers[0].json()["account"] == "fay_cta"
    assert {one["kind"] for one in answers[2].json()["credentials"]} == {"proxy", "token"}
    assert wes.http.get(PATH, headers=issuer.bearer("gus")).json()["credentials"] == []
    wes.service.db.engine.dispose()  # what is in the log of SQLite's is in its file
    assert wes.settings is not None
    files = [file for file in wes.settings.folder.rglob("*") if file.is_file()]
    held = [answer.text for answer in answers] + [caplog.text, repr(wes.service.vault.all_of("fay"))]
    for secret in secrets:
        assert not [file for file in files if secret.encode() in file.read_bytes()]
        assert not [one for one in held if secret in one]


def test_a_row_that_is_copied_to_another_user_is_of_no_use(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path
):
    put(wes, issuer, "hal", "proxy", proxy(proxies, "hal", tmp_path))
    put(wes, issuer, "ivy", "proxy", proxy(proxies, "ivy", tmp_path))
    with wes.service.db.engine.begin() as connection:
        values = {"sealed": stored(wes, "hal", "proxy").sealed}
        connection.execute(update(credentials).where(credentials.c.owner == "ivy").values(**values))
    assert wes.service.vault.get("ivy", "proxy") is None
    assert "is missing" in wes.service.owners.lacking("ivy")


def test_credentials_that_are_removed_are_gone(wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path):
    put(wes, issuer, "jim", "proxy", proxy(proxies, "jim", tmp_path))
    assert wes.http.delete(f"{PATH}/proxy", headers=issuer.bearer("jim")).status_code == 200
    assert wes.http.delete(f"{PATH}/proxy", headers=issuer.bearer("jim")).status_code == 404
    assert wes.service.vault.all_of("jim") == []


def test_what_is_no_credential_is_refused_without_repeating_it(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path
):
    good, other = proxy(proxies, "kim", tmp_path), proxy(proxies, "leo", tmp_path)
    certificate = proxies.certificate("kim", "kim")
    own = certificate.certificate.read_text() + certificate.key.read_text()
    key = other[other.index("-----BEGIN RSA") if "-----BEGIN RSA" in other else other.index("-----BEGIN PRIV") :]
    swapped = good[: good.index("-----END CERTIFICATE-----") + 26] + key
    ended = proxy(proxies, "kim", tmp_path, timedelta(seconds=-60))
    for kind, text in (
        ("proxy", "secret-words"),
        ("proxy", own),
        ("proxy", swapped),
        ("proxy", ended),
        ("proxy", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + key),
        ("proxy", "x" * 100_000),
        ("token", "secret-words"),
        ("token", "e30.e30.secretwords"),
        ("token", issuer.token("kim", seconds=-60)),
        ("token", "e30.WzFd.secretwords"),
        ("token", "e30." + "eyJleHAiOiAxZTQwMH0" + ".secretwords"),
        ("password", "secret-words"),
    ):
        answer = put(wes, issuer, "kim", kind, text)
        assert answer.status_code == 400, text[:50]
        assert text[-60:-40] not in answer.text or len(text) < 60
        assert "secret" not in answer.text
    for body in (b"", b"[]", b"{", b'{"text": 3}', b"[" * 100_000):
        answer = wes.http.put(f"{PATH}/token", content=body, headers=issuer.bearer("kim"))
        assert answer.status_code == 400
    assert put(wes, issuer, "kim", "proxy", good, account="../root").status_code == 400
    assert wes.http.put(f"{PATH}/proxy", content=b"x" * 400_000, headers=issuer.bearer("kim")).status_code == 413
    assert wes.service.vault.all_of("kim") == []


def test_an_active_run_gets_what_was_renewed_and_shows_that_it_waits(
    wes: Wes, issuer: Provided, proxies: Authority, tmp_path: Path
):
    owners, run = wes.service.owners, _run("mia")
    old, new = proxy(proxies, "mia", tmp_path), proxy(proxies, "mia", tmp_path, timedelta(hours=3))
    put(wes, issuer, "mia", "proxy", old)
    put(wes, issuer, "mia", "token", issuer.token("mia"))
    owner = owners.open(run)
    assert Path(owner.proxy_file).stat().st_mode & 0o077 == 0
    assert Path(owner.folder).stat().st_mode & 0o077 == 0
    assert str(wes.settings.folder) not in owner.folder  # type: ignore[union-attr]
    assert owner.account == "mia"
    assert not owner.has_expired("proxy")
    wes.service.vault.put("mia", Stored("proxy", old, time.time() - 1))
    assert "ended at" in owners.refresh(run)
    assert owner.has_expired("proxy")
    put(wes, issuer, "mia", "proxy", new)
    assert owners.refresh(run) == ""
    assert Path(owner.proxy_file).read_text().split() == new.split()
    assert not owner.has_expired("proxy")
    owners.close(run.id)
    assert not Path(owner.folder).exists()


def _run(owner: str) -> Any:
    class Run:
        id = f"run-of-{owner}"

    found: Any = Run()
    found.owner = owner
    return found


@pytest.fixture
def exchanging(issuer: Provided, tmp_path: Path) -> Iterator[Wes]:
    how = {"rucio": "token", "exchange": {"audience": "rucio", "scope": "openid offline_access"}}
    with serving(tmp_path, auth=issuer.auth(tmp_path), credentials=how) as client:
        yield client


def test_the_token_of_a_request_is_exchanged_for_one_of_its_owners_runs_and_renewed(
    exchanging: Wes, issuer: Provided, monkeypatch: pytest.MonkeyPatch
):
    run = submit(exchanging, issuer, "ann")
    until(lambda: log_of(exchanging, issuer, "ann", run)["state"] == "COMPLETE")
    vault, owners = exchanging.service.vault, exchanging.service.owners
    first = vault.get("ann", "token")
    claims = issuer.provider.issuer.checked(first.text)
    assert (claims["sub"], claims["aud"]) == ("ann", ["rucio"])
    assert owners.lacking("ann") == ""
    assert vault.get("ann", "token").text == first.text  # not before it is time

    monkeypatch.setattr(issuer.provider, "lifetime", timedelta(seconds=30))
    vault.put("ann", Stored("token", first.text, time.time() - 1, "", "", first.refresh))
    assert owners.lacking("ann") == ""
    second = vault.get("ann", "token")
    assert second.text != first.text
    assert second.refresh != first.refresh


def test_a_token_that_the_issuer_no_longer_renews_makes_runs_wait_until_the_next_request(
    exchanging: Wes, issuer: Provided
):
    vault, owners = exchanging.service.vault, exchanging.service.owners
    spent = issuer.provider.issuer.refresh_token("bob", timedelta(days=1), "openid", None)
    issuer.provider.spent.add(issuer.provider.issuer.checked(spent)["jti"])
    vault.put("bob", Stored("token", issuer.token("bob"), time.time() - 1, "", "", spent))
    reason = owners.lacking("bob")
    assert "ended at" in reason
    assert "refresh token" in reason
    assert SECRET not in reason
    assert spent not in reason
    run = submit(exchanging, issuer, "bob")
    until(lambda: log_of(exchanging, issuer, "bob", run)["state"] == "COMPLETE")


def test_an_issuer_that_does_not_exchange_is_named_while_the_run_waits(
    exchanging: Wes, issuer: Provided, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(issuer.provider.clients, "gridcwl", "another-secret")
    run = submit(exchanging, issuer, "cat")
    until(lambda: "invalid_client" in log_of(exchanging, issuer, "cat", run)["run_log"]["system_logs"][0])
    assert log_of(exchanging, issuer, "cat", run)["state"] == "QUEUED"


def test_keys_may_be_replaced_and_are_for_the_service_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "keys"
    old = keys_of(file).encrypt(b"x")
    assert file.stat().st_mode & 0o077 == 0
    first = file.read_text()
    assert keys_of(file).decrypt(old) == b"x"
    new = keys_of(tmp_path / "others")
    file.write_text((tmp_path / "others").read_text() + first)
    both = keys_of(file)
    assert both.decrypt(old) == b"x"
    assert new.decrypt(both.encrypt(b"y")) == b"y"
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="Others can read"):
        keys_of(file)
    monkeypatch.setenv(VARIABLE, first.strip())
    assert keys_of(file).decrypt(old) == b"x"
    monkeypatch.setenv(VARIABLE, "no key")
    with pytest.raises(ConfigError, match="no keys") as raised:
        keys_of(file)
    assert "no key," not in str(raised.value)


def test_settings_of_credentials_that_do_not_fit_are_refused(issuer: Provided, tmp_path: Path):
    auth = issuer.auth(tmp_path)
    plain = {"issuer": issuer.url, "audience": "gridcwl"}
    for more, match in (
        ({"credentials": {"rucio": "token"}}, r"without \[auth\]"),
        ({"auth": auth, "credentials": {}}, "what they are for"),
        ({"auth": plain, "credentials": {"rucio": "token", "exchange": {}}}, "client_id"),
        ({"auth": auth, "credentials": {"dirac": "proxy"}, "runs": {"backend": "diracx"}}, "DiracX"),
    ):
        with pytest.raises(ConfigError, match=match):
            load(None, {"folder": tmp_path, **more})


def test_credentials_of_active_runs_are_this_users_own_and_those_of_a_killed_process_are_removed(
    issuer: Provided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from gridcwl.errors import StoreError
    from gridcwl.service import owners

    monkeypatch.setattr(owners, "_IN_MEMORY", tmp_path)
    settings = load(None, {"folder": tmp_path / "s", "auth": issuer.auth(tmp_path), "credentials": {"rucio": "token"}})
    nothing: Any = None
    first, second, killed = (Owners(settings, nothing, None) for _ in range(3))
    for one in (first, killed):
        one.begin()
    os.close(killed._held)  # as the kernel does
    second.begin()
    place = next(tmp_path.glob("gridcwl-*"))
    assert len(list(place.iterdir())) == 2
    assert not [one for one in (place, *place.iterdir()) if one.stat().st_mode & 0o077]
    for one in (first, second):
        one.end()
    assert not place.exists()
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    with pytest.raises(StoreError, match="cannot be used"):
        first.begin()


def test_slots_go_to_the_user_with_the_fewest_active_runs():
    ann, bob = OwnersQueue("ann", 100, 0, 1), OwnersQueue("bob", 2, 0, 50)
    order = []
    queue = [ann, bob]
    while len(order) < 6 and (owner := next_owner(queue)) is not None:
        order.append(owner)
        queue = [one.after_one() if one.owner == owner else one for one in queue]
    assert order == ["ann", "bob", "ann", "bob", "ann", "ann"]
    assert next_owner([ann, bob], held={"ann"}) == "bob"
    assert next_owner([]) is None
