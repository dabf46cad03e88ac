"""Runs whose DIRAC goes away for a while, is slow or starts a job again, and whose proxy ends: nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grid_site import SCOPE, Site, jobs_at_dirac, put_at_lyon

from gridcwl.testbed.faults import Faults

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.service import DiracService

pytestmark = pytest.mark.timeout(600)

CHAIN = """
cwlVersion: v1.2
class: Workflow
inputs: {word: string, hold: string}
steps:
  first:
    in: {word: word, hold: hold}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'while [ -e "$1" ]; do sleep 0.1; done; echo "$0"']
      inputs: {word: {type: string, inputBinding: {position: 1}}, hold: {type: string, inputBinding: {position: 2}}}
      outputs: {said: stdout}
      stdout: said.txt
  second:
    in: {said: first/said}
    out: [twice]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {said: {type: File, inputBinding: {}}}
      outputs: {twice: stdout}
      stdout: twice.txt
outputs: {twice: {type: File, outputSource: second/twice}}
"""


class Client:
    """A run under way, with what it says. Its first job waits until it is released, if it is to be held."""

    def __init__(self, folder: Path, environment: dict[str, str], *, held: bool) -> None:
        folder.mkdir()
        self._hold = folder / "hold"
        if held:
            self._hold.touch()
        (folder / "wf.cwl").write_text(CHAIN)
        (folder / "in.json").write_text(json.dumps({"word": "hello", "hold": str(self._hold)}))
        self.environment = environment
        words = ["--verbose", "--backend", "dirac", "--outdir", "out", "wf.cwl", "in.json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gridcwl", *words], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def release(self) -> None:
        """Let the first job end."""
        self._hold.unlink(missing_ok=True)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.said.append(line)
                self._more.notify_all()

    def until(self, words: str) -> None:
        """Wait until it says this."""
        with self._more:
            heard = self._more.wait_for(lambda: any(words in line for line in self.said), timeout=240)
        assert heard, "".join(self.said)

    @property
    def run(self) -> str:
        """Its name; it says so at its beginning."""
        return next(line.split("run ")[1].strip() for line in self.said if "] run " in line)

    def outputs(self) -> Any:
        """Its output object, when it has ended well."""
        assert self.process.stdout is not None
        text = self.process.stdout.read()
        self._reader.join()  # it has all that was said
        assert self.process.wait() == 0, "".join(self.said)
        return json.loads(text)


@pytest.fixture
def start(dirac: DiracService, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    environment |= {**dirac.exports(), "GRIDCWL_STATE_DIR": str(tmp_path / "state")}
    clients: list[Client] = []

    def start(*, held: bool = False, **variables: str) -> Client:
        clients.append(Client(tmp_path / f"client{len(clients)}", environment | variables, held=held))
        return clients[-1]

    yield start
    for client in clients:
        client.release()
        if client.process.poll() is None:
            client.process.kill()


def check(client: Client, dirac_clients: Any) -> None:
    """Let the run end: it ends well, and each of its two jobs was run once."""
    client.release()
    outputs = client.outputs()
    assert Path(outputs["twice"]["path"]).read_text() == "hello\n"
    monitoring = dirac_clients.monitoring()
    jobs = [int(job) for job in monitoring.getJobs({"JobGroup": client.run})["Value"]]
    states = monitoring.getJobsStates(jobs)["Value"].values()
    history = [(job, monitoring.getJobLoggingInfo(job)["Value"]) for job in jobs]
    assert sorted(state["Status"] for state in states) == ["Done", "Done"], f"{history}\n{''.join(client.said)}"


@contextmanager
def restarted(faults: Any, process: str) -> Iterator[None]:
    faults.kill(process)
    yield
    faults.undo()


def test_services_that_are_restarted_cost_only_time(start, faults, dirac_clients):
    client = start(held=True)
    client.until("first: ")  # it waits, or a pilot has it already
    with restarted(faults, "dirac-jobs"):
        client.until("DIRAC does not answer")
    check(client, dirac_clients)
    assert any("DIRAC answers again" in line for line in client.said)


def test_a_proxy_that_ends_is_waited_for(start, dirac, faults, dirac_clients):  # noqa: ARG001  alone on the testbed
    client = start(held=True)
    client.until("first: ")  # it waits, or a pilot has it already
    dirac.proxies.renew(timedelta(seconds=1))
    try:
        client.until("Make or renew the proxy")
    finally:
        dirac.proxies.renew()
    check(client, dirac_clients)


def test_services_that_take_calls_and_say_nothing_cost_only_time(start, faults, dirac_clients):
    client = start(held=True)
    client.until("first: ")  # it waits, or a pilot has it already
    faults.pause("dirac-jobs")
    client.until("DIRAC does not answer")
    faults.resume("dirac-jobs")
    check(client, dirac_clients)
    assert any("DIRAC answers again" in line for line in client.said)


@pytest.fixture
def own_ports(testbed) -> Iterator[Faults]:
    """Switches for ports that only this test's client has, while other tests use the testbed."""
    switches = Faults(testbed)
    yield switches
    switches.undo()


