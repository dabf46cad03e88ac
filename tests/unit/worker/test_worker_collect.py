"""What is kept of what a tool leaves."""

import hashlib
import os
import zlib

import pytest
from worker_builders import entry, job, paths, staged


def keep(*globs):
    return {"globs": list(globs), "contents": []}


def test_everything_is_kept_where_no_pattern_was_given(bench):
    result = bench.run(job("mkdir -p a/b .hidden; touch a/b/c .hidden/d e"))

    assert paths(result) == [".hidden", ".hidden/d", "a", "a/b", "a/b/c", "e"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["x.txt", "y.txt"]),
        ("x.txt", ["x.txt"]),
        ("nothing", []),
        ("d", ["d", "d/.h", "d/sub", "d/sub/z.txt"]),
        ("d/", ["d", "d/.h", "d/sub", "d/sub/z.txt"]),
        ("x.txt/", []),
        ("x.txt/y", []),
        ("*/*/*.txt", ["d/sub/z.txt"]),
        ("d/*", ["d/sub", "d/sub/z.txt"]),
        (".", ["d", "d/.h", "d/sub", "d/sub/z.txt", "x.txt", "y.txt"]),
    ],
)
def test_patterns_choose(bench, pattern, expected):
    result = bench.run(job("mkdir -p d/sub; touch x.txt y.txt d/.h d/sub/z.txt", outputs=keep(pattern)))

    assert paths(result) == expected


def test_a_file_that_two_patterns_choose_is_listed_once(bench):
    assert paths(bench.run(job("touch x", outputs=keep("*", "x", "./x")))) == ["x"]


def test_a_pattern_that_leads_out_is_refused_before_the_tool_runs(bench):
    result = bench.run(job(f"touch {bench.folder}/ran", outputs=keep("../secret")))

    assert result["outcome"] == "permanent-failure"
    assert "../secret leads out" in result["reason"]
    assert not (bench.folder / "ran").exists()


def test_an_output_object_keeps_everything(bench):
    result = bench.run(job("echo '{}' > cwl.output.json; mkdir d; touch d/x", outputs=keep("nothing")))

    assert paths(result) == ["cwl.output.json", "d", "d/x"]


def test_checksums_of_a_large_file_are_those_of_all_its_bytes(bench):
    data = os.urandom(3_500_001)
    bench.file("data", data)

    found = entry(bench.run(job(f"cp {bench.folder}/data big")), "big")

    assert found["size"] == len(data)
    assert found["sha1"] == hashlib.sha1(data).hexdigest()
    assert found["adler32"] == f"{zlib.adler32(data):08x}"


def test_an_empty_file_has_checksums_too(bench):
    found = entry(bench.run(job("touch empty")), "empty")

    assert (found["size"], found["sha1"], found["adler32"]) == (
        0,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "00000001",
    )


def test_a_thousand_outputs_are_listed(bench):
    result = bench.run(job("i=0; while [ $i -lt 1000 ]; do echo $i > f$i; i=$((i+1)); done"))

    assert len({found["sha1"] for found in result["files"]}) == 1000


def test_names_that_are_no_text_survive(bench):
    result = bench.run(job(r"touch $(printf 'caf\351') 'a b#c%d'"))

    assert paths(result) == ["a b#c%d", "caf\udce9"]
    assert entry(result, "caf\udce9")["location"] == f"file://{bench.out}/caf%E9"
    assert entry(result, "a b#c%d")["location"] == f"file://{bench.out}/a%20b%23c%25d"


def test_special_files_are_left_out(bench):
    assert paths(bench.run(job("mkfifo pipe; touch x", outputs=keep("*")))) == ["x"]


def test_deep_directories_are_listed(bench):
    depth = 400
    result = bench.run(job(f"i=0; while [ $i -lt {depth} ]; do mkdir d; cd d; i=$((i+1)); done; touch x"))

    assert paths(result)[-1] == "d/" * depth + "x"


def test_a_link_to_an_output_is_that_file(bench):
    result = bench.run(job("mkdir d; echo x > d/real; ln -s d/real link; ln -s $HOME/d/real absolute"))

    real = (bench.out / "d/real").as_uri()
    assert [entry(result, name)["location"] for name in ("link", "absolute", "d/real")] == [real] * 3
    assert entry(result, "link")["sha1"] == entry(result, "d/real")["sha1"]


def test_a_link_to_a_directory_has_its_entries(bench):
    result = bench.run(job("mkdir d; touch d/x; ln -s d link", outputs=keep("link")))

    assert paths(result) == ["link", "link/x"]
    assert entry(result, "link/x")["location"] == (bench.out / "d/x").as_uri()


