"""Stage in without a container: links where nothing changes, copies where it may."""

import os

import pytest
from worker_builders import entry, job, literal, paths, staged


def test_an_input_is_linked_and_not_copied(bench):
    data = bench.file("data")

    bench.run(job("readlink /gridcwl/in/0/x > where", staged=[staged("/gridcwl/in/0/x", data)]))

    assert (bench.out / "where").read_text().strip() == str(data)


@pytest.mark.parametrize("name", ["plain", "with space", "a#b%20c?d", "non-utf8-\udcff", "ünï"])
def test_an_input_is_found_by_url_and_by_path(bench, name):
    data = bench.file(name)

    result = bench.run(
        job(
            "cat /gridcwl/in/1 /gridcwl/in/2 > both",
            staged=[staged("/gridcwl/in/1", data.as_uri()), staged("/gridcwl/in/2", data)],
        )
    )

    assert entry(result, "both")["size"] == 16


def test_a_relative_path_is_relative_to_the_jobs_description(bench):
    bench.file("given/data")

    result = bench.run(
        job("cat /gridcwl/in/x", staged=[staged("/gridcwl/in/x", "data")]), base=str(bench.folder / "given")
    )

    assert result["outcome"] == "success"


def test_sources_are_tried_in_turn(bench):
    data = bench.file("data")
    described = job("cat /gridcwl/in/x", staged=[{**staged("/gridcwl/in/x"), "sources": ["/not/there", str(data)]}])

    assert bench.run(described)["outcome"] == "success"


def test_an_input_that_no_source_has_is_reported_with_every_reason(bench):
    described = job("true", staged=[{**staged("/gridcwl/in/x"), "sources": ["/not/there", "srm://se/x"]}])

    result = bench.run(described)

    assert result["outcome"] == "temporary-failure"
    assert "/not/there: No such file or directory" in result["reason"]
    assert "srm://se/x: this worker cannot reach srm:// URLs" in result["reason"]


def test_an_input_of_the_wrong_size_is_refused(bench):
    result = bench.run(job("true", staged=[staged("/gridcwl/in/x", bench.file("data", "1234"), size=5)]))

    assert result["outcome"] == "permanent-failure"
    assert "has 4 bytes, and not 5" in result["reason"]


def test_a_file_where_a_directory_was_promised_is_refused(bench):
    result = bench.run(job("true", staged=[staged("/gridcwl/in/x", bench.file("data"), kind="directory")]))

    assert "was to be a directory" in result["reason"]


def test_a_writable_file_is_a_copy(bench):
    data = bench.file("data", "old\n")
    data.chmod(0o444)

    bench.run(job("test -w x && echo new > x", staged=[staged("/gridcwl/out/x", data, writable=True)]))

    assert (bench.out / "x").read_text() == "new\n"
    assert data.read_text() == "old\n"


def test_a_writable_directory_is_copied_with_all_below(bench):
    bench.file("tree/deep/file", "old")
    (bench.folder / "tree/deep/link").symlink_to("file")
    (bench.folder / "tree/deep/loop").symlink_to("..")
    (bench.folder / "tree/dangling").symlink_to("nowhere")

    result = bench.run(
        job(
            "echo new > t/deep/file",
            staged=[staged("/gridcwl/out/t", bench.folder / "tree", kind="directory", writable=True)],
        )
    )

    assert paths(result) == ["t", "t/deep", "t/deep/file", "t/deep/link"]
    assert (bench.folder / "tree/deep/file").read_text() == "old"


def test_in_place_the_original_itself_is_changed(bench):
    data = bench.file("data", "old")

    result = bench.run(job("printf new > x", staged=[staged("/gridcwl/out/x", data, writable=True)], in_place=True))

    assert data.read_text() == "new"
    assert entry(result, "x")["location"] == data.as_uri()
    assert entry(result, "x")["sha1"] == "c2a6b03f190dfb2b4aa91f8af8d477a9bc3401dc"


def test_a_literal_is_a_file_that_can_be_read(bench):
    result = bench.run(job("cat /gridcwl/in/a/b", staged=[literal("/gridcwl/in/a/b", "text")], stdout="o"))

    assert entry(result, "o")["size"] == 4
    assert (bench.workdir / "in/a/b").stat().st_mode & 0o777 == 0o444


def test_a_writable_literal_can_be_written(bench):
    bench.run(job("true", staged=[literal("/gridcwl/out/x", "", writable=True)]))

    assert (bench.out / "x").stat().st_mode & 0o777 == 0o644


def test_a_directory_without_sources_is_made_empty(bench):
    bench.run(job("ls -A d > listing", staged=[staged("/gridcwl/out/d", kind="directory")]))

    assert (bench.out / "listing").read_text() == ""


def test_an_input_inside_a_staged_directory_leaves_the_original_alone(bench):
    bench.file("tree/a")
    bench.file("tree/sub/b")
    extra = bench.file("extra")

    result = bench.run(
        job(
            "cd /gridcwl/in/t && find . -type l | sort > $HOME/found",
            staged=[
                staged("/gridcwl/in/t", bench.folder / "tree", kind="directory"),
                staged("/gridcwl/in/t/sub/extra", extra),
            ],
        )
    )

    assert result["outcome"] == "success"
    assert (bench.out / "found").read_text().split() == ["./a", "./sub/b", "./sub/extra"]
    assert [path.name for path in (bench.folder / "tree/sub").iterdir()] == ["b"]


def test_what_comes_with_its_directory_is_not_staged_twice(bench):
    data = bench.file("tree/a")

    bench.run(
        job(
            "readlink /gridcwl/in/t > where",
            staged=[
                staged("/gridcwl/in/t/a", data),
                staged("/gridcwl/in/t", bench.folder / "tree", kind="directory"),
            ],
        )
    )

    assert (bench.out / "where").read_text().strip() == str(bench.folder / "tree")


def test_a_file_can_be_put_into_a_copied_directory(bench):
    bench.file("tree/a")

    result = bench.run(
        job(
            "true",
            staged=[
                staged("/gridcwl/out/t", bench.folder / "tree", kind="directory", writable=True),
                literal("/gridcwl/out/t/b", "b"),
            ],
        )
    )

    assert paths(result) == ["t", "t/a", "t/b"]


def test_two_different_inputs_cannot_have_one_place(bench):
    one, other = bench.file("one"), bench.file("other")

    result = bench.run(job("true", staged=[staged("/gridcwl/in/x", one), staged("/gridcwl/in/x", other)]))

    assert result["reason"] == "Two different inputs have the same path, /gridcwl/in/x."


def test_the_same_input_may_be_named_twice(bench):
    one = bench.file("one")

    result = bench.run(job("true", staged=[staged("/gridcwl/in/x", one), staged("/gridcwl/in/x", one)]))

    assert result["outcome"] == "success"


@pytest.mark.parametrize(
    "target", ["/etc/gridcwl-test", "/gridcwl/out/../x", "relative", "/gridcwl/out", "/gridcwl/outer"]
)
def test_an_input_outside_the_jobs_directories_is_refused(bench, target):
    result = bench.run(job("true", staged=[staged(target, bench.file("data"))]))

    assert result["outcome"] == "permanent-failure"
    assert not os.path.lexists("/etc/gridcwl-test")
