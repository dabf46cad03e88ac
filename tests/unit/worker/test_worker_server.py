"""The worker as a process at the end of a pipe, and the recycling of folders between its jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import has_ended, until

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.recycle import Recycler


def job(script: str, name: str = "one", **fields):
    return {"id": name, "run": "r", "name": "step", "command": ["sh", "-c", script], **fields}


def kept(*globs: str):
    return {"outputs": {"globs": list(globs)}}


@pytest.fixture
def server():
    process = subprocess.Popen(
        [sys.executable, "-m", "gridcwl.worker.server", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.kill()
    process.wait()


def ask(process, **request) -> None:
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()


def answer(process):
    return json.loads(process.stdout.readline())


def test_a_job_that_is_asked_for_comes_back_as_a_result(server, tmp_path):
    ask(server, job=job("echo hello > out", **kept("out")), workdir=str(tmp_path / "w"), options={})

    result = answer(server)

    assert (result["id"], result["outcome"], result["files"][0]["size"]) == ("one", "success", 6)


def test_two_jobs_run_at_the_same_time(server, tmp_path):
    both = "touch {mine}; while [ ! -e {other} ]; do :; done"
    for mine, other in (("a", "b"), ("b", "a")):
        script = both.format(mine=tmp_path / mine, other=tmp_path / other)
        ask(server, job=job(script, mine), workdir=str(tmp_path / f"w{mine}"), options={})

    assert {answer(server)["outcome"] for _ in range(2)} == {"success"}


def test_a_job_can_be_stopped(server, tmp_path):
    ask(server, job=job(f"touch {tmp_path}/on; sleep 1000"), workdir=str(tmp_path / "w"), options={})
    until((tmp_path / "on").exists)
    ask(server, stop="one", reason="enough")

    result = answer(server)

    assert (result["outcome"], result["reason"]) == ("cancelled", "enough")


def test_tools_end_when_the_client_is_gone(server, tmp_path):
    ask(server, job=job(f"echo $$ > {tmp_path}/pid; exec sleep 1000"), workdir=str(tmp_path / "w"), options={})
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())

    server.stdin.close()

    until(lambda: has_ended(pid))
    assert server.wait(timeout=120) == 0


def run(tmp_path, recycler: Recycler, described):
    options = WorkerOptions(recycler=recycler)
    return run_job(described, str(tmp_path / described["id"]), BareEngine(), Control(), options=options)


@pytest.fixture
def recycler(tmp_path):
    return Recycler(str(tmp_path / "recycled"))


def test_outputs_lie_on_the_shelf_and_nothing_is_left_of_the_job(tmp_path, recycler):
    result = run(tmp_path, recycler, job("echo a > a.txt; mkdir d; echo b > d/b.txt; echo c > c", **kept("*.txt", "d")))

    found = {entry["path"]: Path(entry["location"].removeprefix("file://")) for entry in result["files"]}
    assert found["a.txt"].read_text() == "a\n"
    assert found["d/b.txt"].read_text() == "b\n"
    assert found["d"].is_dir()
    assert not (tmp_path / "one").exists()


def test_the_next_job_finds_its_folders_empty(tmp_path, recycler):
    run(tmp_path, recycler, job("echo a > a; echo t > $TMPDIR/t; echo x > other", "first", **kept("a")))

    result = run(tmp_path, recycler, job("ls -A . $TMPDIR > listing", "second", **kept("listing")))

    listing = Path(result["files"][0]["location"].removeprefix("file://")).read_text().split()
    assert "listing" in listing
    assert not {"a", "t", "other"} & set(listing)


def test_a_whole_directory_that_is_kept_is_shelved_as_one(tmp_path, recycler):
    result = run(tmp_path, recycler, job("echo a > a", outputs={"globs": None}))

    outdir = Path(result["outdir"].removeprefix("file://"))
    assert (outdir / "a").read_text() == "a\n"
    assert result["files"][0]["location"] == f"file://{outdir}/a"


def test_the_output_of_a_tool_is_kept_and_an_empty_one_is_not(tmp_path, recycler):
    loud = run(tmp_path, recycler, job("echo help >&2", "loud", **kept()))
    quiet = run(tmp_path, recycler, job("true", "quiet", **kept()))

    assert Path(loud["stderr_log"]).read_text() == "help\n"
    assert quiet["stderr_log"] is None


def test_outputs_behind_links_stay_where_they_are(tmp_path, recycler):
    result = run(tmp_path, recycler, job("echo a > a; ln -s a b", **kept("b")))

    assert Path(result["files"][0]["location"].removeprefix("file://")).read_text() == "a\n"
    assert (tmp_path / "one/out/a").exists()


def test_a_failed_job_leaves_everything_where_it_was(tmp_path, recycler):
    result = run(tmp_path, recycler, job("echo a > a; echo oh >&2; exit 3", **kept("a")))

    assert result["exit_code"] == 3
    assert (tmp_path / "one/out/a").exists()
    assert Path(result["stderr_log"]).read_text() == "oh\n"


def test_folders_that_a_tool_made_unreadable_are_not_given_to_others(tmp_path, recycler):
    run(tmp_path, recycler, job("chmod 0 $TMPDIR", "first", **kept()))

    result = run(tmp_path, recycler, job("stat -c %a $TMPDIR > mode", "second", **kept("mode")))

    mode = Path(result["files"][0]["location"].removeprefix("file://")).read_text().strip()
    assert int(mode, 8) & 0o700 == 0o700


def test_a_link_that_a_tool_left_in_place_of_its_folder_is_not_given_to_others(tmp_path, recycler):
    (tmp_path / "elsewhere").mkdir()
    run(tmp_path, recycler, job(f"rmdir $TMPDIR; ln -s {tmp_path}/elsewhere $TMPDIR", "first", **kept()))

    result = run(tmp_path, recycler, job("test -L $TMPDIR || echo folder > kind", "second", **kept("kind")))

    assert Path(result["files"][0]["location"].removeprefix("file://")).read_text() == "folder\n"
    assert (tmp_path / "elsewhere").is_dir()


def test_a_file_that_a_tool_left_beside_its_folders_is_not_given_to_others(tmp_path, recycler):
    run(tmp_path, recycler, job("echo x > ../stray", "first", **kept()))

    result = run(tmp_path, recycler, job("ls .. > listing", "second", **kept("listing")))

    assert "stray" not in Path(result["files"][0]["location"].removeprefix("file://")).read_text().split()


def test_the_working_directory_of_a_job_goes_to_the_next_with_its_folders(tmp_path, recycler):
    script = "stat -c %i .. . $TMPDIR > numbers"
    first = run(tmp_path, recycler, job(script, "first", **kept("numbers")))

    second = run(tmp_path, recycler, job(script, "second", **kept("numbers")))

    numbers = [Path(one["files"][0]["location"].removeprefix("file://")).read_text() for one in (first, second)]
    assert numbers[0] == numbers[1]
