"""What a container is given, and what its mounts leave behind; the engine is pretended."""

import os
from pathlib import Path

from worker_builders import PretendContainers, entry, job, literal, paths, staged

from gridcwl.worker.engine import Mount
from gridcwl.worker.plan import shared_folders

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


def test_very_many_inputs_take_few_mounts(bench):
    inputs = []
    for number in range(300):
        data = bench.file(f"jobs/{number}/out/data", str(number))
        inputs.append(staged(f"/gridcwl/in/{number}/data", data.as_uri()))

    engine, result = run(
        bench, *inputs, tool=in_out(bench, lambda: Path("link").symlink_to("/gridcwl/in/7/data")), max_mounts=50
    )

    side = engine.call.mounts[-1]
    assert side == Mount(str(bench.folder / "jobs"), "/gridcwl/in/.sources/0")
    assert (bench.workdir / "in/7/data").readlink() == Path("/gridcwl/in/.sources/0/7/out/data")
    assert len(engine.call.mounts) == 4
    assert entry(result, "link")["location"] == (bench.folder / "jobs/7/out/data").as_uri()


def test_very_many_inputs_through_links_lead_to_the_real_files(bench):
    bench.file("real/data")
    (bench.folder / "links").mkdir()
    inputs = []
    for number in range(4):
        link = bench.folder / "links" / str(number)
        link.symlink_to("../real/data")
        inputs.append(staged(f"/gridcwl/in/{number}", link))

    engine, _ = run(bench, *inputs, max_mounts=3)

    assert engine.call.mounts[-1].source == str(bench.folder / "real")
    assert (bench.workdir / "in/0").readlink() == Path("/gridcwl/in/.sources/0/data")


def test_folders_are_shared_no_higher_than_needed():
    folders = {"/data/a/1", "/data/a/2", "/data/a/3", "/other"}

    assert shared_folders(folders, 4) == folders
    assert shared_folders(folders, 2) == {"/data/a", "/other"}
    assert shared_folders({"/data", "/data/a/1"}, 2) == {"/data"}


def test_standard_input_is_the_original(bench):
    data = bench.file("data")
    engine = PretendContainers()

    bench.run(job("cat", image=IMAGE, stdin="/gridcwl/in/x", staged=[staged("/gridcwl/in/x", data)]), engine=engine)

    assert engine.call.stdin == str(data)
