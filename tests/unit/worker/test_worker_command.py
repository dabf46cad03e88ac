"""The zipapp as a worker node runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from worker_builders import held_to_schema, job

from gridcwl.worker.zipapp import build, worker_zipapp


def old_python():
    """The oldest Python that the worker promises to run on, if it is here."""
    candidates = [shutil.which("python3.9"), *_pyenv("3.9")]
    return next((path for path in candidates if path and _runs(path)), None)


def _runs(python):
    return ran([python, "-c", ""]).returncode == 0


def _pyenv(version):
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return root.glob(f"versions/{version}.*/bin/python")


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory):
    target = tmp_path_factory.mktemp("zipapp") / "gridcwl-worker.pyz"
    build(target)
    return target


def ran(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


class Node:
    """A machine that has the zipapp and a job's description."""

    def __init__(self, folder, zipapp, python=sys.executable):
        self.folder = folder
        self._start = [python, "-I", str(zipapp)]

    def describe(self, described):
        (self.folder / "job.json").write_text(json.dumps(described))

    def command(self, *arguments):
        return [*self._start, str(self.folder / "job.json"), *arguments]

    def run(self, described, *arguments, **options):
        self.describe(described)
        return ran(self.command(*arguments), **options)

    @property
    def result(self):
        return held_to_schema(json.loads((self.folder / "result.json").read_text()))


@pytest.fixture
def node(tmp_path, zipapp):
    return Node(tmp_path, zipapp)


def test_a_job_that_succeeds_leaves_its_result_and_exits_0(node):
    done = node.run(job("echo x > x"))

    assert done.returncode == 0
    assert done.stderr == ""
    assert [found["path"] for found in node.result["files"]] == ["x"]
    left = {path.name for path in node.folder.iterdir()}
    assert left == {"job.json", "out", "result.json", "stderr.log", "stdout.log", "tmp"}


def test_it_runs_on_the_oldest_python_that_it_promises(tmp_path, zipapp):
    python = old_python()
    if python is None:
        pytest.skip("no Python 3.9 here")
    node = Node(tmp_path, zipapp, python)

    done = node.run(
        job("echo x > x; ln -s x y", outputs={"globs": ["*"], "contents": ["x"]}, resources={"time_limit_s": 60})
    )

    assert done.returncode == 0, done.stderr
    assert node.result["outcome"] == "success"


def test_a_job_that_fails_exits_1_and_reports_why(node):
    done = node.run(job("exit 3"))

    assert done.returncode == 1
    assert done.stderr == "gridcwl-worker: permanent-failure: The tool ended with exit code 3.\n"
    assert node.result["exit_code"] == 3


def test_the_working_directory_can_be_elsewhere(node):
    node.run(job("true"), "--workdir", str(node.folder / "deep/elsewhere"))

    assert held_to_schema(json.loads((node.folder / "deep/elsewhere/result.json").read_text()))["outcome"] == "success"


def test_inputs_are_found_next_to_the_job(node):
    (node.folder / "data").write_text("x")

    node.run(
        job("cat /gridcwl/in/x", staged=[{"target": "/gridcwl/in/x", "kind": "file", "sources": ["data"]}]),
        "--workdir", str(node.folder / "work"), cwd="/",
    )  # fmt: skip

    assert (node.folder / "work/stdout.log").read_text() == "x"


def test_a_second_job_in_the_same_place_leaves_the_first_ones_result_alone(node):
    node.run(job("true"))

    done = node.run(job("exit 1"))

    assert done.returncode == 1
    assert "holds an earlier job" in done.stderr
    assert node.result["outcome"] == "success"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"id": 1}'])
def test_what_is_no_job_is_refused_in_one_line(node, text):
    (node.folder / "job.json").write_text(text)

    done = ran(node.command())

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_tool_that_ignores_sigterm_is_killed_and_the_result_reports_cancelled(node):
    os.mkfifo(node.folder / "up")
    node.describe(job(f"trap '' TERM; echo up > {node.folder}/up; while :; do sleep 1000; done"))
    worker = subprocess.Popen(node.command("--grace", "0.1"), stderr=subprocess.DEVNULL)
    (node.folder / "up").read_bytes()

    worker.terminate()

    assert worker.wait(120) == 128 + signal.SIGTERM
    assert node.result["outcome"] == "cancelled"
    assert node.result["exit_code"] == -9
    assert node.result["reason"] == "The worker was asked to stop (SIGTERM)."


def test_a_second_signal_kills_at_once(node):
    os.mkfifo(node.folder / "up")
    os.mkfifo(node.folder / "asked")
    node.describe(
        job(f"trap 'echo > {node.folder}/asked' TERM; echo up > {node.folder}/up; while :; do sleep 0.01; done")
    )
    worker = subprocess.Popen(node.command("--grace", "1000"), stderr=subprocess.DEVNULL)
    (node.folder / "up").read_bytes()

    worker.terminate()
    (node.folder / "asked").read_bytes()
    worker.terminate()

    assert worker.wait(120) == 128 + signal.SIGTERM
    assert node.result["exit_code"] == -9


