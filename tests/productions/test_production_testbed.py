"""Productions and DIRAC's hints with a real DIRAC and a real Rucio.

``GRIDCWL_PRODUCTION_SIZE=200`` makes the production as large as that: ``make test-production``.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grid_site import SCOPE, Site

from gridcwl.testbed.dirac.service import DiracService
from gridcwl.testbed.rucio.service import RucioService

pytestmark = [pytest.mark.timeout(1800)]
SIZE = int(os.environ.get("GRIDCWL_PRODUCTION_SIZE", "4"))

SHOWER = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "inputs": {"seed": "int"},
    # one execution in twenty fails
    "arguments": ["[ $(od -An -N1 -tu1 /dev/urandom) -ge 13 ] || exit 3; echo $(inputs.seed) > events.txt".replace(
        "$(od -An -N1 -tu1 /dev/urandom)", "`od -An -N1 -tu1 /dev/urandom`"
    )],
    "outputs": {"events": {"type": "File", "outputBinding": {"glob": "events.txt"}}},
}  # fmt: skip


@pytest.fixture
def client(log_in: Callable[..., Any]) -> Any:
    """Rucio's own client."""
    return log_in("runner")


def site(folder: Path, *exports: dict[str, str]) -> Site:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    for one in exports:
        environment |= one
    return Site(folder, {**environment, "GRIDCWL_STATE_DIR": str(folder / "state")})


def test_a_production_with_failures_ends_complete_in_one_container(
    dirac: DiracService, rucio: RucioService, client: Any, tmp_path: Path
):
    grid = site(tmp_path, rucio.clients.exports("runner"), dirac.exports())
    grid.write("shower.cwl", json.dumps(SHOWER))
    name = f"mc-{uuid.uuid4().hex[:8]}"
    portion = max(2, SIZE // 5)
    created = grid.gridcwl(
        "production", "create", name, "--seeds", f"seed=1..{SIZE}", "--portion", str(portion), "--resubmit", "5",
        "--", "--backend", "dirac", "--store", "rucio", "--no-download", "shower.cwl",
        timeout=1500,
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    status = json.loads(grid.gridcwl("production", "status", name, "--json").stdout)
    assert (status["complete"], status["done"]) == (True, SIZE)
    runs = {f"{portion['run']}" for portion in status["portions"]}
    assert {one["name"].removesuffix(".run") for one in client.list_content(SCOPE, name)} == runs


def test_outputs_go_to_the_datasets_that_a_hint_names(rucio: RucioService, client: Any, tmp_path: Path):
    grid = site(tmp_path, rucio.clients.exports("runner"))
    folder = f"hint-{uuid.uuid4().hex[:8]}"
    document = {
        **SHOWER,
        "arguments": ["echo $(inputs.seed) > events.txt"],
        "$namespaces": {"dirac": "https://diracgrid.org/cwl#"},
        "hints": {"dirac:ExecutionHooks": {"output_paths": {"events": f"LFN:/{folder}"}, "output_se": ["LYON-DISK"]}},
    }
    grid.write("shower.cwl", json.dumps(document))
    done = grid.gridcwl("--no-container", "--store", "rucio", "--no-download", "shower.cwl", "--seed", "5")
    assert done.returncode == 0, done.stderr
    (file,) = client.list_files(SCOPE, folder)
    (replica,) = client.list_replicas([{"scope": file["scope"], "name": file["name"]}])
    assert list(replica["rses"]) == ["LYON-DISK"]
