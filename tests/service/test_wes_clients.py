"""Clients of other projects use the service as they come: each in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import on_command_line, shell
from ruamel.yaml import YAML
from wes import IMAGE, PREFIX, Wes, process, program, schemathesis

CAT = shell(
    'cat "$0"',
    inputs={"file": on_command_line("File")},
    outputs={"copy": "stdout"},
    stdout="copy.txt",
    requirements=IMAGE,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    with process(tmp_path_factory.mktemp("served"), max_upload_mib=4) as (wes, _):
        yield wes


@pytest.mark.docker
def test_wes_client_runs_a_document_with_its_attachments(served: Wes, tmp_path: Path):
    (tmp_path / "cat.cwl").write_text(json.dumps(CAT))
    (tmp_path / "in.txt").write_text("attached")
    (tmp_path / "in.json").write_text(json.dumps({"file": {"class": "File", "location": "in.txt"}}))
    attached = ",".join((tmp_path / name).as_uri() for name in ("cat.cwl", "in.txt"))
    host = f"{served.http.base_url.host}:{served.http.base_url.port}"
    client = [program("wes-client", "wes-client"), "--proto", "http", "--host", host]
    done = subprocess.run(
        [*client, f"--attachments={attached}", "cat.cwl", "in.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert served.http.get(json.loads(done.stdout)["copy"]["location"]).text == "attached"
    assert "State is COMPLETE" in done.stderr
    listed = subprocess.run([*client, "--list"], capture_output=True, text=True, check=True)
    assert json.loads(listed.stdout)["runs"][0]["state"] == "COMPLETE"


SERVICE = {
    "type": "object",
    "required": ["id", "name", "type", "organization", "version"],
    "properties": {
        **{name: {"type": "string"} for name in ("id", "name", "version", "description", "environment")},
        **{name: {"type": "string", "format": "uri"} for name in ("contactUrl", "documentationUrl")},
        "type": {
            "type": "object",
            "required": ["group", "artifact", "version"],
            "properties": {name: {"type": "string"} for name in ("group", "artifact", "version")},
        },
        "organization": {
            "type": "object",
            "required": ["name", "url"],
            "properties": {"name": {"type": "string"}, "url": {"type": "string", "format": "uri"}},
        },
    },
}
"""GA4GH service-info 1.0.0, which the specification refers to on the web."""


def specification() -> dict[str, Any]:
    """WES 1.1.0 as it was published, without references to the web."""
    folder = Path(program("schemathesis", "schemathesis")).parents[2] / "spec" / "sapporo"
    published = YAML(typ="safe").load(folder / "ga4gh-wes-spec-1.1.0.yml")
    info = published["components"]["schemas"]["ServiceInfo"]["allOf"]
    assert "ga4gh-service-info" in info[0]["$ref"]
    info[0] = SERVICE
    return dict(published)


def test_schemathesis_finds_nothing_that_the_specification_does_not_allow(served: Wes, tmp_path: Path):
    """Generated requests, malformed ones too, against the published specification."""
    (tmp_path / "wes.json").write_text(json.dumps(specification()))
    # by the schema any text is a page token, and JSON; the specification's own words say otherwise
    excluded = "positive_data_acceptance"
    schemathesis(tmp_path / "wes.json", f"{str(served.http.base_url).rstrip('/')}{PREFIX}", excluded)
