"""What others have written into a shared cache, in a folder or in Rucio, and into the metadata of a dataset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hostile_names import examples
from hostile_names import paths as hostile_paths
from hypothesis import given

from gridcwl.errors import GridCWLError, LimitExceeded, UnsafePath
from gridcwl.model import Job, JobId, JobResult, Outcome, ProducedFile, RunId, StagedFile, limits
from gridcwl.model.codec import to_json
from gridcwl.runs.reuse.cache import Cache
from gridcwl.stores.rucio import did_resolver
from gridcwl.stores.rucio.cache import RucioCache
from gridcwl.stores.rucio.names import Did
from gridcwl.stores.rucio.trees import TreeMetadata, read

KEY = b"key"
DATA = b"kept"
SHA1 = hashlib.sha1(DATA).hexdigest()
JOB = Job(JobId("j2-1"), RunId("r"), "step", ("true",), staged=(StagedFile("/in/d", "directory", ("file:///data/d",)),))
GOOD = ProducedFile("a", "file", f"cache:{SHA1}|a", len(DATA), SHA1)


class Shared:
    """A cache's folder with one entry that somebody else has written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.working = folder / "cache", folder / "run/working"
        self.cache = Cache(self.folder, self.working)
        self.kept = self.folder / "files" / SHA1[:2] / SHA1[2:]
        self.kept.parent.mkdir()
        self.kept.write_bytes(DATA)

    def take(self, result: JobResult | str) -> JobResult | None:
        text = result if isinstance(result, str) else to_json(result)
        with self.cache._lock:
            self.cache._db.execute("INSERT OR REPLACE INTO results VALUES (?, 0, 'other', 'step', ?)", (KEY, text))
        found = self.cache.take(KEY, JOB)
        return found.result if found else None


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def of(*files: ProducedFile, **changes: Any) -> JobResult:
    return JobResult(JobId("theirs"), Outcome.SUCCESS, files=files, **changes)


def test_what_gridcwl_itself_has_kept_is_taken(shared: Shared) -> None:
    result = shared.take(
        of(GOOD, ProducedFile("d", "directory", "cache:"), ProducedFile("i", "file", "input:/in/d|/x"))
    )
    assert result is not None
    out = shared.working / "j2-1-1/out"
    assert [file.location for file in result.files] == [f"file://{out}/a", f"file://{out}/d", "file:///data/d/x"]
    assert (out / "a").read_bytes() == DATA


@pytest.mark.parametrize(
    "file",
    [
        replace(GOOD, path="../../../evil"), replace(GOOD, location=f"cache:{SHA1}|../../../evil"),
        replace(GOOD, location=f"cache:{SHA1}|/evil"), replace(GOOD, location=f"cache:{SHA1}|"),
        replace(GOOD, location="file:///etc/passwd"), replace(GOOD, location="rucio://a/b"),
        replace(GOOD, location="cache:../../../victim|a", sha1="../../../victim"),
        replace(GOOD, location="cache:../../../victim|a"), replace(GOOD, location="cache:|a", sha1=""),
        ProducedFile("d", "directory", "file:///etc"), ProducedFile("../../../evil", "directory", "cache:"),
        ProducedFile("i", "file", "input:/in/d|/../../etc/passwd"), ProducedFile("i", "file", "input:/in/d|/%2e%2e/x"),
        ProducedFile("i", "file", "input:/etc/passwd|"), ProducedFile("i", "file", "input:/in/d|xy/../../z"),
    ],
)  # fmt: skip
def test_an_entry_that_names_anything_else_is_as_if_it_were_not_there(shared: Shared, file: ProducedFile) -> None:
    victim = shared.folder / "victim"
    victim.write_bytes(DATA)
    before = {path for path in shared.folder.parent.rglob("*") if path.is_file()}
    assert shared.take(of(file)) is None
    assert {path for path in shared.folder.parent.rglob("*") if path.is_file()} == before
    assert victim.read_bytes() == DATA


