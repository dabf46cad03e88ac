"""Rucio keeps the contract of stores: in this process, on a real server with mounted storage, and over WebDAV."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rucio_builders import client_of, fake_server, store_of

from gridcwl.errors import OutputConflict, StoreError
from gridcwl.model.files import FileRef, NewFile, Site
from gridcwl.stores.rucio.store import RucioStore
from gridcwl.testing.stores import StoreContract, now


class RucioContract(StoreContract):
    """What holds for a store in Rucio beyond the contract."""

    element = ""

    @pytest.fixture
    def run(self) -> str:
        """Names that no other test has."""
        return f"run-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def make(self) -> Callable[[], Any]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, make: Callable[[], Any], run: str) -> Iterator[RucioStore]:
        client, _ = client_of(make)
        yield store_of(client, run, self.element)
        client.close()

    @pytest.fixture
    def elsewhere(self, run: str) -> FileRef:
        return FileRef(f"rucio://user.runner/{run}.gone.txt")

    @pytest.fixture(autouse=True)
    def own_dataset(self, monkeypatch: pytest.MonkeyPatch, run: str) -> None:
        """The suite's dataset, under a name that was never used on this server."""
        monkeypatch.setattr(StoreContract.published, "__kwdefaults__", {"dataset": f"{run}/step/out"})

    def test_names_that_no_policy_allows_are_given_back_as_they_were(
        self, store: RucioStore, tmp_path: Path, run: str
    ) -> None:
        strange = "ü a+b:c=d@e~f,g#h%i(j) -_.txt"
        (tmp_path / strange).write_text("bytes")
        (ref,) = now(store.publish([NewFile(str(tmp_path / strange), strange)], run))
        assert [path.name for path in now(store.fetch([ref], tmp_path / "in"))] == [strange]

    def test_a_file_that_is_not_small_goes_there_and_back(self, store: RucioStore, tmp_path: Path, run: str) -> None:
        data = bytes(range(256)) * 4_000
        (tmp_path / "big").write_bytes(data)
        (ref,) = now(store.publish([NewFile(str(tmp_path / "big"), "big")], run))
        (path,) = now(store.fetch([ref], tmp_path / "in"))
        assert path.read_bytes() == data

    def test_a_store_that_knows_nothing_yet_refuses_other_bytes_all_the_same(
        self, store: RucioStore, made: Path, make: Callable[[], Any], run: str
    ) -> None:
        self.published(store, made, "a.txt")
        (made / "a.txt").write_text("other bytes")
        other, _ = client_of(make)
        with pytest.raises(OutputConflict, match=r"a\.txt"):
            self.published(store_of(other, run, self.element), made, "a.txt")
        other.close()

    def test_an_input_is_uploaded_once_whoever_uploads_it(
        self, store: RucioStore, tmp_path: Path, make: Callable[[], Any], run: str
    ) -> None:
        (tmp_path / "x.dat").write_text(f"only here: {run}")
        first = now(store.upload_inputs([tmp_path / "x.dat"]))[tmp_path / "x.dat"]
        client, _ = client_of(make)
        before = client.calls
        again = now(store_of(client, "another", self.element).upload_inputs([tmp_path / "x.dat"]))[tmp_path / "x.dat"]
        assert again == first
        assert client.calls - before <= 6  # elements are found (3), it is asked for, and put into the other's dataset
        client.close()

    def test_a_worker_is_sent_to_the_replicas_near_its_site_first(self, store: RucioStore, made: Path) -> None:
        refs = self.published(store, made, "a.txt")
        (urls,) = store.access(refs, Site("LCG.Lyon.fr")).sources
        assert urls

    def test_a_damaged_replica_is_not_taken(self, store: RucioStore, made: Path, tmp_path: Path) -> None:
        (ref,) = self.published(store, made, "a.txt")
        (url,) = [url for url in store.access([ref]).sources[0] if url.startswith("file://")] or [None]
        if url is None:
            pytest.skip("its bytes are out of reach here")
        Path(url.removeprefix("file://")).write_text("the bytes of A.txt")
        with pytest.raises(StoreError, match="adler32 checksum"):
            now(store.fetch([ref], tmp_path / "in"))


class TestFakeRucio(RucioContract):
    element = "LYON-DISK"

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Any]:
        server = fake_server(tmp_path / "rucio")
        return lambda: server.client("runner")


class TestRealRucioOnMountedStorage(RucioContract):
    element = "LYON-DISK"

    @pytest.fixture
    def make(self, log_in: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: log_in("runner")


@pytest.mark.xrootd
class TestRealRucioOverWebDav(RucioContract):
    element = "CNAF-DAVS"

    @pytest.fixture
    def make(self, log_in: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: log_in("runner")