def with_ports(folder: Path, dirac: DiracService, ports: dict[str, int]) -> str:
    """A configuration in which these services have other ports; its path."""
    urls = "\n".join(f"{name} = dips://localhost:{port}/WorkloadManagement/{name}" for name, port in ports.items())
    whole = Path(dirac.exports()["DIRACSYSCONFIG"]).read_text()
    made = folder / "own-ports.cfg"
    made.write_text(f"{whole}\nSystems {{ WorkloadManagement {{ URLs {{\n{urls}\n}} }} }}\n")
    return str(made)


def test_a_store_of_sandboxes_that_reports_nothing_holds_up_what_is_submitted(
    start, own_ports, dirac, dirac_clients, tmp_path
):
    store = own_ports.silent("WorkloadManagement/SandboxStore")
    client = start(DIRACSYSCONFIG=with_ports(tmp_path, dirac, {"SandboxStore": store.port}))
    client.until("DIRAC does not answer (leaving an input sandbox)")
    store.speak()
    check(client, dirac_clients)


def test_slow_services_cost_only_time(start, own_ports, dirac, dirac_clients, tmp_path):
    slow = {name: own_ports.slow(f"WorkloadManagement/{name}", 0.1) for name in ("JobManager", "JobMonitoring")}
    client = start(DIRACSYSCONFIG=with_ports(tmp_path, dirac, slow))
    check(client, dirac_clients)


def test_a_job_that_dirac_reschedules_is_followed_to_its_second_end(start, dirac, dirac_clients):  # noqa: ARG001
    client = start(held=True)
    client.until("first: Running")
    (job,) = dirac_clients.monitoring().getJobs({"JobGroup": client.run})["Value"]
    assert dirac_clients.manager().rescheduleJob([int(job)])["OK"]
    check(client, dirac_clients)
    about = dirac_clients.monitoring().getJobsSummary([int(job)])["Value"][job]
    assert (about["Status"], about["RescheduleCounter"]) == ("Done", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process another host's name")
def test_a_run_whose_client_died_continues_at_another_machine(start, dirac_clients, tmp_path):
    client = start(held=True)
    client.until("first: Running")
    client.process.kill()
    client.process.wait()
    client.release()
    elsewhere = tmp_path / "shared-disk"
    (tmp_path / "state").rename(elsewhere)
    environment = {**client.environment, "HOME": str(tmp_path), "GRIDCWL_STATE_DIR": str(elsewhere)}
    command = f"hostname another-node && exec {sys.executable} -m gridcwl resume {client.run}"
    result = subprocess.run(
        ["unshare", "--uts", "sh", "-c", command], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert Path(json.loads(result.stdout)["twice"]["path"]).read_text() == "hello\n"
    jobs = dirac_clients.monitoring().getJobs({"JobGroup": client.run})["Value"]
    states = dirac_clients.monitoring().getJobsStates([int(job) for job in jobs])["Value"].values()
    assert sorted(state["Status"] for state in states) == ["Done", "Done"]


def test_a_job_that_does_not_start_near_its_input_runs_elsewhere(faults, dirac, rucio, log_in, dirac_clients, tmp_path):
    name = put_at_lyon(log_in("runner"), f"t{uuid.uuid4().hex}", b"hello\n")
    exports = {**rucio.clients.exports("runner"), **dirac.exports()}
    settings = {"GRIDCWL_STATE_DIR": str(tmp_path / "state"), "GRIDCWL_CONFIG": str(tmp_path / "config.toml")}
    desk = Site(tmp_path, {**os.environ, **exports, **settings})
    desk.write("config.toml", "[dirac]\nlocal_mib = 0\nlocal_wait = 5\nlongest_pause = 2\n")
    desk.write(
        "cat.cwl",
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: cat, stdout: said.txt, "
        "inputs: {data: {type: File, inputBinding: {}}}, outputs: {said: stdout}}",
    )
    desk.write("in.json", json.dumps({"data": {"class": "File", "location": f"rucio://{SCOPE}/{name}"}}))
    for pilot in ("dirac-light-pilot", "dirac-pilot-LCG.Lyon.fr-0"):
        faults.pause(pilot)
    result = desk.gridcwl(
        "--verbose", "--backend", "dirac", "--store", "rucio", "--outdir", "out", "cat.cwl", "in.json"
    )
    assert result.returncode == 0, result.stderr
    assert "may run anywhere now" in result.stderr
    assert (tmp_path / "out" / "said.txt").read_text() == "hello\n"
    first, second = (about for _, about in sorted(jobs_at_dirac(dirac_clients, desk.run).items()))
    assert (first["Status"], first["Site"]) == ("Killed", "LCG.Lyon.fr")
    assert second["Status"] == "Done"
    assert second["Site"] in ("LCG.CNAF.it", "LCG.Orsay.fr")
