"""Hostile archives and metadata that go through the real servers: DIRAC's sandbox store and Rucio's database."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from archives import tar_gz
from documents import Desk, on_command_line, shell
from rucio_grid import Grid, remote

from gridcwl.backends.dirac import results
from gridcwl.backends.dirac.client import DiracClient
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.model import Job, JobId, JobResult, Outcome, RunId

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

JOB = Job(JobId("j1-7"), RunId("r"), "step", ("true",))
ENDED = {"Done", "Failed", "Killed"}
COUNT = shell(
    'cd "$0"; find . -type f > /dev/null; echo read',
    inputs={"d": on_command_line("Directory")}, outputs={"o": "stdout"}, stdout="o",
)  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Desk(folder)


def said(*files: dict[str, Any]) -> bytes:
    return json.dumps({"id": JOB.id, "outcome": "success", "files": files, "outdir": "sandbox:"}).encode()


def a_file(path: str, data: bytes, location: str = "") -> dict[str, Any]:
    sums = {"size": len(data), "sha1": hashlib.sha1(data).hexdigest(), "adler32": f"{zlib.adler32(data):08x}"}
    return {"path": path, "kind": "file", "location": location or f"sandbox:{path}", **sums}


def test_results_archives_made_by_hand_come_back_through_dirac(dirac_clients: Any, desk: Desk, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    honest = {f"{JOB.id}/out/a": b"x", f"{JOB.id}/result.json": said(a_file("a", b"x"))}
    cases: dict[str, tuple[dict[str, bytes], str]] = {
        "honest": (honest, ""),
        "absolute": ({**honest, f"{JOB.id}/out/{victim}": b"pwned"}, "a member's name is refused"),
        "climbing": ({**honest, f"{JOB.id}/out/../../../victim": b"pwned"}, "a member's name is refused"),
        "path": ({f"{JOB.id}/result.json": said(a_file(str(victim), b"x"))}, "The path of an output is refused"),
        "claimed": ({f"{JOB.id}/result.json": said(a_file("a", b"mine", victim.as_uri()))}, "neither the job's own"),
        "damaged": ({**honest, f"{JOB.id}/out/a": b"y"}, "is not what the result says of it"),
        "missing": ({f"{JOB.id}/result.json": said(a_file("a", b"x"))}, "is not in the results archive"),
    }
    for name, (members, _) in cases.items():
        desk.write(f"{name}.tar.gz", tar_gz(members))
    desk.write("run.sh", 'cp "$1.tar.gz" gridcwl-results.tar.gz\n')
    sandbox = ", ".join(f'"{name}.tar.gz"' for name in cases)
    description = {
        "Executable": '"/bin/sh"',
        "Arguments": '"run.sh %s"',
        "Parameters": "{" + ", ".join(f'"{name}"' for name in cases) + "}",
        "InputSandbox": '{"run.sh", ' + sandbox + "}",
        "StdOutput": '"std.out"',
        "OutputSandbox": '{"std.out", "gridcwl-results.tar.gz"}',
    }
    submitted = dirac_clients.wms().submitJob("".join(f"{key} = {value};\n" for key, value in description.items()))
    assert submitted["OK"], submitted["Message"]
    numbers = submitted["Value"]
    server = DiracClient(modules=dirac_clients)
    try:
        end = time.monotonic() + 200
        while not all(state[0] in ENDED for state in server.states(numbers).values()):
            assert time.monotonic() < end
            time.sleep(0.2)
        for number, (name, (_, reason)) in zip(numbers, cases.items(), strict=True):
            folder = tmp_path / "deep/run" / name
            opened = results.opened(server.sandbox(number), folder)
            result: JobResult = results.result_of(JOB, opened, JobStatus(number, "Done"), folder)
            assert (result.outcome is Outcome.SUCCESS) == (not reason), (name, result.reason)
            assert reason in result.reason, (name, result.reason)
            assert [path.name for path in folder.rglob("*") if path.is_file()] == ([] if reason else ["a"])
        assert victim.read_text() == "mine"
    finally:
        dirac_clients.wms().deleteJob(numbers)


@pytest.mark.parametrize(
    "hostile",
    [
        {"basename": "../../victim"}, {"folders": ["../../victim"]}, {"folders": ["/tmp/victim"]},
        {"places": "../../victim"}, {"places": "/etc/victim"}, {"basename": ".."},
    ],
)  # fmt: skip
def test_metadata_of_a_dataset_in_rucio_do_not_lead_out_of_it(
    desk: Desk, log_in: Callable[..., Any], rucio: RucioService, hostile: dict[str, Any]
) -> None:
    grid = Grid(desk, log_in("runner"), rucio, f"t{uuid.uuid4().hex[:10]}")
    url = grid.upload("a.txt", "x")
    dataset = grid.dataset("set", url)
    if "places" in hostile:
        hostile = {"places": {f"{grid.scope}:{grid.word}.a.txt": hostile["places"]}}
    name = dataset.rpartition("/")[2]
    grid.client.set_metadata_bulk(grid.scope, name, {"gridcwl_directory": json.dumps(hostile)})
    ended = grid.run(COUNT, {"d": remote("Directory", dataset)})
    assert ended.code == 1
    assert f"A path in the Rucio metadata of {grid.scope}:{name} is refused" in ended.stderr
    assert "internal error" not in ended.stderr
    assert not list(desk.folder.parent.rglob("victim"))
