"""Clients that die between two chunks of a registration, and names and places that are taken, on the real server."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kept_runs import Desk
from waiting import files_below

from gridcwl.stores.rucio.client import CHUNK
from gridcwl.testbed.rucio.proxy import Proxy, Request, in_front_of
from gridcwl.worker.naming import place_of

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

SCOPE = "user.runner"
MANY = CHUNK + 120
OPTIONS = ("--store", "rucio", "--rucio-rse", "LYON-DISK")
MAKE_MANY = f"""\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments: ['echo "start many" >> "$0"; seq {MANY} | while read n; do echo "file $n" > $n.txt; done']
inputs:
  marks: {{type: string, inputBinding: {{}}}}
outputs:
  files: {{type: "File[]", outputBinding: {{glob: "*.txt"}}}}
"""


@pytest.fixture
def client(log_in: Callable[..., Any]) -> Any:
    return log_in("runner")


@pytest.fixture
def desk(tmp_path: Path, rucio: RucioService) -> Iterator[Desk]:
    made = Desk(tmp_path / "desk", ["0", "1"])
    made.environment |= rucio.clients.exports("runner")
    yield made
    made.leave()


@pytest.fixture
def proxy(desk: Desk, rucio: RucioService) -> Iterator[Proxy]:
    """In front of the server, for the desk's clients."""
    with in_front_of(rucio.url, rucio.clients.ca) as made:
        made.keeps = True
        desk.environment["RUCIO_CONFIG"] = str(rucio.clients.configuration("runner", url=made.url))
        yield made


def run_of(desk: Desk) -> str:
    (journal,) = desk.state.glob("runs/*/journal.db")
    return journal.parent.name


def registered(client: Any, run: str) -> dict[str, Path]:
    """The run's files in Rucio and where they are, each looked at."""
    names = sorted(client.list_dids(SCOPE, [{"name": f"{run}.*"}], did_type="file"))
    found = {}
    for start in range(0, len(names), CHUNK):
        asked = [{"scope": SCOPE, "name": name} for name in names[start : start + CHUNK]]
        for replica in client.list_replicas(asked):
            (pfn,) = replica["pfns"]
            path = Path("/" + pfn.split("/", 3)[3])
            data = path.read_bytes()
            assert (len(data), f"{zlib.adler32(data):08x}") == (replica["bytes"], replica["adler32"]), replica["name"]
            found[str(replica["name"])] = path
    assert sorted(found) == names
    return found


def registers(request: Request) -> list[str]:
    """The names of the files that a request registers."""
    if request.method != "POST" or not request.path.endswith("/dids/attachments"):
        return []
    attachments = json.loads(request.body)["attachments"]
    return [did["name"] for each in attachments if each.get("rse") for did in each["dids"]]


def uploads(storage: Path, run: str) -> dict[str, tuple[int, int]]:
    """What lies on the storage element of a run: names with what changes when a file is put there again."""
    found = {path.name: path.stat() for path in files_below(storage, f"{run}.*")}
    return {name: (about.st_ino, about.st_mtime_ns) for name, about in found.items()}


@pytest.mark.parametrize("answered", [False, True], ids=["before the second", "before its answer"])
def test_a_client_killed_between_two_chunks(
    desk: Desk, client: Any, proxy: Proxy, rucio: RucioService, *, answered: bool
) -> None:
    (desk.folder / "many.cwl").write_text(MAKE_MANY)
    (desk.folder / "many.json").write_text(json.dumps({"marks": str(desk.marks)}))
    chunks: list[list[str]] = []

    def second(request: Request) -> bool:
        names = registers(request)
        chunks.extend([names] if names else [])
        return bool(names) and len(chunks) == 2

    if answered:
        proxy.hold_after = second
    else:
        proxy.hold_before = second
    running = desk.start("--quiet", "--no-container", *OPTIONS, "--no-download", "many.cwl", "many.json")
    running.until(proxy.held.is_set)
    running.kill()
    run = run_of(desk)
    assert [len(names) for names in chunks] == [CHUNK, MANY - CHUNK]
    assert len(registered(client, run)) == (MANY if answered else CHUNK)
    before = uploads(rucio.storage("LYON-DISK"), run)
    assert len(before) == MANY
    proxy.release()
    proxy.seen.clear()

    ended = desk.gridcwl("resume", "last", "--quiet")

    assert ended.code == 0, ended.stderr
    assert len(ended.outputs["files"]) == MANY
    files = registered(client, run)
    assert len(files) == MANY
    assert desk.starts() == {"many": 1}
    assert uploads(rucio.storage("LYON-DISK"), run) == before
    (dataset,) = [name for name in client.list_dids(SCOPE, [{"name": f"{run}.*.files"}]) if ".outputs." not in name]
    content = [one["name"] for one in client.list_files(SCOPE, dataset)]
    assert sorted(content) == sorted(files)
    assert sum(len(registers(request)) for request in proxy.seen) == MANY  # sent once more, for it may be sent twice


