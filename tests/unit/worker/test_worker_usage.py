"""What a tool used: by ``/proc``, and by control groups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until
from worker_builders import job

from gridcwl.worker.sampling import SAMPLER, Sampler
from gridcwl.worker.usage import (
    ControlGroup,
    DockerGroups,
    NamedContainer,
    ProcessTree,
    Used,
    bytes_of,
    disk_bytes,
    group_folders,
)

MIB = 1 << 20
ID = "0123456789abcdef" * 4
HOLDS_MEMORY = "import sys; kept = b'x' * (40 << 20); print('ready', flush=True); sys.stdin.read()"


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


# -- a job -------------------------------------------------------------------------------------------------------------


def test_the_usage_of_a_bare_tool_has_memory_processor_time_bytes_and_disk_space(bench):
    # it keeps its memory until it was seen: of a process that is smaller than this one only samples tell
    seen = bench.fifo()
    tool = (
        f"data = b'x' * (400 << 20); open({str(seen)!r}).read();"
        "open('out.bin', 'wb').write(data[: 1 << 20]); open('out.bin', 'rb').read()"
    )

    result = bench.run_aside(job(sys.executable, "-S", "-c", tool))
    until(lambda: [one for one in [*SAMPLER._samples.values()] if (one.used.max_rss_mib or 0) > 400])
    seen.write_text("")
    usage = result()["usage"]

    assert 400 < usage["max_rss_mib"] < 500
    assert usage["cpu_s"] > 0
    assert MIB <= usage["written_bytes"] < 2 * MIB
    assert usage["read_bytes"] >= MIB
    assert usage["disk_bytes"] == MIB


def test_children_of_a_tool_count_as_the_tool(bench):
    usage = bench.run(job("head -c 3000000 /dev/zero > a; (head -c 2000000 /dev/zero > b) & wait"))["usage"]

    assert 5_000_000 <= usage["written_bytes"] < 5_100_000
    assert usage["disk_bytes"] == 5_000_000


def test_a_job_whose_tool_never_ran_used_nothing(bench):
    usage = bench.run(job("no-such-program", "x"))["usage"]

    assert [usage[name] for name in ("cpu_s", "max_rss_mib", "read_bytes", "written_bytes", "disk_bytes")] == [None] * 5


# -- processes ---------------------------------------------------------------------------------------------------------


def test_the_memory_of_all_processes_of_a_tool_is_added_up():
    parent = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); exec(sys.argv[-1])"
    command = [sys.executable, "-S", "-c", parent, sys.executable, "-S", "-c", HOLDS_MEMORY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2

        used = ProcessTree(process.pid).read()

        process.stdin.close()
    assert 80 < used.max_rss_mib < 120


def test_the_bytes_of_a_process_that_has_ended_are_known_until_it_is_reaped():
    process = subprocess.Popen(["sh", "-c", "head -c 1000000 /dev/zero | cat > /dev/null"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    read, written = bytes_of(process.pid)

    assert min(read, written) >= 2_000_000
    process.wait()
    assert bytes_of(process.pid) == (None, None)


def test_the_most_that_was_seen_stays_when_the_tool_has_ended():
    sampler, seen = Sampler(), iter([Used(1.0, 50.0, 10, 5), Used(2.0, 20.0, 30, None)])
    sample = sampler.watch(lambda: next(seen))

    sample.look()

    assert sampler.drop(sample, look=True) == Used(2.0, 50.0, 30, 5)
    assert sample.look() == Used(2.0, 50.0, 30, 5)  # never read again: its numbers may be another's


def test_a_kernel_that_writes_something_else_is_no_error():
    sampler = Sampler()
    sample = sampler.watch(lambda: Used(cpu_s=int("none")))

    assert sampler.drop(sample, look=True) == Used()


# -- control groups ----------------------------------------------------------------------------------------------------


@pytest.fixture
def second(tmp_path):
    """A container's group of version 2: 300 MiB at most, of which 200 MiB are the cache of a file."""
    return write(
        tmp_path / f"docker/{ID}",
        memory__current=f"{250 * MIB}\n",
        memory__peak=f"{300 * MIB}\n",
        memory__stat=f"anon {40 * MIB}\nfile {210 * MIB}\nshmem {10 * MIB}\ninactive_file {100 * MIB}\n",
        cpu__stat="usage_usec 2500000\nuser_usec 2000000\n",
        io__stat="8:0 rbytes=1000 wbytes=200 rios=1\n8:16 rbytes=24 wbytes=1\n",
        cgroup__procs="",
    )


