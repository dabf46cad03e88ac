"""What every store keeps to. A suite for one store derives from ``StoreContract`` and gives it a ``store`` fixture.

Run it for a store of your own: a class in a test file, its ``store`` fixture, and ``elsewhere``, a reference to a file
that the store does not have.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridcwl.errors import OutputConflict, StoreError
from gridcwl.model.files import FileRef, NewFile
from gridcwl.stores import Store

T = TypeVar("T")
DATASET = "run-1/step/out"


def now(question: Coroutine[Any, Any, T]) -> T:
    """The answer."""
    return asyncio.run(question)


class StoreContract:
    """Describe, fetch, publish, access: in batches, in order, all or nothing."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> FileRef:
        raise NotImplementedError

    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        """A folder with files that a tool made."""
        folder = tmp_path / "made"
        folder.mkdir()
        for name in ("a.txt", "b.txt", "c d.txt"):
            (folder / name).write_text(f"the bytes of {name}")
        return folder

    def published(self, store: Store, made: Path, *names: str, dataset: str = DATASET) -> Sequence[FileRef]:
        return now(store.publish([NewFile(str(made / name), name) for name in names], dataset))

    def text(self, store: Store, ref: FileRef, into: Path) -> str:
        return now(store.fetch([ref], into))[0].read_text()

    def test_what_is_published_can_be_fetched(self, store: Store, made: Path, tmp_path: Path) -> None:
        refs = self.published(store, made, "a.txt", "c d.txt")
        found = now(store.fetch(refs, tmp_path / "in" / "deep"))
        assert [path.name for path in found] == ["a.txt", "c d.txt"]
        assert [path.read_text() for path in found] == ["the bytes of a.txt", "the bytes of c d.txt"]

    def test_what_is_published_does_not_need_its_source_any_more(
        self, store: Store, made: Path, tmp_path: Path
    ) -> None:
        (ref,) = self.published(store, made, "a.txt")
        (made / "a.txt").unlink()
        assert self.text(store, ref, tmp_path / "in") == "the bytes of a.txt"

    def test_a_description_has_size_and_checksums_in_the_order_of_the_question(self, store: Store, made: Path) -> None:
        refs = self.published(store, made, "b.txt", "a.txt")
        infos = now(store.describe(refs))
        assert [info.ref for info in infos] == list(refs)
        for info, name in zip(infos, ("b.txt", "a.txt"), strict=True):
            data = (made / name).read_bytes()
            assert info.size == len(data)
            assert info.adler32 in (None, f"{zlib.adler32(data):08x}")
            assert info.sha1 in (None, hashlib.sha1(data).hexdigest())
            assert (info.adler32, info.sha1) != (None, None)
            assert info.replicas

    def test_names_may_have_folders(self, store: Store, made: Path, tmp_path: Path) -> None:
        (ref,) = now(store.publish([NewFile(str(made / "a.txt"), "deep/er/a.txt")], DATASET))
        assert self.text(store, ref, tmp_path / "in") == "the bytes of a.txt"

    def test_to_publish_the_same_again_changes_nothing(self, store: Store, made: Path) -> None:
        first = self.published(store, made, "a.txt", "b.txt")
        assert self.published(store, made, "b.txt", "a.txt") == list(reversed(first))

    def test_other_bytes_of_the_same_name_are_refused_and_nothing_of_the_batch_is_published(
        self, store: Store, made: Path, tmp_path: Path
    ) -> None:
        (first,) = self.published(store, made, "a.txt")
        (made / "a.txt").write_text("other bytes")
        with pytest.raises(OutputConflict, match=r"a\.txt"):
            self.published(store, made, "b.txt", "a.txt")
        assert self.text(store, first, tmp_path / "in") == "the bytes of a.txt"
        (made / "b.txt").write_text("another b")
        (ref,) = self.published(store, made, "b.txt")  # nothing has that name
        assert self.text(store, ref, tmp_path / "in2") == "another b"

    def test_the_same_name_in_another_dataset_is_another_file(self, store: Store, made: Path, tmp_path: Path) -> None:
        (one,) = self.published(store, made, "a.txt", dataset="run-1/x")
        (made / "a.txt").write_text("other bytes")
        (two,) = self.published(store, made, "a.txt", dataset="run-1/y")
        assert self.text(store, one, tmp_path / "1") == "the bytes of a.txt"
        assert self.text(store, two, tmp_path / "2") == "other bytes"

    def test_a_source_that_is_not_there_publishes_nothing_of_the_batch(self, store: Store, made: Path) -> None:
        with pytest.raises(StoreError):
            self.published(store, made, "a.txt", "gone.txt")
        (made / "a.txt").write_text("other bytes")
        assert len(self.published(store, made, "a.txt")) == 1  # nothing has that name

    def test_two_files_of_one_name_are_fetched_next_to_each_other(
        self, store: Store, made: Path, tmp_path: Path
    ) -> None:
        one = self.published(store, made, "a.txt", dataset="run-1/x")
        (made / "a.txt").write_text("other bytes")
        two = self.published(store, made, "a.txt", dataset="run-1/y")
        found = now(store.fetch([*one, *two], tmp_path / "in"))
        assert [path.read_text() for path in found] == ["the bytes of a.txt", "other bytes"]

    def test_what_is_not_there_is_named_and_nothing_is_left(
        self, store: Store, made: Path, elsewhere: FileRef, tmp_path: Path
    ) -> None:
        refs = [*self.published(store, made, "a.txt"), elsewhere]
        with pytest.raises(StoreError, match="gone"):
            now(store.describe(refs))
        with pytest.raises(StoreError, match="gone"):
            now(store.fetch(refs, tmp_path / "in"))
        assert not (tmp_path / "in").exists()

    def test_a_worker_here_is_reported_where_to_try_for_each_file(self, store: Store, made: Path) -> None:
        refs = self.published(store, made, "a.txt", "b.txt")
        plan = store.access(refs)
        assert len(plan.sources) == 2
        assert all(urls and all("://" in url for url in urls) for urls in plan.sources)

    def test_an_empty_batch_is_fine(self, store: Store, tmp_path: Path) -> None:
        assert list(now(store.describe([]))) == []
        assert list(now(store.fetch([], tmp_path / "in"))) == []
        assert list(now(store.publish([], DATASET))) == []
        assert store.access([]).sources == ()
