"""Jobs by DiracX's REST interface: workflows, and what the backend counts on when it asks the testbed's real one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grid_site import SCATTER
from waiting import until

from gridcwl.backends.dirac import jdl
from gridcwl.backends.dirac.diracx import sandboxes
from gridcwl.backends.dirac.diracx.rest import Rest
from gridcwl.backends.dirac.diracx.server import DiracXServer, from_environment
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable
from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.runs.record.folder import new_run_id

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.diracx import DiracXService
    from gridcwl.testbed.dirac.service import DiracService

pytestmark = pytest.mark.timeout(400)

NOWHERE = JobRequirements(sites=("LCG.Meudon.fr",))
"""No job goes there."""


@dataclass
class Desk:
    """A folder from which runs are sent out."""

    folder: Path
    environment: dict[str, str]

    def gridcwl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gridcwl", *words], cwd=self.folder, env=self.environment, text=True,
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip

    @property
    def run(self) -> RunId:
        return RunId(sorted(path.name for path in (self.folder / "state" / "runs").iterdir())[-1])


@pytest.fixture
def credentials(diracx: DiracXService, tmp_path: Path) -> Path:
    """The user's tokens, a copy."""
    path = tmp_path / "credentials.json"
    path.touch(mode=0o600)
    path.write_text(diracx.credentials.read_text())
    return path