def waiting(desk: Desk) -> str:
    """Begin a run whose jobs wait, so that their names are known; the run's id."""
    running = desk.start(*desk.words(*OPTIONS))
    running.until(lambda: len(desk.starts()) == len(desk.shards) and desk.begun())
    return run_of(desk)


def names_of(desk: Desk, run: str) -> list[str]:
    """The names that the outputs of the jobs that wait will have."""
    with closing(desk.history()) as history:
        rows = [row.job for row in history.jobs() if row.name.startswith("say[")]
    return [f"{run}.say.j{job.removeprefix(run + '-')}-1.said.txt" for job in rows]


def test_a_half_written_file_at_a_place_is_replaced(desk: Desk, client: Any, rucio: RucioService) -> None:
    run = waiting(desk)
    names = names_of(desk, run)
    assert len(names) == len(desk.shards)
    for name in names:
        place = rucio.storage("LYON-DISK") / place_of(SCOPE, name, "hash")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"wo")
    desk.open("all")
    ended = desk.clients[0].end()
    assert ended.code == 0, ended.stderr
    assert Path(ended.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert set(names) < set(registered(client, run))


def test_a_whole_file_at_a_place_is_not_put_there_again(desk: Desk, client: Any, rucio: RucioService) -> None:
    run = waiting(desk)
    for shard, name in zip(desk.shards, names_of(desk, run), strict=True):
        place = rucio.storage("LYON-DISK") / place_of(SCOPE, name, "hash")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((desk.folder / f"{shard}.word").read_text() + f"{shard}\n")
    before = uploads(rucio.storage("LYON-DISK"), run)
    desk.open("all")
    ended = desk.clients[0].end()
    assert ended.code == 0, ended.stderr
    after = uploads(rucio.storage("LYON-DISK"), run)
    assert {name: after[name] for name in before} == before
    assert len(registered(client, run)) == len(desk.shards) + 1


def test_names_that_are_registered_already_with_the_same_content_are_taken(
    desk: Desk, client: Any, rucio: RucioService
) -> None:
    run = waiting(desk)
    for shard, name in zip(desk.shards, names_of(desk, run), strict=True):
        data = ((desk.folder / f"{shard}.word").read_text() + f"{shard}\n").encode()
        place = rucio.storage("LYON-DISK") / place_of(SCOPE, name, "hash")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        file = {"scope": SCOPE, "name": name, "bytes": len(data), "adler32": f"{zlib.adler32(data):08x}"}
        client.add_replicas("LYON-DISK", [file])
    desk.open("all")
    ended = desk.clients[0].end()
    assert ended.code == 0, ended.stderr
    assert len(registered(client, run)) == len(desk.shards) + 1


def test_another_content_at_the_same_name_fails_that_job_and_the_resumed_run_ends_right(
    desk: Desk, client: Any
) -> None:
    run = waiting(desk)
    taken = names_of(desk, run)[1]
    client.add_replicas("MEUDON-DISK", [{"scope": SCOPE, "name": taken, "bytes": 1, "adler32": "00620062"}])
    desk.open("all")
    ended = desk.clients[0].end()
    assert ended.code == 1
    assert f"{SCOPE}:{taken} at LYON-DISK" in ended.stderr
    assert "mismatch" in ended.stderr
    assert "Traceback" not in ended.stderr
    again = desk.gridcwl("resume", "last", "--quiet")
    assert again.code == 0, again.stderr
    assert Path(again.outputs["all"]["path"]).read_text() == desk.expected_output()
    assert sorted(desk.starts()[shard] for shard in desk.shards) == [1, 2]
    files = registered_but(client, run, taken)
    assert len(files) == len(desk.shards) + 1


def registered_but(client: Any, run: str, other: str) -> list[str]:
    names = [name for name in client.list_dids(SCOPE, [{"name": f"{run}.*"}], did_type="file") if name != other]
    replicas = list(client.list_replicas([{"scope": SCOPE, "name": name} for name in names]))
    assert all(replica["states"] == {"LYON-DISK": "AVAILABLE"} for replica in replicas)
    return names


@pytest.mark.parametrize("command", [("resume", "last", "--quiet"), ("rm", "--data", "last")], ids=lambda c: c[0])
def test_what_a_killed_job_had_put_into_storage_does_not_stay_there(
    desk: Desk, rucio: RucioService, command: tuple[str, ...]
) -> None:
    run = waiting(desk)
    with closing(desk.history()) as history:
        working = Path(str(history.meta("working")))
    left = []
    for name in names_of(desk, run):
        place = rucio.storage("LYON-DISK") / place_of(SCOPE, name, "hash")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("whole, and nobody knows")
        left.append(place)
        job = f"{run}-" + name.rpartition(".j")[2].split(".")[0]
        (working / job / "uploads.json").write_text(json.dumps([place.as_uri()]))
    desk.clients[0].kill()
    desk.open("all")
    ended = desk.gridcwl(*command)
    assert ended.code == 0, ended.stderr
    assert not any(place.exists() for place in left)