@pytest.fixture
def first(tmp_path):
    """The same in version 1, with a folder for each controller."""
    path = f"docker/{ID}"
    write(
        tmp_path / "memory" / path,
        memory__usage_in_bytes=f"{250 * MIB}\n",
        memory__max_usage_in_bytes=f"{300 * MIB}\n",
        memory__stat=f"cache 1\ntotal_cache {210 * MIB}\ntotal_rss 5\ntotal_shmem {10 * MIB}\n",
    )
    write(tmp_path / "cpuacct" / path, cpuacct__usage="2500000000\n", cgroup__procs="")
    counted = "8:0 Read 1000\n8:0 Write 200\n8:0 Sync 5\n8:16 Read 24\n8:16 Write 1\n8:16 Total 9\nTotal 9999\n"
    write(tmp_path / "blkio" / path, blkio__throttle__io_service_bytes_recursive=counted)
    return tmp_path


@pytest.mark.parametrize("version", ["second", "first"])
def test_a_control_group_of_either_version_has_what_its_processes_used(version, request, tmp_path):
    request.getfixturevalue(version)

    used = DockerGroups(str(tmp_path)).find(ID).read()

    assert used == Used(2.5, 100.0, 1024, 201)


def test_the_cache_of_files_is_not_memory_that_a_tool_needs(second):
    group = ControlGroup({"": str(second)})
    write(second, memory__stat=f"file {290 * MIB}\nshmem 0\n", memory__current=f"{295 * MIB}")

    assert group.read().max_rss_mib == 10.0


def test_without_the_kernels_maximum_the_most_that_was_seen_is_known(second):
    (second / "memory.peak").unlink()  # Linux before 5.19
    group = ControlGroup({"": str(second)})

    seen = group.read()
    write(second, memory__current=f"{220 * MIB}")

    assert (seen.max_rss_mib, group.read().max_rss_mib) == (50.0, 50.0)


def test_a_container_that_is_used_again_counts_each_job_for_itself(second):
    group = ControlGroup({"": str(second)})
    before = group.begin()
    write(second, cpu__stat="usage_usec 2600000\n", memory__current=f"{30 * MIB}", memory__stat="file 0\nshmem 0\n")

    used = group.read().since(before)

    assert used.cpu_s == pytest.approx(0.1)
    assert used.max_rss_mib == 30.0  # the maximum is of an earlier job


def test_a_group_that_is_gone_is_unknown(tmp_path):
    assert ControlGroup({"": str(tmp_path / "gone")}).read() == Used()


def test_the_group_of_a_process_counts_only_if_it_is_the_containers(tmp_path):
    write(tmp_path / "proc/7", cgroup=f"0::/machine/libpod-{ID}.scope\n")
    write(tmp_path / f"groups/machine/libpod-{ID}.scope", memory__stat="")
    places = str(tmp_path / "groups"), str(tmp_path / "proc")

    assert group_folders(7, ID, *places) == {"": f"{tmp_path}/groups/machine/libpod-{ID}.scope"}
    assert group_folders(7, "f" * 64, *places) == {}
    assert group_folders(8, ID, *places) == {}


@pytest.mark.usefixtures("second")
def test_the_engine_is_asked_where_a_group_is_only_if_it_is_at_no_usual_place(tmp_path):
    asked = []

    assert DockerGroups(str(tmp_path)).find(ID, lambda: asked.append(1) or 0) is not None
    assert DockerGroups(str(tmp_path)).find("f" * 64, lambda: asked.append(1) or 0) is None
    assert asked == [1]


def test_podman_writes_where_its_container_is_and_docker_writes_its_id():
    assert NamedContainer("/t").words("podman") == ["--cidfile=/t/id", "--conmon-pidfile=/t/pid"]
    assert NamedContainer("/t", "/ids/1.cid").words("docker") == ["--cidfile=/ids/1.cid"]
    assert NamedContainer("/nowhere").read() == Used()


# -- disk space --------------------------------------------------------------------------------------------------------


def test_disk_space_is_that_of_files_that_the_job_made(tmp_path):
    original = tmp_path / "input"
    original.write_bytes(bytes(500))
    write(tmp_path / "out/deep", made="x" * 1000)
    (tmp_path / "out/link").symlink_to(original)
    (tmp_path / "out/hard").hardlink_to(original)

    assert disk_bytes([str(tmp_path / "out"), str(tmp_path / "gone")]) == 1000


def test_the_disk_space_of_very_many_files_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr("gridcwl.worker.usage._MOST_ENTRIES", 2)
    write(tmp_path, a="", b="", c="")

    assert disk_bytes([str(tmp_path)]) is None


def test_the_kernels_own_files_of_version_2_are_read_as_far_as_this_machine_has_it():
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    tops = [words[1] for words in mounts if words[2] == "cgroup2"]
    paths = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    groups = [group for top in tops for path in paths if (group := Path(top + path) / "cpu.stat").exists()]
    if not groups:
        pytest.skip("no control groups of version 2 here")
    folder = groups[0].parent
    used = ControlGroup({"": str(folder)}).read()
    assert used.cpu_s is not None
    assert used.cpu_s > 0
    # where the memory is counted by version 1, as with a hybrid hierarchy, version 2 does not know it
    assert (used.max_rss_mib is not None) == (folder / "memory.current").exists()
