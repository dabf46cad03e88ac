"""The local store keeps the contract of stores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridcwl.errors import StoreError
from gridcwl.model.files import FileRef, NewFile, Site
from gridcwl.stores.local import AtomicPublication, LocalStore
from gridcwl.testing.stores import DATASET, StoreContract, now


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "store")

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> FileRef:
        return FileRef(f"file://{tmp_path}/store/gone.txt")

    def test_nothing_hidden_is_left_in_a_dataset(self, store: LocalStore, made: Path, tmp_path: Path) -> None:
        self.published(store, made, "a.txt")
        assert os.listdir(tmp_path / "store" / DATASET) == ["a.txt"]  # noqa: PTH208

    def test_a_worker_elsewhere_cannot_have_local_files(self, store: LocalStore, made: Path) -> None:
        with pytest.raises(StoreError, match="not available at DESY"):
            store.access(self.published(store, made, "a.txt"), Site("DESY"))

    def test_a_reference_of_another_store_is_refused(self, store: LocalStore) -> None:
        with pytest.raises(StoreError, match="rucio://"):
            now(store.describe([FileRef("rucio://scope/name")]))

    def test_names_that_are_no_utf_8_survive(self, store: LocalStore, tmp_path: Path) -> None:
        strange = os.fsdecode(b"caf\xe9 #?%.txt")
        (tmp_path / strange).write_text("bytes")
        refs = now(store.publish([NewFile(str(tmp_path / strange), strange)], DATASET))
        assert [path.name for path in now(store.fetch(refs, tmp_path / "in"))] == [strange]


def test_what_a_killed_placement_left_goes_when_it_is_tried_again(tmp_path: Path) -> None:
    left = tmp_path / ".gridcwl-run-1"
    left.mkdir()
    (left / "half").write_text("ha")
    with AtomicPublication(tmp_path, "run-1") as placement:
        placement.write(b"whole", Path("file"))
        placement.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_not_committed_leaves_no_folder_behind(tmp_path: Path) -> None:
    with AtomicPublication(tmp_path / "a" / "b") as placement:
        placement.write(b"x", Path("file"))
    assert list(tmp_path.iterdir()) == []
