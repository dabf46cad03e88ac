"""What a container is given, and what its mounts leave behind; the engine is pretended."""

import errno
import os
from pathlib import Path

import pytest
from worker_builders import PretendContainers, entry, job, literal, paths, staged

from gridcwl.worker import stage
from gridcwl.worker.engine import Mount

IMAGE = {"id": "debian"}


def run(bench, *inputs, tool=lambda _: None, outputs=None, **options):
    engine = PretendContainers(tool)
    described = job("true", image=IMAGE, staged=list(inputs), outputs=outputs or {})
    return engine, bench.run(described, engine=engine, **options)


def in_out(bench, script):
    """A tool that works in the output directory as the container would show it."""

    def tool(_call):
        before = Path.cwd()
        os.chdir(bench.out)
        script()
        os.chdir(before)

    return tool


def test_the_jobs_directories_are_mounted_and_inputs_cannot_be_written(bench):
    engine, _ = run(bench)

    assert engine.call.mounts == (
        Mount(str(bench.out), "/gridcwl/out", writable=True),
        Mount(str(bench.workdir / "tmp"), "/gridcwl/tmp", writable=True),
        Mount(str(bench.workdir / "in"), "/gridcwl/in"),
    )
    assert engine.call.workdir == "/gridcwl/out"


def test_an_input_is_mounted_read_only_and_nothing_is_copied(bench):
    data = bench.file("data")

    engine, _ = run(bench, staged("/gridcwl/in/0/x", data))

    assert engine.call.mounts[-1] == Mount(str(data), "/gridcwl/in/0/x")
    assert (bench.workdir / "in/0/x").stat().st_size == 0  # where it is mounted on


def test_paths_stay_as_promised(bench):
    run(bench, literal("/gridcwl/in/text", "/gridcwl/out"))

    assert (bench.workdir / "in/text").read_text() == "/gridcwl/out"


def test_outer_mounts_come_first(bench):
    bench.file("tree/a")

    engine, _ = run(
        bench,
        staged("/opt/data/sub/x", bench.file("x")),
        staged("/opt/data", bench.folder / "tree", kind="directory", writable=True),
    )

    targets = [mount.target for mount in engine.call.mounts]
    assert targets.index("/opt/data") < targets.index("/opt/data/sub/x")
    assert engine.call.mounts[targets.index("/opt/data")].writable


def test_a_literal_may_lie_anywhere_in_a_container(bench):
    engine, _ = run(bench, literal("/etc/tool.conf", "x=1"))

    mount = engine.call.mounts[-1]
    assert (mount.target, mount.writable, Path(mount.source).read_text()) == ("/etc/tool.conf", False, "x=1")


def test_in_place_the_original_is_mounted_writable(bench):
    data = bench.file("data")
    engine = PretendContainers()

    result = bench.run(
        job("true", image=IMAGE, in_place=True, staged=[staged("/gridcwl/out/x", data, writable=True)]), engine=engine
    )

    assert engine.call.mounts[-1] == Mount(str(data), "/gridcwl/out/x", writable=True)
    assert entry(result, "x")["location"] == data.as_uri()


def test_a_mount_point_in_the_output_directory_stands_for_the_input(bench):
    data = bench.file("data")
    bench.file("tree/a")

    _, result = run(
        bench,
        staged("/gridcwl/out/x", data),
        staged("/gridcwl/out/t", bench.folder / "tree", kind="directory"),
        outputs={"globs": ["*"], "contents": ["x"]},
    )

    assert paths(result) == ["t", "t/a", "x"]
    assert entry(result, "x")["location"] == data.as_uri()
    assert entry(result, "x")["size"] == 8
    assert entry(result, "x")["contents"] == "Y29udGVudAo="
    assert entry(result, "t/a")["location"] == (bench.folder / "tree/a").as_uri()


def test_links_are_read_with_the_containers_eyes(bench):
    data = bench.file("data")

    def script():
        Path("real").write_text("x")
        Path("own").symlink_to("/gridcwl/out/real")
        Path("input").symlink_to("/gridcwl/in/0/x")
        Path("relative").symlink_to("../in/0/x")
        Path("outside").symlink_to(str(data))
        Path("image").symlink_to("/etc/passwd")
        Path("real-path-that-a-container-has-not").symlink_to(str(bench.out / "real"))

    _, result = run(bench, staged("/gridcwl/in/0/x", data), tool=in_out(bench, script))

    assert {item["path"]: item["location"] for item in result["files"]} == {
        "real": (bench.out / "real").as_uri(),
        "own": (bench.out / "real").as_uri(),
        "input": data.as_uri(),
        "relative": data.as_uri(),
    }
    assert result["escaped"] == ["image", "outside", "real-path-that-a-container-has-not"]


def test_a_link_to_a_literal_is_that_literal(bench):
    _, result = run(
        bench, literal("/gridcwl/in/text", "hi"), tool=in_out(bench, lambda: Path("x").symlink_to("/gridcwl/in/text"))
    )

    assert entry(result, "x")["location"] == (bench.workdir / "in/text").as_uri()


def many(bench, number, target="/gridcwl/in/{}/data"):
    return [staged(target.format(n), bench.file(f"jobs/{n}/out/data", str(n)).as_uri()) for n in range(number)]


