"""Jupyter kernels in jobs of the testbed's real DIRAC, with files of its real Rucio, in a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grid_site import SCOPE, Site, put_at_lyon

pytestmark = [pytest.mark.timeout(600), pytest.mark.dirac, pytest.mark.rucio, pytest.mark.docker]

USER = """
import os, sys
sys.path[:0] = [sys.argv[1]]
from job_kernels import PATIENCE_S, printed, started, until_said
from gridcwl.jupyter.kernels import model
with started("at-lyon", sys.argv[2]) as (manager, client):
    print(printed(client, "import os, socket; print(os.getcwd(), sorted(f for f in os.listdir() if f[0] != '.'))"))
    print(printed(client, f"print(open({sys.argv[3]!r}).read(), open({sys.argv[4]!r}).read())"))
    print(printed(client, "print(os.path.exists('/etc/debian_version'), 'X509_USER_PROXY' in os.environ)"))
    manager.restart_kernel()
    client.wait_for_ready(timeout=PATIENCE_S)
    client.execute("import time; print('sleeping'); time.sleep(1000)")
    until_said(client, "sleeping")
    manager.interrupt_kernel()
    print(client.get_shell_msg(timeout=PATIENCE_S)["content"]["status"])
    (record,) = model.active()
    print(len(list(record.folder.glob("job-*"))))
"""


@pytest.fixture
def client(log_in: Callable[..., Any]) -> Any:
    """Rucio's own client."""
    return log_in("runner")


def test_a_notebook_s_code_runs_in_a_container_at_a_site_next_to_the_data(grid: Site, client: Any) -> None:
    first, second = (put_at_lyon(client, f"t{uuid.uuid4().hex}.txt", text) for text in (b"hello", b"attached"))
    notebook = grid.folder / "a.ipynb"
    metadata = {"rucio_attachments": [{"did": f"{SCOPE}:{second}", "type": "file", "variableName": "x"}]}
    notebook.write_text(json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    grid.write("config.toml", '[dirac.engines]\n"*" = ["docker"]\n')
    own = {f"JUPYTER_{name}_DIR": str(grid.folder / name.lower()) for name in ("DATA", "RUNTIME", "CONFIG")}
    grid.environment |= {**own, "GRIDCWL_CONFIG": str(grid.folder / "config.toml")}
    added = grid.gridcwl(
        "kernel", "add", "at-lyon", "--image", "gridcwl/ipykernel:1", "--site", "LCG.Lyon.fr", "--host", "127.0.0.1",
        "-i", f"{SCOPE}:{first}", "--time", "1h",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    helpers = str(Path(__file__).parents[1] / "helpers")
    done = subprocess.run(
        [sys.executable, "-c", USER, helpers, str(notebook), first, second],
        env={**os.environ, **grid.environment}, cwd=grid.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line] == [
        f"/work {sorted([first, second])}",
        "hello attached",
        "True False",
        "error",
        "1",
    ]
    assert "Kernel at-lyon was removed" in grid.gridcwl("kernel", "rm", "at-lyon").stdout


def test_a_job_that_cannot_start_a_kernel_says_why(grid: Site) -> None:
    own = {f"JUPYTER_{name}_DIR": str(grid.folder / name.lower()) for name in ("DATA", "RUNTIME", "CONFIG")}
    grid.write("config.toml", '[dirac.engines]\n"*" = ["docker"]\n')
    grid.environment |= {**own, "GRIDCWL_CONFIG": str(grid.folder / "config.toml")}
    words = ("--image", "debian:trixie-slim", "--host", "127.0.0.1", "-i", f"{SCOPE}:nothing-of-this-name")
    assert grid.gridcwl("kernel", "add", "unknown", *words).returncode == 0
    helpers = str(Path(__file__).parents[1] / "helpers")
    code = "import sys; sys.path[:0] = [sys.argv[1]]\nfrom job_kernels import started\nwith started('unknown'): pass"
    done = subprocess.run(
        [sys.executable, "-c", code, helpers],
        env={**os.environ, **grid.environment}, cwd=grid.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "nothing-of-this-name" in "".join(done.stderr.splitlines()[-2:])
