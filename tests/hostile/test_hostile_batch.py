"""A part of a batch at a worker node, as DIRAC starts it: it leaves results whatever its tools do."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest
from waiting import has_ended
from worker_builders import PretendContainers

from gridcwl.worker import batch
from gridcwl.worker.batch import JOBS, REPORT, RESULTS, SETTINGS, PartRunner


def described(name: str, script: str, **fields) -> dict:
    return {"id": name, "run": "run", "name": name, "command": ["sh", "-c", script], **fields}


@pytest.fixture
def part(tmp_path, monkeypatch):
    """Run jobs as one part in this process, with an engine that pretends to have containers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "stop_on_signals", lambda _control: [])

    def run(*jobs, settings=None, engine=None):
        made = PartRunner({"jobs": list(jobs)}, settings or {}, str(tmp_path), "LCG.Lyon.fr")
        if engine is not None:
            monkeypatch.setattr(made, "_engine", lambda _job: engine)
        code = made.run()
        with tarfile.open(RESULTS) as archive:
            found = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.name.endswith(".json")}
        return code, {name.split("/")[0]: json.loads(text) for name, text in found.items()}

    return run


def test_what_containers_may_do_comes_with_the_settings_of_the_site(part):
    engine = PretendContainers()
    settings = {"*": {"cap_add": ["NET_RAW"], "pids_limit": 9}, "LCG.Lyon.fr": {"pids_limit": 7}}

    part(described("a", "true", image={"id": "debian"}), settings=settings, engine=engine)

    assert (engine.call.capabilities, engine.call.processes) == (("NET_RAW",), 7)


def test_a_worker_that_fails_at_one_job_leaves_results_of_all(part, monkeypatch):
    real = batch.run_job

    def fails_at_b(job, *words, **options):
        if job["id"] == "b":
            raise MemoryError
        return real(job, *words, **options)

    monkeypatch.setattr(batch, "run_job", fails_at_b)

    code, found = part(described("a", "true"), described("b", "true"))

    assert (code, {name: result["outcome"] for name, result in found.items()}) == (
        1,
        {"a": "success", "b": "permanent-failure"},
    )


def test_an_oversized_output_object_is_a_failure_of_its_job(part):
    _, found = part(described("a", "truncate -s 1G cwl.output.json"))
    assert "cwl.output.json is larger than 64 MiB" in found["a"]["reason"]


def test_a_daemon_ends_with_the_part_and_the_report_is_there(tmp_path):
    daemon = f"(cd /; env -i setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' &)"
    script = f"{daemon}\nwhile ! [ -s {tmp_path}/pid ]; do sleep 0.01; done"
    line = json.dumps({"span": "0", "jobs": [described("a", script)]})
    with gzip.open(tmp_path / JOBS, "wt") as jobs:
        jobs.write(line + "\n")
    (tmp_path / SETTINGS).write_text("{}")

    words = [sys.executable, "-m", "gridcwl.worker.batch", "0"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stderr
    report = ended.stdout.splitlines()[-1].split(" ")
    assert report[0] == REPORT
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(report[2]))) as archive:
        assert archive.getnames()
    pid = int((tmp_path / "pid").read_text())
    assert has_ended(pid)