def test_patterns_go_through_links(bench):
    assert paths(bench.run(job("mkdir d; touch d/x; ln -s d link", outputs=keep("link/*")))) == ["link/x"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../data", "d/../../../data", "/gridcwl/tmp/x"])
def test_a_link_that_leads_out_is_not_followed_but_named(bench, target):
    bench.file("data", "secret")

    result = bench.run(job(f"mkdir d; touch /gridcwl/tmp/x; ln -s {target} link; touch x"))

    assert result["escaped"] == ["link"]
    assert paths(result) == ["d", "x"]


def test_a_link_out_through_a_linked_directory_is_not_followed_either(bench):
    bench.file("secrets/data")

    result = bench.run(job(f"ln -s {bench.folder}/secrets d", outputs=keep("d/data", "d/*")))

    assert paths(result) == []
    assert result["escaped"] == ["d"]


@pytest.mark.parametrize(
    "script",
    [
        "ln -s loop loop",
        "ln -s a b; ln -s b a",
        "ln -s . dot",
        "mkdir d; ln -s .. d/up",
        "mkdir a b; ln -s ../b a/x; ln -s ../a b/y",
        "ln -s nowhere dangling",
    ],
)
def test_links_that_never_end_do_not_hang(bench, script):
    result = bench.run(job(f"{script}; touch x"))

    assert result["outcome"] == "success"
    assert "x" in paths(result)
    assert result["escaped"] == []


@pytest.mark.parametrize("extra", [{}, {"writable": True}])
def test_links_of_an_input_that_lead_nowhere_are_left_out(bench, extra):
    bench.file("tree/sub/x")
    for name, text in (("itself", "itself"), ("gone", "gone/x"), ("through-a-file", "sub/x/y"), ("sub/up", "..")):
        (bench.folder / "tree" / name).symlink_to(text)

    result = bench.run(job("true", staged=[staged("/gridcwl/out/t", bench.folder / "tree", kind="directory", **extra)]))

    assert result["outcome"] == "success"
    assert paths(result) == ["t", "t/sub", "t/sub/x"]


def test_links_that_multiply_are_stopped(bench, monkeypatch):
    monkeypatch.setattr("gridcwl.worker.tree._MAX_LINKED", 1000)

    result = bench.run(
        job("mkdir 0; touch 0/x; for i in $(seq 20); do mkdir $i; for l in a b; do ln -s ../$((i-1)) $i/$l; done; done")
    )

    assert "multiply" in result["reason"]


def test_an_input_that_is_linked_into_the_outputs_keeps_its_location(bench):
    data = bench.file("data")
    bench.file("tree/sub/x")

    result = bench.run(
        job(
            f"ln -s /gridcwl/in/a one; ln -s {data} two; ln -s /gridcwl/in/t/sub three; ln -s /gridcwl/in/t/sub/x four",
            staged=[
                staged("/gridcwl/in/a", data.as_uri()),
                staged("/gridcwl/in/t", bench.folder / "tree", kind="directory"),
            ],
        )
    )

    x = (bench.folder / "tree/sub/x").as_uri()
    found = {item["path"]: (item["location"], item["sha1"]) for item in result["files"]}
    assert found == {
        "one": (data.as_uri(), None),
        "two": (data.as_uri(), None),
        "three": ((bench.folder / "tree/sub").as_uri(), None),
        "three/x": (x, None),
        "four": (x, None),
    }
    assert entry(result, "one")["size"] == 8


def test_an_input_in_the_output_directory_keeps_its_location(bench):
    data = bench.file("data")

    result = bench.run(job("cat x", staged=[staged("/gridcwl/out/x", data)], outputs=keep("x")))

    assert (entry(result, "x")["location"], entry(result, "x")["sha1"]) == (data.as_uri(), None)


def test_an_input_that_the_tool_replaced_is_its_own_output(bench):
    data = bench.file("data")

    result = bench.run(job("rm x; printf new > x", staged=[staged("/gridcwl/out/x", data)]))

    assert entry(result, "x")["location"] == (bench.out / "x").as_uri()
    assert entry(result, "x")["size"] == 3


def test_outputs_below_a_linked_working_directory_are_found(bench):
    (bench.folder / "elsewhere").mkdir()
    (bench.folder / "link").symlink_to("elsewhere")
    bench.workdir = bench.folder / "link" / "work"

    result = bench.run(job("echo x > x; ln -s $(pwd -P)/x one; ln -s $HOME/x two"))

    assert paths(result) == ["one", "two", "x"]
    assert result["escaped"] == []


def test_a_file_that_nobody_may_read_is_ours_to_read(bench):
    result = bench.run(job("mkdir d; echo x > d/x; chmod 0 d/x d"))

    assert entry(result, "d/x")["size"] == 2


def test_a_large_file_is_read_in_small_pieces(bench, monkeypatch):
    sizes = []
    real = hashlib.sha1

    class Watched:
        def __init__(self, data):
            self._real = real(data)

        def update(self, chunk):
            sizes.append(len(chunk))

        def hexdigest(self):
            return self._real.hexdigest()

    monkeypatch.setattr("gridcwl.worker.checksum.hashlib.sha1", Watched)  # its time is not tested
    found = entry(bench.run(job("truncate -s 500M hole")), "hole")

    assert found["size"] == 500 * 2**20
    assert max(sizes) <= 2**20
