"""The worker's listing as a file system: it answers as the real one would."""

from __future__ import annotations

import base64
import glob
import tempfile
from pathlib import Path
from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from gridcwl.cwl.listing import ListingFs, settle
from gridcwl.model import JobId, JobResult, Outcome, ProducedFile

OUT = "/gridcwl/out"


def listing(*files: ProducedFile, outdir: str = "") -> ListingFs:
    return ListingFs(OUT, JobResult(JobId("1"), Outcome.SUCCESS, files=files, outdir=outdir))


def file(path: str, **fields) -> ProducedFile:
    return ProducedFile(path, "file", f"file:///real/{path}", **fields)


def of_tree(root: Path) -> ListingFs:
    """The listing that a worker would send of this folder."""
    return listing(
        *(
            ProducedFile(str(path.relative_to(root)), "directory" if path.is_dir() else "file", path.as_uri())
            for path in sorted(root.rglob("*"))
        )
    )


names = st.text("ab.1", min_size=1, max_size=3).filter(lambda name: name.strip("."))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
parts = st.text("ab.1*?[]!-", min_size=1, max_size=4).filter(lambda part: part not in (".", "..") and "**" not in part)
patterns = st.lists(parts, min_size=1, max_size=3).map("/".join)


@given(st.lists(paths, max_size=6), patterns)
@example(["a", ".a"], "*")
@example(["a/b", "a/.b"], "*/*")
@example([".a/b"], ".*/b")
@example(["a1", "ab"], "a[!b]")
def test_patterns_find_what_python_s_glob_finds_in_the_real_tree(tree: list[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in tree:
            try:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
            except (FileExistsError, NotADirectoryError):
                continue  # a file of that name is there already
        found = of_tree(root).glob(f"{OUT}/{pattern}")
        real = glob.glob(f"{glob.escape(folder)}/{pattern}")  # noqa: PTH207
        assert sorted(unquote(uri.removeprefix(f"file://{OUT}/")) for uri in found) == sorted(
            path.removeprefix(f"{folder}/") for path in real
        )


def test_the_directory_itself_is_found_by_its_own_name() -> None:
    assert listing().glob(OUT) == [f"file://{OUT}"]


def test_a_pattern_of_another_place_finds_nothing() -> None:
    assert listing(file("a")).glob("/etc/*") == []


def test_files_and_folders_are_distinguished() -> None:
    tree = listing(file("d/a"), ProducedFile("e", "directory", "file:///real/e"))
    assert tree.isfile(f"{OUT}/d/a")
    assert tree.isdir(f"{OUT}/d")  # only seen through what lies in it
    assert tree.isdir(f"{OUT}/e")
    assert not tree.isfile(f"{OUT}/e")
    assert not tree.exists(f"{OUT}/b")


def test_a_folder_lists_its_children_by_name() -> None:
    tree = listing(file("d/b"), file("d/a"), file("d/e/c"))
    assert tree.listdir(f"file://{OUT}/d") == [f"file://{OUT}/d/{name}" for name in ("a", "b", "e")]


def test_contents_that_came_with_the_result_are_not_read_again() -> None:
    tree = listing(file("a", contents=base64.b64encode(b"h\xc3\xa9").decode()))
    assert tree.open(f"{OUT}/a", "rb").read() == b"h\xc3\xa9"
    assert tree.open(f"{OUT}/a", "r").read() == "hé"


def test_other_contents_are_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("bytes")
    tree = listing(ProducedFile("a", "file", (tmp_path / "a").as_uri(), size=5))
    assert tree.open(f"{OUT}/a", "rb").read() == b"bytes"
    assert tree.size(f"{OUT}/a") == 5


def test_what_lies_elsewhere_is_asked_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    tree = listing()
    assert tree.exists((tmp_path / "a").as_uri())
    assert tree.size((tmp_path / "a").as_uri()) == 5
    assert not tree.isfile((tmp_path / "b").as_uri())
    assert tree.isfile("rucio://scope/name")


def test_settling_gives_real_locations_sizes_and_checksums() -> None:
    tree = listing(file("a", size=3, sha1="abc"), outdir="file:///real")
    outputs = {
        "f": {"class": "File", "location": f"file://{OUT}/a"},
        "many": [{"class": "File", "location": f"file://{OUT}/a"}],
        "whole": {"class": "Directory", "location": f"file://{OUT}"},
        "passed": {"class": "File", "location": "/data/input.txt"},
    }
    settle(outputs, tree)
    assert outputs["f"] == {"class": "File", "location": "file:///real/a", "size": 3, "checksum": "sha1$abc"}
    assert outputs["many"] == [outputs["f"]]
    assert outputs["whole"]["location"] == "file:///real"
    assert outputs["passed"]["location"] == "file:///data/input.txt"
