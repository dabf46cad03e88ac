"""What DIRAC jobs read: large literals, images that are in Rucio, and what a plan says of it; on real servers."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from grid_site import SCOPE, Site, jobs_at_dirac, put_at_lyon

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
def client(log_in: Callable[..., Any]) -> Any:
    """Rucio's own client."""
    return log_in("runner")


def test_a_large_literal_travels_through_rucio_and_not_in_the_job_s_sandbox(grid, client):
    grid.write("count.cwl", COUNT)
    data = {"class": "File", "basename": "letter.txt", "contents": "0123456789" * 30_000}
    grid.write("in.json", json.dumps({"data": data}))
    result = grid.gridcwl("--backend", "dirac", "--store", "rucio", "--outdir", "out", "count.cwl", "in.json")
    assert result.returncode == 0, result.stderr
    assert (grid.folder / "out" / "count.txt").read_text().split() == ["300000"]
    (dataset,) = client.list_dids(SCOPE, {"name": f"{grid.run}*inputs"}, did_type="dataset")
    assert [entry["bytes"] for entry in client.list_content(SCOPE, dataset)] == [300_000]


IMAGE = "gridcwl-test/only-in-rucio:1"


@pytest.fixture
def only_in_rucio(grid: Site, client: Any) -> Iterator[str]:
    """An image that no registry and no machine has; its archive is in Rucio, under the name that is returned."""
    archive = grid.folder / "image.tar"
    subprocess.run(["docker", "tag", "alpine:latest", IMAGE], check=True)
    subprocess.run(["docker", "save", "--output", str(archive), IMAGE], check=True)
    subprocess.run(["docker", "rmi", IMAGE], check=True, stdout=subprocess.DEVNULL)
    name = put_at_lyon(client, f"t{uuid.uuid4().hex}.tar", archive.read_bytes())
    yield f"{SCOPE}:{name}"
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
    result = grid.gridcwl("--backend", "dirac", "--store", "rucio", "--outdir", "out", "os.cwl")
    assert result.returncode == 0, result.stderr
    assert (grid.folder / "out" / "os.txt").read_text()
    (job,) = jobs_at_dirac(dirac_clients, grid.run).values()
    assert job["Status"] == "Done"


def test_images_in_rucio_without_rucio_are_refused_before_anything_is_submitted(grid, dirac_clients):
    grid.write("config.toml", '[dirac.images]\n"*" = ["rucio:images:{image}.tar"]\n')
    grid.environment["GRIDCWL_CONFIG"] = str(grid.folder / "config.toml")
    grid.write("count.cwl", COUNT)
    grid.write("in.json", json.dumps({"data": {"class": "File", "basename": "a", "contents": "a"}}))
    result = grid.gridcwl("--backend", "dirac", "count.cwl", "in.json")
    assert result.returncode != 0
    assert "Choose --store rucio" in result.stderr
    assert "Traceback" not in result.stderr
    assert jobs_at_dirac(dirac_clients, grid.run) == {}


def test_a_plan_reports_how_much_would_have_to_be_moved(grid, client):
    (grid.folder / "data.bin").write_bytes(b"x" * 5000)
    name = put_at_lyon(client, f"t{uuid.uuid4().hex}.bin", b"x" * 5000)
    grid.write("count.cwl", COUNT)
    grid.write("in.json", json.dumps({"data": {"class": "File", "location": f"rucio://{SCOPE}/{name}"}}))
    assert "to move    0 to 5000 bytes in all, depending on the site" in _plan(grid)
    assert "to move    0 bytes in all" in _plan(grid, "--site", "LCG.Lyon.fr")
    assert "to move    5000 bytes in all" in _plan(grid, "--site", "LCG.CNAF.it")
    assert "to move    0 bytes in all" in _plan(grid, "--locality", "strict")
    local = {"data": {"class": "File", "path": "data.bin"}}
    grid.write("in.json", json.dumps(local))
    assert "to move    5000 bytes in all" in _plan(grid)


def _plan(grid: Site, *options: str) -> str:
    result = grid.gridcwl("plan", "--backend", "dirac", "--store", "rucio", *options, "count.cwl", "in.json")
    assert result.returncode == 0, result.stderr
    return result.stdout
