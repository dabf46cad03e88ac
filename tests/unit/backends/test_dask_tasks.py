"""Dask tasks: what travels, what is refused, what is accepted of what comes back, and which clusters are started."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import tar_gz

pytest.importorskip("distributed")

from gridcwl.backends.base import BackendContext
from gridcwl.backends.dask import pool_factory, tasks
from gridcwl.backends.dask.answers import result_of, write_log
from gridcwl.backends.dask.backend import DaskBackend
from gridcwl.backends.dask.clusters import (
    Machine,
    cluster_arguments,
    cluster_class,
    local_arguments,
    security_of,
    workers_of,
)
from gridcwl.backends.dask.factory import task_options
from gridcwl.backends.dask.plugin import DaskSettings, PoolSettings
from gridcwl.backends.dask.pool import Pool
from gridcwl.backends.dask.tasks import TaskOptions, demands, job_of, key_of, messages_of, refuse_giant, task_of
from gridcwl.errors import BackendError, ConfigError, UnsupportedError
from gridcwl.model import Image, Job, JobId, Outcome, Resources, RunId
from gridcwl.model.job import StagedFile
from gridcwl.worker.limits import MIB

RUN = RunId("20260102-030405-abcdef")
JOB = Job(JobId(f"{RUN}-1-7"), RUN, "step", ("true",))


def test_the_key_of_a_task_is_the_jobs_id_and_attempt_and_can_be_read_back() -> None:
    assert job_of(key_of(JOB), RUN) == (JOB.id, 1)
    assert job_of(key_of(JOB), RunId("20260102-030405-ffffff")) is None
    assert job_of("sum-123", RUN) is None


def test_cores_memory_and_gpus_are_dask_resources() -> None:
    assert demands(Resources(cores=2, ram_mib=3, gpus=1)) == {"CORES": 2, "MEMORY": 3.0 * MIB, "GPU": 1.0}
    assert "GPU" not in demands(Resources())


@pytest.mark.parametrize(
    ("resources", "what"),
    [
        (Resources(cores=9), "9 cores, but no worker of the Dask cluster has more than 8"),
        (Resources(ram_mib=4096), "4096 MiB of memory, but no worker of the Dask cluster has more than 2048 MiB"),
        (Resources(gpus=1), r"1 GPU\(s\), but no worker of the Dask cluster has more than 0"),
        (Resources(cores=8, ram_mib=2048), "has all of them"),
    ],
)
def test_a_job_that_no_worker_has_room_for_is_refused(resources: Resources, what: str) -> None:
    workers = {
        "a": {"CORES": 8.0, "MEMORY": 1024.0 * MIB, "GPU": 0.0},
        "b": {"CORES": 1.0, "MEMORY": 2048.0 * MIB, "GPU": 0.0},
    }
    with pytest.raises(BackendError, match=what):
        refuse_giant(Job(JOB.id, RUN, "step", ("true",), resources=resources), workers)


def test_nothing_is_refused_while_no_worker_is_known() -> None:
    refuse_giant(Job(JOB.id, RUN, "step", ("true",), resources=Resources(cores=1000)), {})
    assert workers_of({"workers": {"a": {"resources": {}}}}) == {}


SECRET = Job(JOB.id, RUN, "step", ("login", "(secret-1)"))


def test_a_secret_stays_on_this_machine(tmp_path: Path) -> None:
    secrets = {"(secret-1)": "hunter2"}
    with pytest.raises(UnsupportedError, match="secrets do not leave this machine"):
        task_of(SECRET, TaskOptions(tmp_path, shared=True), secrets)
    task = task_of(SECRET, TaskOptions(tmp_path, shared=True, local=True), secrets)
    assert "hunter2" in task["request"]


def with_input(path: Path) -> Job:
    staged = (StagedFile("/gridcwl/in/1/a.txt", "file", (path.as_uri(),)),)
    return Job(JOB.id, RUN, "step", ("true",), staged=staged)


def test_input_files_travel_with_the_task_where_workers_do_not_have_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    task = task_of(with_input(tmp_path / "a.txt"), TaskOptions(tmp_path, shared=False), {})
    request = json.loads(task["request"])
    assert request["carried"] == {"gridcwl-files/0/a.txt": (tmp_path / "a.txt").as_uri()}
    with tarfile.open(fileobj=io.BytesIO(task["files"])) as archive:
        member = archive.extractfile("gridcwl-files/0/a.txt")
        assert member is not None
        assert member.read() == b"hello"


def test_large_input_files_need_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_MOST_FILES", 1000)
    (tmp_path / "a.txt").write_text("x" * 1001)
    with pytest.raises(UnsupportedError, match="would travel with a Dask task") as caught:
        task_of(with_input(tmp_path / "a.txt"), TaskOptions(tmp_path, shared=False), {})
    assert "--store" in caught.value.remedy


def archived(**members: bytes) -> dict[str, Any]:
    """An answer with an archive."""
    archive = tar_gz({f"{JOB.id}/{name}": content for name, content in members.items()})
    line = {"id": JOB.id, "archive": base64.b64encode(archive).decode()}
    return {"line": json.dumps(line), "worker": "tls://w"}


def plain(**fields: Any) -> dict[str, Any]:
    return {"id": JOB.id, "outcome": "success", "format": "gridcwl-result/1", **fields}


def outside(location: str) -> dict[str, Any]:
    return plain(files=[{"path": "a", "kind": "file", "location": location, "size": 1}])


@pytest.mark.parametrize(
    "result",
    [
        plain(id=f"{RUN}-1-8"),
        outside("file:///etc/passwd"),
        outside("sandbox:../../a"),
        outside("rucio://cta/other"),
        plain(outdir="file:///etc"),
        plain(stderr_log="/etc/passwd"),
        [],
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_result_that_claims_what_is_not_the_jobs_is_refused(result: Any, shared: bool, tmp_path: Path) -> None:
    options = TaskOptions(tmp_path, shared=shared)
    text = json.dumps(result)
    answer = {"line": text} if shared else archived(**{"result.json": text.encode()})
    made = result_of(JOB, answer, options)
    if not shared and isinstance(result, dict) and "stderr_log" in result:
        assert made.stderr_log is None  # logs are those of the archive
        return
    assert made.outcome is Outcome.TEMPORARY_FAILURE
    assert "was not accepted" in made.reason


@pytest.mark.parametrize(
    "line",
    [
        None,
        7,
        "",
        '{"archive": "?"}',
        json.dumps({"archive": base64.b64encode(b"no archive").decode()}),
        json.dumps({"archive": ""}),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_damaged_answer_is_a_failure_that_may_pass(line: Any, shared: bool, tmp_path: Path) -> None:
    made = result_of(JOB, {"line": line}, TaskOptions(tmp_path, shared=shared))
    assert made.outcome is Outcome.TEMPORARY_FAILURE


@pytest.mark.parametrize("shared", [True, False])
def test_an_answer_that_is_nested_too_deeply_is_a_failure(shared: bool, tmp_path: Path) -> None:
    made = result_of(JOB, {"line": "[" * 100_000}, TaskOptions(tmp_path, shared=shared))
    assert made.outcome is Outcome.PERMANENT_FAILURE


def test_a_worker_that_cannot_answer_says_why(tmp_path: Path) -> None:
    made = result_of(JOB, {"lost": "the disk is full"}, TaskOptions(tmp_path, shared=True))
    assert made.reason == "The job returned no result: the disk is full."


def test_what_a_running_job_writes_is_kept_where_logs_are_looked_for(tmp_path: Path) -> None:
    options = TaskOptions(tmp_path, shared=False)
    for start, text in ((0, b"one\n"), (4, b"two\n"), (4, b"again\n"), (100, b"a gap\n")):
        write_log(JOB, {"stream": "stdout", "start": start, "text": text}, options)
    write_log(JOB, {"stream": "../../evil", "start": 0, "text": b"x"}, options)
    assert (tmp_path / f"{JOB.id}-1" / "stdout.log").read_text() == "one\ntwo\n"
    assert not (tmp_path.parent / "evil.log").exists()


def test_a_worker_of_this_machine_recycles_folders_and_only_its_own_shelf_holds_a_jobs_outputs(tmp_path: Path) -> None:
    options = TaskOptions(tmp_path, shared=True, local=True, recycled=f"{tmp_path}/recycled")
    request = json.loads(task_of(JOB, options, {})["request"])
    assert request["options"]["recycle"] == f"{tmp_path}/recycled"
    assert "witness" not in request
    shelf = f"file://{tmp_path}/recycled-17/outputs/{JOB.id}-1.0"
    answer = {"line": json.dumps(outside(shelf)), "worker": "inproc://w"}
    assert result_of(JOB, {**answer, "process": 17}, options).outcome is Outcome.SUCCESS
    for process in (18, "17", None):
        assert "was not accepted" in result_of(JOB, {**answer, "process": process}, options).reason


@pytest.mark.parametrize(
    "event", [None, "x", {}, {"messages": None}, {"messages": "ended"}, {"messages": ["x", {}, 7]}]
)
def test_events_of_others_at_the_scheduler_are_no_messages(event: Any) -> None:
    assert not list(messages_of(event))
    assert list(messages_of({"messages": ["x", {"state": "ended"}]})) == [{"state": "ended"}]


def test_jobs_that_name_another_image_than_that_of_their_workers_are_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = PoolSettings(), Pool(name="x", id="", image="own:1")
    options = task_options(pool_factory.dask_settings(*settings), BackendContext(RUN, tmp_path))
    assert options.image == "own:1"
    backend = DaskBackend("tcp://127.0.0.1:1", options, run=RUN)
    jobs = [replace(JOB, image=Image(name, pull=name)) for name in ("own:1", "other:1", "other:1")]
    backend._warn_of_images([*jobs, JOB])
    backend._warn_of_images(jobs)
    assert [record.getMessage() for record in caplog.records] == [
        "Jobs that name the image other:1 run in that of the pool, own:1, which has to have their tools"
    ]


def test_workers_of_this_machine_share_it() -> None:
    found = local_arguments(DaskSettings(workers=2), Machine(8, 4096, 2), Path("/x"))
    assert found["resources"] == {"CORES": 4.0, "MEMORY": 2048.0 * MIB, "GPU": 1.0}
    assert found["protocol"] == "inproc://"


def test_the_job_script_of_slurm_has_the_resources_of_a_worker(tmp_path: Path) -> None:
    settings = DaskSettings(
        cluster="slurm", workers=3, cores=4, ram=8000, gpus=1, queue="short", account="cta", walltime="02:00:00",
        directives=("--constraint=el9",), python="/opt/python",
    )  # fmt: skip
    script = job_script(settings, tmp_path)
    for line in ("-p short", "-A cta", "-t 02:00:00", "--cpus-per-task=4", "--mem=8G", "--gres=gpu:1"):
        assert f"#SBATCH {line}" in script
    assert "#SBATCH --constraint=el9" in script
    assert "/opt/python -m distributed.cli.dask_worker tls://" in script
    assert f"--resources CORES=4,MEMORY={8000 * MIB},GPU=1" in script
    assert "--tls-ca-file" in script


def test_the_job_script_of_htcondor_has_the_resources_of_a_worker(tmp_path: Path) -> None:
    settings = DaskSettings(cluster="htcondor", cores=2, ram=1024, gpus=1, directives=("+MaxRuntime=28800",))
    script = job_script(settings, tmp_path)
    for line in ("RequestCpus = MY.DaskWorkerCores", "+MaxRuntime = 28800", "request_gpus = 1"):
        assert line.lower() in script.lower()
    assert "CORES=2" in script


def job_script(settings: DaskSettings, folder: Path) -> str:
    """Of a worker, without a batch system: no cluster is started."""
    pytest.importorskip("dask_jobqueue")
    arguments = cluster_arguments(settings, folder)
    job_class = cluster_class(settings.cluster).job_cls
    skipped = {"n_workers", "scheduler_options", "shared_temp_directory"}
    given = {name: value for name, value in arguments.items() if name not in skipped}
    security = given["security"]
    given["security"] = type(security)(
        **{f"tls_{role}": f"/{role}.pem" for role in ("ca_file", "worker_cert", "worker_key")}, require_encryption=True
    )
    return str(job_class(scheduler="tls://10.0.0.1:8786", name="w", **given).job_script())


def test_kubernetes_gets_pods_of_a_workers_size(tmp_path: Path) -> None:
    found = cluster_arguments(DaskSettings(cluster="kubernetes", cores=2, ram=512, image="dask:1"), tmp_path)
    assert found["resources"]["limits"] == {"cpu": "2", "memory": "512Mi"}
    assert found["worker_command"][-1] == f"CORES=2 MEMORY={512 * MIB} GPU=0"
    with pytest.raises(ConfigError, match="needs an image"):
        cluster_arguments(DaskSettings(cluster="kubernetes"), tmp_path)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (DaskSettings(address="tls://h:1"), "tls_ca of"),
        (DaskSettings(address="tls://h:1", tls_ca=Path("/no/ca.pem")), "/no/ca.pem, which is not there"),
        (DaskSettings(address="tcp://h:1", tls_ca=Path("/x")), "does not begin with tls://"),
    ],
)
def test_certificates_that_are_missing_are_named(settings: DaskSettings, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        security_of(settings)


def test_what_htcondor_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="HTCondor has no queue"):
        cluster_arguments(DaskSettings(cluster="htcondor", queue="short"), tmp_path)
    with pytest.raises(ConfigError, match="is not NAME=VALUE"):
        cluster_arguments(DaskSettings(cluster="htcondor", directives=("--x",)), tmp_path)


def test_a_cluster_whose_library_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dask_kubernetes.operator", None)
    with pytest.raises(ConfigError, match="dask-kubernetes, which is not installed"):
        cluster_class("kubernetes")