def test_a_kept_file_that_is_a_link_is_not_taken(shared: Shared, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    shared.kept.unlink()
    shared.kept.symlink_to(tmp_path / "secret")
    assert shared.take(of(GOOD)) is None
    assert (tmp_path / "secret").read_bytes() == DATA


def test_two_files_at_one_place_are_refused(shared: Shared) -> None:
    other = hashlib.sha1(b"other").hexdigest()
    assert shared.take(of(GOOD, ProducedFile("b", "file", f"cache:{other}|a", 5, other))) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{" * 10_000, '{"id": 1}', "\udcff", to_json(of(GOOD))[:-9]])
def test_a_damaged_entry_is_as_if_it_were_not_there(shared: Shared, text: str) -> None:
    assert shared.take(text.encode("utf-8", "replace").decode()) is None


def test_a_result_that_is_no_success_is_not_taken(shared: Shared) -> None:
    assert shared.take(replace(of(GOOD), outcome=Outcome.CANCELLED)) is None


@examples(60)
@given(path=hostile_paths)
def test_whatever_paths_an_entry_has_nothing_is_written_outside_of_the_run(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    shared = Shared(folder)
    shared.take(
        of(replace(GOOD, path=path, location=f"cache:{SHA1}|{path}"), ProducedFile(path, "directory", "cache:"))
    )
    shared.cache.close()
    allowed = (shared.folder, shared.working / "j2-1-1")
    assert all(any(found.is_relative_to(one) for one in allowed) for found in folder.rglob("*") if found.is_file())


# -- Rucio -------------------------------------------------------------------------------------------------------------


class Client:
    """A Rucio whose metadata say this of every dataset."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta

    def call_now(self, name: str, asked: list[Any], **_options: Any) -> list[dict[str, Any]]:
        assert name == "get_metadata_bulk"
        return [self._meta for _ in asked]


def from_rucio(entry: Any, monkeypatch: pytest.MonkeyPatch) -> JobResult | None:
    """What is taken where this entry is in Rucio, and all of its files are there."""
    naming = SimpleNamespace(scope="user.me", by_key=Did)
    client = Client({"gridcwl_result": entry if isinstance(entry, str) else json.dumps(entry)})
    cache = RucioCache(cast("Any", SimpleNamespace(client=client, naming=naming, datasets_of=lambda *_: [])))
    monkeypatch.setattr(RucioCache, "_is_there", lambda _self, _result: True)
    found = cache.take(KEY, JOB)
    return found.result if found else None


def entry(*files: ProducedFile, **changes: Any) -> dict[str, str]:
    return {"run": "other", "name": "step", "result": to_json(of(*files, **changes))}


def test_an_entry_in_rucio_with_files_in_rucio_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    files = (ProducedFile("a", "file", "rucio://x/a"), ProducedFile("d", "directory", "rucio://x/d"))
    assert from_rucio(entry(*files, outdir="rucio://x/run"), monkeypatch) is not None


@pytest.mark.parametrize(
    "hostile",
    [
        entry(ProducedFile("d", "directory", "file:///etc")), entry(ProducedFile("a", "file", "file:///etc/passwd")),
        entry(ProducedFile("d", "directory", "rucio://x/../y")), entry(ProducedFile("d", "directory", "rucio://x/%2e%2e/y")),
        entry(ProducedFile("../a", "file", "rucio://x/a")), entry(ProducedFile("a", "file", "https://evil/x")),
        entry(outdir="file:///etc"), [], "nothing", {"result": 7}, "[" * 10_000, {},
        {"run": "r", "name": "n", "result": "[" * 10_000},
    ],
)  # fmt: skip
def test_an_entry_in_rucio_that_names_anything_else_is_as_if_it_were_not_there(
    hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert from_rucio(hostile, monkeypatch) is None


@pytest.mark.parametrize(
    "said",
    [
        {"basename": ".."}, {"basename": "a/b"}, {"folders": ["../x"]}, {"folders": ["/x"]}, {"folders": [7]},
        {"places": {"a:b": "../../x"}}, {"places": {"a:b": "/etc/cron.d/x"}}, {"places": {"a:b": ""}},
        {"places": {"a:b": "x\0"}}, {"places": {"a:b": "x" * 256}}, {"places": {"a:b": ["x"]}},
    ],
)  # fmt: skip
def test_metadata_of_a_dataset_that_lead_out_of_it_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(UnsafePath, match="A path in the Rucio metadata of cta:set is refused"):
        read(json.dumps(said), "cta:set")


def test_metadata_that_are_too_large_or_too_deep_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitExceeded):
        read("[" * 10_000)
    monkeypatch.setattr(limits, "METADATA_BYTES", 10)
    with pytest.raises(LimitExceeded):
        read('{"basename": "a longer one"}')


@pytest.mark.parametrize("name", ["run.s.j1-2-1.-_2e-_2e", "run.s.j1-2-1.d-_2f-_2e-_2e", "a/..", "run.s.j1-2-1.a-_00"])
def test_a_did_whose_name_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UnsafePath, match="in Rucio is refused"):
        did_resolver.basename(Did("cta", name))


@pytest.mark.parametrize("name", ["run.s.j1-2-1.d-_2f-_2e-_2e-_2f-_2e-_2e-_2fa", "run.s.j1-2-1.d-_2f-_2fa"])
def test_a_file_s_place_in_a_dataset_stays_in_it(name: str) -> None:
    file = {"class": "File", "location": Did("cta", name).url, "basename": "a", "size": 1}
    with pytest.raises(UnsafePath):
        did_resolver._in_directory(Did("cta", "run.s.j1-2-1.d"), [file], TreeMetadata())


@examples(60)
@given(path=hostile_paths)
def test_a_place_in_metadata_is_a_path_below_the_directory_or_refused(path: str) -> None:
    try:
        found = read(json.dumps({"places": {"a:b": path}}))
    except GridCWLError:
        return
    assert found == TreeMetadata(places={"a:b": path})
    assert not any(part in ("", ".", "..") for part in path.split("/"))
