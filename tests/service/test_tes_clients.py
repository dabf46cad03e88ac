"""TES clients of other projects use the service as they come: each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML
from tes import DEBIAN, TES
from wes import Wes, process, program, schemathesis

PY_TES = """
import sys, tes
client = tes.HTTPClient(sys.argv[1], timeout=60)
assert client.get_service_info().type["artifact"] == "tes"
task = tes.Task(
    name="py-tes",
    inputs=[tes.Input(path="/in/text", content="from py-tes")],
    outputs=[tes.Output(path="/out/text", url=sys.argv[2])],
    executors=[tes.Executor(image=sys.argv[3], command=["cat"], stdin="/in/text", stdout="/out/text")],
    resources=tes.Resources(cpu_cores=1, ram_gb=0.25),
    tags={"client": "py-tes"},
)
created = client.create_task(task)
assert client.wait(created, timeout=120).state == "COMPLETE"
done = client.get_task(created, view="FULL")
assert done.logs[0].logs[0].exit_code == 0
assert done.logs[0].logs[0].stdout == "from py-tes"
assert done.logs[0].outputs[0].url == sys.argv[2]
assert (created, "py-tes") in [(task.id, task.name) for task in client.list_tasks(view="BASIC").tasks]
client.cancel_task(created)
assert client.get_task(created, view="MINIMAL").state == "COMPLETE"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("served")
    with process(folder, output_roots=[str(folder)], max_queued=20) as (wes, _):
        yield wes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a service that runs tasks, and the folder that outputs may go to."""
    folder = tmp_path_factory.mktemp("running")
    with process(folder, output_roots=[str(folder / "out")], network=True) as (wes, _):
        yield str(wes.http.base_url).rstrip("/"), folder / "out"


@pytest.mark.docker
def test_py_tes_runs_a_task_and_reads_all_of_it(running: tuple[str, Path]):
    url, folder = running
    target = folder / "text"
    arguments = [url, target.as_uri(), DEBIAN]
    command = [program("py-tes", "python"), "-c", PY_TES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert target.read_text() == "from py-tes"


SNAKEMAKE = "gridcwl/snakemake:9.27.1"
SNAKEFILE = """
rule count:
    input: "events/4.txt"
    output: "counted.txt"
    shell: "wc -l < {input} > {output}"

rule events:
    output: "events/{number}.txt"
    shell: "seq {wildcards.number} > {output}"
"""
# The plugin looks at its tasks after 40 seconds for the first time. Its logger prints objects as they are.
RUN_SNAKEMAKE = """
import logging, sys, snakemake_executor_plugin_tes as plugin
logging.raiseExceptions = False
plugin.common_settings.init_seconds_before_status_checks = 1
from snakemake.cli import main
main(sys.argv[1:])
"""
# An S3 server in memory, which tells its port.
S3 = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server(ADDRESS, 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def s3_server(address: str) -> Iterator[str]:
    """The URL of a server with the bucket ``flow``."""
    command = [program("snakemake", "python"), "-c", S3.replace("ADDRESS", repr(address))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = f"http://{address}:{int(server.stdout.readline())}"
        httpx.put(f"{url}/flow", timeout=60).raise_for_status()
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.mark.docker
def test_snakemake_runs_a_workflow_whose_files_are_at_an_s3_server(running: tuple[str, Path], tmp_path: Path):
    """Each of its jobs is a task. It fetches its inputs itself, and so needs the network."""
    if subprocess.run(["docker", "image", "inspect", SNAKEMAKE], capture_output=True, check=False).returncode:
        pytest.skip(f"{SNAKEMAKE} is not built: make images-clients")
    form = "{{(index .IPAM.Config 0).Gateway}}"
    bridge = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", form], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    url, _ = running
    with s3_server(bridge) as s3:
        command = [program("snakemake", "python"), "-c", RUN_SNAKEMAKE, "--executor", "tes"]
        command += ["--tes-url", f"{url}/ga4gh/tes", "--container-image", SNAKEMAKE, "--jobs", "2"]
        command += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://flow"]
        command += ["--shared-fs-usage", "none", "--seconds-between-status-checks", "1"]
        settings = {"ENDPOINT_URL": s3, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}
        environment = os.environ | {f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in settings.items()}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        somebody = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20261130/us-east-1/s3/aws4_request"}
        assert httpx.get(f"{s3}/flow/counted.txt", headers=somebody).text == "4\n"
    tasks = httpx.get(f"{url}{TES}/tasks", params={"name_prefix": "snakejob.", "view": "BASIC"}).json()["tasks"]
    assert {task["name"].split(".")[1] for task in tasks} == {"events", "count"}
    assert {task["state"] for task in tasks} == {"COMPLETE"}


ROOT = Path(__file__).parents[2]
PLACES = [os.environ.get("GA4GH_SPECIFICATIONS", ""), str(ROOT.parent / "shared" / "recipes" / "service" / "spec")]


def specification() -> dict[str, Any]:
    """TES 1.1.0 as it was published, without what contradicts itself or refers to the web."""
    found = [path for place in PLACES if (path := Path(place) / "tes-1.1.0.openapi.yaml").is_file()]
    if not found:
        pytest.skip("GA4GH_SPECIFICATIONS is not set to a folder with tes-1.1.0.openapi.yaml")
    published = json.loads(json.dumps(YAML(typ="safe").load(found[0]), default=str))
    schemas = published["components"]["schemas"]
    texts = {"type": "object", "properties": {name: {"type": "string"} for name in ("group", "artifact", "version")}}
    schemas["tesServiceType"]["allOf"][0] = {**texts, "required": ["group", "artifact", "version"]}
    schemas["tesServiceInfo"]["allOf"][0] = {
        "type": "object",
        "required": ["id", "name", "type", "organization", "version"],
    }
    schemas["tesTask"]["required"] = []  # the view MINIMAL has no executors
    return dict(published)


def test_schemathesis_finds_nothing_that_the_specification_does_not_allow(served: Wes, tmp_path: Path):
    """Generated requests, malformed ones too, against the published specification."""
    (tmp_path / "tes.json").write_text(json.dumps(specification()))
    # The specification has no answers for errors, and takes any text for paths and URLs. This service has no login.
    excluded = "positive_data_acceptance,status_code_conformance,ignored_auth"
    schemathesis(tmp_path / "tes.json", f"{str(served.http.base_url).rstrip('/')}{TES}", excluded)
