"""Any store in a run whose jobs are on this machine: its files are inputs, and final outputs are published in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridcwl.errors import InputError, StoreError
from gridcwl.model import Job, JobId, RunId, StagedFile
from gridcwl.stores.base import Store
from gridcwl.stores.local import LocalStore
from gridcwl.stores.plain import PlainRunStore

RUN = RunId("20261129-120000-abcdef")


class Place:
    """A folder as a store, which remembers for which runs it was opened and whether it was closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.threads: set[str] = set()

    @asynccontextmanager
    async def open(self, run: RunId) -> AsyncIterator[Store]:
        self.opened.append(run)
        self.threads.add(threading.current_thread().name)
        yield LocalStore(self.folder / "kept")
        self.closed.append(run)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[PlainRunStore]:
    made = PlainRunStore("folder", {"file"}, place.open, None)
    yield made
    made.close()


def file(path: Path, text: str) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return {"class": "File", "location": path.as_uri(), "basename": path.name}


def published(store: PlainRunStore, outputs: dict[str, Any], *, final: bool = True) -> tuple[Any, dict[str, str]]:
    """Publish the outputs; where the files of this machine are, by their new locations."""

    async def work() -> tuple[Any, dict[str, str]]:
        session = await store.begin(RUN, "document", lambda _jobs: {})
        return await session.publish(outputs, lambda _step: (), final=final), dict(session._here)

    return asyncio.run(work())


def test_an_input_has_the_size_and_the_checksum_that_the_store_knows(store: PlainRunStore, tmp_path: Path) -> None:
    location = file(tmp_path / "in put.txt", "words")["location"]
    assert store.understands(location)
    assert not store.understands("rucio://scope/name")
    found = store.find([location, location])
    assert found[location]["basename"] == "in put.txt"
    assert (found[location]["size"], found[location]["checksum"][:9]) == (5, "sha1$efb8")
    assert store.known == found
    assert store.first_bytes(location, 3) == b"wor"
    assert list(store.present([location, (tmp_path / "gone").as_uri()])) == [location]


def test_an_input_that_does_not_exist_is_an_error_of_the_input(store: PlainRunStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone cannot be read"):
        store.find([(tmp_path / "gone").as_uri()])


def test_what_an_earlier_session_found_is_not_queried_again(place: Place) -> None:
    known = {"file:///gone": {"class": "File", "location": "file:///gone"}}
    store = PlainRunStore("folder", {"file"}, place.open, known)
    assert store.find(["file:///gone"]) == known
    store.close()
    assert place.opened == []


def test_files_of_outputs_are_published_under_names_of_their_own_and_directories_stay(
    store: PlainRunStore, tmp_path: Path
) -> None:
    index = file(tmp_path / "1" / "a.bai", "index")
    first, second = file(tmp_path / "1" / "a.txt", "1"), file(tmp_path / "2" / "a.txt", "2")
    outputs = {
        "many": [first | {"secondaryFiles": [index]}, second],
        "folder": {"class": "Directory", "location": (tmp_path / "1").as_uri(), "basename": "1"},
        "made": {"class": "Directory", "location": "_:x", "listing": [file(tmp_path / "b.txt", "b")]},
        "number": 3,
    }  # fmt: skip
    made, sources = published(store, outputs)
    kept = tmp_path / "kept" / RUN
    names = ["made/b.txt", "many/2/a.txt", "many/a.bai", "many/a.txt"]
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()) == names
    assert made["many"][1]["location"] == (kept / "many/2/a.txt").as_uri()
    (published_index,) = made["many"][0]["secondaryFiles"]
    assert published_index["location"] == (kept / "many/a.bai").as_uri()
    assert sources[published_index["location"]] == index["location"] == (tmp_path / "1" / "a.bai").as_uri()
    assert made["folder"] == outputs["folder"]


def test_what_a_failed_run_has_made_is_not_published(store: PlainRunStore, tmp_path: Path) -> None:
    outputs = {"out": file(tmp_path / "a.txt", "1")}
    assert published(store, outputs, final=False) == (outputs, {})
    assert not (tmp_path / "kept").exists()


def test_a_job_reads_its_input_where_the_store_gives_access_to_it(store: PlainRunStore, tmp_path: Path) -> None:
    url = file(tmp_path / "a.txt", "1")["location"]
    job = Job(JobId(f"{RUN}-1-1"), RUN, "step", ("true",), staged=(StagedFile("/in/a.txt", "file", (url,)),))

    async def staged(*, upload: bool) -> Job:
        session = await store.begin(RUN, "document", lambda _jobs: {})
        (made,) = await session.stage([job], upload=upload)
        assert session.lacking(made) == []
        return made

    (entry,) = asyncio.run(staged(upload=False)).staged
    assert (entry.location, entry.sources) == (url, (url,))
    with pytest.raises(StoreError, match="folder carries no files to jobs on other machines"):
        asyncio.run(staged(upload=True))


def test_the_store_is_opened_for_the_run_and_closed_in_a_thread_of_its_own(place: Place, tmp_path: Path) -> None:
    store = PlainRunStore("folder", {"file"}, place.open, None)
    store.find([file(tmp_path / "a.txt", "1")["location"]])
    published(store, {})
    store.close()
    assert place.opened == place.closed == ["", RUN]
    assert place.threads == {"store-folder"}
