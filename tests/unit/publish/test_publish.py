"""Publishing: names, links, literals, folders; all or nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from gridcwl.errors import OutputConflict, OutputError, StoreError
from gridcwl.runs.outdir import check_outdir
from gridcwl.runs.publish import publish


class House:
    """A run's scratch folder with what its jobs made, and a folder for outputs."""

    def __init__(self, folder: Path) -> None:
        self.scratch, self.outdir = folder / "scratch", folder / "outdir"
        self.scratch.mkdir()

    def made(self, name: str, text: str = "", *, known: bool = True) -> dict[str, Any]:
        """A File that a job made; its checksum is known or not."""
        path = self.scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = {"checksum": f"sha1${hashlib.sha1(text.encode()).hexdigest()}", "size": len(text)}
        return {"class": "File", "location": path.as_uri(), "basename": path.name, **(digest if known else {})}

    def folder(self, name: str) -> dict[str, Any]:
        (self.scratch / name).mkdir(parents=True, exist_ok=True)
        return {"class": "Directory", "location": (self.scratch / name).as_uri(), "basename": name}

    def publish(self, outputs: Any, inputs: Any = None) -> Any:
        return publish(outputs, self.outdir, self.scratch, "run-1", inputs)

    def listing(self) -> list[str]:
        return sorted(str(path.relative_to(self.outdir)) for path in self.outdir.rglob("*"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_values_that_are_no_files_stay_and_no_folder_is_made(house: House) -> None:
    outputs = {"number": 1, "nothing": None, "many": ["a", {"x": 2}]}
    assert house.publish(outputs) == outputs
    assert not house.outdir.exists()


@pytest.mark.parametrize("known", [True, False])
def test_a_published_file_has_its_place_size_and_checksum(house: House, known: bool) -> None:
    published = house.publish({"o": house.made("job-1/out/a.txt", "hello", known=known)})
    path = house.outdir / "a.txt"
    assert published["o"] == {
        "class": "File",
        "location": path.as_uri(),
        "path": str(path),
        "basename": "a.txt",
        "size": 5,
        "checksum": f"sha1${hashlib.sha1(b'hello').hexdigest()}",
    }
    assert path.read_text() == "hello"


def test_the_output_object_that_is_given_is_not_changed(house: House) -> None:
    made = house.made("a.txt", "x")
    before = dict(made)
    house.publish({"o": made})
    assert made == before


def test_files_of_the_run_are_linked_not_copied(house: House) -> None:
    house.publish({"o": house.made("a.txt", "x")})
    assert (house.outdir / "a.txt").stat().st_ino == (house.scratch / "a.txt").stat().st_ino


def test_files_of_the_user_are_copied(house: House, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    house.publish({"o": {"class": "File", "location": (tmp_path / "mine.txt").as_uri(), "basename": "mine.txt"}})
    assert (house.outdir / "mine.txt").stat().st_ino != (tmp_path / "mine.txt").stat().st_ino


def test_an_output_that_is_an_input_in_its_place_stays_as_it_is(house: House) -> None:
    house.outdir.mkdir()
    (house.outdir / "mine.txt").write_text("mine")
    entry = {"class": "File", "location": (house.outdir / "mine.txt").as_uri(), "basename": "mine.txt"}
    before = (house.outdir / "mine.txt").stat()
    published = house.publish({"o": entry}, {"i": entry})
    assert published["o"]["size"] == 4
    assert (house.outdir / "mine.txt").stat().st_ino == before.st_ino


def test_two_outputs_of_one_name_get_numbers_and_keep_their_basenames(house: House) -> None:
    published = house.publish({"o": [house.made(f"{number}/a.txt", str(number)) for number in range(3)]})
    assert house.listing() == ["a.txt", "a_2.txt", "a_3.txt"]
    assert [entry["basename"] for entry in published["o"]] == ["a.txt"] * 3
    assert [Path(entry["path"]).read_text() for entry in published["o"]] == ["0", "1", "2"]


def indexed(house: House, folder: str, name: str, *others: str) -> dict[str, Any]:
    """A File with secondary files, all of one job."""
    made = [house.made(f"{folder}/{one}", f"{folder} {one}") for one in (name, *others)]
    return made[0] | {"secondaryFiles": made[1:]}


@pytest.mark.parametrize("first", ["files", "indices"])
def test_secondary_files_fit_their_file_also_when_it_gets_a_number(house: House, first: str) -> None:
    files = [indexed(house, str(number), "out.log", "out.log.idx") for number in range(3)]
    indices = [file["secondaryFiles"][0] for file in files]
    outputs = {"files": files, "indices": indices} if first == "files" else {"indices": indices, "files": files}
    published = house.publish(outputs)
    assert house.listing() == ["out.log", "out.log.idx", "out_2.log", "out_2.log.idx", "out_3.log", "out_3.log.idx"]
    for number, file in enumerate(published["files"]):
        assert Path(file["path"]).read_text() == f"{number} out.log"
        assert Path(f"{file['path']}.idx").read_text() == f"{number} out.log.idx"
        assert file["secondaryFiles"][0] == published["indices"][number]


def test_secondary_files_of_one_file_are_one_file_for_all_that_have_it(house: House) -> None:
    shared = house.made("genome.dict", "x")
    outputs = [house.made(name, name) | {"secondaryFiles": [shared]} for name in ("a.fa", "b.fa")]
    house.publish({"o": outputs})
    assert house.listing() == ["a.fa", "b.fa", "genome.dict"]


def test_a_secondary_file_whose_name_is_taken_takes_its_file_along(house: House) -> None:
    published = house.publish({"i": house.made("1/a.idx", "other"), "o": indexed(house, "2", "a", "a.idx")})
    assert published["o"]["path"] == str(house.outdir / "a")
    assert published["i"]["path"] == str(house.outdir / "a_2.idx")


def test_a_file_within_a_directory_is_there_once_though_it_is_a_secondary_file_there_too(house: House) -> None:
    main = indexed(house, "d", "a.bam", "a.bam.bai")
    literal = {"class": "Directory", "basename": "d", "location": "_:1", "listing": [main, *main["secondaryFiles"]]}
    house.publish({"o": literal})
    assert house.listing() == ["d", "d/a.bam", "d/a.bam.bai"]


def test_one_file_in_two_outputs_is_published_once(house: House) -> None:
    made = house.made("a.txt", "x")
    published = house.publish({"p": made, "q": made})
    assert published["p"] == published["q"]
    assert house.listing() == ["a.txt"]


def test_a_literal_becomes_a_file(house: House) -> None:
    published = house.publish({"o": {"class": "File", "contents": "text", "basename": "l.txt", "location": "_:1"}})
    assert Path(published["o"]["path"]).read_text() == "text"
    assert "contents" not in published["o"]


def test_secondary_files_lie_next_to_their_file(house: House) -> None:
    main = house.made("a.bam", "1") | {"secondaryFiles": [house.made("a.bam.bai", "2")]}
    published = house.publish({"o": main})
    assert published["o"]["secondaryFiles"][0]["path"] == str(house.outdir / "a.bam.bai")
    assert house.listing() == ["a.bam", "a.bam.bai"]


def test_a_folder_comes_with_all_that_is_in_it_and_lists_it(house: House) -> None:
    house.made("d/x", "1")
    house.made("d/e/y", "2")
    house.folder("d/empty")
    published = house.publish({"o": house.folder("d")})
    assert house.listing() == ["d", "d/e", "d/e/y", "d/empty", "d/x"]
    assert sorted(entry["basename"] for entry in published["o"]["listing"]) == ["e", "empty", "x"]


def test_a_folder_that_is_a_literal_is_made_of_its_listing(house: House) -> None:
    literal = {"class": "Directory", "basename": "d", "location": "_:1", "listing": [house.made("far/x", "1")]}
    house.publish({"o": literal})
    assert house.listing() == ["d", "d/x"]


@pytest.mark.parametrize("first", ["folder", "literal"])
def test_a_folder_that_is_also_in_a_literal_is_published_in_it_once(house: House, first: str) -> None:
    house.made("d/one", "1")
    folder = house.folder("d")
    literal = {"class": "Directory", "location": "_:both", "basename": "both", "listing": [folder]}
    outputs = {"folder": folder, "literal": literal}
    published = house.publish({first: outputs.pop(first), **outputs})
    assert published["folder"]["location"] == (house.outdir / "both" / "d").as_uri()
    assert house.listing() == ["both", "both/d", "both/d/one"]


def test_a_link_in_a_folder_to_somewhere_else_is_an_error(house: House) -> None:
    entry = house.folder("d")
    (house.scratch / "d" / "names").symlink_to("/etc/hostname")
    with pytest.raises(OutputError, match="names leads to /etc/hostname"):
        house.publish({"o": entry})
    assert not house.outdir.exists()


def test_links_in_a_folder_of_the_users_own_are_followed(house: House, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "names").symlink_to("/etc/hostname")
    entry = {"class": "Directory", "location": (tmp_path / "mine").as_uri(), "basename": "mine"}
    house.publish({"o": entry}, {"i": entry})
    assert house.listing() == ["mine", "mine/names"]


def test_links_within_a_folder_are_followed_and_those_to_nowhere_are_left_out(house: House) -> None:
    entry = house.folder("d")
    (house.scratch / "d" / "nowhere").symlink_to("gone")
    (house.scratch / "d" / "sibling").symlink_to(house.scratch / "d" / "x")
    house.made("d/x", "1")
    house.publish({"o": entry})
    assert house.listing() == ["d", "d/sibling", "d/x"]


def test_a_link_to_nowhere_is_named_as_the_tool_wrote_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    entry = house.folder("d")
    house.made("d/e/x", "1")
    (house.scratch / "d" / "e" / "relative").symlink_to("gone/y")
    (house.scratch / "d" / "elsewhere").symlink_to("/gridcwl/out/gone")
    (house.scratch / "d" / "own").symlink_to(house.scratch / "1-1" / "out" / "d" / "gone")
    house.publish({"o": entry})
    assert house.listing() == ["d", "d/e", "d/e/x"]
    said = "The symbolic link {} leads to {}, where nothing is; it is left out"
    assert sorted(caplog.messages) == [
        said.format("d/e/relative", "gone/y"),
        said.format("d/elsewhere", "/gridcwl/out/gone"),
        said.format("d/own", "d/gone"),
    ]


def test_links_in_a_circle_are_left_out(house: House, caplog: pytest.LogCaptureFixture) -> None:
    entry = house.folder("d")
    house.made("d/a/x", "1")
    house.made("d/b/y", "2")
    (house.scratch / "d" / "itself").symlink_to("itself")
    (house.scratch / "d" / "a" / "up").symlink_to("..")
    (house.scratch / "d" / "a" / "b").symlink_to("../b")
    (house.scratch / "d" / "b" / "a").symlink_to("../a")
    house.publish({"o": entry})
    assert "The symbolic link d/itself leads to itself, where nothing is; it is left out" in caplog.messages
    assert "The symbolic link d/a/up leads to a folder that it is in; it is left out" in caplog.messages
    assert house.listing() == [
        *("d", "d/a", "d/a/b", "d/a/b/y", "d/a/x"),
        *("d/b", "d/b/a", "d/b/a/x", "d/b/y"),
    ]


def test_what_lives_elsewhere_stays_there(house: House) -> None:
    remote = {"class": "File", "location": "rucio://scope/name", "basename": "name"}
    assert house.publish({"o": remote})["o"] == remote


def test_names_that_are_no_utf_8_survive(house: House) -> None:
    strange = os.fsdecode(b"caf\xe9 #%.txt")
    house.publish({"o": house.made(strange, "x")})
    assert os.listdir(house.outdir) == [strange]  # noqa: PTH208


def test_a_later_run_replaces_what_an_earlier_one_published(house: House) -> None:
    house.publish({"o": house.made("1/a.txt", "old")})
    house.publish({"o": house.made("2/a.txt", "new")})
    assert (house.outdir / "a.txt").read_text() == "new"


def test_nothing_is_published_where_one_output_is_in_the_way(house: House) -> None:
    (house.outdir / "b.txt").mkdir(parents=True)
    with pytest.raises(OutputConflict, match="a directory of that name"):
        house.publish({"p": house.made("a.txt"), "q": house.made("b.txt")})
    assert house.listing() == ["b.txt"]


def test_nothing_is_published_where_one_output_is_not_there(house: House) -> None:
    gone = house.made("gone.txt", known=False)
    (house.scratch / "gone.txt").unlink()
    with pytest.raises(StoreError, match="gone"):
        house.publish({"p": house.made("a.txt"), "q": gone})
    assert not house.outdir.exists()


def test_an_output_does_not_replace_an_input(house: House) -> None:
    house.outdir.mkdir()
    (house.outdir / "data").write_text("mine")
    mine = {"class": "File", "location": (house.outdir / "data").as_uri()}
    with pytest.raises(OutputConflict, match="one of the run's inputs"):
        house.publish({"o": house.made("data", "other")}, {"i": mine})
    assert (house.outdir / "data").read_text() == "mine"


def test_an_outdir_may_be_there_or_not(tmp_path: Path) -> None:
    check_outdir(tmp_path)
    check_outdir(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("outdir", ["file", "file/below/it"])
def test_an_outdir_is_not_a_file(tmp_path: Path, outdir: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputConflict, match="is a file, not a directory"):
        check_outdir(tmp_path / outdir)


def test_names_as_yaml_has_read_them_are_names(house: House) -> None:
    made = house.made("a.txt", "1") | {"basename": DoubleQuotedScalarString("a.txt")}
    house.publish({"o": [made, house.made("b/a.txt", "2") | {"basename": DoubleQuotedScalarString("a.txt")}]})
    assert house.listing() == ["a.txt", "a_2.txt"]
