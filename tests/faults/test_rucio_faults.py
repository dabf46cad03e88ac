"""Clients that are killed and servers that go away in the middle of a run whose files live in Rucio.

However it was interrupted: the run ends right after ``resume``, nothing that ended is run again, and nothing is known
to Rucio that is not there in full.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kept_runs import Desk
from waiting import until

if TYPE_CHECKING:
    from gridcwl.testbed.faults import Faults
    from gridcwl.testbed.rucio.service import RucioService
    from gridcwl.testbed.testbed import Testbed

OPTIONS = ("--store", "rucio", "--rucio-rse", "LYON-DISK")
SHARDS = [f"{number}" for number in range(8)]


@pytest.fixture
def desk(tmp_path: Path, rucio: RucioService) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", SHARDS)
    made.environment |= rucio.clients.exports("runner")
    yield made
    made.leave()


@pytest.fixture
def client(log_in: Callable[..., Any]) -> Any:
    return log_in("runner")


def only_run(desk: Desk) -> str:
    (journal,) = desk.state.glob("runs/*/journal.db")
    return journal.parent.name


def all_there_in_full(client: Any, run: str) -> list[str]:
    """The run's files in Rucio, each looked at."""
    names = sorted(client.list_dids("user.runner", [{"name": f"{run}.*"}], did_type="file"))
    replicas = list(client.list_replicas([{"scope": "user.runner", "name": name} for name in names])) if names else []
    assert len(replicas) == len(names)
    for replica in replicas:
        (pfn,) = replica["pfns"]
        data = Path("/" + pfn.split("/", 3)[3]).read_bytes()
        assert (len(data), f"{zlib.adler32(data):08x}") == (replica["bytes"], replica["adler32"]), replica["name"]
    return names


def ended_right(desk: Desk, client: Any) -> None:
    ended = desk.gridcwl("resume", "last", "--quiet")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    names = all_there_in_full(client, only_run(desk))
    assert len(names) == len(SHARDS) + 1


def test_a_client_killed_between_upload_and_registration(desk: Desk, client: Any, faults: Faults) -> None:
    running = desk.start(*desk.words(*OPTIONS))
    running.until(lambda: len(desk.starts()) > 0)
    faults.pause("rucio")  # from now on nothing can be registered
    desk.open("all")
    running.until(lambda: len(desk.recorded()) >= 2)
    running.kill()
    before = desk.recorded()  # a tool may have ended and nobody have written it down: that one runs again
    faults.resume("rucio")
    all_there_in_full(client, only_run(desk))  # what the server had before it slept, it may do now
    ended_right(desk, client)
    starts = desk.starts()
    assert all(starts[shard] == 1 for shard in before if shard in SHARDS), starts


def test_a_client_killed_again_and_again(desk: Desk, client: Any) -> None:
    running = desk.start(*desk.words(*OPTIONS))
    desk.open("0", "1", "2")
    running.until(lambda: {"0", "1", "2"} <= desk.recorded())
    running.kill()
    resumed = desk.start("resume", "last", "--quiet")
    desk.open("3", "4")
    resumed.until(lambda: {"3", "4"} <= desk.recorded())
    resumed.kill()
    before = {shard: desk.starts()[shard] for shard in "01234"}
    assert all(before[shard] == 1 for shard in "012")
    desk.open("all")
    ended_right(desk, client)
    assert {shard: desk.starts()[shard] for shard in "01234"} == before


def test_a_server_that_is_restarted_only_delays_the_run(desk: Desk, client: Any, faults: Faults) -> None:
    running = desk.start(*desk.words(*OPTIONS))
    running.until(lambda: len(desk.starts()) > 0)
    faults.stop("rucio")
    desk.open("all")
    running.until(lambda: len(desk.recorded()) >= 2)
    faults.start("rucio")
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    all_there_in_full(client, only_run(desk))


def test_a_database_that_is_down_for_ten_seconds_only_delays_the_run(
    desk: Desk, client: Any, faults: Faults, testbed: Testbed
) -> None:
    running = desk.start(*desk.words(*OPTIONS))
    running.until(lambda: len(desk.starts()) > 0)
    faults.kill("postgresql")
    threading.Timer(10, lambda: testbed.up(lambda *_: None)).start()
    desk.open("all")
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    all_there_in_full(client, only_run(desk))


def test_a_run_whose_outputs_were_removed_from_rucio_makes_them_again(desk: Desk, client: Any) -> None:
    running = desk.start(*desk.words(*OPTIONS))
    desk.open("0", "1")
    running.until(lambda: {"0", "1"} <= desk.recorded())
    until(lambda: len(all_there_in_full(client, only_run(desk))) == 2)
    with closing(desk.history()) as history:
        until(lambda: all(history.is_registered(prefix) for prefix in _prefixes(history)))
    running.kill()
    (lost, _) = all_there_in_full(client, only_run(desk))
    client.update_replicas_states("LYON-DISK", [{"scope": "user.runner", "name": lost, "state": "U"}])
    desk.open("all")
    ended = desk.gridcwl("resume", "last", "--quiet")
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert sorted(desk.starts()[shard] for shard in "01") == [1, 2]


def _prefixes(history: Any) -> list[str]:
    from gridcwl.stores.rucio.replicas import prefix_in

    return [prefix_in(result.files[0].location.rpartition("/")[2]) for result in history.successes()]


def test_names_are_never_shared_by_two_attempts(desk: Desk, client: Any) -> None:
    desk.open("all", "fail-0")
    failed = desk.run(*OPTIONS)
    assert failed.code != 0
    desk.close("fail-0")
    ended = desk.gridcwl("resume", "last", "--quiet")
    assert ended.code == 0, ended.stderr
    names = all_there_in_full(client, only_run(desk))
    assert len(names) == len(set(names)) == len(SHARDS) + 1
