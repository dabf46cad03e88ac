"""Where a tool will see its inputs: decided without looking at the file system."""

from __future__ import annotations

from gridcwl.cwl.patches.path_mapper import StagePathMapper


def file(location, **fields):
    return {"class": "File", "location": location, "basename": location.rpartition("/")[2], **fields}


def folder(location, *listing, **fields):
    return {
        "class": "Directory",
        "location": location,
        "basename": location.rpartition("/")[2],
        "listing": list(listing),
        **fields,
    }


def mapped(*entries, separate=True):
    mapper = StagePathMapper(list(entries), "", "/in", separateDirs=separate)
    return {location: (entry.type, entry.resolved, entry.target) for location, entry in mapper.items() if entry.staged}


def test_each_input_gets_a_numbered_folder():
    found = mapped(file("file:///a/x"), file("file:///b/x"))
    assert [target for _, _, target in found.values()] == ["/in/0/x", "/in/1/x"]


def test_without_separate_folders_all_lie_side_by_side():
    assert mapped(file("file:///a/x"), separate=False)["file:///a/x"] == ("File", "/a/x", "/in/x")


def test_a_location_elsewhere_stays_as_it_is():
    assert mapped(file("rucio://scope/x"))["rucio://scope/x"] == ("File", "rucio://scope/x", "/in/0/x")


def test_a_quoted_location_becomes_a_plain_path():
    assert mapped(file("file:///a%20b/x"))["file:///a%20b/x"][1] == "/a b/x"


def test_one_location_is_staged_once():
    assert len(mapped(file("file:///a/x"), file("file:///a/x"))) == 1


def test_secondary_files_lie_next_to_their_file():
    found = mapped(file("file:///a/x", secondaryFiles=[file("file:///b/x.idx")]))
    assert found["file:///b/x.idx"][2] == "/in/0/x.idx"


def test_a_literal_is_created_with_its_contents():
    assert mapped(file("_:1", contents="text", basename="x"))["_:1"] == ("CreateFile", "text", "/in/0/x")


def test_the_children_of_a_real_folder_come_with_it():
    assert list(mapped(folder("file:///a/d", file("file:///a/d/x")))) == ["file:///a/d"]


def test_the_children_of_a_literal_folder_are_staged_one_by_one():
    found = mapped(folder("_:1", file("file:///a/x"), basename="d"))
    assert found["file:///a/x"][2] == "/in/0/d/x"


def test_what_is_writable_is_marked():
    assert mapped(file("file:///a/x", writable=True))["file:///a/x"][0] == "WritableFile"
    assert mapped(folder("file:///a/d", writable=True))["file:///a/d"][0] == "WritableDirectory"
