"""What DIRAC jobs read: large literals, images that are in Rucio, and what a plan says of it; on real servers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from grid_site import Site, jobs_at_dirac

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

pytestmark = pytest.mark.timeout(600)

COUNT = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [wc, -c]
inputs: {data: File}
stdin: $(inputs.data.path)
stdout: count.txt
outputs: {count: stdout}
"""


@pytest.fixture
def client(rucio: RucioService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rucio's own client."""
    from rucio.client import Client
    from rucio.common.config import clean_cached_config

    for name, value in rucio.clients.exports("runner").items():
        monkeypatch.setenv(name, value)
    clean_cached_config()
    yield Client()
    clean_cached_config()


def test_a_large_literal_travels_through_rucio_and_not_in_the_job_s_sandbox(grid, client):
    grid.write("count.cwl", COUNT)
    data = {"class": "File", "basename": "letter.txt", "contents": "0123456789" * 30_000}
    grid.write("in.json", json.dumps({"data": data}))
    said = grid.gridcwl("--backend", "dirac", "--store", "rucio", "--outdir", "out", "count.cwl", "in.json")
    assert said.returncode == 0, said.stderr
    assert (grid.folder / "out" / "count.txt").read_text().split() == ["300000"]
    scope = client.list_scopes_for_account("runner")[0]
    inputs = list(client.list_content(scope, f"{_prefix(client, scope, grid.run)}/inputs"))
    assert [entry["bytes"] for entry in inputs] == [300_000]


def _prefix(client: Any, scope: str, run: str) -> str:
    """What the names of a run's datasets begin with."""
    (name,) = [name for name in client.list_dids(scope, {}, did_type="dataset") if name.endswith(f"{run}/inputs")]
    return str(name).removesuffix("/inputs")


IMAGE = "gridcwl-test/only-in-rucio:1"


@pytest.fixture
def only_in_rucio(grid: Site, client: Any) -> Iterator[str]:
    """An image that no registry and no machine has; its archive is in Rucio, under the name that is returned."""
    from rucio.client.uploadclient import UploadClient

    archive = grid.folder / "image.tar"
    subprocess.run(["docker", "tag", "alpine:latest", IMAGE], check=True)
    subprocess.run(["docker", "save", "--output", str(archive), IMAGE], check=True)
    subprocess.run(["docker", "rmi", IMAGE], check=True, stdout=subprocess.DEVNULL)
    scope = client.list_scopes_for_account("runner")[0]
    name = f"images-{grid.folder.name}.{IMAGE.replace(':', '_').replace('/', '.')}.tar"
    about = {"path": str(archive), "rse": "LYON-DISK", "did_scope": scope, "did_name": name}
    UploadClient(client).upload([about])
    yield f"{scope}:{name}"
    subprocess.run(["docker", "rmi", IMAGE], check=False, capture_output=True)


@pytest.mark.docker
def test_an_image_that_only_rucio_has_is_fetched_by_the_worker(grid, only_in_rucio, dirac_clients):
    grid.write("config.toml", f'[dirac.engines]\n"*" = ["docker"]\n[dirac.images]\n"*" = ["rucio:{only_in_rucio}"]\n')
    grid.environment["GRIDCWL_CONFIG"] = str(grid.folder / "config.toml")
    grid.write(
        "os.cwl",
        f"{{cwlVersion: v1.2, class: CommandLineTool, baseCommand: [cat, /etc/os-release], inputs: [], stdout: os.txt, "
        f"requirements: {{DockerRequirement: {{dockerPull: '{IMAGE}'}}}}, outputs: {{os: stdout}}}}",
    )
    said = grid.gridcwl("--backend", "dirac", "--store", "rucio", "--outdir", "out", "os.cwl")
    assert said.returncode == 0, said.stderr
    assert (grid.folder / "out" / "os.txt").read_text()
    (job,) = jobs_at_dirac(dirac_clients, grid.run).values()
    assert job["Status"] == "Done"


def test_images_in_rucio_without_rucio_are_refused_before_anything_is_submitted(grid, dirac_clients):
    grid.write("config.toml", '[dirac.images]\n"*" = ["rucio:images:{image}.tar"]\n')
    grid.environment["GRIDCWL_CONFIG"] = str(grid.folder / "config.toml")
    grid.write("count.cwl", COUNT)
    grid.write("in.json", json.dumps({"data": {"class": "File", "basename": "a", "contents": "a"}}))
    said = grid.gridcwl("--backend", "dirac", "count.cwl", "in.json")
    assert said.returncode != 0
    assert "Choose --store rucio" in said.stderr
    assert "Traceback" not in said.stderr
    assert jobs_at_dirac(dirac_clients, grid.run) == {}


def test_a_plan_says_how_much_would_have_to_be_moved(grid, client):
    from rucio.client.uploadclient import UploadClient

    data = grid.folder / "data.bin"
    data.write_bytes(b"x" * 5000)
    scope = client.list_scopes_for_account("runner")[0]
    name = f"plan-{grid.folder.name}.bin"
    about = {"path": str(data), "rse": "LYON-DISK", "did_scope": scope, "did_name": name}
    UploadClient(client).upload([about])
    grid.write("count.cwl", COUNT)
    grid.write("in.json", json.dumps({"data": {"class": "File", "location": f"rucio://{scope}/{name}"}}))
    words = ["plan", "--store", "rucio", "count.cwl", "in.json"]
    assert "to move    0 to 5000 bytes in all, depending on the site" in _said(grid, *words)
    assert "to move    0 bytes in all" in _said(grid, *words, "--site", "LCG.Lyon.fr")
    assert "to move    5000 bytes in all" in _said(grid, *words, "--site", "LCG.CNAF.it")
    assert "to move    0 bytes in all" in _said(grid, *words, "--locality", "strict")
    local = {"data": {"class": "File", "path": "data.bin"}}
    grid.write("in.json", json.dumps(local))
    assert "to move    5000 bytes in all" in _said(grid, *words)


def _said(grid: Site, *words: str) -> str:
    said = grid.gridcwl(*words)
    assert said.returncode == 0, said.stderr
    return re.sub(r" +$", "", said.stdout, flags=re.MULTILINE)