def test_very_many_inputs_are_hard_links_and_no_folder_that_holds_one_is_mounted(bench):
    engine, result = run(
        bench,
        *many(bench, 300),
        tool=in_out(bench, lambda: Path("link").symlink_to("/gridcwl/in/7/data")),
        max_mounts=50,
    )

    assert [mount.target for mount in engine.call.mounts] == ["/gridcwl/out", "/gridcwl/tmp", "/gridcwl/in"]
    assert (bench.workdir / "in/7/data").samefile(bench.folder / "jobs/7/out/data")
    assert entry(result, "link")["location"] == (bench.folder / "jobs/7/out/data").as_uri()


def test_very_many_inputs_in_the_output_directory_are_links_to_where_nobody_can_write(bench):
    engine, result = run(bench, *many(bench, 3, "/gridcwl/out/{}"), max_mounts=2)

    assert len(engine.call.mounts) == 3
    link = str((bench.out / "1").readlink())
    assert link.startswith("/gridcwl/in/")
    assert (bench.workdir / "in" / link[len("/gridcwl/in/") :]).samefile(bench.folder / "jobs/1/out/data")
    assert entry(result, "1")["location"] == (bench.folder / "jobs/1/out/data").as_uri()


def test_of_very_many_inputs_directories_are_linked_file_by_file(bench):
    bench.file("tree/sub/a", "a")
    (bench.folder / "tree/sub/link").symlink_to("/etc/passwd")

    engine, _ = run(
        bench, *many(bench, 3), staged("/gridcwl/in/tree", bench.folder / "tree", kind="directory"), max_mounts=2
    )

    assert len(engine.call.mounts) == 3
    assert (bench.workdir / "in/tree/sub/a").samefile(bench.folder / "tree/sub/a")
    assert (bench.workdir / "in/tree/sub/link").readlink() == Path("/etc/passwd")


def test_what_cannot_be_linked_is_mounted_and_beyond_a_limit_copied(bench, monkeypatch):
    def another_file_system(*_, **__):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_file_system)
    monkeypatch.setattr(stage, "MOUNTS", 3 + 5)
    engine, _ = run(bench, *many(bench, 10), max_mounts=2)

    assert len(engine.call.mounts) == 8
    copies = [n for n in range(10) if (bench.workdir / f"in/{n}/data").read_text() == str(n)]
    assert len(copies) == 5


def test_very_many_inputs_through_links_lead_to_the_real_files(bench):
    data = bench.file("real/data")
    inputs = []
    for number in range(4):
        link = bench.folder / f"link{number}"
        link.symlink_to("real/data")
        inputs.append(staged(f"/gridcwl/in/{number}", link))

    run(bench, *inputs, max_mounts=3)

    assert (bench.workdir / "in/0").samefile(data)
    assert not (bench.workdir / "in/0").is_symlink()


def leaky(bench):
    """A directory as a tool may have left it, with links to a file and a folder that are not its own."""
    secret = bench.file("home/secret", "secret")
    bench.file("tree/own", "own")
    (bench.folder / "tree/inner").symlink_to("own")
    (bench.folder / "tree/file").symlink_to(secret)
    (bench.folder / "tree/folder").symlink_to(bench.folder / "home")
    return bench.folder / "tree"


def test_a_writable_copy_of_a_directory_has_nothing_from_outside_of_it(bench):
    run(bench, staged("/gridcwl/out/d", leaky(bench), kind="directory", writable=True))

    assert (bench.out / "d/inner").read_text() == "own"
    assert not (bench.out / "d/inner").is_symlink()
    assert (bench.out / "d/file").is_symlink()
    assert (bench.out / "d/folder").is_symlink()


def test_a_directory_that_is_taken_apart_shows_nothing_from_outside_of_it(bench):
    tree = leaky(bench)

    engine, _ = run(bench, staged("/gridcwl/in/d", tree, kind="directory"), literal("/gridcwl/in/d/added", "more"))

    assert {mount.source for mount in engine.call.mounts[3:]} == {str(tree / "own")}
    assert (bench.workdir / "in/d/file").is_symlink()


@pytest.mark.parametrize("link", ["/gridcwl/in/d/file", "/gridcwl/in/d/folder/secret", "/gridcwl/in/d/folder"])
def test_a_link_through_an_input_that_leads_out_of_it_is_no_output(bench, link):
    _, result = run(
        bench,
        staged("/gridcwl/in/d", leaky(bench), kind="directory"),
        tool=in_out(bench, lambda: Path("x").symlink_to(link)),
    )

    assert result["files"] == []
    assert result["escaped"] == ["x"]


def test_a_directory_that_is_passed_on_has_nothing_from_outside_of_it(bench):
    _, result = run(
        bench,
        staged("/gridcwl/in/d", leaky(bench), kind="directory"),
        tool=in_out(bench, lambda: Path("x").symlink_to("/gridcwl/in/d")),
    )

    assert [file["path"] for file in result["files"]] == ["x", "x/inner", "x/own"]


def test_standard_input_is_the_original(bench):
    data = bench.file("data")
    engine = PretendContainers()

    bench.run(job("cat", image=IMAGE, stdin="/gridcwl/in/x", staged=[staged("/gridcwl/in/x", data)]), engine=engine)

    assert engine.call.stdin == str(data)
