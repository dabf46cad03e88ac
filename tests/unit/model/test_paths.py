"""The validator of paths, base names and locations: what it accepts, what it refuses, and that it is the only one."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hostile_names import examples
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.errors import UnsafePath
from gridcwl.model import paths

SOURCES = Path(paths.__file__).parents[1]

ATOMS = ["..", ".", "", "/", "\0", "a", "é", "\udcff", "\ud800", " ", "\n", "%2e%2e", "%2f", "%00", "x" * 250, "\\"]
hostile = st.lists(st.sampled_from(ATOMS) | st.text(max_size=5), max_size=8).map("".join) | st.text()


@pytest.mark.parametrize(
    "name", ["a", "a b", "..a", "a..", "...", "é", "\udcff", "\x1b[2J", "~", "\\", "x" * 255, "é" * 127, "-rf", "%2e"]
)
def test_a_name_that_a_file_can_have_is_a_base_name(name: str) -> None:
    assert paths.basename(name, "It") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b", "x" * 256, "é" * 128, "\ud800", None, 7, ["a"]])
def test_what_no_file_can_be_called_is_no_base_name(name: object) -> None:
    with pytest.raises(UnsafePath, match="The base name of x is refused: "):
        paths.basename(name, "The base name of x")


@pytest.mark.parametrize("path", ["..", "../a", "a/..", "a/../b", "/a", "a//b", "a/", "./a", "", "a\0", "b/" * 3000])
def test_a_path_that_may_leave_its_folder_is_refused(path: str) -> None:
    with pytest.raises(UnsafePath):
        paths.relative(path, "It")


@examples(200)
@given(hostile)
def test_an_accepted_path_stays_below_its_folder(path: str) -> None:
    try:
        found = str(paths.join("/folder", path, "It"))
    except UnsafePath:
        return
    assert posixpath.normpath(found) == found == f"/folder/{path}"
    assert found.startswith("/folder/")
    assert "\0" not in found
    assert max(len(os.fsencode(part)) for part in found.split("/")) <= paths.LONGEST_NAME


@examples(200)
@given(hostile)
def test_a_base_name_is_a_relative_path_of_one_part(name: str) -> None:
    def accepts(check: object) -> bool:
        try:
            check(name, "It")  # type: ignore[operator]
        except UnsafePath:
            return False
        return True

    assert accepts(paths.basename) == (accepts(paths.relative) and "/" not in name)


@examples(200)
@given(hostile)
def test_an_absolute_path_is_normalised_and_never_climbs(path: str) -> None:
    try:
        found = paths.absolute(path, "It")
    except UnsafePath:
        return
    assert found.startswith("/")
    assert not found.startswith("//")
    assert posixpath.normpath(found) == found
    assert ".." not in path.split("/")


@examples(200)
@given(st.lists(hostile, min_size=1, max_size=4), st.booleans())
def test_a_file_url_gives_back_the_path_that_was_quoted_or_nothing(parts: list[str], plainly: bool) -> None:
    path = "/" + "/".join(parts)
    url = "file://" + (path if plainly else quote(path.encode("utf-8", "surrogatepass"), safe=""))
    for given_url in (url, "file://" + quote(path, errors="surrogatepass") if not plainly else url):
        try:
            found = paths.file_path(given_url, "It")
        except UnsafePath:
            continue
        assert found.startswith("/")
        assert posixpath.normpath(found) == found
        assert "\0" not in found


@examples(200)
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_every_real_file_has_a_url_that_is_accepted(name: str) -> None:
    if name in (".", ".."):
        return
    path = f"/folder/{name}"
    assert paths.file_path("file://" + quote(os.fsencode(path)), "It") == path


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file://otherhost/etc/passwd", "another host"),
        ("file:///a/%2e%2e/b", "leads out"),
        ("file:///a/%2E%2E", "leads out"),
        ("file:///a/../b", "leads out"),
        ("file:///a%2fb", "percent-encoded slash"),
        ("file:///a%00b", "NUL"),
        ("file:///" + "x" * 300, "longer than 255"),
        ("file:///" + "x/" * 2500, "longer than 4095"),
        ("file:///" + "x/" * 25000, "longer than"),
        ("file:///a\nb", "control character"),
        ("file://", "no absolute path"),
        ("https://host/x", "not a file"),
        ("/etc/passwd", "not a file"),
    ],
)
def test_a_hostile_file_url_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(UnsafePath, match=why):
        paths.file_path(url, "The location of x")


@pytest.mark.parametrize(
    "url",
    [
        "file:///a/b",
        "file://localhost/a/b",
        "FILE:///a/b",
        "file:///a//b",
        "file:///a/b/",
        "file:///a/%62",
        "file://localhost:1094/a/b",
    ],
)
def test_the_usual_ways_to_write_a_file_url_are_read(url: str) -> None:
    assert paths.file_path(url, "It") == "/a/b"


def test_a_location_has_one_of_the_schemes_that_are_accepted_where_it_comes_from() -> None:
    for url in ("rucio://cta/a/b.h5", "https://host/a?b=c", "_:literal", "file:///a", "davs://host:1094//a/b"):
        assert paths.location(url, "It") == url
    for url in ("https://host/x", "davs://h/x", "gopher://h", "a/b", "", "rucio://cta/../x", "rucio://cta/a/%2e%2e/x"):
        with pytest.raises(UnsafePath):
            paths.location(url, "It", {"rucio", "file", "_"})


def test_a_symbolic_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir(), outside.mkdir()
    (folder / "out").symlink_to(outside)
    (folder / "here").mkdir()
    (folder / "loop").symlink_to("here")
    (folder / "file").symlink_to(outside / "new")
    for path in ("out/new", "out", "file"):
        with pytest.raises(UnsafePath, match="through a symbolic link"):
            paths.inside(folder, path, "It")
    assert paths.inside(folder, "loop/new", "It") == folder / "loop/new"


_ANOTHER = re.compile(
    r"""(['"])\.\.\1 \s* (?:not\ )?in\b | \bin\ \(.*['"]\.\.['"] | (?:==|!=)\s*['"]\.\.['"]
    | unquote\(urlsplit\(\w+\)\.path\) | extractall""",
    re.VERBOSE,
)
_MAY = {
    "worker/paths.py",  # the validator
    "worker/links.py",  # follows what a tool's symbolic link says, and classifies where that ends
}


def test_there_is_no_second_validator() -> None:
    found = [
        f"{source.relative_to(SOURCES)}:{number}: {line.strip()}"
        for source in sorted(SOURCES.rglob("*.py"))
        if str(source.relative_to(SOURCES)) not in _MAY and "testbed" not in source.parts
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1)
        if _ANOTHER.search(line)
    ]
    assert found == []
