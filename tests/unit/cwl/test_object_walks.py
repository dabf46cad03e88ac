"""The walks over objects that stand for cwltool's own: they do the same."""

import copy

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from gridcwl.cwl.patches import input_copies, object_walks
from gridcwl.cwl.patches.command_line_tool import GridTool

NAMES = ["a.txt", "a.tar.gz", "a b", ".hidden", "", None]
LOCATIONS = [
    "file:///data/a.txt",
    "file:///data/folder/",
    "file:///data/a%20b",
    "file:///data/a.txt?x/",
    "file:///data/a#b/",
    "file:///data/a/\n",
    "file:///data/a\t",
    "file://host/a.txt",
    "http://host",
    "http://host/a;b/",
    "rucio://scope/name.txt",
    "/data/a.txt",
    "a.txt",
    "_:0815",
    "_:a/",
    "",
    "file:///data/\u00e9.txt",
    "file://[host/a",
]


def outcome(function, value):
    try:
        function(value)
    except Exception as error:  # noqa: BLE001  whatever it is, it has to be the same
        return type(error), str(error)
    return value


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("kind", ["File", "Directory"])
def test_names_are_completed_as_cwltool_completes_them(location, kind):
    for name in NAMES:
        for more in (
            {},
            {"nameroot": "x", "nameext": "y"},
            {"secondaryFiles": [{"class": kind, "location": location}]},
        ):
            entry = {"class": kind, "location": location, "basename": name, **more}
            expected = outcome(object_walks._normalize, copy.deepcopy({"x": [entry]}))
            assert outcome(object_walks.normalize, copy.deepcopy({"x": [entry]})) == expected


def test_all_files_and_directories_are_visited_the_outer_first():
    inner = {"class": "File", "location": "c"}
    value = CommentedMap(
        a=[{"class": "Directory", "location": "b", "listing": [inner]}, {"class": ["File"]}, "File"],
        d={"class": "File"},
    )
    seen = []

    object_walks.visit_files_directories(value, seen.append)

    assert [one.get("location") for one in seen] == ["b", "c", None]
    files = []
    object_walks.visit_files(value, files.append)
    assert files == [inner, {"class": "File"}]
    folders = []
    object_walks.visit_directories(value, folders.append)
    assert [one["location"] for one in folders] == ["b"]


def test_bytes_become_text():
    assert object_walks.decode({"a": b"x", "b": [b"y", 1], "c": {"d": b"z"}, "e": None}) == {
        "a": "x",
        "b": ["y", 1],
        "c": {"d": "z"},
        "e": None,
    }
    assert object_walks.decode(b"x") == "x"


def test_the_copy_of_what_was_written_in_a_document_knows_its_place():
    written = YAML().load("a: 1\nb: {c: [1, 2]}  # a comment\n")

    made = input_copies._copied(written)
    made["b"]["c"].append(3)

    assert written["b"]["c"] == [1, 2]
    assert made["b"].lc.line == written["b"].lc.line
    assert type(made) is CommentedMap


def test_requirements_that_are_added_later_are_found():
    class Tool(GridTool):
        def __init__(self):
            self.requirements, self.hints = [{"class": "A", "number": 1}], []

    tool = Tool()
    assert tool.get_requirement("B") == (None, None)
    tool.hints.append({"class": "B"})
    assert tool.get_requirement("B") == ({"class": "B"}, False)
    other = copy.copy(tool)
    other.requirements = [{"class": "A", "number": 2}]
    assert other.get_requirement("A")[0]["number"] == 2
    assert tool.get_requirement("A") == ({"class": "A", "number": 1}, True)
