"""TES clients of other projects use the service as they come: each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
assert [task.name for task in client.list_tasks(view="BASIC").tasks] == ["py-tes"]
client.cancel_task(created)
assert client.get_task(created, view="MINIMAL").state == "COMPLETE"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    folder = tmp_path_factory.mktemp("served")
    with process(folder, output_roots=[str(folder)], max_queued=20) as (wes, _):
        yield wes


@pytest.mark.docker
def test_py_tes_runs_a_task_and_reads_all_of_it(tmp_path: Path):
    target = tmp_path / "out" / "text"
    python = program("py-tes", "python")
    with process(tmp_path, output_roots=[str(tmp_path / "out")]) as (served, _):
        arguments = [str(served.http.base_url).rstrip("/"), target.as_uri(), DEBIAN]
        done = subprocess.run([python, "-c", PY_TES, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert target.read_text() == "from py-tes"


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
