"""A Directory in a dataset, which is flat, and what has to be said besides so that it comes back as it was."""

from __future__ import annotations

import json
from typing import Any

from gridcwl.cwl.remote_inputs import directory_listing
from gridcwl.stores.rucio.names import Did
from gridcwl.stores.rucio.trees import TreeMetadata, place_of, read, tree_of, written
from gridcwl.worker.naming import name_of

PREFIX = "run.step.j1-2-1."
DATASET = Did("user.a", name_of(PREFIX, "d"))


def file(path: str, url: str) -> dict[str, Any]:
    return {"class": "File", "basename": path.rpartition("/")[2], "location": url}


def folder(name: str, *listing: dict[str, Any]) -> dict[str, Any]:
    return {"class": "Directory", "basename": name, "listing": list(listing)}


def of_job(path: str) -> Did:
    return Did("user.a", name_of(PREFIX, path))


def test_places_that_names_tell_are_not_reported_again() -> None:
    made = folder("d", file("one", of_job("d/one").url), folder("sub", file("two", of_job("d/sub/two").url)))
    tree = tree_of(made)
    assert tree.files == {"one": of_job("d/one"), "sub/two": of_job("d/sub/two")}
    assert json.loads(written(tree, DATASET)) == {"basename": "d"}
    assert place_of(of_job("d/sub/two"), DATASET) == "sub/two"


def test_folders_without_files_are_reported() -> None:
    made = folder("d", folder("sub", folder("empty")), folder("none"), file("one", of_job("d/one").url))
    assert read(written(tree_of(made), DATASET)).folders == ("sub/empty", "none")


def test_places_that_names_do_not_tell_are_reported() -> None:
    long = "d/" + "x" * 300
    made = folder("lit", file("renamed", of_job("a.txt").url), folder("sub", file("y", of_job(long).url)))
    text = read(written(tree_of(made), Did("user.a", "run.outputs-lit.0-lit")))
    assert text.places == {str(of_job("a.txt")): "renamed", str(of_job(long)): "sub/y"}
    assert text.basename == "lit"


def test_what_somebody_else_has_written_there_reports_nothing() -> None:
    assert read("no json") == read("[1, 2]") == read(None) == TreeMetadata()


def test_a_directory_is_put_together_again_from_paths_and_folders() -> None:
    found = {
        "location": "rucio://user.a/set", "collections": [], "folders": ["sub/empty"],
        "files": [file("one", "rucio://user.a/1"), file("two", "rucio://user.a/2") | {"path": "sub/two"}],
    }  # fmt: skip
    one, sub = directory_listing(found)
    assert (one["basename"], one["location"]) == ("one", "rucio://user.a/1")
    assert (sub["class"], sub["basename"], sub["location"]) == ("Directory", "sub", "rucio://user.a/set/sub")
    two, empty = sub["listing"]
    assert two == file("two", "rucio://user.a/2")
    assert (empty["basename"], empty["listing"]) == ("empty", [])


def test_names_that_are_there_twice_get_a_number() -> None:
    files = [file("x", "rucio://user.a/1"), file("x", "rucio://user.b/1")]
    found = {"location": "rucio://user.a/set", "collections": [], "files": files}
    assert [one["basename"] for one in directory_listing(found)] == ["x", "x_2"]
