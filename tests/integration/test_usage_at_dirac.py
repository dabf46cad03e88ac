"""``gridcwl usage --backend dirac``: what the journals and DIRAC's accounting have of the same run agrees."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from documents import glob, on_command_line, step, tool, workflow
from grid_site import Site
from waiting import until

from gridcwl.backends.dirac.accounting import SERVICE, accounted

BUSY = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
open("said", "w").write("done")
"""
DOCUMENT = workflow(
    {"seconds": "float[]"},
    {"said": {"type": "File[]", "outputSource": "busy/said"}},
    busy=step(
        tool("python3", "-c", BUSY, inputs={"s": on_command_line("float")}, outputs={"said": glob("said")}),
        "said", scatter="s", s="seconds",
    ),
)  # fmt: skip


def recorded_jobs(run: str) -> int:
    """How many jobs the accounting has now.

    The service gives the same answer to the same question for ten minutes, so that each question is another one.
    """
    from DIRAC.Core.Base.Client import Client

    def ask(query: Any) -> Any:
        answer = Client(url=SERVICE).getReport(query)
        assert answer["OK"], answer["Message"]
        return answer["Value"]

    return sum(cost.jobs for cost in accounted(ask, [run, f"not-{uuid.uuid4().hex}"], "run", None, time.time()))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("dirac_clients")  # this process queries the accounting
def test_journals_and_the_accounting_of_dirac_agree(dirac: Any, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    site = Site(tmp_path, {**environment, **dirac.exports(), "GRIDCWL_STATE_DIR": str(tmp_path / "state")})
    site.write("wf.cwl", json.dumps(DOCUMENT))
    site.write("in.yml", "seconds: [1.5, 2.5]\n")
    ended = site.gridcwl("--backend", "dirac", "--no-container", "--outdir", "out", "wf.cwl", "in.yml")
    assert ended.returncode == 0, ended.stderr
    until(lambda: recorded_jobs(site.run) == 2, pause_s=0.5, patience_s=300)

    shown = site.gridcwl("usage", "--backend", "dirac", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    (own,), (remote,) = found["groups"], found["dirac"]
    assert remote["name"] == own["name"] == site.run
    assert remote["jobs"] == own["attempts"] == 2
    # DIRAC counts whole seconds of each job; it has the start script, Python's start and the sandboxes in addition
    assert remote["wall_s"] >= own["wall_s"] - 2
    assert own["cpu_s"] >= 4
    assert remote["cpu_s"] >= 2
