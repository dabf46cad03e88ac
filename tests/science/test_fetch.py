"""Files are found where people keep them, fetched where they do not, and never taken unchecked."""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CONTENT = b"photons"


@pytest.fixture
def manifest(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One file, looked for in a folder of the environment and then behind a URL."""
    monkeypatch.delenv("FOLDER", raising=False)
    source = fetch.Source(url="https://example.org/shower.dat")
    entry = fetch.DataFile(
        name="shower.dat",
        path="runs/shower.dat",
        about="a shower",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        origin="a test",
        sources=(source,),
    )
    return fetch.Manifest(places=(fetch.Place(environment="FOLDER"),), files={entry.name: entry})


@pytest.fixture
def server(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the URL answers with; an empty list is a server that cannot be reached."""
    answers: list[bytes] = []

    def download(_url: str, target: Path) -> None:
        if not answers:
            raise fetch.DataError("no connection to that server")
        target.write_bytes(answers.pop(0))

    monkeypatch.setattr(fetch, "download", download)
    return answers


@pytest.mark.usefixtures("server")
def test_a_file_in_the_named_folder_is_used_in_place(
    fetch: ModuleType, manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine" / "runs" / "shower.dat"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(CONTENT)
    monkeypatch.setenv("FOLDER", str(tmp_path / "mine"))
    assert fetch.find("shower.dat", manifest, tmp_path / "cache") == mine


def test_a_bad_file_is_refused_and_another_source_is_tried(
    fetch: ModuleType, manifest: Any, server: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shower.dat").write_bytes(b"neutron")  # as long as the right one
    monkeypatch.setenv("FOLDER", str(tmp_path))
    server.append(CONTENT)
    found = fetch.find("shower.dat", manifest, tmp_path / "cache")
    assert found == tmp_path / "cache" / "shower.dat"
    assert found.read_bytes() == CONTENT


def test_what_was_fetched_is_not_fetched_again(
    fetch: ModuleType, manifest: Any, server: list[bytes], tmp_path: Path
) -> None:
    server.append(CONTENT)
    first = fetch.find("shower.dat", manifest, tmp_path)
    assert fetch.find("shower.dat", manifest, tmp_path) == first


def test_half_a_download_never_reaches_the_cache(
    fetch: ModuleType, manifest: Any, server: list[bytes], tmp_path: Path
) -> None:
    server.append(CONTENT[:3])
    with pytest.raises(fetch.DataError, match="3 bytes instead of 7"):
        fetch.find("shower.dat", manifest, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("server")
def test_the_error_names_what_was_tried_and_how_to_help(fetch: ModuleType, manifest: Any, tmp_path: Path) -> None:
    with pytest.raises(fetch.DataError) as caught:
        fetch.find("shower.dat", manifest, tmp_path)
    message = str(caught.value)
    for part in ("$FOLDER", "https://example.org/shower.dat: no connection", "export GRIDCWL_DATA="):
        assert part in message


def test_files_of_one_package_come_together(
    fetch: ModuleType, manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = manifest.files["shower.dat"]
    names = ("a.dat", "b.dat")
    files = {
        name: fetch.DataFile(
            **{field: getattr(entry, field) for field in ("path", "about", "size", "sha256", "licence", "origin")},
            name=name,
            sources=(fetch.Source(pypi="showers==1", member=f"showers/{name}"),),
        )
        for name in names
    }

    def unpack(_package: str, folder: Path) -> None:
        (folder / "showers").mkdir()
        for name in names:
            (folder / "showers" / name).write_bytes(CONTENT)

    monkeypatch.setattr(fetch, "unpack", unpack)
    fetch.find("a.dat", fetch.Manifest(places=(), files=files), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == list(names)


def test_a_link_replaces_the_one_before(fetch: ModuleType, tmp_path: Path) -> None:
    for content in ("old", "new"):
        (tmp_path / content).write_text(content)
        linked = fetch.link("shower.dat", tmp_path / content, tmp_path / "files")
    assert linked.read_text() == "new"
    assert [path.name for path in linked.parent.iterdir()] == ["shower.dat"]
