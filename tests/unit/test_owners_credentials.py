"""Where one process works for many users, each run uses its owner's credentials, and never those of the process."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from gridcwl.backends.dirac.client import DiracClient
from gridcwl.errors import StoreError
from gridcwl.stores.rucio import client as rucio_client
from gridcwl.stores.rucio.client import RucioClient, RucioProblem
from gridcwl.worker import credentials
from gridcwl.worker.credentials import Owner, act_for, bearer_token, only_for_owners, proxy_file, transfer_environment


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """This process has credentials of its own."""
    (tmp_path / "own-proxy").write_text("own")
    monkeypatch.setenv("BEARER_TOKEN", "own-token")
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "own-proxy"))
    yield
    act_for(None)


def owner_in(folder: Path, word: str, ends: float = 600, **more: str) -> Owner:
    folder.mkdir(exist_ok=True)
    for name in ("token", "proxy"):
        (folder / name).write_text(f"{word}-{name}\n")
        os.utime(folder / name, (0, time.time() + ends))
    return Owner(str(folder), **more)


def test_runs_of_one_event_loop_use_each_its_owners_credentials(tmp_path: Path):
    async def seen(word: str) -> tuple[str, str, str | None]:
        act_for(owner_in(tmp_path / word, word))
        await asyncio.sleep(0)
        found = await asyncio.to_thread(lambda: (bearer_token(), proxy_file(), transfer_environment(trusted=True)))
        assert "BEARER_TOKEN" not in found[2]
        assert found[2]["BEARER_TOKEN_FILE"] == f"{tmp_path / word}/token"
        return found[0], found[1], found[2]["X509_USER_PROXY"]

    async def side_by_side() -> list[tuple[str, str, str | None]]:
        return await asyncio.gather(*(asyncio.create_task(seen(word)) for word in ("ann", "bob")))

    both = asyncio.run(side_by_side())
    for word, found in zip(("ann", "bob"), both, strict=True):
        proxy = str(tmp_path / word / "proxy")
        assert found == (f"{word}-token", proxy, proxy)
    assert bearer_token() == "own-token"


def test_a_process_that_serves_owners_uses_its_own_credentials_for_nobody():
    with only_for_owners():
        assert bearer_token() == ""
        assert proxy_file() == ""
        for trusted in (True, False):
            variables = transfer_environment(trusted=trusted)
            assert "BEARER_TOKEN" not in variables
            assert variables.get("X509_USER_PROXY", os.devnull) == os.devnull
        with pytest.raises(StoreError, match="owner"):
            RucioClient()
    assert bearer_token() == "own-token"


def test_an_owner_without_a_token_does_not_get_that_of_the_process(tmp_path: Path):
    act_for(Owner(str(tmp_path / "nothing")))
    assert bearer_token() == ""
    assert proxy_file() == ""
    assert transfer_environment(trusted=True)["X509_USER_PROXY"] == os.devnull
    assert transfer_environment(trusted=False)["BEARER_TOKEN_FILE"] == os.devnull


def test_a_worker_process_has_its_owners_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gridcwl.backends.local import process

    started: list[Any] = []
    monkeypatch.setattr(process.subprocess, "Popen", lambda *_, **named: started.append(named["env"]))
    process._popen("/")
    act_for(owner_in(tmp_path / "ann", "ann"))
    process._popen("/")
    assert started[0] is None
    assert started[1]["X509_USER_PROXY"] == str(tmp_path / "ann" / "proxy")
    assert "own-token" not in started[1].values()


def test_uploads_of_several_threads_use_the_owners_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gridcwl.worker import put

    seen: list[str] = []
    monkeypatch.setattr(put, "_put_one", lambda *_: seen.append(bearer_token()))
    act_for(owner_in(tmp_path / "ann", "ann"))
    nothing: Any = None
    placed = [(nothing, f"davs://storage.example/{number}") for number in range(3)]
    put._put_all(nothing, placed, lambda: None, lambda _: None)
    assert seen == ["ann-token"] * 3


def test_dirac_is_called_with_the_owners_proxy(tmp_path: Path):
    from gridcwl.backends.batch.errors import CredentialMissing
    from gridcwl.backends.dirac.client import DiracClient

    asked: list[dict[str, Any]] = []

    class Modules:
        def manager(self, **named: Any) -> Any:
            asked.append(named)
            return self

        def getMaxParametricJobs(self) -> dict[str, Any]:  # noqa: N802
            return {"OK": True, "Value": 10}

        def proxy_info(self, *given: str) -> dict[str, Any]:
            asked.append({"given": given})
            return {"OK": True, "Value": {"secondsLeft": 60, "username": "ann", "group": "users"}}

    act_for(owner_in(tmp_path / "ann", "ann"))
    client = DiracClient(modules=Modules())
    act_for(None)  # its threads have no owner
    assert client.most_jobs() == 10
    assert client.credential().user == "ann"
    proxy = str(tmp_path / "ann" / "proxy")
    assert [asked[0]["proxyLocation"], asked[1]["given"]] == [proxy, (proxy,)]
    Path(proxy).unlink()
    with pytest.raises(CredentialMissing):
        client.credential()


def test_a_call_to_rucio_waits_for_newer_credentials_of_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rucio_client, "_RENEWAL_S", 0.05)
    act_for(owner_in(tmp_path / "ann", "ann", ends=-5, rucio="token"))
    calls: list[str] = []

    class Client:
        def ping(self) -> str:
            calls.append(token := Path(tmp_path / "ann" / "token").read_text().strip())
            if token == "ann-token":
                raise RucioProblem("expired", "CannotAuthenticate")
            return "pong"

    client = RucioClient(Client)
    answer: list[Any] = []
    thread = threading.Thread(target=lambda: answer.append(client.call_now("ping")))
    thread.start()
    until(lambda: calls)
    assert not answer
    owner_in(tmp_path / "ann", "newer")
    thread.join()
    assert answer == ["pong"]
    client.close()


def test_a_refusal_of_credentials_that_have_not_expired_is_an_error(tmp_path: Path):
    act_for(owner_in(tmp_path / "ann", "ann", rucio="token"))

    class Client:
        def ping(self) -> None:
            raise RucioProblem("refused", "CannotAuthenticate")

    client = RucioClient(Client)
    with pytest.raises(RucioProblem, match="refused"):
        client.call_now("ping")
    client.close()


def test_a_run_that_ends_waits_for_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rucio_client, "_RENEWAL_S", 0.05)
    act_for(owner_in(tmp_path / "ann", "ann", ends=-5, rucio="proxy"))
    begun = threading.Event()

    class Client:
        def ping(self) -> None:
            begun.set()
            raise RucioProblem("expired", "CannotAuthenticate")

    client = RucioClient(Client)
    future = client._begin("ping", (), {})
    begun.wait()
    client._closing.set()
    with pytest.raises(StoreError):
        future.result()
    assert credentials.acting_for() is not None
    client.close()


@pytest.mark.parametrize(("how", "whose"), [("proxy", "ann-proxy\n"), ("service", "")])
def test_jobs_at_dirac_are_their_owners_or_the_services(tmp_path: Path, how: str, whose: str):
    act_for(owner_in(tmp_path / "ann", "ann", jobs=how))
    used = DiracClient(modules=object())._proxy
    assert (Path(used).read_text() if used else "") == whose