def test_a_result_that_has_no_room_becomes_a_small_one_that_reports_it(node):
    node.describe(job("for i in $(seq 1 2000); do : > $i; done"))

    done = ran(["bash", "-c", 'ulimit -f 100; exec "$@"', "bash", *node.command()])

    assert done.returncode == 1
    assert node.result["outcome"] == "temporary-failure"
    assert "larger than is allowed" in node.result["reason"]
    assert node.result["files"] == []


def on_a_small_disk(node, described, room):
    """Run in a file system of its own that has this much room; what it leaves is copied out of it."""
    small = node.folder / "small"
    small.mkdir()
    node.describe(described)
    worker = " ".join(node.command("--workdir", str(small / "work")))
    script = (
        f"mount -t tmpfs -o size={room} tmpfs {small} && {{ {worker}; cp {small}/work/result.json {node.folder}; }}"
    )
    user = [] if os.getuid() == 0 else ["-r"]
    if ran(["unshare", "-m", *user, "true"]).returncode != 0:
        pytest.skip("no file system can be mounted here")
    return ran(["unshare", "-m", *user, "sh", "-c", script])


def test_a_tool_that_fills_the_disk_is_reported_as_such(node):
    on_a_small_disk(node, job("head -c 10000000 /dev/zero > big"), "2m")

    assert node.result["outcome"] == "permanent-failure"
    assert "is full" in node.result["reason"]


def test_an_input_that_does_not_fit_on_the_disk_is_a_failure_that_may_pass(node):
    (node.folder / "data").write_bytes(b"x" * 10_000_000)
    inputs = [{"target": "/gridcwl/out/x", "kind": "file", "sources": ["data"], "writable": True}]

    on_a_small_disk(node, job("true", staged=inputs), "2m")

    assert node.result["outcome"] == "temporary-failure"
    assert node.result["reason"].startswith("The disk is full: staging in /gridcwl/out/x failed")


def test_the_result_has_room_on_a_disk_that_the_tool_filled(node):
    on_a_small_disk(node, job("for i in $(seq 1 500); do : > $i; done; cat /dev/zero > $TMPDIR/big; true"), "2m")

    assert node.result["outcome"] == "temporary-failure"
    assert "writing the result" in node.result["reason"]


def test_the_same_sources_give_the_same_zipapp(tmp_path):
    build(tmp_path / "one")
    build(tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_zipapp_holds_the_worker_and_nothing_of_the_rest(zipapp):
    names = zipfile.ZipFile(zipapp).namelist()

    assert "gridcwl/worker/job.py" in names
    sources = [name for name in names if name.endswith(".py")]
    assert all(name.startswith("gridcwl/worker/") or name in ("__main__.py", "gridcwl/__init__.py") for name in sources)
    assert sorted(names) == sorted([*sources, *(f"{name}c" for name in sources if name != "__main__.py")])


def test_a_node_with_the_same_python_runs_what_is_compiled_and_any_other_the_source(tmp_path, zipapp):
    code = "import gridcwl.worker.job as job; print(job.__file__.rpartition('.')[2], job.run_job.__module__)"
    environment = {"PYTHONPATH": str(zipapp)}
    words = [sys.executable, "-S", "-c", code]
    text = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert text.split() == ["pyc", "gridcwl.worker.job"]
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(zipapp) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            changed.writestr(name, b"\0\0\r\n" + content[4:] if name.endswith(".pyc") else content)
    text = subprocess.run(words, env={"PYTHONPATH": str(other)}, capture_output=True, text=True, check=True).stdout
    assert text.split() == ["py", "gridcwl.worker.job"]


def test_the_zipapp_does_not_depend_on_what_else_is_loaded(tmp_path, zipapp):
    again = tmp_path / "again.pyz"
    code = f"import gridcwl.cli.main, pathlib; import gridcwl.worker.zipapp as z; z.build(pathlib.Path({str(again)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert again.read_bytes() == zipapp.read_bytes()


def test_a_source_tree_builds_its_zipapp_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("gridcwl.worker.zipapp._HERE", _copy_of_the_package(tmp_path))

    built = worker_zipapp()
    before = built.stat().st_mtime_ns

    assert worker_zipapp() == built
    assert built.stat().st_mtime_ns == before
    assert built.is_relative_to(tmp_path)


def test_an_installed_package_has_its_zipapp_with_it(tmp_path, monkeypatch):
    here = _copy_of_the_package(tmp_path)
    build(here / "gridcwl-worker.pyz")
    monkeypatch.setattr("gridcwl.worker.zipapp._HERE", here)

    assert worker_zipapp() == here / "gridcwl-worker.pyz"


def _copy_of_the_package(folder):
    from gridcwl.worker import zipapp

    package = folder / "site" / "gridcwl"
    package.mkdir(parents=True)
    shutil.copy(zipapp._HERE.parent / "__init__.py", package)
    shutil.copytree(zipapp._HERE, package / "worker", ignore=shutil.ignore_patterns("*.pyz"))
    return package / "worker"


def test_a_zipapp_that_was_built_is_found_again_and_one_that_is_damaged_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = worker_zipapp()
    if tmp_path not in made.parents:
        pytest.skip("an installed package ships it")
    content = made.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("gridcwl.worker.zipapp._bytes", None)  # nothing is built
        assert worker_zipapp() == made
    for damaged in (content[:-100], content.replace(b"PK", b"XX"), b""):
        made.write_bytes(damaged)
        assert worker_zipapp() == made
        assert made.read_bytes() == content
