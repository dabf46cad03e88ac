"""The walk over Files and Directories, and long sequences in parts."""

from gridcwl.model.chunks import chunks
from gridcwl.model.objects import changed, entries, outermost


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
