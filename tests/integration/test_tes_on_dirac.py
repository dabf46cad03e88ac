"""Tasks of GA4GH TES at the testbed's DIRAC, with outputs on this machine and in Rucio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grid_site import jobs_at_dirac
from tes import DEBIAN, run
from wes import Wes, serving

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService

pytestmark = [pytest.mark.timeout(400), pytest.mark.dirac, pytest.mark.rucio, pytest.mark.docker]


@pytest.fixture
def tes(dirac: DiracService, rucio: RucioService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wes]:
    for name, value in {**rucio.clients.exports("runner"), **dirac.exports()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GRIDCWL_ENGINE", raising=False)
    (tmp_path / "config.toml").write_text('[dirac.engines]\n"*" = ["docker"]\n')
    monkeypatch.setenv("GRIDCWL_CONFIG", str(tmp_path / "config.toml"))
    runs = {"backend": "dirac", "store": "rucio", "rucio": {"rse": "LYON-DISK"}}
    with serving(tmp_path, runs=runs, file_roots=[str(tmp_path)], output_roots=[str(tmp_path / "out")]) as made:
        yield made


def test_a_task_is_one_job_at_dirac_whatever_its_executors(tes: Wes, tmp_path: Path, dirac_clients: Any):
    (tmp_path / "in.txt").write_text("here ")
    first = {"image": DEBIAN, "command": ["sh", "-c", "cat /in/a /in/b"], "stdout": "/v/joined"}
    second = {
        "image": DEBIAN,
        "command": ["sh", "-c", "cat > /out/text; cp /out/text /kept/text"],
        "stdin": "/v/joined",
    }
    task = {
        "name": "on the grid",
        "volumes": ["/v"],
        "executors": [first, second],
        "inputs": [
            {"url": (tmp_path / "in.txt").as_uri(), "path": "/in/a"},
            {"content": "and there", "path": "/in/b"},
        ],
        "outputs": [
            {"path": "/out/text", "url": (tmp_path / "out" / "text").as_uri()},
            {"path": "/kept/*", "path_prefix": "/kept/", "url": f"rucio://user.runner/tes.{tmp_path.name}"},
        ],
    }
    done = run(tes, task)
    assert done["state"] == "COMPLETE", done["logs"]
    assert (tmp_path / "out" / "text").read_text() == "here and there"
    (log,) = done["logs"]
    assert [one["exit_code"] for one in log["logs"]] == [0, 0]
    local, kept = log["outputs"]
    assert local["url"] == (tmp_path / "out" / "text").as_uri()
    assert kept["url"].startswith("rucio://user.runner/")
    assert kept["path"] == "/kept/text"
    assert kept["size_bytes"] == str(len("here and there"))
    assert log["metadata"]["site"]
    assert len(jobs_at_dirac(dirac_clients, done["id"])) == 1
    again = {
        "executors": [{"image": DEBIAN, "command": ["cat"], "stdin": "/in/text"}],
        "inputs": [{"url": kept["url"], "path": "/in/text"}],
    }
    assert run(tes, again)["logs"][0]["logs"][0]["stdout"] == "here and there"