@pytest.fixture
def grid(diracx: DiracXService, dirac: DiracService, credentials: Path, tmp_path: Path) -> Desk:
    exports = {**dirac.exports(), **diracx.exports(), "DIRACX_CREDENTIALS_PATH": str(credentials)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    (tmp_path / "wf.cwl").write_text(SCATTER)
    (tmp_path / "before.txt").write_text("before\n")
    inputs = {"words": ["a", "b", "c"], "beginning": {"class": "File", "path": "before.txt"}}
    (tmp_path / "in.json").write_text(json.dumps(inputs))
    return Desk(tmp_path, {**environment, **exports, "GRIDCWL_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def server(diracx: DiracXService, credentials: Path) -> Iterator[DiracXServer]:
    server = DiracXServer(diracx.url, credentials)
    yield server
    server.close()


@pytest.fixture
def rest(diracx: DiracXService, credentials: Path) -> Iterator[Rest]:
    rest = Rest(diracx.url, credentials)
    yield rest
    rest.close()


@pytest.fixture
def submit(server: DiracXServer, tmp_path: Path) -> Iterator[Callable[[int], tuple[RunId, list[int]]]]:
    """``submit(45)`` submits so many jobs, to a site that takes none; gives the run and their numbers."""
    runs: list[RunId] = []
    (tmp_path / jdl.START).write_text("true\n")

    def submit(number: int) -> tuple[RunId, list[int]]:
        run = new_run_id()
        runs.append(run)
        spans = tuple(str(each) for each in range(1, number + 1))
        place = server.put_sandbox([tmp_path / jdl.START])
        return run, server.submit(jdl.text(jdl.Batch(run, f"{run}-1-", spans, "", NOWHERE, place)))

    yield submit
    for run in runs:
        server.kill([found.place.number for found in server.find(run)])


def test_a_workflow_runs_by_rest_and_tokens_and_can_be_left_and_resumed(grid):
    words = ["--backend", "diracx", "--outdir", "out", "wf.cwl", "in.json"]
    left = grid.gridcwl("--submit-only", "--debug", *words)
    assert left.returncode == 0, left.stderr
    result = grid.gridcwl("attach", "--debug", "last")
    assert result.returncode == 0, result.stderr
    assert (grid.folder / "out" / "all.txt").read_text() == "".join(f"before\n{word}\n" for word in "abc")
    secrets = _secrets(grid)
    kept = [path.read_bytes() for path in (grid.folder / "state").rglob("*") if path.is_file()]
    assert not any(secret in text for secret in secrets for text in (left.stderr, result.stderr, result.stdout))
    assert not any(secret.encode() in content for secret in secrets for content in kept)


def test_what_a_run_has_at_diracx_is_killed_in_bulk_and_said_by_logs(grid, server):
    endless = "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: [sleep, '600'], inputs: [], outputs: []}"
    (grid.folder / "sleep.cwl").write_text(endless)
    assert grid.gridcwl("--submit-only", "--backend", "diracx", "sleep.cwl").returncode == 0
    assert re.search(r"DIRAC job \d+: ", grid.gridcwl("logs", "last").stdout)
    cancelled = grid.gridcwl("cancel", "last")
    assert cancelled.returncode == 0, cancelled.stderr
    # a pilot that has just taken the job hears of it later
    until(lambda: [job.place.status in ("Killed", "Failed") for job in server.find(grid.run)] == [True])


def test_sites_and_plan_ask_diracx(grid):
    listed = {
        each["site"]: each["status"] for each in json.loads(_said(grid, "sites", "--json", "--backend", "diracx"))
    }
    assert listed["LCG.Lyon.fr"] == "Active"
    assert listed["LCG.Meudon.fr"] == "Banned"
    planned = _said(grid, "plan", "--backend", "diracx", "wf.cwl", "in.json")
    assert "LCG.Meudon.fr: DIRAC sends no jobs there now" in planned
    assert "credential   runner, group gridcwl_user, ends " in planned


def test_submissions_are_as_large_as_the_server_takes_and_jobs_wait_to_be_confirmed(server, submit):
    run, numbers = submit(45)
    names = {found.name: found.place for found in server.find(run)}
    assert [names[f"{run}-1-{each}"].number for each in range(1, 46)] == numbers
    assert {place.status for place in names.values()} == {"Submitting"}
    server.confirm(numbers)
    assert "Submitting" not in {state[0] for state in server.states(numbers).values()}


def test_a_submission_whose_answer_is_lost_leaves_no_job_twice(server, submit, monkeypatch):
    heard = server._rest._sent
    lost: list[str] = []

    def deaf(doing: str, method: str, url: str, **more: Any) -> Any:
        answer = heard(doing, method, url, **more)
        if url.endswith("/jobs/jdl") and answer.is_success and not lost:
            lost.append(url)
            raise DiracUnreachable("the answer is lost")
        return answer

    monkeypatch.setattr(server._rest, "_sent", deaf)
    run, numbers = submit(25)
    assert lost
    states = Counter((found.name, found.place.status) for found in server.find(run))
    assert {states[f"{run}-1-{each}", "Submitting"] for each in range(1, 26)} == {1}
    assert sum(number for (_, status), number in states.items() if status == "Killed") == 20
    assert len(set(numbers)) == 25


def test_pages_are_turned_until_all_jobs_are_seen(server, submit, monkeypatch):
    monkeypatch.setattr("gridcwl.backends.dirac.diracx.server._PAGE", 4)
    run, numbers = submit(10)
    assert sorted(found.place.number for found in server.find(run)) == sorted(numbers)
    assert set(server.states(numbers)) == set(numbers)


def test_jobs_that_are_gone_or_somebody_else_s_do_not_save_the_others(server, submit):
    _, numbers = submit(2)
    server.kill([999_999_999, *numbers])
    assert {state[0] for state in server.states(numbers).values()} == {"Killed"}
    server.kill([999_999_999])
    server.kill(numbers)


def test_an_output_sandbox_in_diracx_s_store_comes_by_its_presigned_address(server, rest, submit, tmp_path):
    run, (number,) = submit(1)
    assert server.sandbox(number) is None
    (tmp_path / "std.out").write_text(f"said in {run}\n")
    place = sandboxes.put(rest, [tmp_path / "std.out"])
    assert place == sandboxes.put(rest, [tmp_path / "std.out"])
    rest.ask("leaving an output sandbox", "PATCH", f"/jobs/{number}/sandbox/output", json=place)
    assert server.sandbox(number) == sandboxes.packed([tmp_path / "std.out"])


def test_a_token_that_ends_is_renewed(server, credentials):
    held = json.loads(credentials.read_text())
    credentials.write_text(json.dumps({**held, "expires_on": int(time.time()) - 10}))
    assert server.offers()
    renewed = json.loads(credentials.read_text())
    assert renewed["access_token"] != held["access_token"]
    assert renewed["refresh_token"]
    assert renewed["expires_on"] > time.time() + 60
    assert server.credential().user == "runner"


def test_tokens_that_diracx_does_not_know_are_a_matter_of_logging_in(server, credentials):
    held = json.loads(credentials.read_text())
    head, payload, signature = held["access_token"].split(".")
    credentials.write_text(json.dumps({**held, "access_token": f"{head}.{payload}.{signature[::-1]}"}))
    with pytest.raises(DiracCredential) as caught:
        server.offers()
    assert "dirac login" in caught.value.remedy
    assert payload not in str(caught.value)


def test_what_diracx_refuses_is_reported_in_its_words(server, rest):
    with pytest.raises(DiracRefused, match="HTTP 400"):
        rest.ask("submitting jobs", "POST", "/jobs/jdl", json=['Executable = "/bin/true";'] * 21)
    with pytest.raises(DiracRefused, match="HTTP 403"):
        server.sandbox(999_999_999)


def test_nobody_at_that_address_is_not_reachable(credentials):
    server = DiracXServer("http://localhost:1", credentials)
    with pytest.raises(DiracUnreachable, match="http://localhost:1 does not answer"):
        server.offers()


def test_without_an_address_it_is_reported_which_variable_has_it(monkeypatch):
    monkeypatch.delenv("DIRACX_URL", raising=False)
    with pytest.raises(ConfigError) as caught:
        from_environment()
    assert "DIRACX_URL" in caught.value.remedy


def _said(desk: Desk, *words: str) -> str:
    result = desk.gridcwl(*words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _secrets(desk: Desk) -> list[str]:
    """What nobody is to see of the tokens: their signatures, which make them good."""
    held = json.loads(Path(desk.environment["DIRACX_CREDENTIALS_PATH"]).read_text())
    return [held[name].rpartition(".")[2] for name in ("access_token", "refresh_token")]
