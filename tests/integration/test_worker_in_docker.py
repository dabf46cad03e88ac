"""The worker and a real Docker engine: as a zipapp where there is nothing but python3, and starting containers."""

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from gridcwl.backends.local.docker_engine import DockerEngine
from gridcwl.worker.cli_engines import find_engine
from gridcwl.worker.control import Control
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.zipapp import build

pytestmark = pytest.mark.docker

IMAGE = "python:3-slim"
DOCKER = next((path for path in ("/usr/bin/docker", shutil.which("docker")) if path and Path(path).exists()), "docker")


def docker(*words):
    return subprocess.run([DOCKER, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module", autouse=True)
def image():
    if docker("image", "inspect", IMAGE).returncode != 0:
        pytest.fail(f"the image {IMAGE} is not here: make images-test")


@pytest.fixture(scope="module", params=["api", "command line"])
def engine(request):
    return DockerEngine() if request.param == "api" else find_engine("docker")


def gone(name):
    """Whether no container of that name is left; the engine removes one a moment after it has ended."""
    until = time.monotonic() + 30
    while docker("ps", "-aq", "--filter", f"name={name}").stdout:
        if time.monotonic() > until:
            return False
    return True


def job(script, **fields):
    described = {"id": f"worker-test-{uuid.uuid4().hex}", "run": "run", "name": "step", "command": ["sh", "-c", script]}
    return {**described, "image": {"id": IMAGE}, **fields}


def run(engine, folder, described, control=None, **options):
    return run_job(described, str(folder / "work"), engine, control or Control(), options=WorkerOptions(**options))


def locations(result):
    assert result["outcome"] == "success", result
    return {entry["path"]: entry["location"] for entry in result["files"]}


def test_the_zipapp_runs_in_a_container_that_has_nothing_but_python3(tmp_path):
    build(tmp_path / "gridcwl-worker.pyz")
    (tmp_path / "data").write_text("x")
    described = {
        **job("cat /gridcwl/in/x /gridcwl/in/x > twice", outputs={"globs": ["twice"]}),
        "image": None,
        "staged": [{"target": "/gridcwl/in/x", "kind": "file", "sources": ["data"]}],
    }
    (tmp_path / "job.json").write_text(json.dumps(described))

    done = docker(
        "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}", "-v", f"{tmp_path}:/node",
        IMAGE, "python3", "-I", "/node/gridcwl-worker.pyz", "/node/job.json",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tmp_path / "result.json").read_text())
    assert locations(result) == {"twice": "file:///node/out/twice"}
    assert (tmp_path / "out/twice").read_text() == "xx"


def test_inputs_are_seen_and_cannot_be_changed(engine, tmp_path):
    (tmp_path / "data").write_text("old")
    staged = [{"target": "/gridcwl/in/0/x", "kind": "file", "sources": [str(tmp_path / "data")]}]

    result = run(engine, tmp_path, job("cat /gridcwl/in/0/x > copy; echo new > /gridcwl/in/0/x; true", staged=staged))

    assert (tmp_path / "data").read_text() == "old"
    assert (tmp_path / "work/out/copy").read_text() == "old"
    assert list(locations(result)) == ["copy"]


def test_inputs_in_the_output_directory_are_mounted_there(engine, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    (tmp_path / "data").write_text("data")
    staged = [
        {"target": "/gridcwl/out/t", "kind": "directory", "sources": [str(tmp_path / "tree")]},
        {"target": "/gridcwl/out/deep/x", "kind": "file", "sources": [str(tmp_path / "data")]},
        {"target": "/gridcwl/out/own", "kind": "file", "sources": [str(tmp_path / "data")], "writable": True},
    ]

    result = run(engine, tmp_path, job("cat t/a deep/x > both; echo more >> own; ln -s deep/x link", staged=staged))

    assert locations(result) == {
        "both": (tmp_path / "work/out/both").as_uri(),
        "deep": (tmp_path / "work/out/deep").as_uri(),
        "deep/x": (tmp_path / "data").as_uri(),
        "link": (tmp_path / "data").as_uri(),
        "own": (tmp_path / "work/out/own").as_uri(),
        "t": (tmp_path / "tree").as_uri(),
        "t/a": (tmp_path / "tree/a").as_uri(),
    }
    assert (tmp_path / "work/out/both").read_text() == "adata"


def test_literals_and_folders_may_lie_anywhere(engine, tmp_path):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/a").write_text("a")
    staged = [
        {"target": "/etc/tool/conf", "kind": "literal", "contents": "conf"},
        {"target": "/opt/t", "kind": "directory", "sources": [str(tmp_path / "tree")]},
        {"target": "/opt/t/sub/b", "kind": "literal", "contents": "b"},
    ]

    run(engine, tmp_path, job("cat /etc/tool/conf /opt/t/sub/a /opt/t/sub/b > all", staged=staged))

    assert (tmp_path / "work/out/all").read_text() == "confab"
    assert not (tmp_path / "tree/sub/b").exists()


def test_ten_thousand_inputs_are_gathered(engine, tmp_path):
    staged = []
    for number in range(10_000):
        folder = tmp_path / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / "x").write_text("x")
        staged.append({"target": f"/gridcwl/in/{number}/x", "kind": "file", "sources": [(folder / "x").as_uri()]})

    result = run(engine, tmp_path, job("cat /gridcwl/in/*/x | wc -c > count", staged=staged))

    assert list(locations(result)) == ["count"]
    assert (tmp_path / "work/out/count").read_text().strip() == "10000"


def test_standard_input_is_given_and_streams_are_written(engine, tmp_path):
    (tmp_path / "data").write_text("in")
    staged = [{"target": "/gridcwl/in/x", "kind": "file", "sources": [str(tmp_path / "data")]}]

    run(engine, tmp_path, job("cat; echo err >&2", staged=staged, stdin="/gridcwl/in/x", stdout="o", stderr="e"))

    assert (tmp_path / "work/out/o").read_text() == "in"
    assert (tmp_path / "work/out/e").read_text() == "err\n"


def test_a_time_limit_ends_the_container(engine, tmp_path):
    described = job("trap '' TERM; while :; do sleep 1000; done", resources={"time_limit_s": 1})

    result = run(engine, tmp_path, described, Control(grace_s=0.1))

    assert result["outcome"] == "time-limit"
    assert gone(described["id"])
