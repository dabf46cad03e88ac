"""The walk over Files and Directories, and long sequences in parts."""

import copy
import json
import sys

from gridcwl.model.chunks import chunks
from gridcwl.model.objects import changed, entries, lean, make_lean, outermost


def file(name, **more):
    return {"class": "File", "location": name, **more}


VALUE = {
    "reads": [file("a", secondaryFiles=[file("a.bai")])],
    "record": {"folder": {"class": "Directory", "location": "d", "listing": [file("d/b")]}},
    "text": "File",
    "none": None,
}


def names(found):
    return [entry["location"] for entry in found]


def test_every_file_and_directory_is_visited_the_outer_ones_first():
    assert names(entries(VALUE)) == ["a", "a.bai", "d", "d/b"]
    assert names(entries(VALUE, "Directory")) == ["d"]


def test_what_is_put_into_one_meanwhile_is_visited_too():
    folder = {"class": "Directory", "location": "d"}
    seen = []
    for entry in entries(folder):
        seen.append(entry["location"])
        if entry is folder:
            entry["listing"] = [file("d/new")]
    assert seen == ["d", "d/new"]


def test_what_is_in_an_entry_is_left_out_on_request():
    assert names(entries(VALUE, into=lambda entry: entry["class"] == "File")) == ["a", "a.bai", "d"]
    assert names(entries(VALUE, "File", into=lambda entry: entry["class"] == "Directory")) == ["a", "d/b"]


def test_the_outermost_are_in_no_other():
    assert names(outermost(VALUE)) == ["a", "d"]


def test_a_changed_copy_leaves_the_value_as_it_was():
    def upper(entry):
        entry["location"] = entry["location"].upper()

    assert names(entries(changed(VALUE, upper))) == ["A", "A.BAI", "D", "D/B"]
    assert names(entries(VALUE)) == ["a", "a.bai", "d", "d/b"]


def test_what_a_change_gives_replaces_the_entry():
    assert changed({"x": [file("a"), 1]}, lambda entry: entry["location"]) == {"x": ["a", 1]}


def test_chunks_are_of_one_size_but_the_last():
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([], 2)) == []


def test_a_lean_file_is_the_same_in_less_memory():
    usual = file("srm://there/a.h5", basename="a.h5", nameroot="a", nameext=".h5", size=3, checksum="sha1$00")
    made = [lean(usual) for _ in range(50)][-1]  # the first ones leave room for more fields
    assert type(made) is dict
    assert list(made.items()) == list(usual.items())
    assert sys.getsizeof(made) < sys.getsizeof(usual) * 0.6


def test_a_lean_file_can_be_changed_and_copied_as_any_other():
    made = lean(file("a", size=1))
    made["path"] = "/a"
    del made["size"]
    assert json.dumps(made) == json.dumps({**file("a"), "path": "/a"})
    assert copy.deepcopy(made) == dict(made) == {**file("a"), "path": "/a"}


def test_a_file_with_fields_of_its_own_stays_as_it_is():
    strange = file("a", __class__="x")
    assert lean(strange) is strange


def test_all_files_of_a_value_become_lean_after_they_are_prepared_from_the_inside_out():
    value, met = copy.deepcopy(VALUE), []
    made = make_lean(value, lambda entry: met.append(entry["location"]))
    assert made is value
    assert json.dumps(value) == json.dumps(VALUE)
    assert met == ["a.bai", "a", "d/b", "d"]
