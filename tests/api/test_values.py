"""Files and directories as values: into an input object, and out of an output object."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridcwl import Directory, File, InputError
from gridcwl.values import from_cwl, to_cwl

HERE = Path("/here")


def test_paths_are_files_or_directories_and_any_character_may_be_in_a_name(tmp_path: Path):
    (tmp_path / "a b#c%20.txt").touch()
    given = {"file": Path("a b#c%20.txt"), "folder": tmp_path}
    assert to_cwl(given, tmp_path) == {
        "file": {"class": "File", "location": f"{tmp_path.as_uri()}/a%20b%23c%2520.txt", "basename": "a b#c%20.txt"},
        "folder": {"class": "Directory", "location": tmp_path.as_uri(), "basename": tmp_path.name},
    }


def test_a_url_stays_what_it_is():
    assert to_cwl(File("rucio://cta/run1"), HERE) == {
        "class": "File",
        "location": "rucio://cta/run1",
        "basename": "run1",
    }


def test_a_new_file_and_a_new_directory_need_no_path():
    literal = Directory(basename="conf", listing=[File(contents="a = 1\n", basename="a.ini")])
    assert to_cwl([literal], HERE) == [
        {
            "class": "Directory",
            "basename": "conf",
            "listing": [{"class": "File", "basename": "a.ini", "contents": "a = 1\n"}],
        }
    ]


def test_cwl_s_own_dicts_and_plain_values_pass_as_they_are():
    given = {"f": {"class": "File", "path": "x"}, "n": [1, 2.5, None, True, ("a", "b")]}
    assert to_cwl(given, HERE) == {"f": {"class": "File", "path": "x"}, "n": [1, 2.5, None, True, ["a", "b"]]}


def test_a_number_of_numpy_is_a_number():
    numpy = pytest.importorskip("numpy")
    assert to_cwl({"n": numpy.float32(0.5), "i": numpy.int64(3)}, HERE) == {"n": 0.5, "i": 3}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {"b": object()}]}, r"inputs.a\[1\].b is <object"),
        ({"n": float("nan")}, "inputs.n is nan"),
        ({1: "a"}, "A name in inputs is 1"),
        ({"s": b"bytes"}, "inputs.s is b'bytes'"),
    ],
)
def test_what_cwl_has_no_type_for_is_an_error_that_names_the_place(value: object, words: str):
    with pytest.raises(InputError, match=words):
        to_cwl(value, HERE)


def test_an_output_object_becomes_values_and_an_input_object_again():
    index = {"class": "File", "location": "file:///out/a.idx", "path": "/out/a.idx", "basename": "a.idx"}
    written = {
        "class": "File", "location": "file:///out/a%20b", "path": "/out/a b", "basename": "a b", "size": 3,
        "checksum": "sha1$00",
        "secondaryFiles": [index],
    }  # fmt: skip
    outputs = from_cwl({"files": [written], "n": 3, "none": None})
    (file,) = outputs["files"]
    assert (file.path, file.basename, file.size, file.checksum) == (Path("/out/a b"), "a b", 3, "sha1$00")
    assert file.secondary_files == (File("/out/a.idx"),)
    assert (outputs["n"], outputs["none"]) == (3, None)
    assert os.fspath(file) == "/out/a b"
    again = to_cwl(file, HERE)
    assert again == {key: item for key, item in written.items() if key not in ("path", "secondaryFiles")} | {
        "secondaryFiles": [{"class": "File", "location": "file:///out/a.idx", "basename": "a.idx"}]
    }


def test_a_file_that_is_elsewhere_has_no_path():
    file = from_cwl({"class": "File", "location": "rucio://cta/a", "basename": "a"})
    assert file.path is None
    with pytest.raises(ValueError, match="a is not a file of this machine"):
        os.fspath(file)


def test_a_file_that_is_here_and_elsewhere_has_both_places():
    file = from_cwl({"class": "File", "location": "rucio://cta/a", "path": "/out/a", "basename": "a"})
    assert (file.location, file.path) == ("rucio://cta/a", Path("/out/a"))


def test_values_cannot_be_changed():
    with pytest.raises(AttributeError):
        File("a").size = 3  # type: ignore[misc]
